//! Who may write below a path: read OWNER, watch the newest incarnation's BEAT where that is not enough, write the new OWNER.
//!
//! ```text
//! read OWNER ─► absent ────────────────────────────────────► initialise: write OWNER ─► read it back ─► Taken
//!           ├─► ours ───────────────────────────────────────────────────────────────────────────────► Taken
//!           ├─► same namespace, its KVCluster is gone ─────► write OWNER ─► read it back ────────────► Taken
//!           └─► another ─► watch BEAT for three periods ─┬─► stands: as above
//!                                                        └─► moves again and again: Refused, naming the owner
//! ```
//!
//! - Only an observed change counts, neither the value of a beat nor any clock's opinion of its age. The watch counts its own milliseconds,
//!   and only while reads succeed: it ends when three whole periods passed between the first read and one that is still the same. What an earlier
//!   claimant of the same cluster saw of that beat counts, too ([`Takeover::after`]): it can only shorten the watch, and never refuses.
//! - A change counts when it was read twice, since a bit may flip on the way, and begins the watch anew. It takes two of them to refuse, the last of
//!   them after two periods: a dead owner's last beats may take effect late, and nobody would ask again.
//! - An error of access is never an absence: whatever is not `NotFound` is repeated for ever, and shown.
//! - An existing OWNER never leads to initialise ([`Intent::Initialise`] is refused).
//! - The last act aborts unfinished multipart uploads of the predecessor. It is a kindness: failures of it are counted, not waited for.
//!
//! Not done here, and why: no lock. Two claimants of a free path may both believe they took it; the one whose OWNER was overwritten finds
//! out by [`super::archive`] within a beat's period, and their incarnations never share a key but OWNER.

use super::{
    Answered, Call, CallId, Place,
    calls::{Backoff, Calls},
    documents::{Document, OwnedIncarnation, Owner},
    layout::{Layout, Name},
    limits::{BEAT_PERIOD_MS, BEAT_PERIODS_WATCHED, SIGHTING_AGE_MS_MAX},
};
use crate::objects::{ErrorClass, ObjectError, Request, Response, Upload};
use bytes::Bytes;
use strata_base::{
    IncarnationId,
    planted::{Mistake, planted},
};

/// What the claimant wants to do with the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Begin with an empty cluster: only where nobody ever was.
    Initialise,
    /// Restore from what lies there, or go on where this cluster stopped.
    Continue,
}

/// Who claims a path.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The bucket.
    pub place: Place,
    /// The path within.
    pub layout: Layout,
    /// What for.
    pub intent: Intent,
    /// The OWNER to write. Its `incarnations` need only hold the new one: those of the OWNER found come before it.
    pub owner: Owner,
    /// Incarnations that an explicit restore leaves behind: they no longer count as leaves.
    pub retire: Vec<IncarnationId>,
    /// The UID of a KVCluster of the same namespace that Kubernetes, asked live, no longer has.
    pub gone: Option<String>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum TakeoverEvent {
    /// Begin, or time passed. At least every second.
    Tick,
    /// The store answered.
    Answered {
        /// Which call.
        id: CallId,
        /// What it said.
        answered: Answered,
    },
}

/// What the host must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeoverEffect {
    /// Ask the store.
    Call(Call),
    /// The path is ours: OWNER reads back as this document. Comes once.
    Taken(Owner),
    /// The path is not ours. Comes once, and nothing after it.
    Refused(Refusal),
}

/// Why a path was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its owner lives.
    #[error("{path} belongs to the living cluster {} (KVCluster {}, incarnation {}): its beat moves; choose another archive path, or delete that cluster first", owner.cluster, owner.kv_cluster_uid, owner.incarnation)]
    OwnerLives {
        /// The path.
        path: String,
        /// Whose it is.
        owner: Box<Owner>,
    },
    /// A cluster lies there, and the claim is for an empty path.
    #[error("{path} already holds cluster {} (KVCluster {}): bootstrap policy RestoreIfExists or Restore continues it, Initialise needs an empty path", owner.cluster, owner.kv_cluster_uid)]
    PathInUse {
        /// The path.
        path: String,
        /// Whose it is.
        owner: Box<Owner>,
    },
}

