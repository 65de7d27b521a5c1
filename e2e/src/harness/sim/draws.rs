//! Choices that are neither options nor faults, by subject: what one subject draws more or less does not change what another one draws.

use fastrand::Rng;

/// A stream of choices for each subject, all from one seed.
pub(super) struct Draws {
    /// What clients ask, where, how long they wait and pause.
    pub(super) clients: Rng,
    /// What becomes of messages.
    pub(super) network: Rng,
    /// How long disks take, and what a crash leaves on them.
    pub(super) disks: Rng,
    /// When the operator's hand acts, and which of its orders come late.
    pub(super) hand: Rng,
    /// How long the store of objects takes, and which requests fail.
    pub(super) store: Rng,
    /// Seeds, ticks and turns of nodes.
    pub(super) nodes: Rng,
    /// When replicas are looked at.
    pub(super) looks: Rng,
    /// What operators see, when they act, and what becomes of it.
    pub(super) operator: Rng,
}

impl Draws {
    pub(super) fn of(seed: u64) -> Draws {
        let mut root = Rng::with_seed(seed);
        Draws {
            clients: root.fork(),
            network: root.fork(),
            disks: root.fork(),
            hand: root.fork(),
            store: root.fork(),
            nodes: root.fork(),
            looks: root.fork(),
            operator: root.fork(),
        }
    }
}
