//! Whose the path is, and what the cluster is: the leader of the first shard claims the path and publishes cluster documents.
//!
//! ```text
//! claim ─► Taken ─► the parent names it ─► agree on cluster/0 ─► PUT ─► reads back ─► published
//!                                               ▲                                        │ another life, other members
//!                                               └──────────────── agree on n + 1 ◄───────┘
//! ```
//!
//! OWNER cannot be written under a condition: where it names another one although the path was taken, the claim begins anew, which watches that
//! one's beat before it writes. What was seen of that beat is told to the other nodes, so that the next leader goes on with the watch: where leaders
//! change more often than it takes, the path would never come home.
//!
//! A number is proposed only after the one before reads back, so that the numbers in the bucket are dense. Whoever leads next uploads the last
//! agreed one again, which changes nothing.

use super::{
    Host,
    event::{Effect, HeardSighting},
    tier::Machine,
};
use crate::{
    agreement::{Agreed, Agreement, AgreementKind},
    limits,
};
use bytes::Bytes;
use strata_base::{
    Hlc, ShardId,
    planted::{Mistake, planted},
};
use strata_engine::{
    objects::{ObjectError, Request, Response},
    tier::{
        Answered, Call, CallId,
        archive::ArchiveEvent,
        documents::{ChildDocument, ClusterDocument, Document, LifeDocument, MemberDocument, OwnedIncarnation, Owner},
        layout::{LifeId, Name},
        ownership::{Claim, Intent, Sighting, Takeover, TakeoverEffect, TakeoverEvent},
    },
};
use strata_node_api::{ClaimState, MemberRole, ObjectProblem};

/// How far the claim and the cluster documents are.
#[derive(Default)]
pub(super) struct Publication {
    takeover: Option<Takeover>,
    /// What this node or another one saw of the beat of the path's owner, before a claim of this node began.
    earlier: Option<Sighting>,
    state: ClaimState,
    /// When the path was taken, in monotonic milliseconds.
    taken_ms: u64,
    /// Whether the parent names it, so that it is found whatever becomes of OWNER.
    is_named: bool,
    /// The last document that reads back.
    written: Option<u64>,
    /// The lives that it names.
    pub(super) lives: Option<Vec<LifeId>>,
    stage: Stage,
    failure: Option<Failure>,
    /// When an agreement was last proposed, in monotonic milliseconds.
    proposed_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// Looks for its name among the children of its parent, at this number.
    Seeking(u64),
    /// Writes it there.
    Naming(u64),
    Putting(u64),
    Reading(u64),
}

struct Failure {
    error: ObjectError,
    since_ms: u64,
    attempts: u64,
    retry_ms: u64,
}

impl Publication {
    pub(super) fn claim_state(&self) -> ClaimState {
        match self.takeover.as_ref().and_then(Takeover::watched) {
            Some(owner) if self.state == ClaimState::Claiming => ClaimState::Watching { cluster: owner.cluster.clone() },
            _ => self.state.clone(),
        }
    }

    pub(super) fn problem(&self, now_ms: u64) -> Option<ObjectProblem> {
        let (error, millis, attempts) = match (&self.failure, self.takeover.as_ref().and_then(Takeover::problem)) {
            (Some(failure), _) => (&failure.error, now_ms.saturating_sub(failure.since_ms), failure.attempts),
            (None, Some(error)) => (error, 0, 1),
            (None, None) => return None,
        };
        Some(ObjectProblem { class: error.class.name().to_owned(), message: error.message.clone(), millis, attempts })
    }

    /// Forgets how far it is, and not what was seen of the owner.
    pub(super) fn begin_anew(&mut self) {
        let earlier = self.takeover.as_ref().and_then(Takeover::sighting).cloned().or(self.earlier.take());
        *self = Publication { earlier, ..Publication::default() };
    }

    /// What others are told of the beat that is watched.
    pub(super) fn sighting_told(&self, now_ms: u64) -> Option<HeardSighting> {
        let sighting = self.takeover.as_ref().and_then(Takeover::sighting)?;
        let is_small = sighting.beat.as_ref().is_none_or(|beat| beat.len() <= limits::BEAT_TOLD_BYTES_MAX);
        is_small.then(|| HeardSighting::told(sighting, now_ms))
    }

