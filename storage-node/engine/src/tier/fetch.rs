//! The fetch machine: brings to a node what a plan needs of the shards that the node shall hold.
//!
//! ```text
//! files  GET parts ─► Write{file, offset} ─► all parts match the checksum ─► Finish{file} ─► FilesReady{shard}
//! log    GET run ───► decode ─► in the order of indexes ─► Apply{shard, entries} ─► Applied ─► ShardReady{shard}
//! ```
//!
//! - Finished files are not fetched twice: the host keeps them under the ids of their objects, which are never used again, and says at the
//!   start which it has. A file counts as finished when [`FetchEffect::FinishFile`] was carried out, whole and synced.
//! - Nothing is shown before all is there: a shard is ready when its last entry is applied, and what to do with it is the host's business.
//! - A damaged or missing object ends the fetch with its key ([`FetchEffect::Failed`]), after it was read again a few times. Every other
//!   failure of the store is repeated for ever, and shown.
//! - Memory is bounded: requests, parts that are being written and runs that wait for their turn share one budget.
//!
//! Not done here, and why: no files and no tablets: the host writes, links and applies.

mod file;

use super::{
    Answered, Call, CallId, Entry, Place,
    calls::{Backoff, Calls},
    documents::FileDocument,
    layout::{Name, ObjectId},
    limits::{DAMAGED_READS_MAX, FETCH_BYTES_MAX},
    log_object,
    restore::{Plan, ShardPlan, Step},
};
use crate::objects::{ErrorClass, ObjectError, Range, Request, Response};
use bytes::Bytes;
use file::FileFetch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use strata_base::ShardId;

/// What happened.
#[derive(Clone, Debug)]
pub enum FetchEvent {
    /// Begin, or time passed. At least every 100 ms while a request failed.
    Tick,
    /// The store answered.
    Answered {
        /// Which call.
        id: CallId,
        /// What it said.
        answered: Answered,
    },
    /// [`FetchEffect::WriteFile`] is done.
    Written {
        /// Which file.
        object: ObjectId,
        /// From where.
        offset: u64,
    },
    /// [`FetchEffect::FinishFile`] is done.
    Finished {
        /// Which file.
        object: ObjectId,
    },
    /// [`FetchEffect::Apply`] is done.
    Applied {
        /// Which shard.
        shard: ShardId,
        /// Up to which index.
        index: u64,
    },
}

