//! A siege in small, and the proof that a siege can fail.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::SystemTime,
};
use strata_e2e::{failure::Failure, say::say};

/// How a siege ended, by its last line.
struct End {
    is_well: bool,
    figures: BTreeMap<String, String>,
}

impl End {
    fn figure(&self, name: &str) -> u64 {
        self.figures.get(name).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Whether this machine has no S3 server, or may not have such disks: what is missing was said, and is counted.
    fn lacks(&self, test: &str) -> bool {
        let lacks = self.figures.get("reason").is_some_and(|reason| reason == "lacking");
        if lacks {
            say(format!("skipped: {test}: this machine lacks what a siege needs, as said above"));
        }
        lacks
    }
}

/// Plays a siege by the program that `make siege` runs, and repeats what it says as it says it.
fn besiege(seed: u64, arguments: &[&str]) -> Result<End, Failure> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_strata-siege"), "--seed", &seed.to_string()]).args(arguments);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(Failure::of("start a siege"))?;
    let said = BufReader::new(child.stderr.take().expect("it was asked for above"));
    let mut last = String::new();
    for line in said.lines() {
        last = line.map_err(Failure::of("hear a siege"))?;
        say(&last);
    }
    let status = child.wait().map_err(Failure::of("wait for a siege"))?;
    let mut words = last.split(' ').skip(1);
    let is_well = words.next() == Some("ok");
    Failure::unless(is_well == status.success(), || format!("a siege says {last:?}, and ends with {status}"))?;
    let figures = words.filter_map(|word| word.split_once('=')).map(|(name, figure)| (name.to_owned(), figure.to_owned())).collect();
    Ok(End { is_well, figures })
}

fn seed() -> Result<u64, Failure> {
    let Ok(text) = std::env::var("STRATA_SEED") else {
        return Ok(SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64));
    };
    text.parse().map_err(Failure::of(format!("take {text:?} in STRATA_SEED for a number")))
}

#[test]
fn a_short_siege_breaks_no_promise() -> Result<(), Failure> {
    let end = besiege(seed()?, &["--seconds", "60"])?;
    if end.lacks("a_short_siege_breaks_no_promise") {
        return Ok(());
    }
    Failure::unless(end.is_well, || "a siege should be withstood".to_owned())?;
    let least = [("operations", 1_000), ("kills", 5), ("stops", 1), ("losses", 1), ("store_faults", 1)];
    for (name, least) in least {
        Failure::unless(end.figure(name) >= least, || format!("a minute should have at least {least} {name}"))?;
    }
    // These need what not every machine allows.
    let is_all = end.figure("skipped") > 0 || ["partitions", "disks", "clocks"].iter().all(|name| end.figure(name) > 0);
    Failure::unless(is_all && end.figure("unsynced") <= end.figure("kills"), || "a minute should have some of everything".to_owned())
}

#[test]
fn increments_that_were_done_twice_are_found() -> Result<(), Failure> {
    is_found("increments_that_were_done_twice_are_found", 1, "increments-twice")
}

#[test]
fn a_disk_without_fsync_is_found() -> Result<(), Failure> {
    // A seed whose schedule begins with kills.
    is_found("a_disk_without_fsync_is_found", 7, "fsync-off")
}

/// A siege with a mistake in it ends with a violation.
fn is_found(test: &str, seed: u64, mistake: &str) -> Result<(), Failure> {
    let end = besiege(seed, &["--seconds", "11", "--planted", mistake])?;
    if end.lacks(test) {
        return Ok(());
    }
    let is_found = !end.is_well && end.figure("violations") == 1;
    Failure::unless(is_found, || format!("{mistake} was planted, and no violation was found"))
}
