//! A store that fails, by a seed: errors with and without effect, late effects, damaged bytes, lists that lag.

use super::{Answer, ErrorClass, ObjectError, Request, Response, SimulatedObjects};
use bytes::{Bytes, BytesMut};
use std::sync::{Mutex, MutexGuard};

/// How often what goes wrong, in thousandths of the requests it can happen to. Drawn in this order, at most one for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerMille {
    /// 500 without effect.
    pub internal: u64,
    /// SlowDown without effect.
    pub throttled: u64,
    /// No answer, and nothing happened.
    pub timeout_without_effect: u64,
    /// No answer, yet it happened.
    pub timeout_with_effect: u64,
    /// No answer, and it happens up to [`FaultyObjects::LATE_MS_MAX`] later: a PUT or DELETE by what its caller takes for dead.
    pub late: u64,
    /// A read ends early.
    pub truncated: u64,
    /// A read has one bit flipped.
    pub flipped: u64,
    /// A page of a list ends early, as if the last keys were not there yet.
    pub lagging: u64,
}

/// Fails the requests to the store within.
#[derive(Debug)]
pub struct FaultyObjects<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    faults: PerMille,
    outage: Option<ErrorClass>,
    draws: Draws,
    late: Vec<(u64, Request)>,
    injected: u64,
}

impl<S> FaultyObjects<S> {
    /// How long a late request may take to happen, in milliseconds.
    pub const LATE_MS_MAX: u64 = 60_000;

    /// Fails as often as `faults` says; the same seed and the same requests fail alike.
    pub fn new(inner: S, faults: PerMille, seed: u64) -> FaultyObjects<S> {
        let state = State { faults, outage: None, draws: Draws::new(seed), late: Vec::new(), injected: 0 };
        FaultyObjects { inner, state: Mutex::new(state) }
    }

    /// The store within.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// From now on fails as often as `faults` says.
    pub fn set_faults(&self, faults: PerMille) {
        self.state().faults = faults;
    }

    /// Every request fails with this class, without effect, until `None`.
    pub fn set_outage(&self, outage: Option<ErrorClass>) {
        self.state().outage = outage;
    }

    /// How many faults were injected, outages included.
    pub fn injected(&self) -> u64 {
        self.state().injected
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while drawing a fault")
    }
}

