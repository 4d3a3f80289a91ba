//! What is measured: each case starts its server, loads it, looks for every alert at the other end, and stops it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::alert::Template;
use crate::figures::Outcome;
use crate::load::{self, Aim, Loaded};
use crate::machine::Watch;
use crate::peers::Peer;
use crate::process::{Server, free_address};
use crate::served::{PATH, Route, Served, SlowSync, stored, this_build};
use crate::sink::{self, Arrivals, Sink};

/// How long, how much. `--quick` has smaller ones.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) seconds: f64,
    /// After the load, what was accepted must have arrived by then.
    pub(crate) patience: Duration,
    /// Deliveries in the big store: finished, open.
    pub(crate) store: (u64, u64),
    /// Of the run that shows whether memory grows.
    pub(crate) many_seconds: f64,
    pub(crate) outage: u64,
    /// Open alerts that are polled, how often, and how many fire in one subscription at once.
    pub(crate) polled: u64,
    pub(crate) poll_seconds: u64,
    pub(crate) storm: u64,
}

pub(crate) const CONNECTIONS: usize = 64;
/// What a slow disk is measured with: milliseconds added to each sync, connections.
pub(crate) const DELAYS: [u64; 3] = [0, 1, 5];
pub(crate) const LOADS: [usize; 4] = [1, 8, 64, 256];
/// Names of the samples of memory, each at the end of an eighth of the time.
pub(crate) const EIGHTHS: [&str; 8] =
    ["RSS at 1/8", "RSS at 2/8", "RSS at 3/8", "RSS at 4/8", "RSS at 5/8", "RSS at 6/8", "RSS at 7/8", "RSS at 8/8"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Bare,
    Accept,
    Path,
    Peer(Peer),
    /// Open loop, alerts a second.
    Rate(u32),
    BigAccept,
    BigPath,
    /// By another build of the bridge.
    OtherAccept,
    OtherPath,
    Many,
    /// Milliseconds added to each sync, connections.
    SlowSync(u64, usize),
    Drain,
    /// So many subscriptions, of ten connections.
    Polling(usize),
}

impl Case {
    /// In the order of a round.
    pub(crate) fn all() -> Vec<Self> {
        let peers = Peer::ALL.into_iter().map(Self::Peer);
        let rates = [100, 1_000, 4_000, 8_000].into_iter().map(Self::Rate);
        let slow = DELAYS.into_iter().flat_map(|ms| LOADS.into_iter().map(move |of| Self::SlowSync(ms, of)));
        [Self::Bare, Self::Accept, Self::OtherAccept, Self::Path, Self::OtherPath]
            .into_iter()
            .chain(peers)
            .chain(rates)
            .chain([Self::BigAccept, Self::BigPath, Self::Many])
            .chain(slow)
            .chain([Self::Drain, Self::Polling(50), Self::Polling(500)])
            .collect()
    }

    /// The word of `--only`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Accept => "accept",
            Self::Path => "path",
            Self::Peer(_) => "peers",
            Self::Rate(_) => "rates",
            Self::BigAccept | Self::BigPath => "store",
            Self::OtherAccept | Self::OtherPath => "against",
            Self::Many => "memory",
            Self::SlowSync(..) => "sync",
            Self::Drain => "drain",
            Self::Polling(_) => "polling",
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Bare => "bare handler: reads and parses".to_owned(),
            Self::Accept => "bridge: durable accept".to_owned(),
            Self::Path => "bridge: whole path to SIGNL4".to_owned(),
            Self::Peer(peer) => peer.name().to_owned(),
            Self::Rate(rate) => format!("bridge at {rate}/s"),
            Self::BigAccept => "bridge, big store: durable accept".to_owned(),
            Self::BigPath => "bridge, big store: whole path".to_owned(),
            Self::OtherAccept => "other build: durable accept".to_owned(),
            Self::OtherPath => "other build: whole path".to_owned(),
            Self::Many => "bridge: many alerts in one go".to_owned(),
            Self::SlowSync(millis, connections) => format!("+{millis} ms, {connections} connections"),
            Self::Drain => "bridge: after an outage of SIGNL4".to_owned(),
            Self::Polling(count) => format!("{count} subscriptions"),
        }
    }

    /// Ours must lose nothing. A peer may: it is one of the results.
    pub(crate) fn must_keep_all(self) -> bool {
        !matches!(self, Self::Peer(_))
    }

    /// Takes minutes, and its figures hardly depend on the neighbours: it is in the first round only, and not repeated.
    pub(crate) fn is_long(self) -> bool {
        matches!(self, Self::Many | Self::Polling(_))
    }

    pub(crate) fn can_run(self) -> bool {
        if let Self::Peer(peer) = self { peer.is_installed() } else { true }
    }
}