    /// Whether the last claim is so old that what is read of OWNER was read since.
    fn may_claim_again(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.taken_ms) >= limits::CLAIM_AGAIN_MILLIS
    }

    /// Whether nothing is under way, and it is not too early to try again.
    fn may_ask(&self, now_ms: u64) -> bool {
        self.stage == Stage::Idle && self.failure.as_ref().is_none_or(|failure| failure.retry_ms <= now_ms)
    }

    fn fail(&mut self, now_ms: u64, error: ObjectError) {
        let (since_ms, attempts) = self.failure.as_ref().map_or((now_ms, 0), |failure| (failure.since_ms, failure.attempts));
        self.failure = Some(Failure { error, since_ms, attempts: attempts + 1, retry_ms: now_ms + limits::PUBLISH_RETRY_MILLIS });
    }
}

impl<T> Host<T> {
    /// Goes on with the claim and the documents, if this node leads the first shard.
    pub(super) fn run_publication(&mut self) {
        let (first, now_ms) = (self.first_shard_led(), self.now.monotonic_ms);
        let Some(open) = self.open() else { return };
        let Some(first) = first else {
            if open.publication.state != ClaimState::Elsewhere {
                open.publication.begin_anew();
                self.tell_beat(false);
            }
            return;
        };
        match open.publication.state {
            ClaimState::Elsewhere => self.begin_claim(),
            ClaimState::Claiming | ClaimState::Watching { .. } => self.step_claim(TakeoverEvent::Tick),
            ClaimState::Refused { .. } => {}
            ClaimState::Taken if open.has_lost_path() && open.publication.may_claim_again(now_ms) => {
                // A late request of a predecessor may have put its name back. Whoever really lives there is seen by its beat.
                open.publication.begin_anew();
            }
            ClaimState::Taken => {
                if open.publication.takeover.is_some() {
                    self.step_claim(TakeoverEvent::Tick);
                }
                self.step_documents(first);
            }
        }
    }

    fn tell_beat(&mut self, leads: bool) {
        if let Some(tier) = &mut self.tier {
            tier.tell(ArchiveEvent::LeadsBeat(leads));
        }
    }

    fn begin_claim(&mut self) {
        let Some(tier) = &mut self.tier else { return };
        let (place, layout) = (tier.settings.place.clone(), tier.settings.layout.clone());
        let Some(open) = &mut tier.open else { return };
        let owned = OwnedIncarnation { id: open.first.incarnation, parent: open.first.parent.clone(), retired: false };
        let owner = Owner {
            cluster: open.first.cluster.clone(),
            namespace_uid: open.claim.namespace_uid.clone(),
            kv_cluster_uid: open.claim.kv_cluster_uid.clone(),
            incarnation: open.first.incarnation,
            incarnations: vec![owned],
        };
        let intent = if open.claim.may_continue { Intent::Continue } else { Intent::Initialise };
        let (retire, gone) = (open.claim.retire.clone(), open.claim.gone.clone());
        let earlier = open.publication.earlier.take();
        open.publication.takeover = Some(Takeover::new(Claim { place, layout, intent, owner, retire, gone }).after(earlier));
        open.publication.state = ClaimState::Claiming;
        self.step_claim(TakeoverEvent::Tick);
    }

    pub(super) fn step_claim(&mut self, event: TakeoverEvent) {
        let now_ms = self.now.monotonic_ms;
        let is_published = self.stores.identity.is_published;
        let Some(takeover) = self.open().and_then(|open| open.publication.takeover.as_mut()) else { return };
        for effect in takeover.step(now_ms, event) {
            match effect {
                TakeoverEffect::Call(call) => self.call(Machine::Claim, call),
                TakeoverEffect::Taken(_) => {
                    if let Some(open) = self.open() {
                        open.publication.state = ClaimState::Taken;
                        open.publication.taken_ms = now_ms;
                        if is_published {
                            // The sweep of unfinished uploads is for a predecessor's, not for those of our own nodes.
                            open.publication.takeover = None;
                        }
                    }
                    self.tell_beat(true);
                    if is_published {
                        return;
                    }
                }
                TakeoverEffect::Refused(refusal) => {
                    if let Some(open) = self.open() {
                        open.publication.state = ClaimState::Refused { message: refusal.to_string() };
                        open.publication.takeover = None;
                    }
                    return;
                }
            }
        }
    }

    /// Has the parent name the incarnation, where it lies below the same path.
    fn step_name(&mut self) {
        let now_ms = self.now.monotonic_ms;
        let Some(tier) = &mut self.tier else { return };
        let here = (&tier.settings.place, &tier.settings.layout);
        let Some(open) = &mut tier.open else { return };
        let publication = &mut open.publication;
        if open.first.parent.as_ref().is_none_or(|parent| (&parent.place, &parent.path) != here) {
            publication.is_named = true;
        } else if publication.may_ask(now_ms) {
            publication.stage = Stage::Seeking(0);
            self.ask_name(0, false);
        }
    }

