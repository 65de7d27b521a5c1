//! The port to object storage: requests as data, answers as data, and one closed list of what can go wrong.
//!
//! ```text
//! machine ──Request──► shell ──call()──► Objects: S3, or memory, counting, slow, faulty
//!    ▲                                      │
//!    └────── Result<Response, ObjectError> ─┘
//! ```
//!
//! - Any store that speaks S3 must do: no conditional put, no object lock and no strong listing is used. A new key must be readable after
//!   its PUT was answered.
//! - [`ErrorClass::NotFound`] means that the store, reached and trusted, has no such key. Whatever else went wrong has another class: a
//!   failed access is never an absence.
//! - An error says nothing about effect: a PUT that timed out may have happened, or may yet.
//! - A store of a simulator answers at once and says after how many milliseconds the caller shall see it ([`SimulatedObjects`]).
//!
//! ```
//! use strata_engine::objects::{ErrorClass, MemoryObjects, Range, Request, Response, SimulatedObjects};
//!
//! let store = MemoryObjects::default();
//! store.answer(0, Request::put("a/b", b"hello".as_slice())).result.expect("memory takes it");
//! let got = store.answer(0, Request::Get { key: "a/b".into(), range: Range::Last(2) }).result;
//! assert_eq!(got, Ok(Response::Bytes { bytes: b"lo".as_slice().into(), size: 5 }));
//! let none = store.answer(0, Request::Head { key: "a/c".into() }).result.expect_err("there is no such key");
//! assert_eq!(none.class, ErrorClass::NotFound);
//! ```
//!
//! Not done here, and why: no retries, no names and no formats. Retries belong to the machines of [`crate::tier`], which know what a
//! repetition means.

mod counting;
mod credentials;
mod error;
mod faulty;
mod memory;
#[cfg(feature = "s3")]
mod s3;
mod slow;

pub use counting::{CountingObjects, Counts};
pub use credentials::Credentials;
pub use error::{ErrorClass, ObjectError};
#[cfg(test)]
pub(crate) use faulty::draws as faulty_draws;
pub use faulty::{FaultyObjects, PerMille};
pub use memory::MemoryObjects;
#[cfg(feature = "s3")]
pub use s3::{S3Objects, S3Settings};
pub use slow::{Pace, SlowObjects};

use bytes::Bytes;
use std::{future::Future, pin::Pin};

/// What is asked of a store. Keys are whole keys of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Stores an object in one piece. Repeated, it replaces the object by the same bytes.
    Put {
        /// The object's key.
        key: String,
        /// All its bytes.
        bytes: Bytes,
        /// CRC-32 (IEEE) of the bytes, which the store verifies where it can.
        crc32: u32,
    },
    /// Begins an object in several pieces; nothing is visible before [`Request::FinishUpload`].
    BeginUpload {
        /// The object's key.
        key: String,
    },
    /// Stores one piece. All but the last have at least 5 MiB.
    PutPart {
        /// The object's key.
        key: String,
        /// What [`Response::UploadBegun`] named.
        upload: String,
        /// From 1, dense, in the order of the bytes.
        number: u32,
        /// The piece.
        bytes: Bytes,
        /// CRC-32 (IEEE) of the piece.
        crc32: u32,
    },
    /// Makes the object visible.
    FinishUpload {
        /// The object's key.
        key: String,
        /// What [`Response::UploadBegun`] named.
        upload: String,
        /// All pieces in order, as the store acknowledged them.
        parts: Vec<Part>,
    },
    /// Forgets the pieces of an upload that was not finished.
    AbortUpload {
        /// The object's key.
        key: String,
        /// Which upload.
        upload: String,
    },
    /// Names unfinished uploads whose key begins with `prefix`, a page at a time.
    ListUploads {
        /// What keys begin with.
        prefix: String,
        /// The last upload of the page before.
        after: Option<Upload>,
    },
    /// Reads bytes of an object.
    Get {
        /// The object's key.
        key: String,
        /// Which bytes.
        range: Range,
    },
    /// Asks for the size of an object.
    Head {
        /// The object's key.
        key: String,
    },
    /// Names keys that begin with `prefix`, in order, a page at a time. The store may not yet name what was put lately.
    List {
        /// What keys begin with.
        prefix: String,
        /// The last key of the page before.
        after: Option<String>,
    },
    /// Copies an object within the bucket, on the store's side.
    Copy {
        /// Whose bytes.
        from: String,
        /// The new key.
        to: String,
    },
    /// Removes an object. It is no error where there is none.
    Delete {
        /// The object's key.
        key: String,
    },
}

