//! Partitions between processes on one machine: rules of the kernel that drop what one of them sends to the others.
//!
//! All nodes have one address, so rules know the sender by the group of its process, and the receiver by its port. A node speaks to another through a connection that
//! it dialled itself, so one rule cuts one way: requests and messages of that node to the other. The rules are those of a network namespace that the run has for
//! itself; nobody else's traffic meets them.

use crate::failure::Failure;
use std::{collections::BTreeSet, process::Command};

/// What one process sends to a port of the loopback is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The group of the process that sends.
    pub group: u32,
    /// The port that hears nothing of it.
    pub port: u16,
}

/// The cuts of a namespace. Dropping them heals all.
#[derive(Debug, Default)]
pub struct Cuts {
    cuts: BTreeSet<Cut>,
}

impl Cuts {
    /// No cut yet. `Lacking` where the kernel takes no such rules, or not from this user.
    pub fn none() -> Result<Cuts, Failure> {
        let mut cuts = Cuts::default();
        cuts.cut(Cut { group: 1, port: 1 })?;
        cuts.heal()?;
        Ok(cuts)
    }

    /// Cuts a way, if it is not cut yet.
    pub fn cut(&mut self, cut: Cut) -> Result<(), Failure> {
        if self.cuts.contains(&cut) {
            return Ok(());
        }
        rule("-A", cut)?;
        self.cuts.insert(cut);
        Ok(())
    }

    /// Opens a way, if it is cut.
    pub fn open(&mut self, cut: Cut) -> Result<(), Failure> {
        if self.cuts.remove(&cut) { rule("-D", cut) } else { Ok(()) }
    }

    /// Opens all ways.
    pub fn heal(&mut self) -> Result<(), Failure> {
        while let Some(cut) = self.cuts.pop_first() {
            rule("-D", cut)?;
        }
        Ok(())
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        // The rules go with the namespace in any case.
        drop(self.heal());
    }
}

fn rule(verb: &str, cut: Cut) -> Result<(), Failure> {
    let lacking = |why: String| Failure::Lacking(format!("iptables with its match \"owner\" does not work here: {why}"));
    let (group, port) = (cut.group.to_string(), cut.port.to_string());
    let mut command = Command::new("iptables");
    command.args(["-w", verb, "OUTPUT", "-o", "lo", "-p", "tcp", "--dport", &port, "-m", "owner", "--gid-owner", &group, "-j", "DROP"]);
    let output = command.output().map_err(|error| lacking(error.to_string()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(lacking(format!("{}, {}", output.status, words.trim()))) }
}
