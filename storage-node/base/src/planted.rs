//! Rules that the judge breaks on purpose, to see that its checks notice.
//!
//! Each is a mistake that somebody could make: a line that was forgotten, a comparison that was thought to be superfluous. The places that can make
//! it ask [`planted`], which is `false` at compile time unless the feature `planted` is on; no program that serves can be built with it.

/// Declares the mistakes, and the names by which `make planted` calls them.
macro_rules! mistakes {
    ($($(#[doc = $text:literal])+ $mistake:ident = $name:literal,)+) => {
        /// A rule to break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mistake {
            $($(#[doc = $text])+ $mistake,)+
        }

        impl Mistake {
            /// All of them.
            pub const ALL: &[Mistake] = &[$(Mistake::$mistake,)+];

            /// What it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Mistake::$mistake => $name,)+
                }
            }
        }
    };
}

mistakes! {
    /// A write is answered when its entry was proposed, not when it was applied.
    AnswerBeforeCommit = "answer-before-commit",
    /// Messages that promise what is in the log leave before the append is durable.
    SendBeforeSync = "send-before-sync",
    /// An append of entries is not synced.
    AppendUnsynced = "append-unsynced",
    /// Term and vote are not written.
    HardStateForgotten = "hard-state-forgotten",
    /// The commands of one round share an HLC.
    OneHlcForRound = "one-hlc-for-round",
    /// A new leader goes on from its own last HLC, not from that of the log.
    HlcOfOwn = "hlc-of-own",
    /// What was evaluated and never committed is still seen after leadership was lost.
    OverlayKept = "overlay-kept",
    /// A write that a full disk refuses is done all the same.
    RefusedAndDone = "refused-and-done",
    /// A command that changed nothing is answered at once, though what it saw is not committed.
    IdleAtOnce = "idle-at-once",
    /// Commands that are answered by the index of their entry, whoever proposed what lies there.
    IndexWithoutTerm = "index-without-term",
    /// A write whose deadline has passed is said not to have happened.
    DeadlineAsRefusal = "deadline-as-refusal",
    /// A leader evaluates before it has applied an entry of its own term.
    ServeBeforeOwnTerm = "serve-before-own-term",
    /// A leader reads without asking whether it still leads.
    ReadWithoutProof = "read-without-proof",
    /// A read goes beside the queue although its connection wrote before.
    ReadPassesWrite = "read-passes-write",
    /// A write goes into the queue before reads that its connection began earlier.
    WritePassesRead = "write-passes-read",
    /// A member that pledged votes all the same.
    PledgeIgnored = "pledge-ignored",
    /// A process that starts thinks it has pledged nothing.
    PledgeForgotten = "pledge-forgotten",
    /// A lease outlives the transfer of leadership.
    LeaseInTransfer = "lease-in-transfer",
    /// Keys expire by the wall clock of the node.
    LocalClock = "local-clock",
    /// A node that has just started evaluates by its own clock.
    TimeUnheard = "time-unheard",
    /// The commit index is taken from the log alone, though the tablet is further.
    CommitBehindTablet = "commit-behind-tablet",
    /// A flush counts for what was applied when it ended, not when it began.
    FlushCountsLater = "flush-counts-later",
    /// The log is cut behind what is flushed, archived or not.
    CutBeforeArchive = "cut-before-archive",
    /// A record that cannot be read is told to be absent.
    DamageRead = "damage-read",
    /// A snapshot is installed without its last HLC.
    SnapshotWithoutHlc = "snapshot-without-hlc",
    /// The old tablets of a replica that was removed go late, and with them what came since.
    RemovalWithoutBound = "removal-without-bound",
    /// A leader that its shard removed leads on.
    RemovedLeads = "removed-leads",
    /// A replica that its shard removed stays.
    RemovedStays = "removed-stays",
    /// A change of members is obeyed whatever members it was made for.
    OrderWithoutEpoch = "order-without-epoch",
    /// A member does not answer a leader that was added after what it has applied.
    StrangersUnanswered = "strangers-unanswered",
    /// A tablet that a crash left without its record counts.
    UnrecordedTablet = "unrecorded-tablet",
    /// A member that is being restored takes a snapshot.
    SnapshotAmidRestore = "snapshot-amid-restore",
    /// An order to create a shard creates it again.
    CreatedTwice = "created-twice",
    /// The archive is promised what a leader gave it, whether it still led or not.
    PromiseWithoutProof = "promise-without-proof",
    /// A new leader takes what it has applied for archived.
    ArchivedAssumed = "archived-assumed",
    /// A checkpoint says what is applied when it is ready, not when it was made.
    CheckpointIndexLate = "checkpoint-index-late",
    /// A checkpoint is agreed on while its files are still on their way.
    DocumentBeforeFiles = "document-before-files",
    /// Parts go on to an upload that the store forgot.
    UploadTrusted = "upload-trusted",
    /// The end of an archive is where a listing ends.
    ListingBelieved = "listing-believed",
    /// A restored replica ends where its own files end.
    CutPerReplica = "cut-per-replica",
    /// A path is taken before its owner's beat was watched.
    OwnerUnwatched = "owner-unwatched",
    /// The first cluster document of a child does not name its parent.
    ParentForgotten = "parent-forgotten",
    /// A restore begins from the oldest incarnation of a path, leaf or not.
    OldestForLeaf = "oldest-for-leaf",
    /// A node obeys an order of an epoch older than one that it obeyed.
    EpochIgnored = "epoch-ignored",
    /// An operator goes on in the epoch of the one before it.
    EpochShared = "epoch-shared",
    /// A new store joins whatever life the status names, whether anybody lives in it or not.
    JoinsTheDead = "joins-the-dead",
    /// Volumes are adopted of which a minority is left.
    MinorityAdopted = "minority-adopted",
    /// A rollout restarts the next pod whatever else is down.
    RolloutUngated = "rollout-ungated",
}

#[cfg(feature = "planted")]
mod chosen {
    use super::Mistake;
    use std::cell::Cell;

    #[expect(
        clippy::disallowed_macros,
        reason = "a mistake has no owner: it is nobody's argument, and every thread of the judge plays its own"
    )]
    mod of_thread {
        use super::{Cell, Mistake};
        std::thread_local!(pub(super) static CHOSEN: Cell<Option<Mistake>> = const { Cell::new(None) });
    }

    /// Chooses the mistake that this thread makes from now on.
    pub fn plant(mistake: Option<Mistake>) {
        of_thread::CHOSEN.set(mistake);
    }

    /// Whether this thread makes the mistake.
    pub fn planted(mistake: Mistake) -> bool {
        of_thread::CHOSEN.get() == Some(mistake)
    }
}

#[cfg(feature = "planted")]
pub use chosen::{plant, planted};

/// Whether a mistake is made: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_: Mistake) -> bool {
    false
}

/// Whether mistakes can be made. Programs that serve refuse to be compiled then.
pub const CAN_PLANT: bool = cfg!(feature = "planted");
