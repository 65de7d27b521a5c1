//! The durable steps of a node, and the end of its process at one of them.
//!
//! What a host wants done comes out of it as effects, so every step that leaves something behind is one of them: they are named here by matches
//! without a default. A new kind of effect, of work with files, of record or of object does not compile before it has a name, and a name that no
//! walk reaches fails the walk (`e2e/tests/simulation/walk.rs`).

use super::{Simulation, queue::Token};
use serde::{Deserialize, Serialize};
use strata_engine::{
    log::{LogBatch, LogState, LogStore, ReplicaBatch},
    objects::Request,
    tier::layout::{Layout, Name},
};
use strata_node::{
    bridge::is_change,
    host::{Effect, FilesWork},
};

/// Declares the steps, and what they are called in sentences.
macro_rules! steps {
    ($($step:ident = $text:literal,)+) => {
        /// Something that leaves a trace on a disk or in the bucket.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "each is told by its text")]
        pub enum Step {
            $($step,)+
        }

        impl Step {
            /// All of them.
            pub const ALL: &[Step] = &[$(Step::$step,)+];

            /// What it does, as in "node 1 ends before it …".
            pub const fn text(self) -> &'static str {
                match self {
                    $(Step::$step => $text,)+
                }
            }
        }
    };
}

steps! {
    Append = "appends entries",
    AppendChange = "appends a change of members",
    WriteHardState = "writes term, vote and commit index",
    CreateReplica = "writes the first record of a replica",
    WriteReplica = "writes the record of a replica",
    InstallSnapshot = "replaces a log by a snapshot",
    CutLog = "cuts a log",
    PurgeLog = "removes log files",
    Flush = "flushes a tablet",
    RetainTablet = "removes old tablets",
    StoreIdentity = "writes its identity",
    ReadSnapshot = "takes the files of a snapshot",
    MakeCheckpoint = "makes a checkpoint",
    DropCheckpoint = "removes a checkpoint",
    WriteFetched = "writes a part of a fetched file",
    FinishFetched = "gives a fetched file its name",
    BuildTablet = "makes a tablet of fetched files",
    Replay = "replays entries into a restored tablet",
    Seal = "makes a restored tablet durable",
    ClearFetched = "removes fetched files",
    PutOwner = "writes whose path it is",
    PutBeat = "writes its sign of life",
    PutChild = "has its parent name it",
    PutCluster = "uploads a cluster document",
    PutLog = "uploads a log object",
    PutCheckpoint = "uploads a checkpoint document",
    PutFile = "uploads a file of a tablet",
}

impl Step {
    /// What executing an effect at once leaves behind; what its host only hears of later is named where it is done.
    pub(super) fn of_effect(effect: &Effect<Token>) -> Option<Step> {
        match effect {
            Effect::StoreIdentity(_) => Some(Step::StoreIdentity),
            Effect::Files(work) => Step::of_files(work),
            // Named when the disk or the store has come to it: by `of_batch`, `of_request`, and where it is done.
            Effect::WriteLog { .. }
            | Effect::Flush { .. }
            | Effect::PurgeLog
            | Effect::RetainTablet { .. }
            | Effect::SendSnapshot { .. }
            | Effect::Call(_) => None,
            // Nothing of it stays.
            Effect::Send { .. } | Effect::Done { .. } | Effect::Read(_) | Effect::Answer { .. } | Effect::Publish(_) => None,
        }
    }

    fn of_files(work: &FilesWork) -> Option<Step> {
        Some(match work {
            FilesWork::Checkpoint { .. } => Step::MakeCheckpoint,
            FilesWork::DropCheckpoint { .. } => Step::DropCheckpoint,
            FilesWork::WriteFetched { .. } => Step::WriteFetched,
            FilesWork::FinishFetched { .. } => Step::FinishFetched,
            FilesWork::Build { .. } => Step::BuildTablet,
            FilesWork::Replay { .. } => Step::Replay,
            FilesWork::Seal { .. } => Step::Seal,
            FilesWork::ClearFetched => Step::ClearFetched,
            FilesWork::ReadCheckpoint { .. } | FilesWork::FindFetched | FilesWork::Digest { .. } => return None,
        })
    }

    /// What a batch writes into a log.
    pub(super) fn of_batch(batch: &LogBatch, log: &dyn LogStore) -> Vec<Step> {
        let mut steps = Vec::new();
        for ReplicaBatch { shard, drop_after, cut_before, entries, states } in &batch.replicas {
            match (drop_after, cut_before) {
                (Some(_), _) => steps.push(Step::InstallSnapshot),
                (None, Some(_)) => steps.push(Step::CutLog),
                (None, None) => {}
            }
            if !entries.is_empty() {
                steps.push(if entries.iter().any(is_change) { Step::AppendChange } else { Step::Append });
            }
            steps.extend(states.iter().map(|(state, _)| match state {
                LogState::HardState => Step::WriteHardState,
                LogState::Replica if log.shards().contains(shard) => Step::WriteReplica,
                LogState::Replica => Step::CreateReplica,
            }));
        }
        steps
    }

    /// What a request leaves in the bucket.
    pub(super) fn of_request(request: &Request, layout: &Layout) -> Option<Step> {
        let key = match request {
            // An object of several pieces is there when it is finished.
            Request::Put { key, .. } | Request::FinishUpload { key, .. } => key,
            // Nothing of these is an object.
            Request::BeginUpload { .. } | Request::PutPart { .. } | Request::AbortUpload { .. } | Request::ListUploads { .. } => {
                return None;
            }
            Request::Get { .. } | Request::Head { .. } | Request::List { .. } => return None,
            // No node asks for these.
            Request::Copy { .. } | Request::Delete { .. } => return None,
        };
        Some(match layout.parse(key).ok()? {
            Name::Owner => Step::PutOwner,
            Name::Beat(_) => Step::PutBeat,
            Name::Child(..) => Step::PutChild,
            Name::Cluster(..) => Step::PutCluster,
            Name::Log(..) => Step::PutLog,
            Name::Checkpoint(..) => Step::PutCheckpoint,
            Name::File(..) => Step::PutFile,
            // Nobody writes these yet.
            Name::Segment(..) | Name::Manifest(..) => return None,
        })
    }
}

/// The end of a process that waits for its step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doom {
    /// At which step.
    pub(super) step: Step,
    /// Whether the step is done before.
    pub(super) is_done: bool,
    /// How long the process is gone, in microseconds.
    pub(super) micros: u64,
}

impl Simulation {
    /// A node does what leaves these traces, unless its process ends just before; what follows is `None` where it ended, before or after.
    pub(super) fn step<R>(&mut self, node: usize, steps: &[Step], act: impl FnOnce(&mut Simulation) -> R) -> Option<R> {
        let doom = self.nodes[node].doom.filter(|doom| steps.contains(&doom.step));
        let Some(Doom { step, is_done, micros }) = doom else { return Some(act(self)) };
        self.nodes[node].doom = None;
        if is_done {
            act(self);
        }
        self.ends.push((step, is_done));
        self.tell(format!("node {node} ends {} it {}", if is_done { "after" } else { "before" }, step.text()));
        self.crash_for(node, micros);
        None
    }
}