impl<S: SimulatedObjects> SimulatedObjects for FaultyObjects<S> {
    fn answer(&self, now_ms: u64, request: Request) -> Answer {
        let mut state = self.state();
        let (due, late) = std::mem::take(&mut state.late).into_iter().partition(|(due_ms, _)| *due_ms <= now_ms);
        state.late = late;
        let mut due: Vec<(u64, Request)> = due;
        due.sort_by_key(|(due_ms, _)| *due_ms);
        for (due_ms, request) in due {
            // Whoever asked has long stopped listening.
            let _unheard = self.inner.answer(due_ms, request);
        }
        if let Some(class) = state.outage {
            state.injected += 1;
            return failed(class, "the store is unavailable");
        }
        let fault = state.draw(&request);
        if fault != Fault::None {
            state.injected += 1;
        }
        match fault {
            Fault::None => self.inner.answer(now_ms, request),
            Fault::Internal => failed(ErrorClass::Internal, "the store answered 500"),
            Fault::Throttled => failed(ErrorClass::Throttled, "the store answered SlowDown"),
            Fault::TimeoutWithoutEffect => failed(ErrorClass::Timeout, "no answer within the deadline"),
            Fault::TimeoutWithEffect => {
                let _lost = self.inner.answer(now_ms, request);
                failed(ErrorClass::Timeout, "no answer within the deadline")
            }
            Fault::Late => {
                let due_ms = now_ms + 1 + state.draws.below(Self::LATE_MS_MAX);
                state.late.push((due_ms, request));
                failed(ErrorClass::Timeout, "no answer within the deadline")
            }
            Fault::Truncated | Fault::Flipped | Fault::Lagging => {
                let mut answer = self.inner.answer(now_ms, request);
                answer.result = answer.result.map(|response| spoil(response, fault, &mut state.draws));
                answer
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Internal,
    Throttled,
    TimeoutWithoutEffect,
    TimeoutWithEffect,
    Late,
    Truncated,
    Flipped,
    Lagging,
}

impl State {
    fn draw(&mut self, request: &Request) -> Fault {
        let changes = matches!(request, Request::Put { .. } | Request::Delete { .. } | Request::FinishUpload { .. });
        let reads = matches!(request, Request::Get { .. });
        let lists = matches!(request, Request::List { .. });
        let mut ticket = self.draws.below(1_000);
        let chances = [
            (Fault::Internal, self.faults.internal, true),
            (Fault::Throttled, self.faults.throttled, true),
            (Fault::TimeoutWithoutEffect, self.faults.timeout_without_effect, true),
            (Fault::TimeoutWithEffect, self.faults.timeout_with_effect, true),
            (Fault::Late, self.faults.late, changes),
            (Fault::Truncated, self.faults.truncated, reads),
            (Fault::Flipped, self.faults.flipped, reads),
            (Fault::Lagging, self.faults.lagging, lists),
        ];
        for (fault, chance, possible) in chances {
            if ticket < chance {
                return if possible { fault } else { Fault::None };
            }
            ticket -= chance;
        }
        Fault::None
    }
}

fn failed(class: ErrorClass, message: &str) -> Answer {
    Answer { result: Err(ObjectError::new(class, message)), after_ms: 0 }
}

fn spoil(response: Response, fault: Fault, draws: &mut Draws) -> Response {
    match response {
        Response::Bytes { bytes, size } if !bytes.is_empty() => {
            let place = draws.below(bytes.len() as u64) as usize;
            Response::Bytes { bytes: if fault == Fault::Truncated { bytes.slice(..place) } else { flip(&bytes, place) }, size }
        }
        Response::Page { mut objects, more: _ } if fault == Fault::Lagging => {
            let kept = draws.below(objects.len() as u64 + 1) as usize;
            objects.truncate(kept);
            Response::Page { objects, more: false }
        }
        other => other,
    }
}

fn flip(bytes: &Bytes, place: usize) -> Bytes {
    let mut flipped = BytesMut::from(&bytes[..]);
    flipped[place] ^= 1;
    flipped.freeze()
}

/// Seeded draws: SplitMix64 (Steele et al., 2014), since this crate names no generator.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Seeded draws below a bound, for the tests of machines.
#[cfg(test)]
pub(crate) fn draws(seed: u64) -> Box<dyn FnMut(u64) -> u64> {
    let mut draws = Draws::new(seed);
    Box::new(move |bound| draws.below(bound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::MemoryObjects;

    fn run(seed: u64) -> (Vec<String>, u64) {
        let faults = PerMille {
            internal: 100,
            throttled: 50,
            timeout_with_effect: 100,
            late: 100,
            flipped: 100,
            truncated: 100,
            ..PerMille::default()
        };
        let store = FaultyObjects::new(MemoryObjects::default(), faults, seed);
        let mut trace = Vec::new();
        for step in 0..200 {
            let put = store.answer(step, Request::put(format!("k{step}"), vec![7; 20]));
            let get = store.answer(step, Request::get(format!("k{}", step / 2)));
            trace.push(format!("{put:?} {get:?}"));
        }
        (trace, store.injected())
    }

    #[test]
    fn the_same_seed_fails_alike_and_another_one_does_not() {
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
        assert!(run(1).1 > 50, "faults are injected");
    }

    #[test]
    fn a_late_put_happens_after_its_caller_gave_up() {
        let store = FaultyObjects::new(MemoryObjects::default(), PerMille { late: 1_000, ..PerMille::default() }, 3);
        let error = store.answer(0, Request::put("k", "v")).result.expect_err("no answer comes");
        assert_eq!(error.class, ErrorClass::Timeout);
        assert_eq!(store.inner().peek("k"), None);
        let _answer = store.answer(FaultyObjects::<MemoryObjects>::LATE_MS_MAX + 1, Request::Head { key: "k".into() });
        assert_eq!(store.inner().peek("k"), Some("v".into()));
    }

    #[test]
    fn an_outage_is_never_an_absence() {
        let store = FaultyObjects::new(MemoryObjects::default(), PerMille::default(), 3);
        store.set_outage(Some(ErrorClass::AccessDenied));
        assert_eq!(store.answer(0, Request::get("k")).result.expect_err("out").class, ErrorClass::AccessDenied);
        store.set_outage(None);
        assert!(store.answer(0, Request::get("k")).result.expect_err("absent").is_not_found());
    }
}
