//! What a siege has done and seen, in figures.

use crate::failure::Failure;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A figure that only grows.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.get())
    }
}

/// What was done and seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rounds that have ended.
    pub rounds: Arc<Figure>,
    /// Commands whose answers were judged, and acknowledged writes that were read back.
    pub operations: Arc<Figure>,
    /// Processes killed.
    pub kills: Figure,
    /// Those among them whose disk lost, at that moment, what was not synced.
    pub unsynced: Figure,
    /// Processes stopped and continued.
    pub stops: Figure,
    /// Partitions.
    pub partitions: Figure,
    /// Disks that were full or took nothing.
    pub disks: Figure,
    /// Disks that took little.
    pub slow_disks: Figure,
    /// Wall clocks that were wrong, each as its node told.
    pub clocks: Figure,
    /// Losses of everything, each followed by a restore.
    pub losses: Figure,
    /// Troubles of the object store.
    pub store_faults: Figure,
    /// Faults that were planned and that this machine has no means for.
    pub skipped: Figure,
}

/// How a siege ended.
#[derive(Debug)]
pub enum End {
    /// Every promise was kept.
    Held,
    /// Somebody ended it.
    Interrupted,
    /// Something was not as it should be.
    Failed(Failure),
}

impl End {
    /// Whether all is well.
    pub fn is_well(&self) -> bool {
        matches!(self, End::Held)
    }

    /// One word for machines.
    fn reason(&self) -> &'static str {
        match self {
            End::Held => "none",
            End::Interrupted => "interrupted",
            End::Failed(Failure::Lacking(_)) => "lacking",
            End::Failed(Failure::Late { .. }) => "late",
            End::Failed(Failure::Broken(_)) => "violation",
            End::Failed(Failure::Harness { .. }) => "harness",
        }
    }

    /// The last line of a siege of any kind, for machines: what all have, and between it the figures of this kind.
    pub fn line(&self, kind: &str, seed: u64, seconds: u64, operations: &Figure, figures: &str) -> String {
        let (verdict, reason) = if self.is_well() { ("ok", String::new()) } else { ("failed", format!(" reason={}", self.reason())) };
        let violations = u8::from(self.reason() == "violation");
        // A short siege has parts of a minute.
        let minutes = (seconds as f64 / 6.0).round() / 10.0;
        format!("{kind}: {verdict} seed={seed} minutes={minutes} operations={operations} violations={violations} {figures}{reason}")
    }
}

impl Tally {
    /// The last line, for machines.
    pub fn line(&self, end: &End, seed: u64, seconds: u64) -> String {
        let Tally { rounds: _, operations, kills, unsynced, stops, partitions, disks, slow_disks, clocks, losses, store_faults, skipped } =
            self;
        let figures = format!(
            "kills={kills} unsynced={unsynced} stops={stops} partitions={partitions} disks={disks} slow_disks={slow_disks} clocks={clocks} \
             losses={losses} store_faults={store_faults} skipped={skipped}"
        );
        end.line("siege", seed, seconds, operations, &figures)
    }

    /// A sign of life, in words.
    pub fn progress(&self) -> String {
        let Tally { rounds, operations, kills, unsynced, stops, partitions, disks, slow_disks, clocks, losses, store_faults, skipped } =
            self;
        format!(
            "{rounds} rounds, {operations} operations judged, {kills} kills ({unsynced} lost what was not synced), {stops} stops, {partitions} partitions, \
             {disks} full or frozen disks, {slow_disks} slow ones, {clocks} wrong clocks, {losses} losses, {store_faults} store faults, {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_it_ended_and_what_was_done() {
        let tally = Tally::default();
        tally.operations.add(7);
        tally.kills.add(2);
        assert_eq!(
            tally.line(&End::Held, 5, 1_800),
            "siege: ok seed=5 minutes=30 operations=7 violations=0 kills=2 unsynced=0 stops=0 partitions=0 disks=0 slow_disks=0 clocks=0 losses=0 store_faults=0 skipped=0"
        );
        let broken = tally.line(&End::Failed(Failure::broken("it forgot")), 5, 75);
        assert!(broken.starts_with("siege: failed seed=5 minutes=1.3 operations=7 violations=1 ") && broken.ends_with(" reason=violation"));
        assert!(tally.line(&End::Interrupted, 5, 75).ends_with(" reason=interrupted"));
    }
}