/// What the host must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEffect {
    /// Ask the store.
    Call(Call),
    /// Write bytes of a file that is not finished; parts come in any order.
    WriteFile {
        /// Which file.
        object: ObjectId,
        /// From where.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// All bytes of the file are written and match its checksum: sync it and give it the name of a finished one.
    FinishFile {
        /// Which file.
        object: ObjectId,
    },
    /// All files of the shard's base are finished: make a tablet of them, under the names of the document. Comes once for each shard, for
    /// one without a base too, and before its first [`FetchEffect::Apply`].
    FilesReady {
        /// Which shard, as the parent names it.
        shard: ShardId,
        /// The files; none for a shard that begins empty.
        files: Vec<FileDocument>,
    },
    /// Apply these entries in order and answer with [`FetchEvent::Applied`]. One at a time for each shard.
    Apply {
        /// Which shard, as the parent names it.
        shard: ShardId,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// The shard has reached its cut. Comes once for each shard.
    ShardReady {
        /// Which shard, as the parent names it.
        shard: ShardId,
    },
    /// An object is damaged or missing. Comes once, and nothing after it; after repair, begin anew.
    Failed {
        /// Its key.
        key: String,
        /// What is wrong.
        error: ObjectError,
    },
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes written or applied, those found at the start included.
    pub done_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
}

impl Progress {
    /// In percent, 100 only when all is done.
    pub fn percent(&self) -> u8 {
        if self.done_bytes >= self.total_bytes { 100 } else { (self.done_bytes as u128 * 100 / self.total_bytes as u128) as u8 }
    }
}

#[derive(Clone, Debug)]
enum Ask {
    Part { object: ObjectId, offset: u64, length: u64 },
    Run { shard: ShardId, step: usize },
}

#[derive(Debug)]
struct ShardFetch {
    plan: ShardPlan,
    /// Files that are not finished.
    unfinished: BTreeSet<ObjectId>,
    opened: bool,
    /// Runs that wait for their turn.
    fetched: BTreeMap<usize, Vec<Entry>>,
    next_apply: usize,
    applying: bool,
    ready: bool,
}

/// The fetch of some shards of a plan.
#[derive(Debug)]
pub struct Fetch {
    shards: BTreeMap<ShardId, ShardFetch>,
    files: BTreeMap<ObjectId, FileFetch>,
    queue: VecDeque<Ask>,
    calls: Calls<Ask>,
    backoff: Backoff,
    /// Bytes asked for, being written, or waiting for their turn.
    held_bytes: u64,
    /// How often a part was read in vain, by key and offset, and a whole file.
    reads: BTreeMap<(String, Option<u64>), u32>,
    part_bytes: u64,
    progress: Progress,
    problem: Option<ObjectError>,
    failed: bool,
}

impl Fetch {
    /// A fetch of `wanted` shards of a plan; begins with the first [`FetchEvent::Tick`]. `finished` names the files the node already has. Files are
    /// read in parts of `part_bytes`: [`super::limits::PART_BYTES`], but in a simulation.
    pub fn new(plan: &Plan, wanted: &BTreeSet<ShardId>, finished: &BTreeSet<ObjectId>, part_bytes: u64) -> Fetch {
        let mut fetch = Fetch {
            shards: BTreeMap::new(),
            files: BTreeMap::new(),
            queue: VecDeque::new(),
            calls: Calls::default(),
            backoff: Backoff::default(),
            held_bytes: 0,
            reads: BTreeMap::new(),
            part_bytes,
            progress: Progress::default(),
            problem: None,
            failed: false,
        };
        for shard in plan.shards.iter().filter(|shard| wanted.contains(&shard.shard)) {
            fetch.add(shard, finished);
        }
        fetch
    }

    fn add(&mut self, plan: &ShardPlan, finished: &BTreeSet<ObjectId>) {
        let mut unfinished = BTreeSet::new();
        for (at, file) in plan.base.iter().flat_map(|(at, document)| document.files.iter().map(move |file| (at, file))) {
            self.progress.total_bytes += file.size;
            if finished.contains(&file.object) {
                self.progress.done_bytes += file.size;
                continue;
            }
            unfinished.insert(file.object);
            self.queue.extend(parts(file, self.part_bytes).map(|(offset, length)| Ask::Part { object: file.object, offset, length }));
            let key = at.path.key(Name::File(at.incarnation, file.object, file.kind()));
            self.files.insert(file.object, FileFetch::new(at.place.clone(), key, file.clone(), plan.shard));
        }
        for (step, number) in plan.steps.iter().zip(0..) {
            self.progress.total_bytes += step.run.length;
            self.queue.push_back(Ask::Run { shard: plan.shard, step: number });
        }
        let shard = ShardFetch {
            plan: plan.clone(),
            unfinished,
            opened: false,
            fetched: BTreeMap::new(),
            next_apply: 0,
            applying: false,
            ready: false,
        };
        self.shards.insert(plan.shard, shard);
    }

    /// What keeps it from going on, while the store fails.
    pub fn problem(&self) -> Option<&ObjectError> {
        self.problem.as_ref()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes one event at `now_ms`, in milliseconds of a clock that never falls back.
    pub fn step(&mut self, now_ms: u64, event: FetchEvent) -> Vec<FetchEffect> {
        let mut effects = Vec::new();
        match event {
            FetchEvent::Tick => {}
            FetchEvent::Answered { id, answered } => {
                if let Some(ask) = self.calls.end(id) {
                    self.answered(now_ms, ask, answered, &mut effects);
                }
            }
            FetchEvent::Written { object, offset } => self.written(object, offset, &mut effects),
            FetchEvent::Finished { object } => {
                if let Some(file) = self.files.remove(&object)
                    && let Some(shard) = self.shards.get_mut(&file.shard)
                {
                    shard.unfinished.remove(&object);
                }
            }
            FetchEvent::Applied { shard, index } => self.applied(shard, index),
        }
        if self.failed {
            effects.retain(|effect| matches!(effect, FetchEffect::Failed { .. }));
            return effects;
        }
        self.advance(now_ms, &mut effects);
        effects
    }

    fn advance(&mut self, now_ms: u64, effects: &mut Vec<FetchEffect>) {
        for (id, shard) in &mut self.shards {
            shard.advance(*id, effects);
        }
        while self.backoff.is_due(now_ms)
            && let Some(ask) = self.take_next()
        {
            self.held_bytes += self.length(&ask);
            let (place, key, range) = self.request(&ask);
            let id = self.calls.begin(ask);
            effects.push(FetchEffect::Call(Call { id, place, request: Request::Get { key, range } }));
        }
    }

    /// The next request that fits into the budget. Where nothing is under way, runs may wait for one that comes later in the queue: then
    /// what a shard needs next goes first, whatever is held.
    fn take_next(&mut self) -> Option<Ask> {
        let fits = self.queue.front().is_some_and(|ask| self.held_bytes + self.length(ask) <= FETCH_BYTES_MAX);
        if fits {
            return self.queue.pop_front();
        }
        let busy =
            self.calls.len() > 0 || self.shards.values().any(|shard| shard.applying) || self.files.values().any(FileFetch::is_writing);
        if busy {
            return None;
        }
        let is_next = |ask: &Ask| match ask {
            Ask::Part { .. } => true,
            Ask::Run { shard, step } => self.shards.get(shard).is_some_and(|shard| shard.next_apply == *step),
        };
        let place = self.queue.iter().position(is_next)?;
        self.queue.remove(place)
    }

    fn step_of(&self, shard: ShardId, step: usize) -> &Step {
        &self.shards[&shard].plan.steps[step]
    }

    fn length(&self, ask: &Ask) -> u64 {
        match ask {
            Ask::Part { length, .. } => *length,
            Ask::Run { shard, step } => self.step_of(*shard, *step).run.length,
        }
    }

    fn request(&self, ask: &Ask) -> (Place, String, Range) {
        match ask {
            Ask::Part { object, offset, length } => {
                let file = &self.files[object];
                let range = if file.document.size == 0 { Range::All } else { Range::From { offset: *offset, length: *length } };
                (file.place.clone(), file.key.clone(), range)
            }
            Ask::Run { shard, step } => {
                let step = self.step_of(*shard, *step);
                (step.place.at.place.clone(), step.place.key(), Range::From { offset: step.run.offset, length: step.run.length })
            }
        }
    }

    fn answered(&mut self, now_ms: u64, ask: Ask, answered: Answered, effects: &mut Vec<FetchEffect>) {
        let (_, key, range) = self.request(&ask);
        let length = self.length(&ask);
        let result = match answered {
            Ok(Response::Bytes { bytes, .. }) => self.got(&ask, &key, bytes, effects),
            Ok(_) => Err(ObjectError::new(ErrorClass::Internal, format!("{key}: not an answer to a read"))),
            Err(error) => Err(error),
        };
        let Err(error) = result else {
            self.backoff.succeed();
            self.problem = None;
            return;
        };
        self.held_bytes -= length;
        let from = if let Range::From { offset, .. } = range { offset } else { 0 };
        let reads = self.reads.entry((key.clone(), Some(from))).or_default();
        let hopeless = match error.class {
            ErrorClass::NotFound => true,
            ErrorClass::Damaged => {
                *reads += 1;
                *reads >= DAMAGED_READS_MAX
            }
            _ => false,
        };
        if hopeless {
            self.fail(key, error, effects);
        } else {
            self.backoff.fail(now_ms);
            self.problem = Some(error);
            self.queue.push_front(ask);
        }
    }

    fn fail(&mut self, key: String, error: ObjectError, effects: &mut Vec<FetchEffect>) {
        if !self.failed {
            self.failed = true;
            self.problem = Some(error.clone());
            effects.push(FetchEffect::Failed { key, error });
        }
    }

    fn got(&mut self, ask: &Ask, key: &str, bytes: Bytes, effects: &mut Vec<FetchEffect>) -> Result<(), ObjectError> {
        match ask {
            Ask::Part { object, offset, length } => {
                if bytes.len() as u64 != *length {
                    return Err(ObjectError::damaged(key, format_args!("{} bytes from {offset} instead of {length}", bytes.len())));
                }
                if let Some(file) = self.files.get_mut(object) {
                    file.got(*offset, &bytes);
                    effects.push(FetchEffect::WriteFile { object: *object, offset: *offset, bytes });
                }
                Ok(())
            }
            Ask::Run { shard, step } => {
                let wanted = self.step_of(*shard, *step).clone();
                let entries = log_object::decode_run(&wanted.run, bytes).map_err(|error| ObjectError::damaged(key, error))?;
                let entries = entries.into_iter().filter(|entry| (wanted.from..=wanted.to).contains(&entry.index)).collect();
                if let Some(shard) = self.shards.get_mut(shard) {
                    shard.fetched.insert(*step, entries);
                }
                Ok(())
            }
        }
    }

    fn written(&mut self, object: ObjectId, offset: u64, effects: &mut Vec<FetchEffect>) {
        let Some(file) = self.files.get_mut(&object) else { return };
        let Some(length) = file.written(offset) else { return };
        self.held_bytes -= length;
        self.progress.done_bytes += length;
        if !file.is_complete() {
            return;
        }
        if file.matches() {
            effects.push(FetchEffect::FinishFile { object });
            return;
        }
        // Bytes may have flipped on the way: the whole file is read again before it is called damaged.
        let (key, document) = (file.key.clone(), file.document.clone());
        file.forget();
        self.progress.done_bytes -= document.size;
        let reads = self.reads.entry((key.clone(), None)).or_default();
        *reads += 1;
        if *reads >= DAMAGED_READS_MAX {
            let error = ObjectError::damaged(&key, "its bytes do not match the checksum in the checkpoint's document");
            self.fail(key, error, effects);
        } else {
            self.queue.extend(parts(&document, self.part_bytes).map(|(offset, length)| Ask::Part { object, offset, length }));
        }
    }

    fn applied(&mut self, id: ShardId, index: u64) {
        let Some(shard) = self.shards.get_mut(&id).filter(|shard| shard.applying) else { return };
        let step = &shard.plan.steps[shard.next_apply];
        if index < step.to {
            return;
        }
        shard.applying = false;
        shard.next_apply += 1;
        self.held_bytes -= step.run.length;
        self.progress.done_bytes += step.run.length;
    }
}

impl ShardFetch {
    fn advance(&mut self, id: ShardId, effects: &mut Vec<FetchEffect>) {
        if !self.opened && self.unfinished.is_empty() {
            self.opened = true;
            let files = self.plan.base.as_ref().map_or(Vec::new(), |(_, document)| document.files.clone());
            effects.push(FetchEffect::FilesReady { shard: id, files });
        }
        if !self.opened || self.applying || self.ready {
            return;
        }
        if self.next_apply == self.plan.steps.len() {
            self.ready = true;
            effects.push(FetchEffect::ShardReady { shard: id });
        } else if let Some(entries) = self.fetched.remove(&self.next_apply) {
            self.applying = true;
            effects.push(FetchEffect::Apply { shard: id, entries });
        }
    }
}

/// The parts in which a file is fetched, as (offset, length); one of no bytes for an empty file.
fn parts(file: &FileDocument, part_bytes: u64) -> impl Iterator<Item = (u64, u64)> + use<> {
    let size = file.size;
    (0..size.div_ceil(part_bytes).max(1)).map(move |part| (part * part_bytes, part_bytes.min(size - part * part_bytes)))
}

#[cfg(test)]
mod tests;