/// Which bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All.
    All,
    /// `length` bytes from `offset`; fewer where the object ends before.
    From {
        /// The first byte.
        offset: u64,
        /// How many bytes; at least one.
        length: u64,
    },
    /// The last so many bytes; all where the object is shorter.
    Last(u64),
}

/// A piece that a store acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1, dense.
    pub number: u32,
    /// How the store names what it holds.
    pub tag: String,
    /// CRC-32 (IEEE) of the piece.
    pub crc32: u32,
}

/// An unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object it would become.
    pub key: String,
    /// How the store names it.
    pub upload: String,
}

/// An object as a list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Put, FinishUpload, AbortUpload, Copy and Delete: it is done.
    Done,
    /// BeginUpload.
    UploadBegun {
        /// How the store names it.
        upload: String,
    },
    /// PutPart.
    PartPut {
        /// To be named by FinishUpload.
        part: Part,
    },
    /// ListUploads.
    Uploads {
        /// In the order of keys.
        uploads: Vec<Upload>,
        /// Whether to ask again, after the last of these.
        more: bool,
    },
    /// Get.
    Bytes {
        /// The bytes asked for.
        bytes: Bytes,
        /// The size of the whole object in bytes.
        size: u64,
    },
    /// Head.
    Size {
        /// The size of the object in bytes.
        size: u64,
    },
    /// List.
    Page {
        /// In the order of keys.
        objects: Vec<Listed>,
        /// Whether to ask again, after the last of these.
        more: bool,
    },
}

impl Request {
    /// Stores an object in one piece, with its checksum.
    pub fn put(key: impl Into<String>, bytes: impl Into<Bytes>) -> Request {
        let bytes = bytes.into();
        Request::Put { key: key.into(), crc32: crc32fast::hash(&bytes), bytes }
    }

    /// Reads a whole object.
    pub fn get(key: impl Into<String>) -> Request {
        Request::Get { key: key.into(), range: Range::All }
    }

    /// The key it is about, or the prefix.
    pub fn key(&self) -> &str {
        match self {
            Request::Put { key, .. }
            | Request::BeginUpload { key }
            | Request::PutPart { key, .. }
            | Request::FinishUpload { key, .. }
            | Request::AbortUpload { key, .. }
            | Request::Get { key, .. }
            | Request::Head { key }
            | Request::Delete { key } => key,
            Request::ListUploads { prefix, .. } | Request::List { prefix, .. } => prefix,
            Request::Copy { to, .. } => to,
        }
    }

    /// How many bytes it carries to the store.
    pub fn size(&self) -> u64 {
        match self {
            Request::Put { bytes, .. } | Request::PutPart { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl Response {
    /// How many bytes of an object it carries from the store.
    pub fn size(&self) -> u64 {
        match self {
            Response::Bytes { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }
}

/// An answer under way.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Response, ObjectError>> + Send + 'a>>;

/// A store behind a network. The shell runs the future and hands its result to the machine that asked.
pub trait Objects: Send + Sync {
    /// Asks for one thing. The future ends within the store's deadline and never blocks its thread.
    fn call(&self, request: Request) -> Pending<'_>;
}

/// A store of a simulator: it answers at once, and says when the caller shall see the answer.
pub trait SimulatedObjects: Send + Sync {
    /// Answers as of `now_ms`, in milliseconds of the simulator's clock, which never falls back.
    fn answer(&self, now_ms: u64, request: Request) -> Answer;
}

/// An answer, and when to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the store says.
    pub result: Result<Response, ObjectError>,
    /// After how many milliseconds.
    pub after_ms: u64,
}

impl<S: Objects + ?Sized> Objects for std::sync::Arc<S> {
    fn call(&self, request: Request) -> Pending<'_> {
        (**self).call(request)
    }
}

impl<S: SimulatedObjects + ?Sized> SimulatedObjects for std::sync::Arc<S> {
    fn answer(&self, now_ms: u64, request: Request) -> Answer {
        (**self).answer(now_ms, request)
    }
}
