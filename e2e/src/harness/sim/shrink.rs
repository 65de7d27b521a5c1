//! Makes a run that breaks a promise smaller, as long as the same check still notices.
//!
//! ```text
//!  run ─► what comes after the find goes ─► faults, halves first, then one by one ─► restores ─► nodes, shards, clients ─► options ─► faults again
//! ```
//!
//! Each step is an attempt: a smaller run is played, and taken if it breaks the same promise. What is drawn beside the schedule happens at other
//! moments in a smaller cluster, so such an attempt has a few seeds.

use super::{
    Violation,
    limits::{SHRINK_ATTEMPTS_MAX, SHRINK_SEEDS, SHRINK_TIME_MAX},
    operator_faults::OperatorTrouble,
    options::StoreTrouble,
    run::Run,
    schedule::TimedFault,
};
use std::time::Instant;

/// A run that was made smaller.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest that was found.
    pub run: Run,
    /// The promise that it breaks.
    pub violation: Violation,
    /// How many runs were played.
    pub attempts: u64,
}

/// Makes a run smaller. `play` says which promise a run breaks, if any; `violation` is what it said of this one.
pub fn shrink(run: &Run, violation: &Violation, play: impl FnMut(&Run) -> Option<Violation>) -> Shrunk {
    let best = Shrunk { run: run.clone(), violation: violation.clone(), attempts: 0 };
    let mut search = Search { best, play, deadline: Instant::now() + SHRINK_TIME_MAX };
    search.cut_off();
    search.fewer_faults();
    search.fewer_losses();
    search.smaller_cluster();
    search.plainer_options();
    search.fewer_faults();
    search.shorter();
    search.best
}

struct Search<P> {
    best: Shrunk,
    play: P,
    deadline: Instant,
}

impl<P: FnMut(&Run) -> Option<Violation>> Search<P> {
    fn is_spent(&self) -> bool {
        self.best.attempts >= SHRINK_ATTEMPTS_MAX || Instant::now() >= self.deadline
    }

    /// Plays a smaller run, and takes it if it breaks the same promise.
    fn accept(&mut self, candidate: Run) -> bool {
        if candidate == self.best.run || self.is_spent() {
            return false;
        }
        self.best.attempts += 1;
        let found = (self.play)(&candidate).filter(|violation| violation.check == self.best.violation.check);
        let Some(violation) = found else { return false };
        (self.best.run, self.best.violation) = (candidate, violation);
        true
    }

    /// Likewise, with some seeds of the other draws.
    fn accept_anyhow(&mut self, candidate: &Run) -> bool {
        (0..SHRINK_SEEDS).any(|nth| self.accept(candidate.nth(nth)))
    }

    /// What would have come after the find goes.
    fn cut_off(&mut self) {
        let Some(found_at) = self.best.violation.at_micros else { return };
        let mut candidate = self.best.run.clone();
        if found_at < candidate.options.trouble_micros {
            candidate.options.trouble_micros = found_at + 1;
            candidate.losses.clear();
        }
        candidate.faults.retain(|timed| timed.at_micros <= found_at);
        self.accept(candidate);
    }

    /// Leaves out faults, all of them first, then ever smaller parts, until none can be left out.
    fn fewer_faults(&mut self) {
        let mut part = self.best.run.faults.len();
        while part > 0 {
            let has_found = self.without_parts(part);
            if part > 1 {
                part = part.div_ceil(2);
            } else if !has_found {
                break;
            }
        }
        self.cut_off();
    }

    /// Leaves out one part of the faults after the other. Whether one could be.
    fn without_parts(&mut self, part: usize) -> bool {
        let (mut has_found, mut end) = (false, self.best.run.faults.len());
        // Late faults first: what they leave behind is the least.
        while end > 0 && !self.is_spent() {
            let begin = end.saturating_sub(part);
            let mut candidate = self.best.run.clone();
            candidate.faults.drain(begin..end);
            has_found |= self.accept(candidate);
            end = begin.min(self.best.run.faults.len());
        }
        has_found
    }

