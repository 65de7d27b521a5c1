//! Runs the machines that only read a bucket: each question they ask goes to the store, each answer back to them.

use super::{clock::SystemClock, objects::ObjectStores};
use std::time::Duration;
use strata_engine::{
    objects::ObjectError,
    tier::{
        Answered, Call, CallId, Place,
        layout::Layout,
        restore::{Options, Plan, PlanError, Planner, PlannerEvent, Target},
        survey::Survey,
        verify::{Depth, Report, Verifier, VerifyEvent},
    },
};
use tokio::{task::JoinSet, time::MissedTickBehavior};

/// How often a machine is told that time passed.
const TICK: Duration = Duration::from_millis(50);

/// Reads buckets of one store.
pub struct BucketReader {
    /// Where to ask.
    pub stores: ObjectStores,
    /// For the pauses after a failure.
    pub clock: SystemClock,
    /// How long a failure that may pass by itself is put up with, in milliseconds. Any other ends the reading.
    pub patience_millis: u64,
}

/// What was planned, and from what.
pub type PlanOutcome = (Result<Plan, PlanError>, Survey);

impl BucketReader {
    /// Says what a path is worth. `watch` sees the machine again and again meanwhile.
    pub async fn verify(&self, place: Place, layout: Layout, depth: Depth, watch: impl FnMut(&Verifier)) -> Result<Report, ObjectError> {
        let mut verifier = Verifier::new(place, layout, depth);
        let step = |verifier: &mut Verifier, now, answer: Option<(CallId, Answered)>| {
            verifier.step(now, answer.map_or(VerifyEvent::Tick, |(id, answered)| VerifyEvent::Answered { id, answered }))
        };
        self.run(&mut verifier, step, Verifier::problem, Verifier::finished, watch).await
    }

    /// Plans a restore: the plan or why there is none, and the survey that it follows from.
    pub async fn plan(&self, place: Place, layout: Layout, target: Target, options: Options) -> Result<PlanOutcome, ObjectError> {
        let mut planner = Planner::new(place, layout, target, options);
        let step = |planner: &mut Planner, now, answer: Option<(CallId, Answered)>| {
            planner.step(now, answer.map_or(PlannerEvent::Tick, |(id, answered)| PlannerEvent::Answered { id, answered }))
        };
        let finished = |planner: &Planner| Some((planner.finished()?.clone(), planner.survey()?.clone()));
        self.run(&mut planner, step, Planner::problem, finished, |_| {}).await
    }

    async fn run<Machine, Outcome>(
        &self,
        machine: &mut Machine,
        step: impl Fn(&mut Machine, u64, Option<(CallId, Answered)>) -> Vec<Call>,
        problem: impl Fn(&Machine) -> Option<&ObjectError>,
        finished: impl Fn(&Machine) -> Option<Outcome>,
        mut watch: impl FnMut(&Machine),
    ) -> Result<Outcome, ObjectError> {
        let mut under_way: JoinSet<(CallId, Answered)> = JoinSet::new();
        let mut beat = tokio::time::interval(TICK);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fails_since = None;
        loop {
            let answer = tokio::select! {
                biased;
                Some(answer) = under_way.join_next() => Some(answer.expect("a request neither panics nor is ended early")),
                _ = beat.tick() => None,
            };
            let is_beat = answer.is_none();
            let now = self.clock.now().monotonic_ms;
            for call in step(machine, now, answer) {
                let (stores, id) = (self.stores.clone(), call.id);
                under_way.spawn(async move { (id, stores.ask(call).await) });
            }
            if let Some(outcome) = finished(machine) {
                return Ok(outcome);
            }
            fails_since = problem(machine).map(|_| fails_since.unwrap_or(now));
            if let (Some(since), Some(error)) = (fails_since, problem(machine))
                && (!error.retryable || now - since >= self.patience_millis)
            {
                return Err(error.clone());
            }
            if is_beat {
                watch(machine);
            }
        }
    }
}
