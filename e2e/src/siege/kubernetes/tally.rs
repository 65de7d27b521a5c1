//! What a siege of a Kubernetes has done and seen, in figures.

use super::super::tally::{End, Figure};
use std::sync::Arc;

/// What was done and seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rounds that have ended.
    pub rounds: Arc<Figure>,
    /// Commands whose answers were judged, and acknowledged writes that were read back.
    pub operations: Arc<Figure>,
    /// Pods killed.
    pub pods: Figure,
    /// Machines frozen and thawed.
    pub frozen: Figure,
    /// Machines cut off, and pairs of them cut from each other.
    pub partitions: Figure,
    /// Kubelets killed.
    pub kubelets: Figure,
    /// Operators killed.
    pub operators: Figure,
    /// API servers killed.
    pub api_servers: Figure,
    /// Disks emptied, and their members replaced.
    pub disks: Figure,
    /// Losses of everything but the bucket, each followed by a restore.
    pub losses: Figure,
    /// Faults that were planned and that this machine has no means for.
    pub skipped: Figure,
}

impl Tally {
    /// The last line, for machines.
    pub fn line(&self, end: &End, seed: u64, seconds: u64) -> String {
        let Tally { rounds: _, operations, pods, frozen, partitions, kubelets, operators, api_servers, disks, losses, skipped } = self;
        let figures = format!(
            "pods={pods} frozen={frozen} partitions={partitions} kubelets={kubelets} operators={operators} api_servers={api_servers} \
             disks={disks} losses={losses} skipped={skipped}"
        );
        end.line("siege-kubernetes", seed, seconds, operations, &figures)
    }

    /// A sign of life, in words.
    pub fn progress(&self) -> String {
        let Tally { rounds, operations, pods, frozen, partitions, kubelets, operators, api_servers, disks, losses, skipped } = self;
        format!(
            "{rounds} rounds, {operations} operations judged, {pods} pods killed, {frozen} machines frozen, {partitions} partitions, {kubelets} kubelets, \
             {operators} operators and {api_servers} API servers killed, {disks} disks emptied, {losses} losses, {skipped} skipped"
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
        tally.pods.add(2);
        assert_eq!(
            tally.line(&End::Held, 5, 1_200),
            "siege-kubernetes: ok seed=5 minutes=20 operations=7 violations=0 pods=2 frozen=0 partitions=0 kubelets=0 operators=0 api_servers=0 \
             disks=0 losses=0 skipped=0"
        );
        assert!(tally.line(&End::Interrupted, 5, 75).ends_with(" skipped=0 reason=interrupted"));
    }
}
