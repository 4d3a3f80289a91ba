//! What the measurement ran on, and who else was busy there meanwhile.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figures::percentile;
use crate::process::cpu_of;

/// A busy neighbour spoils a figure beyond this many cores.
pub(crate) const FOREIGN_CORES: f64 = 0.3;

/// Facts for the head of the report.
pub(crate) fn facts(folder: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned()
    };
    let memory = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0 / 1024.0;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({}), {memory:.0} GiB, Linux {}; disk: {}",
        field("/proc/cpuinfo", "model name"),
        kernel.trim(),
        disk(folder)
    )
}

/// How fast the disk makes 4 KB durable.
fn disk(folder: &Path) -> String {
    let path = folder.join("sync");
    let mut file = File::create(&path).expect("a file");
    let mut micros = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("a disk with room");
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(&path).expect("a file of ours");
    format!(
        "{} appends of 4 KB + fdatasync a second, {:.0} µs median, {:.0} µs p99",
        micros.len(),
        percentile(&micros, 0.5),
        percentile(&micros, 0.99)
    )
}

/// Watches who else uses the processor.
pub(crate) struct Watch {
    start: Instant,
    busy: Duration,
    ours: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), busy: busy(), ours: cpu_of("self") }
    }

    /// Cores that were used by neither this process nor `servers`, since the start: other processes, the hypervisor.
    /// This process's share includes the children whose end it has waited for.
    pub(crate) fn foreign_cores(&self, servers: Duration) -> f64 {
        let ours = cpu_of("self").saturating_sub(self.ours) + servers;
        let foreign = busy().saturating_sub(self.busy).saturating_sub(ours);
        foreign.as_secs_f64() / self.start.elapsed().as_secs_f64()
    }
}

/// User, nice, system and stolen time of all cores. Interrupts are left out: no process is charged for them.
fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let ticks: u64 = [0, 1, 2, 7].into_iter().filter_map(|at: usize| fields.get(at)).sum();
    Duration::from_millis(ticks * 10)
}
