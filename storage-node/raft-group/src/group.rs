//! The group: raft-rs behind plain events and effects.

mod members;

pub use members::MemberProgress;

use crate::{
    adapter::{Adapter, from_raft_entry},
    configuration::Configuration,
    limits,
    log::{EntryKind, LogEntry, LogRead, LogReadError},
    wire,
};
use bytes::Bytes;
use protobuf::Message as _;
use raft::{
    RawNode, StateRole,
    eraftpb::{HardState as RaftHardState, Message as RaftMessage, MessageType},
};
use strata_base::{
    PeerId,
    planted::{Mistake, planted},
};

/// The rhythm of a group, and the seed of its election timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Ticks of silence after which an election may begin; the timeout is drawn between this and twice this.
    pub election_ticks: usize,
    /// Ticks after which a leader sends heartbeats by itself, where nobody asks for them ([`RaftGroup::beat`]).
    pub heartbeat_ticks: usize,
    /// Where election timeouts are drawn from; different on every member.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { election_ticks: 10, heartbeat_ticks: 9, seed: 1 }
    }
}

/// What a member must not forget: its term, its vote, and how far it knows the log to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The term.
    pub term: u64,
    /// Whom it voted for in the term; 0 for nobody.
    pub vote: u64,
    /// The last entry known to be committed.
    pub commit: u64,
}

impl HardState {
    /// 24 bytes, big-endian.
    pub fn encode(&self) -> Bytes {
        Bytes::from([self.term.to_be_bytes(), self.vote.to_be_bytes(), self.commit.to_be_bytes()].concat())
    }

    /// Reads what [`HardState::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<HardState> {
        let ([term, vote, commit], []) = bytes.as_chunks::<8>() else { return None };
        Some(HardState { term: u64::from_be_bytes(*term), vote: u64::from_be_bytes(*vote), commit: u64::from_be_bytes(*commit) })
    }
}

/// What a member finds on its disk when it starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// This member.
    pub peer: PeerId,
    /// The members as of `applied`.
    pub configuration: Configuration,
    /// The hard state in the log.
    pub hard_state: HardState,
    /// Index and term of the last entry cut from the front of the log.
    pub truncated: (u64, u64),
    /// Index and term of the last entry in the log; equal to `truncated` where the log is empty.
    pub last: (u64, u64),
    /// Index and term of the last entry in the tablet.
    pub applied: (u64, u64),
}

impl Start {
    /// A member of a group that never existed before. By convention its log begins after entry 5 of term 5, so that a member without any
    /// state cannot be taken for an up-to-date one.
    pub fn empty(peer: PeerId, configuration: Configuration) -> Start {
        let origin = (Start::ORIGIN, Start::ORIGIN);
        let hard_state = HardState { term: Start::ORIGIN, vote: 0, commit: Start::ORIGIN };
        Start { peer, configuration, hard_state, truncated: origin, last: origin, applied: origin }
    }

    /// A member that will be created by a snapshot: it knows nothing, not even who its fellows are.
    pub fn awaiting_snapshot(peer: PeerId) -> Start {
        Start {
            hard_state: HardState::default(),
            truncated: (0, 0),
            last: (0, 0),
            applied: (0, 0),
            ..Start::empty(peer, Configuration::default())
        }
    }

    /// Index and term before the first entry of every group.
    pub const ORIGIN: u64 = 5;
}

/// What is on disk does not fit together; the replica must not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The tablet is ahead of the log.
    #[error("the tablet holds entry {applied}, but the log ends at {last}: entries are missing, replace this replica")]
    AppliedBeyondLog {
        /// The last entry in the tablet.
        applied: u64,
        /// The last entry in the log.
        last: u64,
    },
    /// The log was cut ahead of the tablet.
    #[error("the log begins after entry {truncated}, but the tablet ends at {applied}: entries are missing, replace this replica")]
    TruncatedBeyondApplied {
        /// The last entry cut from the log.
        truncated: u64,
        /// The last entry in the tablet.
        applied: u64,
    },
    /// raft-rs refused the state.
    #[error("the Raft state is inconsistent: {0}")]
    Inconsistent(String),
}

/// Why a request was not taken. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another member leads, or none.
    #[error("this member does not lead the shard")]
    NotLeader,
    /// Leadership is being given away, or the budget of uncommitted bytes is used up.
    #[error("the shard takes no proposals at this moment")]
    Dropped,
    /// The leader has not committed an entry of its term yet.
    #[error("the leader is too new to serve")]
    TooNew,
    /// Another change of members is under way, or this one is impossible.
    #[error("the change of members is refused")]
    ChangeRefused,
}

