//! Polling: ten connections, many subscriptions, many open alerts. The simulated Azure is in this process and writes down
//! every request; the bridge has neither webhook nor token, so that a new alert is read and paged because a poll found it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::domain::timestamp::Timestamp;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Azure, Metric, Role};
use signl4_azure_bridge::simulator::calls::Operation;

use crate::alert;
use crate::cases::Bench;
use crate::figures::Outcome;
use crate::machine::Watch;
use crate::process::get;
use crate::served::{Served, this_build};
use crate::sink::Sink;

const CONNECTIONS: usize = 10;
/// What Azure Resource Manager gives back to each subscription's bucket of reads.
const READS_A_SECOND: f64 = 25.0;
const PATIENCE: Duration = Duration::from_mins(15);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The parts of a run, in their order; each is a row of the report.
pub(crate) const PARTS: [&str; 4] =
    ["first cycle", "nothing changed", "1 % changed", "all that is new in one subscription"];

/// One request, as the simulator wrote it down.
struct Asked {
    at: Timestamp,
    /// Empty where a token was asked for.
    subscription: String,
    is_list: bool,
    status: u16,
}

/// When one subscription was asked. A list is a read, too.
#[derive(Default)]
struct Times {
    reads: Vec<Timestamp>,
    lists: Vec<Timestamp>,
}

impl Bench {
    /// Four parts: the ledger is empty; nothing has changed; one alert in a hundred has; as many are new in one place.
    pub(crate) fn polling(&self, count: usize) -> Outcome {
        let watch = Watch::start();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let azure = runtime.block_on(Azure::start(([127, 0, 0, 1], 0).into(), Clock::System)).expect("a free port");
        let subscriptions: Vec<String> =
            (0..count).map(|number| format!("00000000-0000-4000-8000-{number:012}")).collect();
        furnish(&azure, &subscriptions);
        let mut next = 0;
        let long_ago = Clock::System.now().minus(Duration::from_hours(2));
        for _ in 0..self.scale.polled {
            fire(&azure, &subscriptions, self.run, &mut next, long_ago);
        }
        let sink = Sink::start(self.run, Instant::now());
        let begun = Clock::System.now();
        let config = configuration(&azure, &subscriptions, self.scale.poll_seconds);
        let routes = "[[route]]\nname = \"all\"\nteam = \"ops\"\n";
        let bridge = Served::with(this_build(), &self.folder, &config, routes, sink.address, None);
        let mut town = Town { azure: &azure, bridge: &bridge, sink: &sink, count, asked: Vec::new(), old: next };

        let hundredth = self.scale.polled / 100;
        let mut parts = vec![town.part(begun, self.scale.polled, 0)];
        parts.push(town.part_with(|| {}, 0, 0));
        let third = hundredth / 3;
        let change = || {
            for number in 0..third {
                let id = |number: u64| String::from_utf8(alert::id(self.run, number).to_vec()).expect("a GUID");
                azure.resolve(&id(3 * number)).expect("an alert that is there");
                azure
                    .set_state(&id(3 * number + 1), AlertState::Acknowledged, "jane.doe@example.com", "")
                    .expect("an alert that is there");
                fire(&azure, &subscriptions, self.run, &mut next, Clock::System.now());
            }
        };
        parts.push(town.part_with(change, 2 * third, third));
        let mut next = town.old + third;
        let storm = || {
            for _ in 0..self.scale.storm {
                fire(&azure, &subscriptions[..1], self.run, &mut next, Clock::System.now());
            }
        };
        parts.push(town.part_with(storm, self.scale.storm, self.scale.storm));

        let mut outcome = Outcome { accepted: self.scale.polled, ..Outcome::default() };
        outcome.missing = parts.iter().map(|part| part.missing).sum();
        outcome.doubled = sink.arrivals.doubled();
        outcome.set("woken", (0..town.old).filter(|number| sink.arrivals.of(*number).is_some()).count() as f64);
        outcome.set("RSS idle", bridge.server.idle_mb);
        let most = |name: &str| parts.iter().filter_map(|part| part.figures.get(name).copied()).fold(0.0, f64::max);
        for name in ["lists a minute", "calls a minute", "reads a second", "bucket", "RSS peak"] {
            outcome.set(name, most(name));
        }
        for name in ["429", "failed"] {
            outcome.set(name, parts.iter().filter_map(|part| part.figures.get(name)).sum());
        }
        outcome.foreign = watch.foreign_cores(bridge.server.cpu());
        bridge.server.stop();
        azure.stop();
        outcome.parts = PARTS.into_iter().zip(parts).collect();
        outcome
    }
}