    /// Fewer losses, and less trouble amid the restores.
    fn fewer_losses(&mut self) {
        for kept in 0..self.best.run.losses.len() {
            let mut candidate = self.best.run.clone();
            candidate.losses.truncate(kept);
            if self.accept(candidate) {
                break;
            }
        }
        for nth in (0..self.best.run.losses.len()).rev() {
            let mut calmer = self.best.run.clone();
            calmer.losses[nth].faults.clear();
            self.accept(calmer);
            let mut idle = self.best.run.clone();
            idle.losses[nth].work = None;
            self.accept(idle);
            let mut unharmed = self.best.run.clone();
            unharmed.losses[nth].work.iter_mut().for_each(|work| work.faults.clear());
            self.accept(unharmed);
            let mut later = self.best.run.clone();
            later.losses[nth].next_after_micros = None;
            self.accept(later);
            let mut gone = self.best.run.clone();
            gone.losses[nth].old_owner_returns = false;
            self.accept(gone);
            let mut without = self.best.run.clone();
            without.losses.remove(nth);
            if !without.losses.is_empty() {
                self.accept(without);
            }
        }
    }

    /// Fewer nodes, replicas, shards and clients: the fewest that will do, tried in rising order.
    fn smaller_cluster(&mut self) {
        let replicas = self.best.run.options.replicas;
        let sizes = (3..=self.best.run.options.nodes).flat_map(|nodes| [(nodes, 3), (nodes, replicas)]);
        let mut sizes: Vec<(usize, usize)> = sizes.filter(|(nodes, replicas)| replicas <= nodes).collect();
        sizes.dedup();
        let _taken = sizes.into_iter().any(|(nodes, replicas)| self.try_size(nodes, replicas));
        let shards = self.best.run.options.shards;
        let _taken = (1..shards).any(|shards| {
            let mut candidate = self.best.run.clone();
            candidate.options.shards = shards;
            self.accept_anyhow(&folded(candidate))
        });
        let clients = self.best.run.options.clients;
        let _taken = (1..clients).any(|clients| {
            let mut candidate = self.best.run.clone();
            candidate.options.clients = clients;
            self.accept_anyhow(&candidate)
        });
    }

    fn try_size(&mut self, nodes: usize, replicas: usize) -> bool {
        let mut candidate = self.best.run.clone();
        (candidate.options.nodes, candidate.options.replicas) = (nodes, replicas);
        candidate.options.rates_percent.truncate(nodes);
        candidate == self.best.run || self.accept_anyhow(&folded(candidate))
    }

    /// Nothing special that is not needed.
    fn plainer_options(&mut self) {
        let changes: [fn(&mut Run); 13] = [
            |run| run.options.operator = None,
            |run| run.options.operator = run.options.operator.map(|_| OperatorTrouble::default()),
            |run| run.options.abandons = false,
            |run| run.options.has_reader = false,
            |run| run.options.skew_stays = false,
            |run| run.options.is_lost_amid = false,
            |run| run.options.compares = false,
            |run| run.options.archive_bound = None,
            |run| run.options.part_bytes = None,
            |run| run.options.rates_percent.fill(100),
            |run| run.options.log_bytes = 64 << 20,
            |run| run.options.store = run.options.store.map(|_| StoreTrouble::default()),
            |run| run.options.store = run.options.store.filter(|_| !run.losses.is_empty()),
        ];
        for change in changes {
            let mut candidate = self.best.run.clone();
            change(&mut candidate);
            self.accept(candidate);
        }
    }

    /// Where the find comes after everything was mended: half the time of trouble, and again.
    fn shorter(&mut self) {
        let last = self.best.run.faults.last().map_or(0, |timed| timed.at_micros);
        loop {
            let mut candidate = self.best.run.clone();
            candidate.options.trouble_micros = candidate.options.trouble_micros.div_ceil(2).max(last + 1);
            if !self.accept(candidate) {
                break;
            }
        }
        self.cut_off();
    }
}

/// What met a node or a shard that is gone meets another one.
fn folded(mut run: Run) -> Run {
    let (nodes, shards) = (run.options.nodes, usize::from(run.options.shards));
    let fold = |timed: &mut TimedFault| timed.fault.fold(nodes, shards);
    run.faults.iter_mut().for_each(fold);
    run.losses.iter_mut().flat_map(super::Loss::all_faults_mut).for_each(fold);
    run
}

#[cfg(test)]
mod tests;
