//! One measurement of one side, the medians of several, and the lines that tell of them.

use super::{Ground, generator::Tally, meter, tell};
use crate::{failure::Failure, place::home};
use std::{fmt, process::Command};

/// What one side came to, once.
#[derive(Clone, Debug)]
pub struct Sample {
    tally: Tally,
    server_cpu_seconds: f64,
    client_cpu_seconds: f64,
    syncs: Option<u64>,
}

/// What a side is compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Operations in a second.
    Rate,
    /// Operations for a second of CPU time of all servers of the side.
    PerCore,
}

impl Measure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Measure::Rate => sample.rate(),
            Measure::PerCore => sample.tally.operations as f64 / sample.server_cpu_seconds.max(0.01),
        }
    }
}

impl Sample {
    /// Operations in a second.
    pub fn rate(&self) -> f64 {
        self.tally.rate()
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { tally, server_cpu_seconds, client_cpu_seconds, syncs } = self;
        let (p50, p99) = (tally.latencies.quantile_ms(0.5), tally.latencies.quantile_ms(0.99));
        write!(out, "{:.0}/s p50={p50:.2}ms p99={p99:.2}ms ", tally.rate())?;
        let cores = |seconds: &f64| seconds / tally.seconds;
        write!(out, "server={:.2} cores client={:.2} cores fsyncs=", cores(server_cpu_seconds), cores(client_cpu_seconds))?;
        match syncs {
            Some(syncs) => write!(out, "{:.0}/s", *syncs as f64 / tally.seconds)?,
            None => write!(out, "not counted (no perf)")?,
        }
        if tally.refused > 0 { write!(out, " refused={}", tally.refused) } else { Ok(()) }
    }
}

/// Reads the meters at the edges of the measured part of a load.
pub struct Meters {
    servers: Vec<u32>,
    at_begin: Option<(f64, f64, meter::SyncCounter)>,
    at_end: Option<(f64, f64, Option<u64>)>,
}

impl Meters {
    /// Meters on these processes, and on this one.
    pub fn on(servers: Vec<u32>) -> Meters {
        Meters { servers, at_begin: None, at_end: None }
    }

    /// The measured part begins.
    pub fn begin(&mut self) {
        let syncs = meter::SyncCounter::start(&self.servers);
        self.at_begin = Some((meter::cpu_seconds(&self.servers), meter::cpu_seconds(&[std::process::id()]), syncs));
    }

    /// The measured part ends.
    pub fn end(&mut self) {
        let (servers, client) = (meter::cpu_seconds(&self.servers), meter::cpu_seconds(&[std::process::id()]));
        let (servers_before, client_before, syncs) = self.at_begin.take().expect("what ends has begun");
        self.at_end = Some((servers - servers_before, client - client_before, syncs.stop()));
    }

    /// What was measured.
    pub fn sample(self, tally: Tally) -> Sample {
        let (server_cpu_seconds, client_cpu_seconds, syncs) = self.at_end.expect("the measured part has ended");
        Sample { tally, server_cpu_seconds, client_cpu_seconds, syncs }
    }
}

/// Both sides of a row, measured in turn.
#[derive(Default)]
pub struct Rounds {
    pairs: Vec<(Sample, Sample)>,
}

impl Rounds {
    /// One round more.
    pub fn add(&mut self, what: &str, ours: Sample, peer: Sample) {
        tell(&format!("  {what} round {}: ours {ours}", self.pairs.len() + 1));
        tell(&format!("  {what} round {}: peer {peer}", self.pairs.len() + 1));
        self.pairs.push((ours, peer));
    }

    /// The medians of both sides.
    pub fn medians(&self, measure: Measure) -> (f64, f64) {
        medians(&self.pairs.iter().map(|(ours, peer)| (measure.of(ours), measure.of(peer))).collect::<Vec<_>>())
    }
}

/// The medians of both sides.
pub fn medians(pairs: &[(f64, f64)]) -> (f64, f64) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (median(pairs.iter().map(|(ours, _)| *ours).collect()), median(pairs.iter().map(|(_, peer)| *peer).collect()))
}

/// The line of a row.
pub fn tell_row(name: &str, unit: &str, (ours, peer): (f64, f64), settings: &str) {
    tell(&format!("bench {name} ours={ours:.0} peer={peer:.0} ratio={:.2} ({unit}; {settings})", ours / peer));
}

/// Where and of what this run is.
pub fn tell_ground(ground: &Ground) -> Result<(), Failure> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let value = |line: Option<&str>| line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned();
    let model = value(processors.lines().find(|line| line.starts_with("model name")));
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    tell(&format!(
        "machine: {cores} x {model}, memory {}, Linux {}",
        value(memory.lines().next()),
        read("/proc/sys/kernel/osrelease").trim()
    ));
    tell(&format!("other work before the run: load average {}", load.split(' ').next().unwrap_or("unknown")));
    tell(&format!("commit: {}", commit()));
    let (kind, median) = (meter::file_system(ground.folder())?, meter::probe_disk(ground.folder())?);
    tell(&format!("disk: {kind}, fdatasync of 512 bytes p50={:.2}ms", median.as_secs_f64() * 1e3));
    let wish = &ground.wish;
    tell(&format!(
        "settings: {} shards, values of {} bytes, {} keys read, {} keys written; {} rounds of {:.0} s after {:.0} s warm, in turn",
        wish.shards,
        wish.value_bytes,
        wish.read_keys,
        wish.write_keys,
        wish.rounds,
        wish.length.as_secs_f64(),
        wish.warm.as_secs_f64()
    ));
    Ok(())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let said = Command::new("git").arg("-C").arg(home()).args(arguments).output().ok();
        said.filter(|said| said.status.success()).map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "--short=12", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        (None, _) => "unknown".to_owned(),
    }
}
