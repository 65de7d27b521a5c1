//! The planner: surveys a path, reads the runs that a target cuts, and plans.

use super::{Heads, Options, Plan, PlanError, Planned, RunPlace, Target, plan};
use crate::{
    objects::{ErrorClass, ObjectError, Range, Request, Response},
    tier::{
        Answered, Call, CallId, Place,
        calls::{Backoff, Calls},
        layout::Layout,
        limits::DAMAGED_READS_MAX,
        log_object::{self, RunSummary},
        survey::{Survey, SurveyEvent, Surveyor},
    },
};
use std::collections::VecDeque;

/// What happened.
#[derive(Clone, Debug)]
pub enum PlannerEvent {
    /// Begin, or time passed. At least every 100 ms while a request failed.
    Tick,
    /// The store answered.
    Answered {
        /// Which call.
        id: CallId,
        /// What it said.
        answered: Answered,
    },
}

#[derive(Clone, Debug)]
enum Ask {
    Survey(CallId),
    Run(RunPlace, u32),
}

/// The planning of one restore. The same bucket and target give the same plan.
#[derive(Debug)]
pub struct Planner {
    surveyor: Surveyor,
    target: Target,
    options: Options,
    heads: Heads,
    queue: VecDeque<(RunPlace, u32)>,
    calls: Calls<Ask>,
    backoff: Backoff,
    problem: Option<ObjectError>,
    outcome: Option<Result<Plan, PlanError>>,
}

impl Planner {
    /// Begins with the first [`PlannerEvent::Tick`].
    pub fn new(place: Place, layout: Layout, target: Target, options: Options) -> Planner {
        Planner {
            surveyor: Surveyor::new(place, layout),
            target,
            options,
            heads: Heads::new(),
            queue: VecDeque::new(),
            calls: Calls::default(),
            backoff: Backoff::default(),
            problem: None,
            outcome: None,
        }
    }

    /// What keeps it from going on, while the store fails: wait, and show it.
    pub fn problem(&self) -> Option<&ObjectError> {
        self.problem.as_ref().or(self.surveyor.problem())
    }

    /// The plan, or why there is none. An error here does not pass by itself.
    pub fn finished(&self) -> Option<&Result<Plan, PlanError>> {
        self.outcome.as_ref()
    }

    /// What the bucket says, once it was read.
    pub fn survey(&self) -> Option<&Survey> {
        self.surveyor.finished()
    }

    /// Takes one event at `now_ms`, in milliseconds of a clock that never falls back, and returns what to ask.
    pub fn step(&mut self, now_ms: u64, event: PlannerEvent) -> Vec<Call> {
        let mut asked = Vec::new();
        if let PlannerEvent::Answered { id, answered } = event {
            match self.calls.end(id) {
                Some(Ask::Survey(id)) => asked = self.surveyor.step(now_ms, SurveyEvent::Answered { id, answered }),
                Some(Ask::Run(place, reads)) => self.run_read(now_ms, place, reads, answered),
                None => {}
            }
        }
        asked.extend(self.surveyor.step(now_ms, SurveyEvent::Tick));
        let mut calls: Vec<Call> = Vec::new();
        for call in asked {
            calls.push(Call { id: self.calls.begin(Ask::Survey(call.id)), ..call });
        }
        if self.outcome.is_none() && self.queue.is_empty() && self.calls.len() == 0 {
            self.plan();
        }
        while self.backoff.is_due(now_ms)
            && let Some((place, reads)) = self.queue.pop_front()
        {
            let Some(run) = self.run_of(&place) else { continue };
            let request = Request::Get { key: place.key(), range: Range::From { offset: run.offset, length: run.length } };
            let bucket = place.at.place.clone();
            calls.push(Call { id: self.calls.begin(Ask::Run(place, reads)), place: bucket, request });
        }
        calls
    }

    fn plan(&mut self) {
        let Some(survey) = self.surveyor.finished() else { return };
        match plan(survey, &self.target, &self.options, &self.heads) {
            Ok(Planned::Plan(plan)) => self.outcome = Some(Ok(plan)),
            Ok(Planned::Need(places)) => self.queue.extend(places.into_iter().map(|place| (place, 0))),
            Err(error) => self.outcome = Some(Err(error)),
        }
    }

    fn run_of(&self, place: &RunPlace) -> Option<RunSummary> {
        let life = self.surveyor.finished()?.incarnations.get(&place.at)?.lives.get(&place.object.life)?;
        let footer = life.objects().map(|(footer, _)| footer).find(|footer| footer.at == place.object)?;
        footer.runs.get(place.run).cloned()
    }

    fn run_read(&mut self, now_ms: u64, place: RunPlace, reads: u32, answered: Answered) {
        let key = place.key();
        let run = self.run_of(&place).ok_or_else(|| ObjectError::not_found(&key));
        let entries = answered.and_then(|response| match response {
            Response::Bytes { bytes, .. } => log_object::decode_run(&run?, bytes).map_err(|error| ObjectError::damaged(&key, error)),
            other => Err(ObjectError::new(ErrorClass::Internal, format!("{key}: not an answer to a read of {} bytes", other.size()))),
        });
        match entries {
            Ok(entries) => {
                self.problem = None;
                self.backoff.succeed();
                self.heads.insert(place, entries.into_iter().map(|entry| (entry.index, entry.term, entry.hlc)).collect());
            }
            Err(error) if error.is_not_found() => self.outcome = Some(Err(PlanError::Missing { key })),
            Err(error) if error.class == ErrorClass::Damaged && reads + 1 >= DAMAGED_READS_MAX => {
                self.outcome = Some(Err(PlanError::Damaged { key, what: error.message }));
            }
            Err(error) => {
                let damaged = u32::from(error.class == ErrorClass::Damaged);
                self.problem = Some(error);
                self.backoff.fail(now_ms);
                self.queue.push_back((place, reads + damaged));
            }
        }
    }
}
