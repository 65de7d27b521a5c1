//! What an operator asks the bucket, and how long it goes by what it was told: as its own inquiries do, without their tasks.

use super::{
    bucket::{Bucket, layout, place},
    kubernetes::time,
    queue::{MILLI, SECOND},
};
use std::{collections::BTreeMap, sync::Arc};
use strata_engine::{
    objects::{ErrorClass, ObjectError, Request, Response, SimulatedObjects},
    tier::restore::{Options, Planner, PlannerEvent},
};
use strata_operator::{
    bucket::{Ask, Finding, Inquiry, Question, document_keys, found, found_document},
    limits::FINDING_SECONDS_MAX,
};

/// How many rounds a survey may take until it is tried again by a later pass.
const ROUNDS_MAX: usize = 2_000;

/// Inquiries of one process.
#[derive(Default)]
pub(super) struct Asking {
    open: BTreeMap<(String, Question), Open>,
}

struct Open {
    /// When the bucket will have been read, in microseconds.
    due: u64,
    answer: Inquiry,
}

impl Asking {
    /// What the bucket says to who asks; it is read `delay` microseconds after it was asked first.
    pub(super) fn ask(&mut self, now: u64, delay: u64, asker: &str, question: &Question, bucket: &Bucket) -> Inquiry {
        let is_fresh = |open: &Open| match open.answer {
            Inquiry::Reading(_) => true,
            Inquiry::Found(_) => now <= open.due + FINDING_SECONDS_MAX as u64 * SECOND,
        };
        self.open.retain(|_, open| is_fresh(open));
        let asked = (asker.to_owned(), question.clone());
        let open = self.open.entry(asked).or_insert(Open { due: now + delay, answer: Inquiry::Reading(None) });
        if matches!(open.answer, Inquiry::Reading(_)) && open.due <= now {
            open.answer = match bucket.find(now, question) {
                Ok(finding) => Inquiry::Found(Arc::new(finding)),
                Err(error) => Inquiry::Reading(Some(error)),
            };
            open.due = now;
        }
        open.answer.clone()
    }

    /// Forgets what was told to who asks no more.
    pub(super) fn forget(&mut self, asker: &str) {
        self.open.retain(|(other, _), _| other != asker);
    }
}

impl Bucket {
    /// Reads what a question wants to know, by a store that fails as it does.
    fn find(&self, now: u64, question: &Question) -> Result<Finding, ObjectError> {
        match &question.ask {
            Ask::Plan { moment, incarnation } => {
                let options = Options { incarnation: *incarnation, accept_damage: false };
                self.survey(now, Planner::new(place(), layout(), moment.target(), options.clone()), &options)
            }
            Ask::Document { incarnation } => {
                let [owner, first] = document_keys(&layout(), *incarnation);
                let bytes = [self.read(now, &owner)?, self.read(now, &first)?];
                found_document(&layout(), *incarnation, bytes, time(now))
            }
        }
    }

    fn survey(&self, now: u64, mut planner: Planner, options: &Options) -> Result<Finding, ObjectError> {
        let mut now_ms = now / MILLI;
        let mut calls = planner.step(now_ms, PlannerEvent::Tick);
        for _ in 0..ROUNDS_MAX {
            if let Some(finding) = found(&planner, options, time(now)) {
                return Ok(finding);
            }
            calls = match calls.pop() {
                Some(call) => {
                    let answered = self.store.answer(now / MILLI, call.request).result;
                    let more = planner.step(now_ms, PlannerEvent::Answered { id: call.id, answered });
                    calls.into_iter().chain(more).collect()
                }
                None => {
                    now_ms += 100;
                    planner.step(now_ms, PlannerEvent::Tick)
                }
            };
        }
        let unreadable = || ObjectError::new(ErrorClass::Timeout, "the bucket could not be read");
        Err(planner.problem().cloned().unwrap_or_else(unreadable))
    }

    fn read(&self, now: u64, key: &str) -> Result<Option<bytes::Bytes>, ObjectError> {
        match self.store.answer(now / MILLI, Request::get(key)).result {
            Ok(Response::Bytes { bytes, .. }) => Ok(Some(bytes)),
            Ok(_) => Err(ObjectError::new(ErrorClass::Internal, format!("{key}: not an answer to a read"))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
