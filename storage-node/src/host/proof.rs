//! Proofs of leadership: a leader may answer a read, or promise something to the archive, once a quorum of its shard's voters has said that it
//! knows of no later leader.
//!
//! ```text
//!  leader's node                                               another node
//!  Confirm   { round, [(shard, voter, term), …] }    ───────►  looks at the terms of those voters
//!  Confirmed { round, [(shard, voter, term), …] }    ◄───────  those that are in just that term
//! ```
//!
//! - It is Raft's ReadIndex (Ongaro's dissertation, 6.4), with one message each way for all shards of a pair of nodes, where a heartbeat for each
//!   shard would cost a step of two groups. The voter that answers is in the leader's term after the round began, so no later leader had its
//!   quorum by then, and whatever any leader had acknowledged is below the commit index of that moment.
//! - Only as many nodes are asked as a quorum needs, first the one that answered last; after some ticks without an answer, all of them.
//! - Whoever answers pledges to elect nobody else for a while, which makes the leader's lease last ([`super::lease`]).
//! - An answer repeats the term: one from before a restart of the asking process names an earlier term, and proves nothing.

use super::{Host, PeerMessage, replica::Replica};
use crate::limits;
use std::collections::BTreeMap;
use strata_base::{PeerId, ShardId, StoreId};
use strata_raft_group::{LeadClaim, Refusal};

/// A shard's leadership, as one voter is asked about it, or has confirmed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadTerm {
    /// The shard.
    pub shard: ShardId,
    /// The voter.
    pub peer: PeerId,
    /// The leader's term.
    pub term: u64,
}

/// What one shard has to prove.
struct Asked {
    claim: LeadClaim,
    /// When the proof began, in monotonic milliseconds.
    begun_ms: u64,
    /// Whether a lease waits for it, too.
    is_for_lease: bool,
    /// Voters in the claim's term, this node's own first.
    confirmed_by: Vec<PeerId>,
    is_sent: bool,
}

/// Proofs that began in one turn.
#[derive(Default)]
struct ProofRound {
    asked: BTreeMap<ShardId, Asked>,
    /// When it was last sent, in ticks.
    sent_tick: u64,
}

/// All proofs under way.
#[derive(Default)]
pub(super) struct Proofs {
    /// The last round.
    number: u64,
    /// The turn in which it began.
    turn: u64,
    rounds: BTreeMap<u64, ProofRound>,
    /// Whether the last round has shards that nobody was asked about yet.
    has_fresh: bool,
    /// Who answered last.
    quickest: Option<StoreId>,
}

impl<T> Host<T> {
    /// Begins to prove that this node leads the shard at a moment after now, together with all others of this turn. The number of the proof.
    pub(super) fn begin_proof(&mut self, replica: &Replica<T>) -> Result<u64, Refusal> {
        self.ask_for(replica, false)
    }

    /// The same for a lease that would end soon.
    pub(super) fn begin_lease_proof(&mut self, replica: &Replica<T>) -> Result<u64, Refusal> {
        self.ask_for(replica, true)
    }

    fn ask_for(&mut self, replica: &Replica<T>, is_for_lease: bool) -> Result<u64, Refusal> {
        let claim = replica.group.lead()?;
        let proofs = &mut self.proofs;
        if proofs.turn != self.turns {
            (proofs.turn, proofs.number) = (self.turns, proofs.number + 1);
        }
        let round = proofs.rounds.entry(proofs.number).or_default();
        round.sent_tick = self.tick;
        let own = replica.group.peer();
        let begun_ms = self.now.monotonic_ms;
        let fresh = || Asked { claim, begun_ms, is_for_lease: false, confirmed_by: vec![own], is_sent: false };
        round.asked.entry(replica.shard).or_insert_with(fresh).is_for_lease |= is_for_lease;
        proofs.has_fresh = true;
        Ok(proofs.number)
    }

    /// Asks as many voters as make a quorum about the shards that began a proof in this turn. A shard of one voter has its proof already.
    pub(super) fn ask_for_proofs(&mut self) {
        if std::mem::take(&mut self.proofs.has_fresh) {
            let number = self.proofs.number;
            self.ask_round(number, false);
        }
    }

    /// Asks everybody again about rounds that have waited too long, and forgets those that nobody waits for any more.
    pub(super) fn repeat_proofs(&mut self) {
        let is_late = |round: &&ProofRound| round.sent_tick + limits::PROOF_TICKS <= self.tick;
        let late: Vec<u64> = self.proofs.rounds.iter().filter(|(_, round)| is_late(round)).map(|(number, _)| *number).collect();
        for number in late {
            self.ask_round(number, true);
        }
    }

