//! The host's inbox: a bounded queue that many threads fill and the host's thread empties at once.
//!
//! It knows what the host can use now. While the log is busy a write would only be queued, and while read barriers are under way a read
//! would only be held; neither is worth waking the host for, since the end of what it waits for wakes it anyway. Under load that is the
//! difference between a switch of threads for each command and one for each round.

use crate::host::Wants;
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What something in the inbox is, as far as waking the host goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is always wanted.
    Urgent,
    /// Reads beside the queue.
    Reads,
    /// Commands for the queue.
    Writes,
}

/// A bounded queue with one taker.
pub struct Inbox<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    arrived: Condvar,
    taken: Condvar,
}

struct State<T> {
    queue: Vec<T>,
    /// How many of each kind are in the queue.
    counts: [usize; 3],
    wants: Wants,
    is_waiting: bool,
    is_closed: bool,
}

impl<T> State<T> {
    fn put(&mut self, item: T, kind: Kind) -> bool {
        self.queue.push(item);
        self.counts[kind as usize] += 1;
        self.is_waiting && self.is_wanted() && std::mem::take(&mut self.is_waiting)
    }

    fn is_wanted(&self) -> bool {
        let [urgent, reads, writes] = self.counts;
        urgent > 0 || (reads > 0 && self.wants.reads) || (writes > 0 && self.wants.writes)
    }
}

impl<T> Inbox<T> {
    /// An empty queue for so many items.
    pub fn new(capacity: usize) -> Inbox<T> {
        let state = State { queue: Vec::new(), counts: [0; 3], wants: Wants::ALL, is_waiting: false, is_closed: false };
        Inbox { capacity, state: Mutex::new(state), arrived: Condvar::new(), taken: Condvar::new() }
    }

    /// Puts an item into the queue; it comes back where the queue is full or nobody will take it.
    pub fn offer(&self, item: T, kind: Kind) -> Result<(), T> {
        let mut state = self.lock();
        if state.is_closed || state.queue.len() >= self.capacity {
            return Err(item);
        }
        let wakes = state.put(item, kind);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Puts an item into the queue, and waits for room; it is dropped where nobody will take it.
    pub fn give(&self, item: T, kind: Kind) {
        let full = |state: &mut State<T>| !state.is_closed && state.queue.len() >= self.capacity;
        let mut state = self.taken.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return;
        }
        let wakes = state.put(item, kind);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
    }

    /// Takes all that is there once something wanted is, or after `patience`: then whatever is there, perhaps nothing.
    pub fn take(&self, wants: Wants, patience: Duration) -> Vec<T> {
        let mut state = self.lock();
        state.wants = wants;
        if !state.is_wanted() {
            state.is_waiting = true;
            let idle = |state: &mut State<T>| !state.is_wanted();
            state = self.arrived.wait_timeout_while(state, patience, idle).unwrap_or_else(PoisonError::into_inner).0;
            state.is_waiting = false;
        }
        state.counts = [0; 3];
        let taken = std::mem::take(&mut state.queue);
        drop(state);
        if taken.len() >= self.capacity {
            self.taken.notify_all();
        }
        taken
    }

    /// Nothing is taken any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.taken.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_not_wanted_waits_for_what_is() {
        let inbox = Inbox::new(4);
        let busy = Wants { reads: true, writes: false };
        inbox.offer("set", Kind::Writes).expect("there is room");
        inbox.offer("written", Kind::Urgent).expect("there is room");
        assert_eq!(inbox.take(busy, Duration::from_secs(60)), ["set", "written"]);
        assert!(inbox.take(Wants::ALL, SOON).is_empty());
        inbox.offer("set", Kind::Writes).expect("there is room");
        assert_eq!(inbox.take(busy, SOON), ["set"], "patience ends every wait");
    }

    #[test]
    fn a_full_inbox_gives_back_and_a_taker_wakes_who_waits() {
        let inbox = Arc::new(Inbox::new(1));
        assert_eq!(inbox.offer(1, Kind::Reads), Ok(()));
        assert_eq!(inbox.offer(2, Kind::Reads), Err(2));
        let giver = inbox.clone();
        let thread = std::thread::Builder::new().spawn(move || giver.give(3, Kind::Urgent)).expect("a thread starts");
        assert_eq!(inbox.take(Wants::ALL, Duration::from_secs(60)), [1]);
        assert_eq!(inbox.take(Wants::ALL, Duration::from_secs(60)), [3]);
        thread.join().expect("it gave what it had");
        inbox.close();
        assert_eq!(inbox.offer(4, Kind::Urgent), Err(4));
    }
}