/// One tenant, credential and role for each connection; the subscriptions are dealt out.
fn furnish(azure: &Azure, subscriptions: &[String]) {
    for connection in 0..CONNECTIONS {
        azure.register_app(&tenant(connection), &client(connection), "bench~client~secret");
    }
    for (number, subscription) in subscriptions.iter().enumerate() {
        azure.add_subscription(&tenant(number % CONNECTIONS), subscription);
        azure.assign_role(&client(number % CONNECTIONS), subscription, Some(Role::Reader));
    }
}

fn tenant(connection: usize) -> String {
    format!("aaaaaaaa-0000-4000-8000-{connection:012}")
}

fn client(connection: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{connection:012}")
}

/// The next alert, in the subscription whose turn it is.
fn fire(azure: &Azure, subscriptions: &[String], run: u16, next: &mut u64, at: Timestamp) {
    let number = *next;
    *next += 1;
    let spec = AlertSpec::metric(
        &format!("cpu-above-90-percent-{:02}", number % 40),
        &format!("vm-web-{:04}", number / 40 % 2_000),
        Metric::default(),
    );
    let spec = AlertSpec {
        id: Some(String::from_utf8(alert::id(run, number).to_vec()).expect("a GUID")),
        ..spec
            .subscription(&subscriptions[number as usize % subscriptions.len()])
            .description("Web tier is short of processor; orders slow down.")
            .custom_property("owner", "web")
            .custom_property("runbook", "https://wiki.contoso.com/runbooks/web-cpu")
    };
    azure.fire_unheard(spec, at).expect("a new alert");
}

fn configuration(azure: &Azure, subscriptions: &[String], every_seconds: u64) -> String {
    let mut text = String::new();
    let url = azure.url();
    for connection in 0..CONNECTIONS {
        let own: Vec<String> =
            subscriptions.iter().skip(connection).step_by(CONNECTIONS).map(|id| format!("{id:?}")).collect();
        write!(
            text,
            r#"
[azure.c{connection}]
tenant_id = "{}"
client_id = "{}"
credential = {{ client_secret = "bench~client~secret" }}
cloud = {{ authority = "{url}", arm = "{url}", audience = "https://management.azure.com" }}
subscriptions = [{}]
poll = "{every_seconds}s"
"#,
            tenant(connection),
            client(connection),
            own.join(", ")
        )
        .expect("writing to a string");
    }
    text
}

/// Both ends, while the bridge runs between them.
struct Town<'a> {
    azure: &'a Azure,
    bridge: &'a Served,
    sink: &'a Sink,
    /// Of subscriptions.
    count: usize,
    /// Since the start.
    asked: Vec<Asked>,
    /// Alerts up to this number were there before the bridge was: they wake nobody.
    old: u64,
}

