//! A store that takes its time: round trips and bandwidth, for the simulator.

use super::{Answer, Request, SimulatedObjects};
use crate::objects::faulty::Draws;
use std::sync::Mutex;

/// How slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The shortest round trip, in milliseconds.
    pub round_trip_ms_min: u64,
    /// The longest round trip, in milliseconds; drawn evenly between both.
    pub round_trip_ms_max: u64,
    /// Bytes a millisecond, both directions, all requests together; 0 means without bound.
    pub bytes_per_ms: u64,
}

/// Delays the answers of the store within. What is asked happens at once; its answer is seen later.
#[derive(Debug)]
pub struct SlowObjects<S> {
    inner: S,
    pace: Pace,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    draws: Draws,
    free_at_ms: u64,
}

impl<S> SlowObjects<S> {
    /// Delays by `pace`; the same seed delays alike.
    pub fn new(inner: S, pace: Pace, seed: u64) -> SlowObjects<S> {
        assert!(pace.round_trip_ms_min <= pace.round_trip_ms_max, "the shortest round trip is not above the longest");
        SlowObjects { inner, pace, line: Mutex::new(Line { draws: Draws::new(seed), free_at_ms: 0 }) }
    }

    /// The store within.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: SimulatedObjects> SimulatedObjects for SlowObjects<S> {
    fn answer(&self, now_ms: u64, request: Request) -> Answer {
        let sent = request.size();
        let mut answer = self.inner.answer(now_ms, request);
        let bytes = sent + answer.result.as_ref().map_or(0, |response| response.size());
        let mut line = self.line.lock().expect("nobody panics while drawing a delay");
        let spread = self.pace.round_trip_ms_max - self.pace.round_trip_ms_min + 1;
        let round_trip_ms = self.pace.round_trip_ms_min + line.draws.below(spread);
        let transfer_ms = bytes.checked_div(self.pace.bytes_per_ms).unwrap_or(0);
        line.free_at_ms = line.free_at_ms.max(now_ms) + transfer_ms;
        answer.after_ms += line.free_at_ms - now_ms + round_trip_ms;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::MemoryObjects;

    #[test]
    fn transfers_queue_behind_each_other() {
        let pace = Pace { round_trip_ms_min: 10, round_trip_ms_max: 10, bytes_per_ms: 100 };
        let store = SlowObjects::new(MemoryObjects::default(), pace, 1);
        let put = |now_ms| store.answer(now_ms, Request::put("k", vec![0; 1_000])).after_ms;
        assert_eq!((put(0), put(0), put(100)), (20, 30, 20));
    }
}