/// Where a run finds and puts things.
pub(crate) struct Bench {
    pub(crate) scale: Scale,
    /// Emptied before each run.
    pub(crate) folder: PathBuf,
    /// With the big store.
    pub(crate) big: PathBuf,
    pub(crate) shim: PathBuf,
    /// Another build of the bridge.
    pub(crate) other: PathBuf,
    pub(crate) run: u16,
}

impl Bench {
    /// Runs a case once.
    pub(crate) fn run(&mut self, case: Case) -> Outcome {
        self.run = (self.run + 1) % 0xfff;
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).expect("a folder of ours");
        }
        fs::create_dir_all(&self.folder).expect("a folder");
        let seconds = self.scale.seconds;
        let closed = |aim: &Aim| load::closed(aim, seconds, u64::MAX);
        match case {
            Case::Bare => self.bare(),
            Case::Accept => self.accept(this_build(), &self.folder, None, CONNECTIONS),
            Case::OtherAccept => self.accept(&self.other, &self.folder, None, CONNECTIONS),
            Case::BigAccept => self.accept(this_build(), &self.big, None, CONNECTIONS),
            Case::SlowSync(millis, connections) => {
                let counter = self.folder.join("syncs");
                let slow = SlowSync { library: self.shim.clone(), micros: millis * 1000, counter };
                self.accept(this_build(), &self.folder, Some(&slow), connections)
            }
            Case::Path => self.path(this_build(), &self.folder, closed, None),
            Case::OtherPath => self.path(&self.other, &self.folder, closed, None),
            Case::BigPath => self.path(this_build(), &self.big, closed, None),
            Case::Rate(rate) => self.path(this_build(), &self.folder, |aim| load::open(aim, rate, seconds), Some(rate)),
            Case::Many => self.many(),
            Case::Peer(peer) => self.peer(peer),
            Case::Drain => self.drain(),
            Case::Polling(count) => self.polling(count),
        }
    }

    fn aim(&self, address: SocketAddr, template: Template) -> Aim {
        Aim { address, template, run: self.run, connections: CONNECTIONS }
    }

    fn bare(&self) -> Outcome {
        let watch = Watch::start();
        let address = free_address();
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg("--serve-bare").arg(address.to_string());
        let server = Server::start(&mut command, &self.folder.join("log"), (address, "/ready"));
        let before = server.cpu();
        let loaded = load::closed(&self.aim(address, Template::azure("/alert")), self.scale.seconds, u64::MAX);
        let mut outcome = accepted(&loaded);
        taken(&mut outcome, &server, before);
        outcome.foreign = watch.foreign_cores(server.cpu());
        outcome
    }

    /// Alerts are stored and nobody is paged. The bridge is then killed, and each alert is looked for in its store.
    fn accept(&self, program: &Path, folder: &Path, slow: Option<&SlowSync>, connections: usize) -> Outcome {
        let watch = Watch::start();
        let sink = Sink::start(self.run, Instant::now());
        let bridge = Served::start(program, folder, Route::Records, sink.address, slow);
        if folder == self.big {
            bridge.server.settle();
        }
        let aim = Aim { connections, ..self.aim(bridge.address, Template::azure(PATH)) };
        let (before, syncs) = (bridge.server.cpu(), slow.map_or(0, SlowSync::count));
        let loaded = load::closed(&aim, self.scale.seconds, u64::MAX);
        let mut outcome = accepted(&loaded);
        if let Some(slow) = slow {
            let commits = (slow.count() - syncs) as f64;
            outcome.set("commits/s", commits / loaded.elapsed.as_secs_f64());
            outcome.set("alerts a commit", loaded.accepted.len() as f64 / commits);
        }
        taken(&mut outcome, &bridge.server, before);
        outcome.foreign = watch.foreign_cores(bridge.server.cpu());
        drop(bridge);
        outcome.missing = outcome.accepted - stored(folder, self.run, &loaded.accepted);
        outcome
    }

    /// Alerts are stored and paged. With a rate, latency counts from when each was planned to be sent.
    fn path(&self, program: &Path, folder: &Path, load: impl Fn(&Aim) -> Loaded, rate: Option<u32>) -> Outcome {
        let watch = Watch::start();
        let start = Instant::now();
        let sink = Sink::start(self.run, start);
        let bridge = Served::start(program, folder, Route::Pages, sink.address, None);
        if folder == self.big {
            bridge.server.settle();
        }
        let before = bridge.server.cpu();
        let loaded = load(&self.aim(bridge.address, Template::azure(PATH)));
        let mut outcome = accepted(&loaded);
        self.arrive(&mut outcome, &loaded, &sink, start);
        if let Some(rate) = rate {
            let begun = loaded.start.map_or(Duration::ZERO, |begun| begun - start);
            let since_planned = |number: &u64| {
                Some(
                    sink.arrivals.of(*number)?.saturating_sub(begun + load::planned(*number, rate)).as_secs_f64() * 1e6,
                )
            };
            let micros: Vec<f64> = loaded.accepted.iter().filter_map(since_planned).collect();
            outcome.set_latency(["e2e p50", "e2e p99", "e2e max"], &micros);
        }
        taken(&mut outcome, &bridge.server, before);
        outcome.foreign = watch.foreign_cores(bridge.server.cpu());
        bridge.server.stop();
        outcome
    }

    fn peer(&self, peer: Peer) -> Outcome {
        let watch = Watch::start();
        let start = Instant::now();
        let sink = Sink::start(self.run, start);
        let (server, address) = peer.start(&self.folder, sink.address);
        let before = server.cpu();
        let loaded = load::closed(&self.aim(address, peer.template()), self.scale.seconds, u64::MAX);
        let mut outcome = accepted(&loaded);
        self.arrive(&mut outcome, &loaded, &sink, start);
        taken(&mut outcome, &server, before);
        outcome.foreign = watch.foreign_cores(server.cpu());
        server.stop();
        outcome
    }

    /// Waits for what was accepted, and looks for each at the sink. Delivered a second counts to the last arrival.
    fn arrive(&self, outcome: &mut Outcome, loaded: &Loaded, sink: &Sink, start: Instant) {
        sink.has(outcome.accepted, self.scale.patience);
        // What comes twice may come a little later.
        std::thread::sleep(Duration::from_millis(200));
        outcome.missing = missing(&sink.arrivals, &loaded.accepted);
        outcome.doubled = sink.arrivals.doubled();
        let begun = loaded.start.map_or(Duration::ZERO, |begun| begun - start);
        let took = sink.arrivals.last().saturating_sub(begun).as_secs_f64();
        outcome.set("delivered/s", (outcome.accepted - outcome.missing) as f64 / took.max(f64::MIN_POSITIVE));
    }

    /// Memory while as many alerts as there is time for come in and are paged.
    fn many(&self) -> Outcome {
        let watch = Watch::start();
        let start = Instant::now();
        let sink = Sink::start(self.run, start);
        let bridge = Served::start(this_build(), &self.folder, Route::Pages, sink.address, None);
        let before = bridge.server.cpu();
        let aim = self.aim(bridge.address, Template::azure(PATH));
        let seconds = self.scale.many_seconds;
        let load = std::thread::spawn(move || load::closed(&aim, seconds, sink::MOST as u64));
        let mut samples = Vec::new();
        while !load.is_finished() {
            std::thread::sleep(Duration::from_secs_f64(seconds / 200.0));
            samples.push((sink.arrivals.count() as f64, bridge.server.memory_mb("VmRSS:")));
        }
        let loaded = load.join().expect("the load ends well");
        let mut outcome = accepted(&loaded);
        for (eighth, name) in EIGHTHS.into_iter().enumerate() {
            outcome.set(name, samples[(samples.len() * (eighth + 1) / 8).saturating_sub(1)].1);
        }
        outcome.set("alerts", outcome.accepted as f64);
        outcome.set("minutes at 1,000/s", outcome.accepted as f64 / 60_000.0);
        // A few alerts say nothing of an hour's. While it starts, it fills its caches.
        if outcome.accepted >= 100_000 {
            let grown = crate::figures::slope(&samples[samples.len() / 4..]);
            outcome.set("MB an hour at 1,000/s", grown * 3_600_000.0);
        }
        self.arrive(&mut outcome, &loaded, &sink, start);
        taken(&mut outcome, &bridge.server, before);
        outcome.foreign = watch.foreign_cores(bridge.server.cpu());
        bridge.server.stop();
        outcome
    }

    /// SIGNL4 takes no connection while alerts come in; then it is back.
    fn drain(&self) -> Outcome {
        let watch = Watch::start();
        let start = Instant::now();
        let sink = Sink::start(self.run, start);
        let bridge = Served::start(this_build(), &self.folder, Route::Pages, sink.address, None);
        let before = bridge.server.cpu();
        sink.shut();
        let loaded = load::closed(&self.aim(bridge.address, Template::azure(PATH)), 60.0, self.scale.outage);
        let mut outcome = accepted(&loaded);
        std::thread::sleep(Duration::from_secs(2));
        let back = start.elapsed();
        sink.open();
        sink.has(outcome.accepted, self.scale.patience.max(Duration::from_mins(2)));
        std::thread::sleep(Duration::from_millis(200));
        outcome.missing = missing(&sink.arrivals, &loaded.accepted);
        outcome.doubled = sink.arrivals.doubled();
        let mut after: Vec<f64> = loaded
            .accepted
            .iter()
            .filter_map(|number| sink.arrivals.of(*number))
            .map(|at| at.saturating_sub(back).as_secs_f64())
            .collect();
        after.sort_by(f64::total_cmp);
        outcome.set("half drained s", crate::figures::percentile(&after, 0.5));
        outcome.set("drained s", after.last().copied().unwrap_or(0.0));
        taken(&mut outcome, &bridge.server, before);
        outcome.foreign = watch.foreign_cores(bridge.server.cpu());
        bridge.server.stop();
        outcome
    }
}

fn accepted(loaded: &Loaded) -> Outcome {
    let mut outcome = Outcome { accepted: loaded.accepted.len() as u64, refused: loaded.refused, ..Outcome::default() };
    outcome.set("accepted/s", loaded.accepted.len() as f64 / loaded.elapsed.as_secs_f64());
    let micros: Vec<f64> = loaded.micros.iter().map(|micros| *micros as f64).collect();
    outcome.set_latency(["p50", "p99", "max"], &micros);
    outcome
}

/// What the server took for it.
fn taken(outcome: &mut Outcome, server: &Server, before: Duration) {
    let cpu = server.cpu().saturating_sub(before).as_secs_f64() * 1e6;
    outcome.set("CPU µs", cpu / (outcome.accepted.max(1) as f64));
    outcome.set("RSS idle", server.idle_mb);
    outcome.set("RSS", server.memory_mb("VmRSS:"));
    outcome.set("RSS peak", server.memory_mb("VmHWM:"));
    outcome.set("start ms", server.start_ms);
}

fn missing(arrivals: &Arrivals, accepted: &[u64]) -> u64 {
    accepted.iter().filter(|number| arrivals.of(**number).is_none()).count() as u64
}