impl Town<'_> {
    /// A part that begins with a change in Azure.
    fn part_with(&mut self, change: impl FnOnce(), events: u64, pages: u64) -> Outcome {
        self.bridge.server.forget_peak();
        let before = (self.bridge.server.cpu(), self.bridge.server.memory_mb("VmRSS:"), self.metrics());
        // What a poll under way reads counts to the part before.
        let begun = Clock::System.now();
        change();
        self.measure(begun.plus(Duration::from_secs(1)), begun, &before, events, pages)
    }

    /// The part that began with the bridge's start.
    fn part(&mut self, begun: Timestamp, events: u64, pages: u64) -> Outcome {
        let before = (Duration::ZERO, self.bridge.server.idle_mb, BTreeMap::new());
        self.measure(begun, begun, &before, events, pages)
    }

    /// Waits until every subscription was read to its end since `since`, and until so many events and pages have come of it.
    fn measure(
        &mut self,
        since: Timestamp,
        begun: Timestamp,
        before: &(Duration, f64, BTreeMap<String, f64>),
        events: u64,
        pages: u64,
    ) -> Outcome {
        let start = Instant::now();
        let paged = self.sink.arrivals.count();
        let found = |metrics: &BTreeMap<String, f64>| {
            sum(metrics, "bridge_events_total{side=\"azure\"") - sum(&before.2, "bridge_events_total{side=\"azure\"")
        };
        let mut now = self.metrics();
        while start.elapsed() < PATIENCE {
            std::thread::sleep(LOOK_EVERY);
            self.listen();
            let pages_are_there = self.sink.arrivals.count() >= paged + pages;
            if self.are_read_since(since) && pages_are_there {
                now = self.metrics();
                if found(&now) >= events as f64 {
                    break;
                }
            }
        }
        let took = Clock::System.now().since(begun).as_secs_f64();
        self.listen();
        let server = &self.bridge.server;
        let mut outcome = Outcome { accepted: events, ..Outcome::default() };
        outcome.missing =
            events.saturating_sub(found(&now) as u64) + pages.saturating_sub(self.sink.arrivals.count() - paged);
        outcome.set("wall s", took);
        outcome.set("CPU s", server.cpu().saturating_sub(before.0).as_secs_f64());
        let grown = |name: &str| sum(&now, name) - sum(&before.2, name);
        outcome.set("polling s", grown("bridge_poll_seconds_sum"));
        outcome
            .set("failed", grown("bridge_polls_total") - grown("bridge_polls_total{side=\"azure\",outcome=\"read\"}"));
        outcome.set("events", found(&now));
        outcome.set("pages", (self.sink.arrivals.count() - paged) as f64);
        outcome.set("RSS before", before.1);
        outcome.set("RSS peak", server.memory_mb("VmHWM:"));
        outcome.set("RSS after", server.memory_mb("VmRSS:"));
        self.requests(&mut outcome, begun);
        outcome
    }

    /// Takes over what the simulator has written down.
    fn listen(&mut self) {
        self.asked.extend(self.azure.take_calls().into_iter().map(|call| {
            let subscription = call.path.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next());
            Asked {
                at: call.at,
                subscription: subscription.unwrap_or_default().to_owned(),
                is_list: call.operation == Operation::ListAlerts,
                status: call.status().unwrap_or(0),
            }
        }));
    }

    /// What was asked since then, beside the limits. What counts to a limit may have been asked before.
    fn requests(&self, outcome: &mut Outcome, begun: Timestamp) {
        let in_part = |asked: &&Asked| asked.at >= begun;
        let count = |is: fn(&Asked) -> bool| self.asked.iter().filter(in_part).filter(|asked| is(asked)).count() as f64;
        outcome.set("lists", count(|asked| asked.is_list));
        outcome.set("reads", count(|asked| !asked.is_list && !asked.subscription.is_empty()));
        outcome.set("tokens", count(|asked| asked.subscription.is_empty()));
        outcome.set("429", count(|asked| asked.status == 429));
        let mut all: BTreeMap<&str, Times> = BTreeMap::new();
        for asked in self.asked.iter().filter(|asked| !asked.subscription.is_empty()) {
            let times = all.entry(&asked.subscription).or_default();
            times.reads.push(asked.at);
            if asked.is_list {
                times.lists.push(asked.at);
            }
        }
        for times in all.values_mut() {
            times.reads.sort_unstable();
            times.lists.sort_unstable();
        }
        let lists = all.values().map(|times| most_within(&times.lists, Duration::from_mins(1), begun));
        outcome.set("lists a minute", lists.fold(0.0, f64::max));
        let reads = all.values().map(|times| most_within(&times.reads, Duration::from_secs(1), begun));
        outcome.set("reads a second", reads.fold(0.0, f64::max));
        let calls = all.values().map(|times| most_within(&times.reads, Duration::from_mins(1), begun));
        outcome.set("calls a minute", calls.fold(0.0, f64::max));
        outcome.set("bucket", all.values().map(|times| bucket(&times.reads, begun)).fold(0.0, f64::max));
    }

    fn are_read_since(&self, since: Timestamp) -> bool {
        let standing: serde_json::Value =
            serde_json::from_str(&get(self.bridge.admin, "/readyz")).expect("the standing as JSON");
        let polls = standing["polls"].as_array().map_or(&[][..], Vec::as_slice);
        let is_read = |poll: &serde_json::Value| {
            poll["read_at"].as_str().and_then(Timestamp::parse).is_some_and(|at| at >= since)
        };
        polls.len() == self.count && polls.iter().all(is_read)
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        let text = get(self.bridge.admin, "/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }
}

/// Of all metrics whose name and labels begin so.
fn sum(metrics: &BTreeMap<String, f64>, start: &str) -> f64 {
    metrics.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
}

/// The most of these times that lie within a span which ends at `from` or later.
fn most_within(times: &[Timestamp], span: Duration, from: Timestamp) -> f64 {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while times[first].plus(span) <= *at {
            first += 1;
        }
        if *at >= from {
            most = most.max(last + 1 - first);
        }
    }
    most as f64
}

/// How many reads a bucket must hold at least that is given 25 a second, so that none is refused.
fn bucket(times: &[Timestamp], from: Timestamp) -> f64 {
    let (mut taken, mut most, mut before) = (0.0_f64, 0.0_f64, None);
    for at in times {
        let since = before.map_or(0.0, |before| at.since(before).as_secs_f64());
        taken = (taken - since * READS_A_SECOND).max(0.0) + 1.0;
        before = Some(*at);
        if *at >= from {
            most = most.max(taken);
        }
    }
    most
}