    fn ask_round(&mut self, number: u64, is_again: bool) {
        let Some(mut round) = self.proofs.rounds.remove(&number) else { return };
        round.sent_tick = self.tick;
        let mut questions: BTreeMap<StoreId, Vec<LeadTerm>> = BTreeMap::new();
        round.asked.retain(|shard, asked| {
            let is_due = is_again || !std::mem::replace(&mut asked.is_sent, true);
            !is_due || self.ask_shard(number, *shard, asked, is_again, &mut questions)
        });
        for (to, leads) in questions {
            self.queue_message(to, PeerMessage::Confirm { round: number, leads });
        }
        if !round.asked.is_empty() {
            self.proofs.rounds.insert(number, round);
        }
    }

    /// Adds questions about one shard; whether its proof is still open.
    fn ask_shard(
        &mut self,
        number: u64,
        shard: ShardId,
        asked: &Asked,
        is_again: bool,
        questions: &mut BTreeMap<StoreId, Vec<LeadTerm>>,
    ) -> bool {
        if self.settle_proof(number, shard, asked) {
            return false;
        }
        let Some(replica) = self.replicas.get(&shard) else { return false };
        let Some(descriptor) = &replica.descriptor else { return false };
        let configuration = replica.group.configuration();
        let mut others: Vec<(PeerId, StoreId)> = descriptor.stores.clone();
        others.retain(|(peer, _)| configuration.is_voter(*peer) && !asked.confirmed_by.contains(peer));
        others.sort_by_key(|(_, store)| (self.proofs.quickest != Some(*store), !self.is_heard(*store)));
        let mut expected = asked.confirmed_by.clone();
        for (peer, store) in others {
            if !is_again && configuration.is_quorum(&expected) {
                break;
            }
            expected.push(peer);
            questions.entry(store).or_default().push(LeadTerm { shard, peer, term: asked.claim.term });
        }
        true
    }

    /// Whether nothing more is to be asked about a shard: its proof is there and was told, or nobody waits for it.
    fn settle_proof(&mut self, number: u64, shard: ShardId, asked: &Asked) -> bool {
        let Some(replica) = self.replicas.get_mut(&shard) else { return true };
        let closing = replica.closing.as_mut().filter(|closing| closing.proof == number && !closing.is_confirmed);
        let barrier = replica.barriers.iter_mut().find(|barrier| barrier.proof == number && barrier.granted.is_none());
        let is_leading = replica.group.is_leader() && replica.group.term() == asked.claim.term;
        let helps_lease = asked.is_for_lease && self.now.monotonic_ms < asked.begun_ms + self.settings.lease_millis();
        if !is_leading || (closing.is_none() && barrier.is_none() && !helps_lease) {
            return true;
        }
        if !replica.group.configuration().is_quorum(&asked.confirmed_by) {
            return false;
        }
        if let Some(closing) = closing {
            closing.is_confirmed = true;
        }
        if let Some(barrier) = barrier {
            barrier.granted = Some(asked.claim.committed);
        }
        replica.prolong_lease(asked.begun_ms + self.settings.lease_millis());
        self.touch(shard);
        true
    }

    /// Another node asks whether voters here know of a later leader than itself. Those that do not pledge to elect none for a while.
    pub(super) fn on_confirm(&mut self, from: StoreId, round: u64, mut leads: Vec<LeadTerm>) {
        let until_ms = self.now.monotonic_ms + self.settings.pledge_millis;
        leads.retain(|lead| {
            let replica =
                self.replicas.get_mut(&lead.shard).filter(|replica| replica.stopped.is_none() && replica.group.peer() == lead.peer);
            replica.is_some_and(|replica| replica.pledge(lead.term, until_ms))
        });
        if !leads.is_empty() {
            self.queue_message(from, PeerMessage::Confirmed { round, leads });
        }
    }

    /// Another node's voters know of none.
    pub(super) fn on_confirmed(&mut self, from: StoreId, number: u64, leads: &[LeadTerm]) {
        let Some(mut round) = self.proofs.rounds.remove(&number) else { return };
        self.proofs.quickest = Some(from);
        for lead in leads {
            let Some(asked) = round.asked.get_mut(&lead.shard).filter(|asked| asked.claim.term == lead.term) else { continue };
            if !asked.confirmed_by.contains(&lead.peer) {
                asked.confirmed_by.push(lead.peer);
            }
            if self.settle_proof(number, lead.shard, asked) {
                round.asked.remove(&lead.shard);
            }
        }
        if !round.asked.is_empty() {
            self.proofs.rounds.insert(number, round);
        }
    }
}
