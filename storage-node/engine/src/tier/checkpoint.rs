//! The checkpoint machine: uploads the files of a tablet that the bucket does not have, then the document that makes them count.
//!
//! ```text
//! Begin{files} ─► which are new ─► read a part ─► PUT, or parts of an upload ─► all there ─► Propose{number, digest}
//!                                                                                              │ the shard's log
//!                 Written ◄─ reads back ◄─ PUT ckpt/<shard>/<n>.json, exactly those bytes ◄─ Agreed
//! ```
//!
//! - Incremental: a file that the previous document names, of the same source, name, size and checksum, is not uploaded again.
//! - The document is written last. Number and bytes are first agreed by an entry of the shard, and exactly those are uploaded;
//!   whoever leads on may upload them again ([`Checkpoint::resume`]).
//! - The names of new files are drawn: they follow from a random number given for this attempt, and are never used again. An attempt that
//!   was given up leaves files that nothing names.
//!
//! Not done here, and why: no links and no reads. The host makes the checkpoint on disk, keeps it until [`CheckpointEffect::Written`], and
//! reads parts of files when asked.

use super::{
    Answered, Call, CallId, Cut, Place,
    calls::{Backoff, Calls},
    documents::{CheckpointDocument, Digest, Document, FileDocument},
    layout::{FileKind, Layout, Name, ObjectId},
    limits::CHECKPOINT_PARTS_MAX,
};
use crate::objects::{ErrorClass, ObjectError, Part, Request, Response};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};
use strata_base::{
    IncarnationId, ShardId,
    planted::{Mistake, planted},
};

/// What is to be checkpointed.
#[derive(Clone, Debug)]
pub struct CheckpointRequest {
    /// The bucket.
    pub place: Place,
    /// The path within.
    pub layout: Layout,
    /// The incarnation.
    pub incarnation: IncarnationId,
    /// The shard.
    pub shard: ShardId,
    /// The number of the document: one more than the last agreed one, or 0.
    pub number: u64,
    /// What the tablet had applied when it was linked.
    pub at: Cut,
    /// Which tablet it is: another text after every snapshot installed, and on every store.
    pub source: String,
    /// All files of the checkpoint on disk, in any order.
    pub files: Vec<LocalFile>,
    /// The last agreed document of the shard in this incarnation.
    pub previous: Option<CheckpointDocument>,
    /// A random number of this attempt.
    pub nonce: u128,
    /// The size of a part of an upload, in bytes: a longer file is uploaded in several. [`super::limits::PART_BYTES`], but in a simulation.
    pub part_bytes: u64,
}