/// What follows from OWNER alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody ever was here, or the owner is known to be gone: write OWNER.
    Write,
    /// OWNER already says what the claim says.
    Ours,
    /// Watch the beat of this incarnation.
    Watch(IncarnationId),
    /// The claim is for an empty path, and this one is not.
    InUse,
}

/// Decides from what OWNER says; `None` where the store said that there is none.
pub fn decide(found: Option<&Owner>, claim: &Claim) -> Decision {
    let Some(found) = found else { return Decision::Write };
    let (wanted, same_cluster) = (&claim.owner, found.cluster == claim.owner.cluster);
    if same_cluster && found.incarnation == wanted.incarnation && found.kv_cluster_uid == wanted.kv_cluster_uid {
        return Decision::Ours;
    }
    if claim.intent == Intent::Initialise {
        return Decision::InUse;
    }
    let gone = found.namespace_uid == wanted.namespace_uid && claim.gone.as_ref() == Some(&found.kv_cluster_uid);
    if gone { Decision::Write } else { Decision::Watch(found.incarnation) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Owner,
    Beat,
    WriteOwner,
    ReadBack,
    ListUploads,
    Abort,
}

#[derive(Debug)]
enum State {
    Reading,
    Watching(Watch),
    Writing,
    ReadingBack,
    Sweeping,
    Done,
}

/// A beat that is being watched.
#[derive(Debug)]
struct Watch {
    incarnation: IncarnationId,
    seen: Option<Sighting>,
    /// What was read once, and differs from what was seen.
    news: Option<Option<Bytes>>,
    /// How often it moved.
    moves: u32,
    /// When this claim first read it.
    since_ms: Option<u64>,
}

/// A beat that was seen to stand, in milliseconds of the clock that the claim is stepped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whose.
    pub incarnation: IncarnationId,
    /// What it says; `None` where the store says that there is none.
    pub beat: Option<Bytes>,
    /// When that was first read.
    pub first_ms: u64,
    /// When it was last read, and still the same.
    pub last_ms: u64,
}

/// How often a beat is read while it is watched, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// How often a beat moves until its owner lives: once may be the last request of the dead.
const MOVES_OF_THE_LIVING: u32 = 2;

/// For how long a beat that still moves was watched by then, in milliseconds. Of the dead several requests may take effect late, and soon after
/// their death; only the living go on.
const LIVING_WATCHED_MS: u64 = 2 * BEAT_PERIOD_MS;

/// The take-over of a path.
#[derive(Debug)]
pub struct Takeover {
    claim: Claim,
    found: Option<Owner>,
    owner: Owner,
    state: State,
    /// What an earlier claimant saw.
    earlier: Option<Sighting>,
    calls: Calls<Ask>,
    backoff: Backoff,
    look_at_ms: u64,
    problem: Option<ObjectError>,
}

impl Takeover {
    /// A claim that nothing was done for yet; begins with the first [`TakeoverEvent::Tick`].
    pub fn new(claim: Claim) -> Takeover {
        let owner = claim.owner.clone();
        Takeover {
            claim,
            found: None,
            owner,
            state: State::Reading,
            earlier: None,
            calls: Calls::default(),
            backoff: Backoff::default(),
            look_at_ms: 0,
            problem: None,
        }
    }

    /// The claim, after what an earlier claimant of this cluster saw of the beat. It counts where the same beat still stands, and unless it is too
    /// old: whoever the path belongs to may have taken it anew since.
    #[must_use]
    pub fn after(self, earlier: Option<Sighting>) -> Takeover {
        Takeover { earlier, ..self }
    }