    fn ask_name(&mut self, number: u64, is_put: bool) {
        let Some(tier) = &self.tier else { return };
        let Some((open, parent)) = tier.open.as_ref().and_then(|open| Some((open, open.first.parent.as_ref()?))) else { return };
        let key = parent.path.key(Name::Child(parent.incarnation, number));
        let document = ChildDocument { incarnation: parent.incarnation, number, child: open.first.incarnation };
        let request = if is_put { Request::put(key, document.encode()) } else { Request::get(key) };
        let place = tier.settings.place.clone();
        self.call(Machine::Publish, Call { id: CallId(number), place, request });
    }

    /// What lies at a number among the children: nothing, this one, or another, which a damaged one may be, too.
    fn child_answered(&mut self, number: u64, found: Option<Bytes>) {
        let Some(open) = self.open() else { return };
        let child = open.first.incarnation;
        let next = match found.map(|bytes| ChildDocument::decode(&bytes)) {
            None => (Stage::Naming(number), true),
            Some(Ok(document)) if document.child == child => {
                open.publication.is_named = true;
                return;
            }
            Some(_) => (Stage::Seeking(number + 1), false),
        };
        open.publication.stage = next.0;
        let (Stage::Seeking(number) | Stage::Naming(number)) = next.0 else { return };
        self.ask_name(number, next.1);
    }

    /// Agrees on the next document, or uploads the agreed one.
    fn step_documents(&mut self, first: ShardId) {
        let now_ms = self.now.monotonic_ms;
        let agreed = self.replicas.get(&first).and_then(|replica| replica.agreed.get(&AgreementKind::Cluster).cloned());
        let Some(open) = self.open() else { return };
        let publication = &mut open.publication;
        if !publication.is_named {
            return self.step_name();
        }
        let document = open.claim.document.clone();
        match agreed {
            None if planted(Mistake::ParentForgotten) => {
                let orphan = ClusterDocument { parent: None, ..open.first.clone() };
                self.propose_document(first, 0, orphan.encode());
            }
            None => self.propose_document(first, 0, Bytes::from(document)),
            Some(agreed) if publication.written != Some(agreed.number) => {
                publication.proposed_ms = None;
                if publication.may_ask(now_ms) {
                    publication.stage = Stage::Putting(agreed.number);
                    self.ask_document(agreed.number, Some(agreed.document));
                }
            }
            Some(agreed) => {
                if let Some(next) = self.next_document(&agreed) {
                    self.propose_document(first, next.number, next.encode());
                }
            }
        }
    }

    fn ask_document(&mut self, number: u64, put: Option<Bytes>) {
        let Some(tier) = &self.tier else { return };
        let Some(open) = &tier.open else { return };
        let key = tier.settings.layout.key(Name::Cluster(open.first.incarnation, number));
        let request = put.map_or_else(|| Request::get(key.clone()), |bytes| Request::put(key.clone(), bytes));
        let place = tier.settings.place.clone();
        self.call(Machine::Publish, Call { id: CallId(number), place, request });
    }

    pub(super) fn document_answered(&mut self, answered: Answered) {
        let now_ms = self.now.monotonic_ms;
        let agreed = self.first_shard_led().and_then(|first| self.replicas.get(&first)?.agreed.get(&AgreementKind::Cluster).cloned());
        let Some(open) = self.open() else { return };
        let publication = &mut open.publication;
        let stage = std::mem::take(&mut publication.stage);
        match (stage, answered) {
            (Stage::Idle, _) => {}
            (Stage::Seeking(number), Err(error)) if error.is_not_found() => self.child_answered(number, None),
            (_, Err(error)) => publication.fail(now_ms, error),
            (Stage::Seeking(number), Ok(Response::Bytes { bytes, .. })) => self.child_answered(number, Some(bytes)),
            (Stage::Seeking(_), Ok(_)) => {}
            (Stage::Naming(number), Ok(_)) => {
                publication.stage = Stage::Seeking(number);
                self.ask_name(number, false);
            }
            (Stage::Putting(number), Ok(_)) => {
                publication.stage = Stage::Reading(number);
                self.ask_document(number, None);
            }
            (Stage::Reading(number), Ok(Response::Bytes { bytes, .. })) => {
                let expected = agreed.filter(|agreed| agreed.number == number && agreed.document == bytes);
                let Some(lives) = expected.and_then(|agreed| ClusterDocument::decode(&agreed.document).ok()).map(lives_of) else {
                    let error = ObjectError::damaged(&format!("cluster/{number}"), "it does not read back as it was written");
                    return publication.fail(now_ms, error);
                };
                (publication.written, publication.lives, publication.failure) = (Some(number), Some(lives.clone()), None);
                self.note_registered(&lives);
            }
            (Stage::Reading(_), Ok(_)) => {}
        }
    }

