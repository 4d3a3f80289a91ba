//! A server in a process of its own: how it is started, when it is ready, what it takes of processor and memory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Linux counts a process's time in hundredths of a second for everybody to read.
const TICK: Duration = Duration::from_millis(10);
const START: Duration = Duration::from_mins(1);
const SETTLE: Duration = Duration::from_mins(3);
/// The bridge's own grace, and a little.
const STOP: Duration = Duration::from_secs(30);

/// Running until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) start_ms: f64,
    pub(crate) idle_mb: f64,
}

impl Server {
    /// Starts it and waits until it answers a GET of `ready` with 200.
    pub(crate) fn start(command: &mut Command, log: &Path, ready: (SocketAddr, &str)) -> Self {
        let log_file = File::create(log).expect("a log file");
        let start = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().expect("a second handle"))
            .stderr(log_file)
            .spawn()
            .expect("the program starts");
        let mut server = Self { child, start_ms: 0.0, idle_mb: 0.0 };
        while !answers(ready.0, ready.1) {
            let ended = server.child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && start.elapsed() < START,
                "{} does not get ready:\n{}",
                command.get_program().display(),
                fs::read_to_string(log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        server.start_ms = start.elapsed().as_secs_f64() * 1e3;
        server.idle_mb = server.memory_mb("VmRSS:");
        server
    }

    /// Processor time of the process and of its children that have ended.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string())
    }

    /// A line of the process's status: `VmRSS:` now, `VmHWM:` at most.
    pub(crate) fn memory_mb(&self, line: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let kilobytes = status.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next());
        kilobytes.and_then(|number| number.parse::<f64>().ok()).expect("a size in kilobytes") / 1024.0
    }

    /// From now on `VmHWM:` says the most since now.
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("a process of ours");
    }

    /// Waits until it has nothing to do: a large store is looked at page by page after a start.
    pub(crate) fn settle(&self) {
        let start = Instant::now();
        let mut before = self.cpu();
        while start.elapsed() < SETTLE {
            std::thread::sleep(Duration::from_millis(500));
            let after = self.cpu();
            if after.saturating_sub(before) < TICK * 3 {
                return;
            }
            before = after;
        }
    }

    /// As an operator would.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let start = Instant::now();
        while asked.as_ref().is_ok_and(std::process::ExitStatus::success) && start.elapsed() < STOP {
            if self.child.try_wait().expect("a child of ours").is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    /// As a crash would.
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().expect("a child of ours");
        }
    }
}

/// Processor time of a process: `self`, or a number.
pub(crate) fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// An address of this machine that nobody listens at.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// The body of what a GET is answered.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    TcpStream::connect(address)
        .and_then(|mut stream| {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        })
        .expect("the server answers");
    answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
