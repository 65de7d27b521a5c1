//! Another KVCluster that claims the path of a living one, by the claim that nodes make. It must be refused.

use super::{
    Check, Simulation,
    bucket::{layout, place},
    queue::{Action, MILLI, SECOND},
};
use strata_base::IncarnationId;
use strata_engine::{
    objects::SimulatedObjects,
    tier::{
        Answered, Call, CallId,
        documents::{OwnedIncarnation, Owner},
        layout::Name,
        ownership::{Claim, Intent, Takeover, TakeoverEffect, TakeoverEvent},
    },
};

/// Its incarnation, which no cluster of a run has.
const INCARNATION: IncarnationId = IncarnationId(1 << 32);

/// A claim under way.
pub(super) struct Rival {
    takeover: Takeover,
    /// Names the claim.
    pub(super) number: u64,
}

/// What befalls a claim.
pub(super) enum Step {
    /// Time passes.
    Tick,
    /// Its request reaches the store.
    Ask(Call),
    /// The store answers.
    Answered(CallId, Answered),
}

impl Simulation {
    /// Somebody else is told to use the path; `may_continue` to go on with what lies there. Whether there is an owner, and no such claim.
    pub(super) fn begin_rival(&mut self, may_continue: bool) -> bool {
        let is_owned = self.bucket.as_ref().is_some_and(|bucket| bucket.store.inner().peek(&layout().key(Name::Owner)).is_some());
        if !is_owned || self.rival.is_some() {
            return false;
        }
        self.rivals += 1;
        let owner = Owner {
            cluster: "rival".to_owned(),
            namespace_uid: "elsewhere".to_owned(),
            kv_cluster_uid: "rival".to_owned(),
            incarnation: INCARNATION,
            incarnations: vec![OwnedIncarnation { id: INCARNATION, parent: None, retired: false }],
        };
        let intent = if may_continue { Intent::Continue } else { Intent::Initialise };
        let claim = Claim { place: place(), layout: layout(), intent, owner, retire: Vec::new(), gone: None };
        self.rival = Some(Rival { takeover: Takeover::new(claim), number: self.rivals });
        self.rival_steps(self.rivals, Step::Tick);
        true
    }

    /// Something befalls a claim, unless it was given up.
    pub(super) fn rival_steps(&mut self, number: u64, step: Step) {
        let now_ms = self.queue.now() / MILLI;
        let Some(rival) = self.rival.as_mut().filter(|rival| rival.number == number) else { return };
        let event = match step {
            Step::Tick => {
                self.queue.after(SECOND, Action::Rival { number, step: Step::Tick });
                TakeoverEvent::Tick
            }
            Step::Ask(call) => {
                let Some(bucket) = &self.bucket else { return };
                let answer = bucket.store.answer(now_ms, call.request);
                let delay = self.draws.store.u64(MILLI..20 * MILLI) + answer.after_ms * MILLI;
                return self.queue.after(delay, Action::Rival { number, step: Step::Answered(call.id, answer.result) });
            }
            Step::Answered(id, answered) => TakeoverEvent::Answered { id, answered },
        };
        for effect in rival.takeover.step(now_ms, event) {
            match effect {
                TakeoverEffect::Call(call) => self.queue.after(MILLI, Action::Rival { number, step: Step::Ask(call) }),
                TakeoverEffect::Refused(refusal) => {
                    self.rival = None;
                    return self.tell(format!("the other KVCluster is refused: {refusal}"));
                }
                TakeoverEffect::Taken(owner) => {
                    // Troubles are shorter than the watch of a beat that stands.
                    return self.breaks(Check::Bucket.says(format!("the path was taken from a cluster that lives: {owner:?}")));
                }
            }
        }
    }
}
