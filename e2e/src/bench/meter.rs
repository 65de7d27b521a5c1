//! What is measured beside the load: CPU time, memory, fsyncs, latencies.

use crate::failure::Failure;
use rustix::process::Signal;
use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Clock ticks in a second, as Linux shows them to every program whatever its own rhythm is.
const TICKS: f64 = 100.0;

/// Writes that the probe of the disk makes.
const PROBE_WRITES: usize = 200;

/// Times by powers of a sixteenth of an octave, from a microsecond on: within five percent, in little memory.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Latencies {
    /// So many requests took this long.
    pub fn add(&mut self, time: Duration, count: usize) {
        let micros = (time.as_nanos() as f64 / 1_000.0).max(1.0);
        let bucket = (micros.log2() * 16.0) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += count as u64;
        self.count += count as u64;
    }

    /// The time that this share of requests did not exceed, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut left = (self.count as f64 * share) as u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            if *count > left {
                return f64::exp2((bucket as f64 + 0.5) / 16.0) / 1_000.0;
            }
            left -= count;
        }
        0.0
    }
}

/// CPU time of processes so far, in seconds: user and system, all their threads.
pub fn cpu_seconds(processes: &[u32]) -> f64 {
    let ticks: u64 = processes.iter().map(|id| cpu_ticks(*id).unwrap_or(0)).sum();
    ticks as f64 / TICKS
}

fn cpu_ticks(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything. User and system time are fields 14 and 15.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The resident memory of a process, in bytes.
pub fn resident_bytes(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Counts calls of fsync and fdatasync of processes from outside, by the kernel's tracepoints: the same for us and for every peer.
pub struct SyncCounter {
    perf: Option<Child>,
}

impl SyncCounter {
    /// Begins to count. Where there is no `perf`, or it may not, nothing is counted.
    pub fn start(processes: &[u32]) -> SyncCounter {
        let list: Vec<String> = processes.iter().map(u32::to_string).collect();
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync", "-p", &list.join(",")]);
        let perf = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok();
        SyncCounter { perf }
    }

    /// Ends, with the count.
    pub fn stop(self) -> Option<u64> {
        let child = self.perf?;
        let id = rustix::process::Pid::from_raw(child.id() as i32)?;
        rustix::process::kill_process(id, Signal::INT).ok()?;
        let said = child.wait_with_output().ok()?;
        let counts = String::from_utf8_lossy(&said.stderr).lines().map(count_of).collect::<Vec<_>>();
        counts.iter().any(Option::is_some).then(|| counts.into_iter().flatten().sum())
    }
}

/// `42,,syscalls:sys_enter_fsync,…`; what never happened is `<not counted>`.
fn count_of(line: &str) -> Option<u64> {
    let (count, rest) = line.split_once(',')?;
    let is_ours = rest.contains("syscalls:sys_enter_f");
    if is_ours && count == "<not counted>" { Some(0) } else { count.parse().ok().filter(|_| is_ours) }
}

/// The median time of a small append and its fdatasync on the file system of `folder`.
pub fn probe_disk(folder: &Path) -> Result<Duration, Failure> {
    let path = folder.join("probe");
    let probe = || -> std::io::Result<Duration> {
        let mut file = std::fs::File::create(&path)?;
        let mut times = Vec::with_capacity(PROBE_WRITES);
        for _ in 0..PROBE_WRITES {
            let start = Instant::now();
            file.write_all(&[0x5a; 512])?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        std::fs::remove_file(&path)?;
        times.sort_unstable();
        Ok(times[PROBE_WRITES / 2])
    };
    probe().map_err(Failure::of(format!("probe {}", path.display())))
}

/// The type of the file system of a folder, refused where it is memory: its fsync costs nothing.
pub fn file_system(folder: &Path) -> Result<&'static str, Failure> {
    let kind = rustix::fs::statfs(folder).map_err(Failure::of(format!("look at {}", folder.display())))?.f_type;
    match kind {
        0x0102_1994 | 0x8584_58f6 => {
            Err(Failure::Lacking(format!("{} is in memory: name a folder on a disk in STRATA_TEST_DIR", folder.display())))
        }
        0xef53 => Ok("ext4"),
        0x5846_5342 => Ok("xfs"),
        0x9123_683e => Ok("btrfs"),
        _ => Ok("of another kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_five_percent() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|micros| latencies.add(Duration::from_micros(micros), 1));
        for (share, expected) in [(0.5, 0.5), (0.99, 0.99)] {
            let seen = latencies.quantile_ms(share);
            assert!((seen / expected - 1.0).abs() < 0.05, "{seen} is far from {expected}");
        }
    }

    #[test]
    fn counts_of_perf_are_read() {
        assert_eq!(count_of("42,,syscalls:sys_enter_fdatasync,100,100.00,,"), Some(42));
        assert_eq!(count_of("<not counted>,,syscalls:sys_enter_fsync,0,0.00,,"), Some(0));
        assert_eq!(count_of("<not supported>,,syscalls:sys_enter_fsync,0,0.00,,"), None);
    }
}