/// A file of a checkpoint on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Its name in the folder.
    pub name: String,
    /// Its size in bytes, at most [`super::limits::FILE_BYTES_MAX`].
    pub size: u64,
    /// CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum CheckpointEvent {
    /// Begin, or time passed. At least every 100 ms while a request failed.
    Tick,
    /// The answer to [`CheckpointEffect::ReadFile`]; fewer bytes than asked for end the attempt.
    FileRead {
        /// Which file.
        name: String,
        /// From where.
        offset: u64,
        /// The bytes, or what the disk said.
        bytes: Result<Bytes, String>,
    },
    /// The answer to [`CheckpointEffect::Propose`]: the entry was applied.
    Agreed,
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
pub enum CheckpointEffect {
    /// Ask the store.
    Call(Call),
    /// Read `length` bytes of a file of the checkpoint and answer with [`CheckpointEvent::FileRead`].
    ReadFile {
        /// Which file.
        name: String,
        /// From where.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Agree on this document by an entry of the shard, which keeps the bytes for [`Checkpoint::resume`].
    Propose {
        /// The document's number.
        number: u64,
        /// The digest of its bytes.
        digest: Digest,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The document reads back from the bucket: the checkpoint counts. Comes once, last.
    Written(CheckpointDocument),
    /// The attempt is over: the files on disk are not what was said. Comes once, last; begin anew with another nonce.
    Failed(String),
}

#[derive(Clone, Debug)]
enum Ask {
    Begin(usize),
    Part(usize, u32),
    Finish(usize),
    Whole(usize),
    Document,
    ReadBack,
}

#[derive(Debug)]
struct FileUpload {
    local: LocalFile,
    key: String,
    part_bytes: u64,
    /// The upload in several parts that is under way.
    upload: Option<String>,
    parts: BTreeMap<u32, Part>,
    /// CRC-32 of each part as read, so that what is uploaded is what was said.
    read: BTreeMap<u32, crc32fast::Hasher>,
    done: bool,
}

/// Work that can be handed out, and handed out again after a failure.
#[derive(Clone, Debug)]
enum Work {
    Begin(usize),
    Read(usize, u32),
    Put(usize, u32, Bytes),
    Finish(usize),
    Document,
    ReadBack,
}

/// The checkpoint of one shard.
#[derive(Debug)]
pub struct Checkpoint {
    place: Place,
    document: CheckpointDocument,
    key: String,
    bytes: Bytes,
    files: Vec<FileUpload>,
    work: VecDeque<Work>,
    reading: BTreeMap<(String, u64), (usize, u32)>,
    calls: Calls<Ask>,
    backoff: Backoff,
    proposed: bool,
    ended: bool,
    problem: Option<ObjectError>,
    uploaded_bytes: u64,
}

impl Checkpoint {
    /// Compares files with the previous document; begins with the first [`CheckpointEvent::Tick`].
    pub fn new(request: CheckpointRequest) -> Checkpoint {
        let CheckpointRequest { place, layout, incarnation, shard, number, at, source, mut files, previous, nonce, part_bytes } = request;
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let previous = previous.filter(|previous| previous.source == source && previous.incarnation == incarnation);
        let known: BTreeMap<&str, &FileDocument> =
            previous.iter().flat_map(|previous| &previous.files).map(|file| (file.name.as_str(), file)).collect();
        let mut documents = Vec::new();
        let mut uploads = Vec::new();
        for (local, ordinal) in files.into_iter().zip(0_u64..) {
            let same = known.get(local.name.as_str()).filter(|file| (file.size, file.crc32) == (local.size, local.crc32));
            let object = same.map_or_else(|| draw_id(nonce, ordinal), |file| file.object);
            documents.push(FileDocument { name: local.name.clone(), object, size: local.size, crc32: local.crc32 });
            if same.is_none() {
                let key = layout.key(Name::File(incarnation, object, FileKind::of(&local.name)));
                uploads.push(FileUpload {
                    local,
                    key,
                    part_bytes,
                    upload: None,
                    parts: BTreeMap::new(),
                    read: BTreeMap::new(),
                    done: false,
                });
            }
        }
        let document = CheckpointDocument { incarnation, shard, number, at, source, files: documents, manifest: None };
        let mut checkpoint = Checkpoint::of_document(place, &layout, document);
        let first = |(file, upload): (usize, &FileUpload)| if upload.is_in_parts() { Work::Begin(file) } else { Work::Read(file, 1) };
        checkpoint.work = uploads.iter().enumerate().map(first).collect();
        checkpoint.files = uploads;
        checkpoint
    }

    /// Goes on with an agreed document whose files were all uploaded before it was proposed: only the document is still to be written.
    pub fn resume(place: Place, layout: &Layout, document: CheckpointDocument) -> Checkpoint {
        let mut checkpoint = Checkpoint::of_document(place, layout, document);
        checkpoint.proposed = true;
        checkpoint.work.push_back(Work::Document);
        checkpoint
    }

    fn of_document(place: Place, layout: &Layout, document: CheckpointDocument) -> Checkpoint {
        Checkpoint {
            place,
            key: layout.key(Name::Checkpoint(document.incarnation, document.shard, document.number)),
            bytes: document.encode(),
            document,
            files: Vec::new(),
            work: VecDeque::new(),
            reading: BTreeMap::new(),
            calls: Calls::default(),
            backoff: Backoff::default(),
            proposed: false,
            ended: false,
            problem: None,
            uploaded_bytes: 0,
        }
    }

    /// What keeps it from going on, while the store fails.
    pub fn problem(&self) -> Option<&ObjectError> {
        self.problem.as_ref()
    }

    /// How many bytes of files it uploaded, and how many it has to upload in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.uploaded_bytes, self.files.iter().map(|file| file.local.size).sum())
    }

    /// Takes one event at `now_ms`, in milliseconds of a clock that never falls back.
    pub fn step(&mut self, now_ms: u64, event: CheckpointEvent) -> Vec<CheckpointEffect> {
        let mut effects = Vec::new();
        match event {
            CheckpointEvent::Tick => {}
            CheckpointEvent::Agreed if self.proposed => {
                // Repeated after a change of leaders, it changes nothing.
                if self.calls.len() == 0 && self.work.is_empty() {
                    self.work.push_back(Work::Document);
                }
            }
            CheckpointEvent::Agreed => {}
            CheckpointEvent::FileRead { name, offset, bytes } => self.file_read(name, offset, bytes, &mut effects),
            CheckpointEvent::Answered { id, answered } => {
                if let Some(ask) = self.calls.end(id) {
                    match self.answered(ask, answered, &mut effects) {
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
            }
        }
        if !self.ended {
            self.advance(now_ms, &mut effects);
        }
        effects
    }

    fn advance(&mut self, now_ms: u64, effects: &mut Vec<CheckpointEffect>) {
        while self.calls.len() + self.reading.len() < CHECKPOINT_PARTS_MAX
            && self.backoff.is_due(now_ms)
            && let Some(work) = self.work.pop_front()
        {
            self.hand_out(work, effects);
        }
        if !self.proposed && (planted(Mistake::DocumentBeforeFiles) || self.files.iter().all(|file| file.done)) {
            self.proposed = true;
            let (number, bytes) = (self.document.number, self.bytes.clone());
            effects.push(CheckpointEffect::Propose { number, digest: Digest::of(&bytes), bytes });
        }
    }

    fn hand_out(&mut self, work: Work, effects: &mut Vec<CheckpointEffect>) {
        let key = |file: usize| self.files[file].key.clone();
        let upload = |file: usize| self.files[file].upload.clone().expect("parts are put after the upload began");
        let (ask, request) = match work {
            Work::Begin(file) => (Ask::Begin(file), Request::BeginUpload { key: key(file) }),
            Work::Read(file, number) => {
                let FileUpload { local, part_bytes, .. } = &self.files[file];
                let (name, offset) = (local.name.clone(), u64::from(number - 1) * part_bytes);
                let length = self.files[file].length_from(offset);
                self.reading.insert((name.clone(), offset), (file, number));
                effects.push(CheckpointEffect::ReadFile { name, offset, length });
                return;
            }
            Work::Put(file, _, bytes) if !self.files[file].is_in_parts() => (Ask::Whole(file), Request::put(key(file), bytes)),
            Work::Put(file, number, bytes) => {
                let crc32 = crc32fast::hash(&bytes);
                (Ask::Part(file, number), Request::PutPart { key: key(file), upload: upload(file), number, bytes, crc32 })
            }
            Work::Finish(file) => {
                let parts = self.files[file].parts.values().cloned().collect();
                (Ask::Finish(file), Request::FinishUpload { key: key(file), upload: upload(file), parts })
            }
            Work::Document => (Ask::Document, Request::put(self.key.clone(), self.bytes.clone())),
            Work::ReadBack => (Ask::ReadBack, Request::get(self.key.clone())),
        };
        let id = self.calls.begin(ask);
        effects.push(CheckpointEffect::Call(Call { id, place: self.place.clone(), request }));
    }

    fn file_read(&mut self, name: String, offset: u64, bytes: Result<Bytes, String>, effects: &mut Vec<CheckpointEffect>) {
        let Some((file, number)) = self.reading.remove(&(name.clone(), offset)) else { return };
        let upload = &mut self.files[file];
        let expected = upload.length_from(offset);
        let bytes = match bytes {
            Ok(bytes) if bytes.len() as u64 == expected => bytes,
            Ok(bytes) => return self.fail(format!("{name} has {} bytes from {offset}, not {expected}", bytes.len()), effects),
            Err(message) => return self.fail(format!("cannot read {name}: {message}"), effects),
        };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes);
        upload.read.insert(number, hasher);
        if upload.read.len() as u64 == upload.part_count() && upload.crc32() != upload.local.crc32 {
            return self.fail(format!("{name} does not match its checksum: the disk may be failing"), effects);
        }
        self.work.push_front(Work::Put(file, number, bytes));
    }

    fn fail(&mut self, message: String, effects: &mut Vec<CheckpointEffect>) {
        if !self.ended {
            self.ended = true;
            self.work.clear();
            effects.push(CheckpointEffect::Failed(message));
        }
    }

    fn answered(&mut self, ask: Ask, answered: Answered, effects: &mut Vec<CheckpointEffect>) -> Result<(), ObjectError> {
        if self.ended {
            return Ok(());
        }
        let error = match (ask.clone(), answered) {
            (Ask::Begin(file), Ok(Response::UploadBegun { upload })) => {
                let state = &mut self.files[file];
                state.upload = Some(upload);
                (1..=state.part_count() as u32).rev().for_each(|number| self.work.push_front(Work::Read(file, number)));
                return Ok(());
            }
            (Ask::Part(file, number), Ok(Response::PartPut { part })) => {
                let state = &mut self.files[file];
                state.parts.insert(number, part);
                if state.parts.len() as u64 == state.part_count() {
                    self.work.push_front(Work::Finish(file));
                }
                return Ok(());
            }
            (Ask::Finish(file) | Ask::Whole(file), Ok(_)) => {
                self.files[file].done = true;
                self.uploaded_bytes += self.files[file].local.size;
                return Ok(());
            }
            (Ask::Document, Ok(_)) => {
                self.work.push_back(Work::ReadBack);
                return Ok(());
            }
            (Ask::ReadBack, Ok(Response::Bytes { bytes, .. })) if bytes == self.bytes => {
                self.ended = true;
                effects.push(CheckpointEffect::Written(self.document.clone()));
                return Ok(());
            }
            (_, Ok(other)) => {
                ObjectError::new(ErrorClass::Internal, format!("{}: an unexpected answer of {} bytes", self.key, other.size()))
            }
            (_, Err(error)) => error,
        };
        self.again(ask, error.is_not_found());
        Err(error)
    }

    /// What failed is done again, from the disk: parts are not kept in memory while the store is down.
    fn again(&mut self, ask: Ask, is_not_found: bool) {
        match ask {
            Ask::Begin(file) => self.work.push_back(Work::Begin(file)),
            Ask::Part(file, _) if is_not_found && !planted(Mistake::UploadTrusted) => self.upload_anew(file),
            Ask::Part(file, number) => self.work.push_back(Work::Read(file, number)),
            Ask::Whole(file) => self.work.push_back(Work::Read(file, 1)),
            // It may have happened, too: a new upload of the same bytes under the same name is right in both cases.
            Ask::Finish(file) => self.upload_anew(file),
            Ask::Document | Ask::ReadBack => self.work.push_back(Work::Document),
        }
    }
}

impl Checkpoint {
    /// Begins the upload of a file anew: the store forgot the one under way. Whoever takes over the path aborts all that are unfinished, and a
    /// rule of the bucket may, too. What is still to come of the old one is not waited for.
    fn upload_anew(&mut self, file: usize) {
        self.work.retain(|work| work.file() != Some(file));
        self.reading.retain(|_, (of, _)| *of != file);
        self.calls.retain(|ask| ask.file() != Some(file));
        let state = &mut self.files[file];
        (state.upload, state.parts, state.read) = (None, BTreeMap::new(), BTreeMap::new());
        self.work.push_back(Work::Begin(file));
    }
}

impl Ask {
    fn file(&self) -> Option<usize> {
        match self {
            Ask::Begin(file) | Ask::Part(file, _) | Ask::Finish(file) | Ask::Whole(file) => Some(*file),
            Ask::Document | Ask::ReadBack => None,
        }
    }
}

impl Work {
    fn file(&self) -> Option<usize> {
        match self {
            Work::Begin(file) | Work::Read(file, _) | Work::Put(file, ..) | Work::Finish(file) => Some(*file),
            Work::Document | Work::ReadBack => None,
        }
    }
}

impl FileUpload {
    fn part_count(&self) -> u64 {
        self.local.size.div_ceil(self.part_bytes).max(1)
    }

    fn is_in_parts(&self) -> bool {
        self.part_count() > 1
    }

    /// How long the part from an offset on is, in bytes.
    fn length_from(&self, offset: u64) -> u64 {
        self.part_bytes.min(self.local.size - offset)
    }

    fn crc32(&self) -> u32 {
        let mut whole = crc32fast::Hasher::new();
        self.read.values().for_each(|part| whole.combine(part));
        whole.finalize()
    }
}

fn draw_id(nonce: u128, ordinal: u64) -> ObjectId {
    let mut hasher = Sha256::new();
    hasher.update(nonce.to_be_bytes());
    hasher.update(ordinal.to_be_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    ObjectId(digest[..16].iter().fold(0, |id, byte| id << 8 | u128::from(*byte)))
}

#[cfg(test)]
mod tests;
