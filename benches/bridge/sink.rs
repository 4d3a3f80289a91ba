//! SIGNL4's place: takes every page, answers 201 with an event id, and writes down which alert arrived when.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::alert;
use crate::wire;

/// Alerts of one run at most.
pub(crate) const MOST: usize = 4_000_000;

/// What arrived in one run.
pub(crate) struct Arrivals {
    run: u16,
    start: Instant,
    /// By number, microseconds after the start; 0 is "not yet".
    first: Vec<AtomicU32>,
    count: AtomicU64,
    doubled: AtomicU64,
}

impl Arrivals {
    fn arrived(&self, number: u64) {
        let micros = u32::try_from(self.start.elapsed().as_micros()).unwrap_or(u32::MAX).max(1);
        let Some(place) = usize::try_from(number).ok().and_then(|number| self.first.get(number)) else { return };
        if place.compare_exchange(0, micros, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
        } else {
            self.doubled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When an alert arrived first, after the start.
    pub(crate) fn of(&self, number: u64) -> Option<Duration> {
        let micros = self.first.get(usize::try_from(number).ok()?)?.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn doubled(&self) -> u64 {
        self.doubled.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> Duration {
        let last = self.first.iter().map(|place| place.load(Ordering::Relaxed)).max().unwrap_or(0);
        Duration::from_micros(u64::from(last))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Shut,
    Gone,
}

/// The sink of one run, in a thread of its own.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    pub(crate) arrivals: Arc<Arrivals>,
    door: watch::Sender<Door>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sink {
    pub(crate) fn start(run: u16, start: Instant) -> Self {
        let first = std::iter::repeat_with(AtomicU32::default).take(MOST).collect();
        let arrivals =
            Arc::new(Arrivals { run, start, first, count: AtomicU64::default(), doubled: AtomicU64::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (door, changes) = watch::channel(Door::Open);
        let thread = std::thread::spawn({
            let arrivals = Arc::clone(&arrivals);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(serve(listener, changes, arrivals));
            }
        });
        Self { address, arrivals, door, thread: Some(thread) }
    }

    /// No connection is taken any more, and those that stand are closed.
    pub(crate) fn shut(&self) {
        self.door.send_replace(Door::Shut);
    }

    pub(crate) fn open(&self) {
        self.door.send_replace(Door::Open);
    }

    /// Waits until so many alerts have arrived, or no longer than that; says whether they have.
    pub(crate) fn has(&self, count: u64, within: Duration) -> bool {
        let start = Instant::now();
        while self.arrivals.count() < count {
            if start.elapsed() > within {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.door.send_replace(Door::Gone);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the sink ends well");
        }
    }
}

async fn serve(listener: std::net::TcpListener, mut door: watch::Receiver<Door>, arrivals: Arc<Arrivals>) {
    listener.set_nonblocking(true).expect("a socket that does not block");
    let address = listener.local_addr().expect("a bound port");
    let mut listener = Some(TcpListener::from_std(listener).expect("a listener"));
    let mut connections = JoinSet::new();
    loop {
        let state = *door.borrow_and_update();
        match state {
            Door::Gone => return,
            Door::Shut => {
                listener = None;
                connections.abort_all();
            }
            Door::Open if listener.is_none() => {
                listener = Some(TcpListener::bind(address).await.expect("the port from before"));
            }
            Door::Open => {}
        }
        while *door.borrow() == state {
            tokio::select! {
                changed = door.changed() => { if changed.is_err() { return } break }
                accepted = accept(listener.as_ref()) => {
                    connections.spawn(converse(accepted, Arc::clone(&arrivals)));
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("a connection").0,
        None => std::future::pending().await,
    }
}

async fn converse(mut stream: TcpStream, arrivals: Arc<Arrivals>) {
    stream.set_nodelay(true).expect("a socket without delay");
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut numbers = Vec::new();
    loop {
        let request = loop {
            if let Some(request) = wire::message(&buffer) {
                break request;
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        let body = std::str::from_utf8(&buffer[request.head_bytes..request.bytes]).expect("a page is text");
        alert::numbers(external_id(body).unwrap_or(body), arrivals.run, &mut numbers);
        for number in &numbers {
            arrivals.arrived(*number);
        }
        let event = numbers.first().copied().unwrap_or(0);
        let answer = format!(
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{\"eventId\":\"{event:08x}-0000-4000-8000-000000000000\"}}"
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || !request.keeps_open {
            return;
        }
        buffer.drain(..request.bytes);
    }
}

/// What the bridge calls the alert. A peer passes the alert on as it came.
fn external_id(body: &str) -> Option<&str> {
    const NAME: &str = "\"X-S4-ExternalID\":\"";
    let from = body.find(NAME)? + NAME.len();
    body[from..].split('"').next()
}
