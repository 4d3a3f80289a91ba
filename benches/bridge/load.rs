//! The load: keep-alive connections, closed loop (each sends when it was answered) or open loop (each sends when it is
//! time, whatever became of the one before).

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::alert::Template;
use crate::wire;

/// What to send where.
#[derive(Clone)]
pub(crate) struct Aim {
    pub(crate) address: SocketAddr,
    pub(crate) template: Template,
    pub(crate) run: u16,
    pub(crate) connections: usize,
}

/// What became of it.
#[derive(Default)]
pub(crate) struct Loaded {
    /// Numbers of the alerts that were answered 2xx.
    pub(crate) accepted: Vec<u64>,
    /// Of those, from sending (open loop: from the planned time of sending) to the answer.
    pub(crate) micros: Vec<u64>,
    /// Answered otherwise, or not at all.
    pub(crate) refused: u64,
    pub(crate) elapsed: Duration,
    /// When the first was sent.
    pub(crate) start: Option<Instant>,
}

impl Loaded {
    fn add(&mut self, number: u64, since: Instant, status: Option<u16>) {
        if status.is_some_and(|status| (200..300).contains(&status)) {
            self.accepted.push(number);
            self.micros.push(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        } else {
            self.refused += 1;
        }
    }

    fn join(mut self, mut other: Self) -> Self {
        self.accepted.append(&mut other.accepted);
        self.micros.append(&mut other.micros);
        self.refused += other.refused;
        self
    }
}

/// Sends as fast as answers come, for so long and so many at most.
pub(crate) fn closed(aim: &Aim, seconds: f64, most: u64) -> Loaded {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let next = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..aim.connections {
            streams.push(connect(aim.address).await);
        }
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let senders: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::spawn(sender(stream, aim.clone(), Arc::clone(&next), end, most)))
            .collect();
        let mut all = Loaded::default();
        for sender in senders {
            all = all.join(sender.await.expect("a sender ends well"));
        }
        Loaded { elapsed: start.elapsed(), start: Some(start), ..all }
    })
}

/// Sends one alert.
pub(crate) fn single(aim: &Aim, number: u64) {
    let mut template = aim.template.clone();
    let mut stream = std::net::TcpStream::connect(aim.address).expect("the server takes a connection");
    let mut answer = [0; 12];
    stream
        .write_all(template.fill(aim.run, number))
        .and_then(|()| stream.read_exact(&mut answer))
        .expect("the server answers");
    assert!(answer.ends_with(b" 200"), "the alert is taken");
}

async fn connect(address: SocketAddr) -> tokio::net::TcpStream {
    let stream = tokio::net::TcpStream::connect(address).await.expect("the server takes a connection");
    stream.set_nodelay(true).expect("a socket without delay");
    stream
}

async fn sender(stream: tokio::net::TcpStream, aim: Aim, next: Arc<AtomicU64>, end: Instant, most: u64) -> Loaded {
    let (mut stream, mut template) = (stream, aim.template);
    let mut loaded = Loaded::default();
    let mut buffer = Vec::with_capacity(4096);
    while Instant::now() < end {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= most {
            break;
        }
        let sent = Instant::now();
        buffer.clear();
        let answer = if stream.write_all(template.fill(aim.run, number)).await.is_ok() {
            loop {
                if let Some(answer) = wire::message(&buffer) {
                    break Some(answer);
                }
                match stream.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => break None,
                    Ok(_) => {}
                }
            }
        } else {
            None
        };
        loaded.add(number, sent, answer.as_ref().map(|answer| answer.status));
        if !answer.is_some_and(|answer| answer.keeps_open) {
            stream = connect(aim.address).await;
        }
    }
    loaded
}

/// When alert `number` is to be sent.
pub(crate) fn planned(number: u64, rate: u32) -> Duration {
    Duration::from_nanos(number * 1_000_000_000 / u64::from(rate))
}

/// Sends so many a second, each at its time, from a thread for each connection: a runtime's timer is too coarse.
pub(crate) fn open(aim: &Aim, rate: u32, seconds: f64) -> Loaded {
    let count = (f64::from(rate) * seconds) as u64;
    // All connections stand before the first alert is due.
    let start = Instant::now() + Duration::from_millis(50);
    let threads: Vec<_> = (0..aim.connections)
        .map(|first| {
            let aim = aim.clone();
            std::thread::spawn(move || punctual(aim, first as u64, count, rate, start))
        })
        .collect();
    let mut all = Loaded::default();
    for thread in threads {
        all = all.join(thread.join().expect("a sender ends well"));
    }
    Loaded { elapsed: start.elapsed(), start: Some(start), ..all }
}

fn punctual(aim: Aim, first: u64, count: u64, rate: u32, start: Instant) -> Loaded {
    wake_precisely();
    let mut template = aim.template;
    let mut stream = std::net::TcpStream::connect(aim.address).expect("the server takes a connection");
    stream.set_nodelay(true).expect("a socket without delay");
    let mut loaded = Loaded::default();
    let mut buffer = Vec::with_capacity(4096);
    let mut chunk = [0; 4096];
    for number in (first..count).step_by(aim.connections) {
        let due = start + planned(number, rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        buffer.clear();
        let mut status = None;
        if stream.write_all(template.fill(aim.run, number)).is_ok() {
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                buffer.extend_from_slice(&chunk[..read]);
                if let Some(answer) = wire::message(&buffer) {
                    status = Some(answer.status);
                    break;
                }
            }
        }
        loaded.add(number, due, status);
    }
    loaded
}

/// By default the kernel may wake a sleeping thread 50 µs late. Only for this thread: the servers keep the default.
fn wake_precisely() {
    let thread = std::fs::read_link("/proc/thread-self").ok();
    if let Some(id) = thread.as_deref().and_then(std::path::Path::file_name) {
        let path = std::path::Path::new("/proc").join(id).join("timerslack_ns");
        if std::fs::write(path, "1000").is_err() {
            // The measurement is then a little pessimistic.
        }
    }
}