/// A place in the log: what a proposal got. It is ours only while its term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The term of the proposing leader.
    pub term: u64,
    /// The index.
    pub index: u64,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads in this term.
    Leader,
    /// It follows whom it names, if it knows.
    Follower(Option<PeerId>),
    /// It asks for votes.
    Candidate,
}

/// A message to another member, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its receiver.
    pub to: PeerId,
    /// Whether it announces a snapshot: the host must send the tablet's files along.
    pub is_snapshot: bool,
    /// For [`RaftGroup::receive`].
    pub bytes: Vec<u8>,
}

/// What must go into the log, entries and hard state in one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// Entries; the first may overwrite the end of the log.
    pub entries: Vec<LogEntry>,
    /// The hard state, where it changed.
    pub hard_state: Option<HardState>,
    /// Whether an fsync is needed before [`RaftGroup::persisted`].
    pub must_sync: bool,
}

impl Append {
    /// Whether nothing needs to be written durably.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.must_sync
    }
}

/// A committed entry's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A new leader's first entry.
    Empty,
    /// What was proposed.
    Normal(Bytes),
    /// A change of members; give it to [`RaftGroup::apply_change`].
    Change {
        /// What the proposer attached.
        context: Bytes,
        /// raft-rs's encoding of the change.
        change: Bytes,
    },
}

/// An entry that is committed and not yet applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Its content.
    pub payload: Payload,
}

/// What a leader that may serve has to prove: see [`RaftGroup::lead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadClaim {
    /// Its term.
    pub term: u64,
    /// The commit index now: once the claim is proven, reads may be answered from a tablet that has applied it.
    pub committed: u64,
}

/// A snapshot to install instead of the tablet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInstall {
    /// The last entry it holds.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The members as of that entry.
    pub configuration: Configuration,
    /// What the sender's host attached.
    pub data: Bytes,
}

/// Effects of everything that was said to the group since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// To be given to [`RaftGroup::persisted`] once `append` and `snapshot` are durable; in order.
    pub number: u64,
    /// For the log.
    pub append: Append,
    /// Send now.
    pub messages: Vec<Message>,
    /// Send once this ready, and all before it, are persisted.
    pub after_persist: Vec<Message>,
    /// Apply in order.
    pub committed: Vec<Committed>,
    /// Install before anything else.
    pub snapshot: Option<SnapshotInstall>,
}

/// One member of a Raft group.
pub struct RaftGroup<L: LogRead> {
    node: RawNode<Adapter<L>>,
    settings: Settings,
    draws: u64,
    drawn: usize,
    /// Term, role and leader when the timeout was drawn.
    drawn_for: (u64, StateRole, u64),
    persisted: u64,
    pending_last: Vec<(u64, u64)>,
    /// A snapshot that is being installed and not durable yet: its ready, and the last entry it holds.
    installing: Option<(u64, u64)>,
    is_pledged: bool,
    /// Where the log ended when a change of members was last applied.
    changed_below: u64,
}