    /// What was seen of the beat that is watched, by this claimant or by an earlier one.
    pub fn sighting(&self) -> Option<&Sighting> {
        match &self.state {
            State::Watching(Watch { seen: Some(seen), .. }) => Some(seen),
            _ => self.earlier.as_ref(),
        }
    }

    /// What keeps it from going on, while the store fails.
    pub fn problem(&self) -> Option<&ObjectError> {
        self.problem.as_ref()
    }

    /// The owner whose beat is being watched.
    pub fn watched(&self) -> Option<&Owner> {
        if matches!(self.state, State::Watching(_)) { self.found.as_ref() } else { None }
    }

    /// Takes one event at `now_ms`, in milliseconds of a clock that never falls back.
    pub fn step(&mut self, now_ms: u64, event: TakeoverEvent) -> Vec<TakeoverEffect> {
        let mut effects = Vec::new();
        if let TakeoverEvent::Answered { id, answered } = event
            && let Some(ask) = self.calls.end(id)
        {
            match self.answered(now_ms, ask, answered, &mut effects) {
                Ok(()) => {
                    self.backoff.succeed();
                    self.problem = None;
                }
                Err(error) => {
                    self.backoff.fail(now_ms);
                    self.problem = Some(error);
                }
            }
        }
        if self.calls.len() == 0 && self.backoff.is_due(now_ms) {
            self.ask(now_ms, &mut effects);
        }
        effects
    }

    fn ask(&mut self, now_ms: u64, effects: &mut Vec<TakeoverEffect>) {
        let layout = &self.claim.layout;
        let owner_key = layout.key(Name::Owner);
        let (ask, request) = match &self.state {
            State::Reading => (Ask::Owner, Request::get(owner_key)),
            State::Watching(Watch { incarnation, .. }) if self.look_at_ms <= now_ms => {
                self.look_at_ms = now_ms + LOOK_MS;
                (Ask::Beat, Request::get(layout.key(Name::Beat(*incarnation))))
            }
            State::Writing => (Ask::WriteOwner, Request::put(owner_key, self.owner.encode())),
            State::ReadingBack => (Ask::ReadBack, Request::get(owner_key)),
            State::Sweeping => (Ask::ListUploads, Request::ListUploads { prefix: layout.prefix(), after: None }),
            State::Watching(_) | State::Done => return,
        };
        if ask == Ask::ListUploads {
            self.state = State::Done;
        }
        self.call(ask, request, effects);
    }

    fn call(&mut self, ask: Ask, request: Request, effects: &mut Vec<TakeoverEffect>) {
        let id = self.calls.begin(ask);
        effects.push(TakeoverEffect::Call(Call { id, place: self.claim.place.clone(), request }));
    }

    fn answered(&mut self, now_ms: u64, ask: Ask, answered: Answered, effects: &mut Vec<TakeoverEffect>) -> Result<(), ObjectError> {
        match ask {
            Ask::Owner => {
                let found = present(answered)?.map(|bytes| self.owner_of(&bytes)).transpose()?;
                self.decide(found, effects);
            }
            Ask::Beat => self.look(now_ms, present(answered)?, effects),
            Ask::WriteOwner => {
                answered?;
                self.state = State::ReadingBack;
            }
            Ask::ReadBack => {
                let found = present(answered)?.map(|bytes| self.owner_of(&bytes)).transpose()?;
                if found.as_ref() == Some(&self.owner) {
                    self.take(effects);
                } else {
                    // Somebody else wrote in between, or the store has not kept it: decide again from what is there.
                    self.decide(found, effects);
                }
            }
            Ask::ListUploads => {
                if let Ok(Response::Uploads { uploads, .. }) = answered {
                    for Upload { key, upload } in uploads {
                        self.call(Ask::Abort, Request::AbortUpload { key, upload }, effects);
                    }
                }
            }
            Ask::Abort => {}
        }
        Ok(())
    }

    fn owner_of(&self, bytes: &[u8]) -> Result<Owner, ObjectError> {
        Owner::decode(bytes).map_err(|error| ObjectError::damaged(&self.claim.layout.key(Name::Owner), error))
    }