    /// The leader of the first shard watches the owner of the path. If this node leads next, it goes on with that.
    pub(super) fn note_sighting(&mut self, sighting: HeardSighting) {
        let now_ms = self.now.monotonic_ms;
        if let Some(open) = self.open() {
            open.publication.earlier = Some(sighting.heard(now_ms));
        }
    }

    /// The cluster is published, and these lives may upload.
    pub(super) fn note_registered(&mut self, lives: &[LifeId]) {
        let own = LifeId(self.life);
        let Some(tier) = &mut self.tier else { return };
        let Some(open) = &mut tier.open else { return };
        if lives.contains(&own) && !open.is_registered {
            open.is_registered = true;
            tier.tell(ArchiveEvent::Registered);
        }
        if !self.stores.identity.is_published {
            self.stores.identity.is_published = true;
            self.effects.push(Effect::StoreIdentity(self.stores.identity.clone()));
            // Shards that waited for this may serve now.
            self.touched.extend(self.replicas.keys().copied());
        }
    }

    fn propose_document(&mut self, first: ShardId, number: u64, document: Bytes) {
        let now_ms = self.now.monotonic_ms;
        let Some(open) = self.open() else { return };
        let waits = |since: u64| now_ms.saturating_sub(since) < limits::COMMAND_DEADLINE_MILLIS;
        if open.publication.proposed_ms.is_some_and(waits) {
            return;
        }
        open.publication.proposed_ms = Some(now_ms);
        self.propose_agreement(first, AgreementKind::Cluster, number, document);
    }

    /// Proposes a document in a shard that this node leads; whether it was taken. Whether it counts is known when it is applied.
    pub(super) fn propose_agreement(&mut self, shard: ShardId, kind: AgreementKind, number: u64, document: Bytes) -> bool {
        self.propose_beside(shard, |hlc| Agreement { kind, number, hlc, document }.encode())
    }

    /// Proposes an entry that holds no commands, and repeats the last HLC before it; whether it was taken.
    pub(super) fn propose_beside(&mut self, shard: ShardId, encode: impl FnOnce(Hlc) -> Bytes) -> bool {
        let Some(replica) = self.replicas.get_mut(&shard) else { return false };
        let hlc = replica.proposed_hlc.max(replica.applied.hlc);
        let is_taken = replica.transfer.is_none() && replica.group.propose(encode(hlc)).is_ok();
        self.touch(shard);
        is_taken
    }

    /// The document that should follow, if anything changed.
    fn next_document(&self, agreed: &Agreed) -> Option<ClusterDocument> {
        let last = ClusterDocument::decode(&agreed.document).ok()?;
        let mut next = ClusterDocument { number: last.number + 1, ..last.clone() };
        let own = (self.stores.identity.store, LifeId(self.life));
        let known = self.nodes.iter().map(|node| node.store).filter_map(|store| Some((store, *self.lives.get(&store)?)));
        for (store, life) in known.chain([own]) {
            next.lives.retain(|known| known.store != store);
            next.lives.push(LifeDocument { life, store });
        }
        next.lives.sort_unstable();
        for shard in &mut next.shards {
            let descriptor = self.replicas.get(&shard.shard).and_then(|replica| replica.descriptor.as_ref());
            if let Some(descriptor) = descriptor.filter(|descriptor| descriptor.epoch > shard.epoch) {
                shard.epoch = descriptor.epoch;
                let members = descriptor.members().into_iter();
                let document = |member: strata_node_api::Member| MemberDocument {
                    peer: member.peer,
                    store: member.store,
                    voter: member.role == MemberRole::Voter,
                };
                shard.members = members.map(document).collect();
            }
        }
        let is_same = next.lives == last.lives && next.shards == last.shards;
        (!is_same).then_some(next)
    }
}

fn lives_of(document: ClusterDocument) -> Vec<LifeId> {
    document.lives.into_iter().map(|life| life.life).collect()
}
