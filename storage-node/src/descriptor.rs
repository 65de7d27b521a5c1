//! What a tablet knows of itself: its shard's descriptor, and how far it is. Both change in the same batch as the data.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use strata_base::{Epoch, Hlc, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_kv::Counts;
use strata_node_api::{Member, MemberRole};
use strata_raft_group::{Configuration, Standing};

/// The key of the descriptor in the system family.
pub const DESCRIPTOR_KEY: &[u8] = b"descriptor";

/// The key of the applied state in the system family.
pub const APPLIED_KEY: &[u8] = b"applied";

/// What a shard is. Every change of it bumps the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// The version of this encoding.
    pub version: u32,
    /// The shard.
    pub shard: ShardId,
    /// The table it is a part of.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// Grows with every change.
    pub epoch: Epoch,
    /// Every member that ever was in the current configuration, with its store.
    pub stores: Vec<(PeerId, StoreId)>,
    /// Who votes; in a joint change, who will.
    pub voters: Vec<PeerId>,
    /// Who receives the log and does not vote.
    pub learners: Vec<PeerId>,
    /// In a joint change, who voted before.
    pub outgoing: Vec<PeerId>,
    /// Outgoing voters that will be learners.
    pub learners_next: Vec<PeerId>,
    /// Whether the leader ends the joint change by itself.
    pub auto_leave: bool,
}

impl Descriptor {
    /// The version of the encoding that this build writes.
    pub const VERSION: u32 = 1;

    /// The descriptor of a shard that never existed before.
    pub fn create(shard: ShardId, table: TableId, slots: SlotRange, members: &[Member]) -> Descriptor {
        let stores = members.iter().map(|member| (member.peer, member.store)).collect();
        let mut descriptor = Descriptor {
            version: Self::VERSION,
            shard,
            table,
            slots,
            epoch: Epoch(1),
            stores,
            voters: Vec::new(),
            learners: Vec::new(),
            outgoing: Vec::new(),
            learners_next: Vec::new(),
            auto_leave: false,
        };
        descriptor.set_configuration(&Configuration::of_voters(members.iter().map(|member| member.peer)));
        descriptor
    }

    /// The members, for Raft.
    pub fn configuration(&self) -> Configuration {
        Configuration {
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            outgoing: self.outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
        }
    }

    /// Takes over the members that Raft came to, and forgets the stores of those that left.
    pub fn set_configuration(&mut self, configuration: &Configuration) {
        self.voters = configuration.voters.clone();
        self.learners = configuration.learners.clone();
        self.outgoing = configuration.outgoing.clone();
        self.learners_next = configuration.learners_next.clone();
        self.auto_leave = configuration.auto_leave;
        self.stores.retain(|(peer, _)| configuration.contains(*peer));
        self.stores.sort_unstable();
    }

    /// Where a member lies.
    pub fn store_of(&self, peer: PeerId) -> Option<StoreId> {
        self.stores.iter().find(|(of, _)| *of == peer).map(|(_, store)| *store)
    }

    /// The members, for reports.
    pub fn members(&self) -> Vec<Member> {
        let role = |peer: &PeerId| {
            if self.voters.contains(peer) || self.outgoing.contains(peer) { MemberRole::Voter } else { MemberRole::Learner }
        };
        self.stores.iter().map(|(peer, store)| Member { peer: *peer, store: *store, role: role(peer) }).collect()
    }

    /// The value of [`DESCRIPTOR_KEY`].
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("a descriptor is plain data"))
    }

    /// Reads what [`Descriptor::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Descriptor, String> {
        let descriptor: Descriptor = serde_json::from_slice(bytes).map_err(|error| format!("the descriptor does not decode: {error}"))?;
        if descriptor.version != Self::VERSION {
            return Err(format!("the descriptor has version {}, this build knows {}", descriptor.version, Self::VERSION));
        }
        Ok(descriptor)
    }
}

/// What Raft calls a member's role.
pub fn standing(role: MemberRole) -> Standing {
    match role {
        MemberRole::Voter => Standing::Voter,
        MemberRole::Learner => Standing::Learner,
    }
}

/// How far a tablet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last entry applied.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The last HLC handed out when that entry was proposed.
    pub hlc: Hlc,
    /// Keys and keys with a time to live.
    pub counts: Counts,
}

impl Applied {
    const VERSION: u8 = 1;
    const BYTES: usize = 41;

    /// The value of [`APPLIED_KEY`].
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::BYTES);
        out.put_u8(Self::VERSION);
        out.put_u64(self.index);
        out.put_u64(self.term);
        out.put_u64(self.hlc.as_u64());
        out.put_u64(self.counts.keys);
        out.put_u64(self.counts.expires);
        out.freeze()
    }

    /// Reads what [`Applied::encode`] wrote.
    pub fn decode(mut bytes: &[u8]) -> Option<Applied> {
        if bytes.len() != Self::BYTES || bytes.get_u8() != Self::VERSION {
            return None;
        }
        let (index, term, hlc) = (bytes.get_u64(), bytes.get_u64(), Hlc::from_u64(bytes.get_u64()));
        Some(Applied { index, term, hlc, counts: Counts { keys: bytes.get_u64(), expires: bytes.get_u64() } })
    }
}

/// What the log store keeps of a replica: that it exists, and where its log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "is")]
pub enum ReplicaRecord {
    /// It exists.
    Here {
        /// Its member id.
        peer: PeerId,
        /// The generation of its tablet; 0 while it waits for its first snapshot.
        generation: u64,
        /// The last entry cut from the log.
        truncated_index: u64,
        /// That entry's term.
        truncated_term: u64,
        /// The last entry known to be archived.
        #[serde(default)]
        archived_index: u64,
        /// That entry's HLC.
        #[serde(default)]
        archived_hlc: Hlc,
    },
    /// It was removed, and its id must not be used again.
    Gone {
        /// The member id it had.
        peer: PeerId,
    },
}

impl ReplicaRecord {
    /// The value of the record.
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("a record is plain data"))
    }

    /// Reads what [`ReplicaRecord::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<ReplicaRecord, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("the replica's record does not decode: {error}"))
    }
}