    fn decide(&mut self, found: Option<Owner>, effects: &mut Vec<TakeoverEffect>) {
        let path = self.claim.layout.path().to_owned();
        match (decide(found.as_ref(), &self.claim), found) {
            (Decision::Write, found) => self.write(found),
            (Decision::Ours, found) => {
                self.owner = found.unwrap_or_else(|| self.owner.clone());
                self.take(effects);
            }
            (Decision::Watch(incarnation), found) => {
                self.found = found;
                self.state = State::Watching(Watch { incarnation, seen: None, news: None, moves: 0, since_ms: None });
            }
            (Decision::InUse, found) => {
                let owner = Box::new(found.unwrap_or_else(|| self.owner.clone()));
                self.state = State::Done;
                effects.push(TakeoverEffect::Refused(Refusal::PathInUse { path, owner }));
            }
        }
    }

    fn look(&mut self, now_ms: u64, beat: Option<Bytes>, effects: &mut Vec<TakeoverEffect>) {
        let State::Watching(watch) = &mut self.state else { return };
        let first = Sighting { incarnation: watch.incarnation, beat: beat.clone(), first_ms: now_ms, last_ms: now_ms };
        let stands = |earlier: &Sighting| {
            (earlier.incarnation, &earlier.beat) == (first.incarnation, &beat)
                && now_ms.saturating_sub(earlier.last_ms) <= SIGHTING_AGE_MS_MAX
        };
        let earlier = self.earlier.take().filter(stands);
        let since_ms = *watch.since_ms.get_or_insert(now_ms);
        let seen = watch.seen.get_or_insert_with(|| earlier.unwrap_or_else(|| first.clone()));
        if seen.beat == beat {
            (seen.last_ms, watch.news) = (now_ms, None);
            let has_stood = now_ms.saturating_sub(seen.first_ms) >= BEAT_PERIOD_MS * BEAT_PERIODS_WATCHED;
            if has_stood || planted(Mistake::OwnerUnwatched) {
                let found = self.found.take();
                self.write(found);
            }
        } else if watch.news.as_ref() == Some(&beat) {
            (*seen, watch.news) = (first, None);
            watch.moves += 1;
            if watch.moves >= MOVES_OF_THE_LIVING && now_ms.saturating_sub(since_ms) >= LIVING_WATCHED_MS {
                let path = self.claim.layout.path().to_owned();
                let owner = Box::new(self.found.clone().unwrap_or_else(|| self.owner.clone()));
                self.state = State::Done;
                effects.push(TakeoverEffect::Refused(Refusal::OwnerLives { path, owner }));
            }
        } else {
            // Read again at once.
            (watch.news, self.look_at_ms) = (Some(beat), now_ms);
        }
    }

    /// The new OWNER keeps what the old one knew of the past.
    fn write(&mut self, found: Option<Owner>) {
        let new = self.claim.owner.incarnations.clone();
        let is_new = |old: &OwnedIncarnation| new.iter().any(|new| new.id == old.id);
        let mut incarnations: Vec<OwnedIncarnation> =
            found.into_iter().flat_map(|found| found.incarnations).filter(|old| !is_new(old)).collect();
        for old in &mut incarnations {
            old.retired |= self.claim.retire.contains(&old.id);
        }
        incarnations.extend(new);
        self.owner.incarnations = incarnations;
        self.state = State::Writing;
    }

    fn take(&mut self, effects: &mut Vec<TakeoverEffect>) {
        self.state = State::Sweeping;
        effects.push(TakeoverEffect::Taken(self.owner.clone()));
    }
}

/// The bytes of an object, or that there is none. Every other failure stays one.
fn present(answered: Answered) -> Result<Option<Bytes>, ObjectError> {
    match answered {
        Ok(Response::Bytes { bytes, .. }) => Ok(Some(bytes)),
        Ok(other) => Err(ObjectError::new(ErrorClass::Internal, format!("not an answer to a read: {other:?}"))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
