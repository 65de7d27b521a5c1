//! Between the host's messages and those of the protocol.

use super::{proto, reply_codec};
use crate::{
    host::{HeardSighting, LeadTerm, NotDone, Outcome, PeerMessage},
    routes::Route,
};
use bytes::{Bytes, BytesMut};
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, StoreId};
use strata_engine::tier::layout::LifeId;

/// Wall clocks from here on are none: the hybrid clock has 48 bits for milliseconds since the Unix epoch.
const WALL_MS_END: u64 = 1 << 48;

/// A message, for the wire.
pub fn to_wire(message: PeerMessage) -> proto::Message {
    let kind = match message {
        PeerMessage::Raft { shard, from, to, bytes } => {
            proto::message::Kind::Raft(proto::Raft { shard: shard.0, from: from.0, to: to.0, message: bytes })
        }
        PeerMessage::Gone { shard, peer, epoch } => {
            proto::message::Kind::Gone(proto::Gone { shard: shard.0, peer: peer.0, epoch: epoch.0 })
        }
        PeerMessage::Gossip { wall_ms, routes, life, registered, sighting } => {
            let routes = Bytes::from(serde_json::to_vec(&routes).expect("routes are plain data"));
            let registered = registered.map(|lives| proto::Registered { lives: lives.into_iter().map(|life| life.0).collect() });
            proto::message::Kind::Gossip(proto::Gossip {
                wall_ms,
                routes,
                life: life.0,
                registered,
                sighting: sighting.map(sighting_to_wire),
            })
        }
        PeerMessage::Confirm { round, leads } => proto::message::Kind::Confirm(leads_to_wire(round, leads)),
        PeerMessage::Confirmed { round, leads } => proto::message::Kind::Confirmed(leads_to_wire(round, leads)),
        PeerMessage::Archived { shard, index, hlc } => {
            proto::message::Kind::Archived(proto::Archived { shard: shard.0, index, hlc: hlc.as_u64() })
        }
    };
    proto::Message { kind: Some(kind) }
}

/// A message from the wire; `None` for one that this build does not know or that makes no sense, which counts as lost.
pub fn from_wire(message: proto::Message) -> Option<PeerMessage> {
    Some(match message.kind? {
        proto::message::Kind::Raft(raft) => {
            PeerMessage::Raft { shard: ShardId(raft.shard), from: PeerId(raft.from), to: PeerId(raft.to), bytes: raft.message }
        }
        proto::message::Kind::Gone(gone) => {
            PeerMessage::Gone { shard: ShardId(gone.shard), peer: PeerId(gone.peer), epoch: Epoch(gone.epoch) }
        }
        proto::message::Kind::Gossip(gossip) if gossip.wall_ms >= WALL_MS_END => return None,
        proto::message::Kind::Gossip(gossip) => {
            let routes: Vec<Route> = serde_json::from_slice(&gossip.routes).ok()?;
            let registered = gossip.registered.map(|registered| registered.lives.into_iter().map(LifeId).collect());
            let sighting = gossip.sighting.map(sighting_from_wire);
            PeerMessage::Gossip { wall_ms: gossip.wall_ms, routes, life: LifeId(gossip.life), registered, sighting }
        }
        proto::message::Kind::Confirm(asked) => PeerMessage::Confirm { round: asked.round, leads: leads_from_wire(asked) },
        proto::message::Kind::Confirmed(answer) => PeerMessage::Confirmed { round: answer.round, leads: leads_from_wire(answer) },
        proto::message::Kind::Archived(archived) => {
            PeerMessage::Archived { shard: ShardId(archived.shard), index: archived.index, hlc: Hlc::from_u64(archived.hlc) }
        }
    })
}

fn sighting_to_wire(sighting: HeardSighting) -> proto::Sighting {
    let HeardSighting { incarnation, beat, stood_ms, age_ms } = sighting;
    proto::Sighting { incarnation: incarnation.0, beat, stood_ms, age_ms }
}

fn sighting_from_wire(sighting: proto::Sighting) -> HeardSighting {
    let proto::Sighting { incarnation, beat, stood_ms, age_ms } = sighting;
    HeardSighting { incarnation: IncarnationId(incarnation), beat, stood_ms, age_ms }
}

fn leads_to_wire(round: u64, leads: Vec<LeadTerm>) -> proto::Leads {
    let leads = leads.into_iter().map(|lead| proto::Lead { shard: lead.shard.0, peer: lead.peer.0, term: lead.term }).collect();
    proto::Leads { round, leads }
}

fn leads_from_wire(leads: proto::Leads) -> Vec<LeadTerm> {
    leads.leads.into_iter().map(|lead| LeadTerm { shard: ShardId(lead.shard), peer: PeerId(lead.peer), term: lead.term }).collect()
}

/// An outcome, for the wire.
pub fn outcome_to_wire(id: u64, outcome: &Outcome) -> proto::ForwardReply {
    use proto::not_done::Why;
    let outcome = match outcome {
        Outcome::Reply(reply) => {
            let mut out = BytesMut::new();
            reply_codec::encode(reply, &mut out);
            proto::forward_reply::Outcome::Reply(out.freeze())
        }
        Outcome::NotDone(why) => {
            let (why, leader) = match why {
                NotDone::NotLeader(leader) => (Why::NotLeader, leader.map_or(0, |store| store.0)),
                NotDone::Busy => (Why::Busy, 0),
                NotDone::Deadline => (Why::Deadline, 0),
                NotDone::Stopped => (Why::Stopped, 0),
            };
            proto::forward_reply::Outcome::NotDone(proto::NotDone { why: why.into(), leader })
        }
        Outcome::Unknown(reason) => proto::forward_reply::Outcome::Unknown((*reason).to_owned()),
    };
    proto::ForwardReply { id, outcome: Some(outcome) }
}

/// An outcome from the wire. What does not decode has an unknown outcome.
pub fn outcome_from_wire(reply: proto::ForwardReply) -> Outcome {
    use proto::not_done::Why;
    match reply.outcome {
        Some(proto::forward_reply::Outcome::Reply(bytes)) => match reply_codec::decode(bytes) {
            Some(reply) => Outcome::Reply(reply),
            None => Outcome::Unknown("the leader's reply does not decode"),
        },
        Some(proto::forward_reply::Outcome::NotDone(not_done)) => Outcome::NotDone(match not_done.why() {
            Why::NotLeader => NotDone::NotLeader((not_done.leader != 0).then_some(StoreId(not_done.leader))),
            Why::Busy => NotDone::Busy,
            Why::Deadline => NotDone::Deadline,
            Why::Stopped => NotDone::Stopped,
        }),
        Some(proto::forward_reply::Outcome::Unknown(_)) => Outcome::Unknown("the leader does not know its fate"),
        None => Outcome::Unknown("the leader's answer is of an unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gossip(wall_ms: u64, routes: &'static [u8]) -> Option<PeerMessage> {
        let gossip = proto::Gossip { wall_ms, routes: Bytes::from_static(routes), life: 1, registered: None, sighting: None };
        from_wire(proto::Message { kind: Some(proto::message::Kind::Gossip(gossip)) })
    }

    #[test]
    fn what_makes_no_sense_counts_as_lost() {
        assert!(gossip(1_700_000_000_000, b"[]").is_some());
        for wall_ms in [WALL_MS_END, 1 << 63, u64::MAX] {
            assert_eq!(gossip(wall_ms, b"[]"), None, "no clock shows {wall_ms}");
        }
        assert_eq!(gossip(1, b"{}"), None);
        assert_eq!(from_wire(proto::Message { kind: None }), None);
    }
}