impl<L: LogRead> RaftGroup<L> {
    /// Starts a member from what its disk holds.
    pub fn new(settings: Settings, start: Start, log: L) -> Result<RaftGroup<L>, Damage> {
        if start.applied.0 > start.last.0 {
            return Err(Damage::AppliedBeyondLog { applied: start.applied.0, last: start.last.0 });
        }
        if start.truncated.0 > start.applied.0 {
            return Err(Damage::TruncatedBeyondApplied { truncated: start.truncated.0, applied: start.applied.0 });
        }
        // A flushed tablet may be ahead of an unsynced commit index.
        let known =
            if planted(Mistake::CommitBehindTablet) { start.hard_state.commit } else { start.hard_state.commit.max(start.applied.0) };
        let commit = known.min(start.last.0);
        let mut hard_state = RaftHardState::default();
        hard_state.set_term(start.hard_state.term);
        hard_state.set_vote(start.hard_state.vote);
        hard_state.set_commit(commit);
        let config = raft::Config {
            id: start.peer.0,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied: start.applied.0,
            max_size_per_msg: limits::MESSAGE_BYTES_MAX,
            max_inflight_msgs: limits::MESSAGES_IN_FLIGHT_MAX,
            max_uncommitted_size: limits::UNCOMMITTED_BYTES_MAX,
            max_committed_size_per_ready: limits::COMMITTED_BYTES_PER_READY_MAX,
            check_quorum: true,
            pre_vote: true,
            // Followers learn what is committed with the next entry or heartbeat. A message to each of them for every commit, and its answer, would be
            // up to as many messages again.
            skip_bcast_commit: true,
            ..raft::Config::default()
        };
        let adapter = Adapter::new(log, hard_state, start.configuration, start.truncated, start.last, start.applied);
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, adapter, &silent).map_err(|error| Damage::Inconsistent(error.to_string()))?;
        let (drawn_for, persisted) = ((0, StateRole::Follower, u64::MAX), start.last.0);
        let draws = settings.seed;
        let mut group = RaftGroup {
            node,
            settings,
            draws,
            drawn: 0,
            drawn_for,
            persisted,
            pending_last: Vec::new(),
            installing: None,
            is_pledged: false,
            changed_below: 0,
        };
        group.redraw_timeout();
        Ok(group)
    }

    /// Time goes on by one tick.
    pub fn tick(&mut self) {
        // raft-rs would look for changes of members in a log that a snapshot has replaced.
        if self.installing.is_some() || self.is_pledged {
            return self.tick_without_campaign();
        }
        self.node.tick();
        self.redraw_timeout();
        self.settle();
    }

    /// Sends heartbeats, if this member leads: a host does it for all its groups at once, so that they travel together.
    pub fn beat(&mut self) {
        self.node.ping();
    }

    /// While a member is pledged it helps nobody to lead in a later term, itself included, unless its leader gives leadership away.
    pub fn set_pledged(&mut self, is_pledged: bool) {
        self.is_pledged = is_pledged;
    }

    /// Time goes on by one tick for a member that must not ask for votes: it still notices that its leader fell silent, and helps others up.
    pub fn tick_without_campaign(&mut self) {
        if self.is_leader() {
            self.node.tick();
            return self.redraw_timeout();
        }
        self.node.raft.election_elapsed += 1;
    }

    /// Asks for votes at once: a group of one need not wait.
    pub fn campaign(&mut self) {
        // A member that may not campaign stays what it is.
        let _ = self.node.campaign();
        self.redraw_timeout();
    }

    /// Takes a message of another member. What does not decode, or is not for this member, has no effect.
    pub fn receive(&mut self, bytes: &[u8]) {
        let Ok(message) = wire::parse_own::<RaftMessage>(bytes) else { return };
        if message.get_to() != self.node.raft.id || is_local(message.get_msg_type()) {
            return;
        }
        if message.get_msg_type() == MessageType::MsgTimeoutNow && self.installing.is_some() {
            return;
        }
        if self.is_pledged && is_of_election(&message) {
            return;
        }
        if !self.node.store().can_compare(message.get_entries()) {
            return;
        }
        // A stranger's answer is an error of theirs, not of ours.
        let _ = self.node.step(message);
        self.redraw_timeout();
    }

    /// Why the log could not be read, if it could not: the member must stop, and nothing that this group says since then may be sent.
    pub fn log_failure(&self) -> Option<&LogReadError> {
        self.node.store().failure()
    }

    /// Takes the message that announced a snapshot, whose content is here and holds `last` (index and term): the sender took the files after it
    /// wrote the message, so they may hold more than it says. Whether the next ready will ask to install it.
    pub fn receive_snapshot(&mut self, bytes: &[u8], last: (u64, u64), configuration: &Configuration) -> bool {
        let Ok(mut message) = wire::parse_own::<RaftMessage>(bytes) else { return false };
        if message.get_to() != self.node.raft.id || message.get_msg_type() != MessageType::MsgSnapshot {
            return false;
        }
        let before = self.pending_snapshot();
        let metadata = message.mut_snapshot().mut_metadata();
        metadata.set_index(last.0);
        metadata.set_term(last.1);
        metadata.set_conf_state(configuration.to_raft());
        // A snapshot that is behind what this member has is no error.
        let _ = self.node.step(message);
        self.redraw_timeout();
        self.pending_snapshot() == Some(last) && before != Some(last)
    }

    /// The last entry of a snapshot that was taken and is not yet in a ready.
    fn pending_snapshot(&self) -> Option<(u64, u64)> {
        let snapshot = self.node.raft.raft_log.unstable.snapshot.as_ref()?;
        Some((snapshot.get_metadata().get_index(), snapshot.get_metadata().get_term()))
    }

    /// Proposes an entry.
    pub fn propose(&mut self, data: Bytes) -> Result<Place, Refusal> {
        self.must_lead()?;
        // raft-rs 0.7 takes a vector, and turns it into shared bytes again without a copy.
        self.node.propose(Vec::new(), data.into()).map_err(|_| Refusal::Dropped)?;
        Ok(self.last_place())
    }

    /// What this member claims as a leader. It is proven once a quorum of [`RaftGroup::configuration`], this member among them, was in just that
    /// term at a moment after this call: then no later leader existed before it, and nothing beyond the commit index was acknowledged to anybody.
    pub fn lead(&self) -> Result<LeadClaim, Refusal> {
        self.must_lead()?;
        if !self.node.raft.commit_to_current_term() {
            return Err(Refusal::TooNew);
        }
        Ok(LeadClaim { term: self.term(), committed: self.committed() })
    }

    /// Gives leadership to a member that has the log, as soon as it does; given up after one election timeout.
    pub fn transfer_leader(&mut self, to: PeerId) -> Result<(), Refusal> {
        self.must_lead()?;
        self.node.transfer_leader(to.0);
        Ok(())
    }

    /// A member could not be reached. If that is the leader, and its heartbeat is overdue besides, its process has most likely ended: the rest of the
    /// shortest election timeout is not waited for. What it says afterwards still counts, and without a majority that lost it too nobody is elected.
    pub fn unreachable(&mut self, peer: PeerId) {
        let raft = &mut self.node.raft;
        if raft.leader_id == peer.0 && raft.state == StateRole::Follower && raft.election_elapsed >= limits::OVERDUE_TICKS {
            raft.election_elapsed = raft.election_elapsed.max(raft.election_timeout());
        }
        self.node.report_unreachable(peer.0);
    }

    /// What became of a snapshot that was sent.
    pub fn snapshot_sent(&mut self, peer: PeerId, succeeded: bool) {
        let status = if succeeded { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.node.report_snapshot(peer.0, status);
    }

    /// Whether [`RaftGroup::ready`] has something to say.
    pub fn has_ready(&self) -> bool {
        self.node.has_ready()
    }

    /// Everything that follows from what was said so far.
    pub fn ready(&mut self) -> Ready {
        let mut raft_ready = self.node.ready();
        let number = raft_ready.number();
        let hard_state = raft_ready.hs().map(|state| HardState { term: state.term, vote: state.vote, commit: state.commit });
        let entries: Vec<LogEntry> = raft_ready.take_entries().into_iter().map(from_raft_entry).collect();
        let snapshot = Some(raft_ready.snapshot()).filter(|snapshot| !snapshot.is_empty()).map(|snapshot| SnapshotInstall {
            index: snapshot.get_metadata().get_index(),
            term: snapshot.get_metadata().get_term(),
            configuration: Configuration::from_raft(snapshot.get_metadata().get_conf_state()),
            data: snapshot.data.clone(),
        });
        if let Some(install) = &snapshot {
            self.node.mut_store().install(install.index, install.term, install.configuration.clone());
            self.installing = Some((number, install.index));
        }
        self.node.mut_store().append(&entries);
        if let Some(last) = entries.last() {
            self.pending_last.push((number, last.index));
        }
        let ready = Ready {
            number,
            append: Append { entries, hard_state, must_sync: raft_ready.must_sync() },
            messages: raft_ready.take_messages().into_iter().map(to_message).collect(),
            after_persist: raft_ready.take_persisted_messages().into_iter().map(to_message).collect(),
            committed: raft_ready.take_committed_entries().into_iter().map(|entry| to_committed(from_raft_entry(entry))).collect(),
            snapshot,
        };
        self.node.advance_append_async(raft_ready);
        ready
    }

    /// The appends and installs of all readies up to `number` are durable.
    pub fn persisted(&mut self, number: u64) {
        self.node.on_persist_ready(number);
        let durable = self.pending_last.iter().take_while(|(of, _)| *of <= number).count();
        for (_, index) in self.pending_last.drain(..durable) {
            self.persisted = index;
        }
        if let Some((_, index)) = self.installing.take_if(|(of, _)| *of <= number) {
            // The tablet holds it all; raft-rs learns of it only now, since it counts as applied nothing that is not durable.
            self.node.advance_apply_to(index);
        }
    }

    /// The entries up to `index` are in the tablet.
    pub fn applied(&mut self, index: u64) {
        let term = raft::Storage::term(self.node.store(), index).expect("an entry is applied before it is cut from the log");
        let persisted = self.persisted;
        let store = self.node.mut_store();
        store.applied = (index, term);
        store.trim_cache(persisted);
        self.node.advance_apply_to(index);
        self.redraw_timeout();
    }

    /// Cuts the log: entries up to `index` are in flushed files of the tablet, and wherever else they must be. Whether it is cut: not where it
    /// cannot be read.
    pub fn truncate(&mut self, index: u64) -> bool {
        if index > self.node.store().truncated.0 {
            let term = raft::Storage::term(self.node.store(), index).expect("what is cut was still in the log");
            if self.log_failure().is_some() {
                return false;
            }
            self.node.mut_store().truncate(index, term);
        }
        true
    }

    /// What the host attaches to snapshots announced from now on.
    pub fn set_snapshot_data(&mut self, data: Bytes) {
        self.node.mut_store().snapshot_data = data;
    }

    /// This member.
    pub fn peer(&self) -> PeerId {
        PeerId(self.node.raft.id)
    }

    /// What this member is.
    pub fn role(&self) -> Role {
        match self.node.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower => Role::Follower(Some(PeerId(self.node.raft.leader_id)).filter(|leader| leader.0 != 0)),
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    /// Whether this member leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Whether leadership is being given away.
    pub fn is_transferring(&self) -> bool {
        self.node.raft.lead_transferee.is_some()
    }

    /// The term.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// The last entry known to be committed.
    pub fn committed(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// Index and term of the last entry cut from the log.
    pub fn truncated(&self) -> (u64, u64) {
        self.node.store().truncated
    }

    /// The last entry in the log, durable or not.
    pub fn last_index(&self) -> u64 {
        self.node.store().last_index_now()
    }

    /// The last entry that is durable here.
    pub fn persisted_index(&self) -> u64 {
        self.persisted
    }

    fn must_lead(&self) -> Result<(), Refusal> {
        match self.node.raft.state {
            StateRole::Leader if self.is_transferring() => Err(Refusal::Dropped),
            StateRole::Leader => Ok(()),
            _ => Err(Refusal::NotLeader),
        }
    }

    fn last_place(&self) -> Place {
        Place { term: self.node.raft.term, index: self.node.raft.raft_log.last_index() }
    }

    /// raft-rs draws its election timeout from a generator of the thread at every reset; ours is drawn from the seed, whenever term, role or
    /// leader changed. (A reset cannot be told by the timeout itself: now and then raft-rs draws the one that was there before.)
    fn redraw_timeout(&mut self) {
        let raft = &self.node.raft;
        let standing = (raft.term, raft.state, raft.leader_id);
        if standing != self.drawn_for {
            self.drawn_for = standing;
            // SplitMix64 (Steele et al., 2014).
            self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (self.draws ^ (self.draws >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.drawn = self.settings.election_ticks + ((word ^ (word >> 31)) % self.settings.election_ticks as u64) as usize;
        }
        self.node.raft.set_randomized_election_timeout(self.drawn);
    }
}

fn is_local(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgHup
            | MessageType::MsgBeat
            | MessageType::MsgUnreachable
            | MessageType::MsgSnapStatus
            | MessageType::MsgCheckQuorum
            | MessageType::MsgPropose
    )
}

/// Whether a message belongs to an election that no leader asked for.
fn is_of_election(message: &RaftMessage) -> bool {
    match message.get_msg_type() {
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => message.get_context() != raft::CAMPAIGN_TRANSFER,
        MessageType::MsgRequestPreVoteResponse => true,
        _ => false,
    }
}

fn to_message(message: RaftMessage) -> Message {
    Message {
        to: PeerId(message.get_to()),
        is_snapshot: message.get_msg_type() == MessageType::MsgSnapshot,
        bytes: message.write_to_bytes().expect("a message of raft-rs always encodes"),
    }
}

fn to_committed(entry: LogEntry) -> Committed {
    let payload = match entry.kind {
        EntryKind::Change => Payload::Change { context: entry.context, change: entry.data },
        EntryKind::Normal if entry.data.is_empty() => Payload::Empty,
        EntryKind::Normal => Payload::Normal(entry.data),
    };
    Committed { index: entry.index, term: entry.term, payload }
}
