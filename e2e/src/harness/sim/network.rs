//! The network: what is cut, what is lost, and how long the rest takes.

use super::queue::MILLI;
use fastrand::Rng;
use std::collections::BTreeSet;

/// What the network does to messages.
#[derive(Default)]
pub(super) struct Network {
    /// Directions, from one node to another, that carry nothing.
    cuts: BTreeSet<(usize, usize)>,
    /// Messages lost, of a thousand.
    pub(super) loss: u32,
    /// Batches delivered twice, of a thousand.
    pub(super) doubling: u32,
    /// The longest delay in ordinary times, in microseconds.
    pub(super) delay_micros: u64,
}

impl Network {
    /// Cuts one direction. Whether it was whole.
    pub(super) fn cut(&mut self, from: usize, to: usize) -> bool {
        from != to && self.cuts.insert((from, to))
    }

    /// Cuts a node off, in both directions. Whether one of them was whole.
    pub(super) fn isolate(&mut self, node: usize, nodes: usize) -> bool {
        let before = self.cuts.len();
        for other in (0..nodes).filter(|other| *other != node) {
            self.cut(node, other);
            self.cut(other, node);
        }
        self.cuts.len() > before
    }

    /// Mends every cut. Whether there was one.
    pub(super) fn mend(&mut self) -> bool {
        !std::mem::take(&mut self.cuts).is_empty()
    }

    /// Ends all trouble.
    pub(super) fn heal(&mut self) {
        *self = Network { delay_micros: 2 * MILLI, ..Network::default() };
    }

    /// Whether a direction carries messages.
    pub(super) fn carries(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// How long one batch takes: mostly short, sometimes long enough to be overtaken by many.
    pub(super) fn delay(&self, draws: &mut Rng) -> u64 {
        let longest = if draws.u8(..50) == 0 { self.delay_micros * 20 } else { self.delay_micros };
        draws.u64(50..=longest.max(100))
    }
}
