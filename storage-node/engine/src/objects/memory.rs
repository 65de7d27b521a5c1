//! A store in memory: deterministic, strict about checksums, for tests and the simulator.

use super::{Answer, Listed, ObjectError, Objects, Part, Pending, Range, Request, Response, SimulatedObjects, Upload};
use crate::objects::ErrorClass;
use bytes::{Bytes, BytesMut};
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard},
};

/// How many names a page of a list holds, as in S3.
const PAGE_LENGTH: usize = 1_000;

/// A bucket in memory.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<(String, String), BTreeMap<u32, Bytes>>,
    next_upload: u64,
}

impl MemoryObjects {
    /// All keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The bytes of an object, as they lie there.
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(key).cloned()
    }

    /// Changes an object behind everybody's back, or removes it by `None`.
    pub fn tamper(&self, key: &str, change: impl FnOnce(Option<Bytes>) -> Option<Bytes>) {
        let mut state = self.state();
        let before = state.objects.remove(key);
        if let Some(after) = change(before) {
            state.objects.insert(key.to_owned(), after);
        }
    }

    /// A copy of all objects as of now; unfinished uploads are left out.
    pub fn fork(&self) -> MemoryObjects {
        let objects = self.state().objects.clone();
        MemoryObjects { state: Mutex::new(State { objects, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the bucket")
    }
}

impl SimulatedObjects for MemoryObjects {
    fn answer(&self, _now_ms: u64, request: Request) -> Answer {
        Answer { result: self.state().answer(request), after_ms: 0 }
    }
}

impl Objects for MemoryObjects {
    fn call(&self, request: Request) -> Pending<'_> {
        let result = self.state().answer(request);
        Box::pin(std::future::ready(result))
    }
}

impl State {
    fn answer(&mut self, request: Request) -> Result<Response, ObjectError> {
        match request {
            Request::Put { key, bytes, crc32 } => {
                check_crc(&key, &bytes, crc32)?;
                self.objects.insert(key, bytes);
                Ok(Response::Done)
            }
            Request::BeginUpload { key } => {
                self.next_upload += 1;
                let upload = format!("upload-{}", self.next_upload);
                self.uploads.insert((key, upload.clone()), BTreeMap::new());
                Ok(Response::UploadBegun { upload })
            }
            Request::PutPart { key, upload, number, bytes, crc32 } => {
                check_crc(&key, &bytes, crc32)?;
                let parts = self.uploads.get_mut(&(key, upload.clone())).ok_or_else(|| no_upload(&upload))?;
                parts.insert(number, bytes);
                Ok(Response::PartPut { part: Part { number, tag: format!("{crc32:08x}"), crc32 } })
            }
            Request::FinishUpload { key, upload, parts } => self.finish(key, upload, &parts),
            Request::AbortUpload { key, upload } => {
                self.uploads.remove(&(key, upload));
                Ok(Response::Done)
            }
            Request::ListUploads { prefix, after } => Ok(self.list_uploads(&prefix, after)),
            Request::Get { key, range } => {
                let bytes = self.objects.get(&key).ok_or_else(|| ObjectError::not_found(&key))?;
                Ok(Response::Bytes { bytes: cut(bytes, range), size: bytes.len() as u64 })
            }
            Request::Head { key } => {
                let bytes = self.objects.get(&key).ok_or_else(|| ObjectError::not_found(&key))?;
                Ok(Response::Size { size: bytes.len() as u64 })
            }
            Request::List { prefix, after } => Ok(self.list(&prefix, after)),
            Request::Copy { from, to } => {
                let bytes = self.objects.get(&from).cloned().ok_or_else(|| ObjectError::not_found(&from))?;
                self.objects.insert(to, bytes);
                Ok(Response::Done)
            }
            Request::Delete { key } => {
                self.objects.remove(&key);
                Ok(Response::Done)
            }
        }
    }

    fn finish(&mut self, key: String, upload: String, parts: &[Part]) -> Result<Response, ObjectError> {
        let held = self.uploads.remove(&(key.clone(), upload.clone())).ok_or_else(|| no_upload(&upload))?;
        let mut bytes = BytesMut::new();
        for part in parts {
            let piece = held.get(&part.number).filter(|piece| crc32fast::hash(piece) == part.crc32);
            bytes.extend_from_slice(piece.ok_or_else(|| ObjectError::damaged(&key, "a part is not what was put"))?);
        }
        self.objects.insert(key, bytes.freeze());
        Ok(Response::Done)
    }

    fn list(&self, prefix: &str, after: Option<String>) -> Response {
        let from = match &after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let mut found = self.objects.range::<str, _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let objects: Vec<Listed> =
            found.by_ref().take(PAGE_LENGTH).map(|(key, bytes)| Listed { key: key.clone(), size: bytes.len() as u64 }).collect();
        Response::Page { objects, more: found.next().is_some() }
    }

    fn list_uploads(&self, prefix: &str, after: Option<Upload>) -> Response {
        let after = after.map(|after| (after.key, after.upload));
        let mut found = self
            .uploads
            .keys()
            .filter(|upload| upload.0.starts_with(prefix) && after.as_ref().is_none_or(|after| *upload > after))
            .map(|(key, upload)| Upload { key: key.clone(), upload: upload.clone() });
        let uploads = found.by_ref().take(PAGE_LENGTH).collect();
        Response::Uploads { uploads, more: found.next().is_some() }
    }
}

fn check_crc(key: &str, bytes: &[u8], crc32: u32) -> Result<(), ObjectError> {
    if crc32fast::hash(bytes) == crc32 { Ok(()) } else { Err(ObjectError::damaged(key, "the bytes that came do not match their checksum")) }
}

fn no_upload(upload: &str) -> ObjectError {
    ObjectError::new(ErrorClass::NotFound, format!("there is no upload {upload}"))
}

fn cut(bytes: &Bytes, range: Range) -> Bytes {
    let length = bytes.len() as u64;
    let (from, to) = match range {
        Range::All => (0, length),
        Range::From { offset, length: wanted } => (offset.min(length), offset.saturating_add(wanted).min(length)),
        Range::Last(wanted) => (length.saturating_sub(wanted), length),
    };
    bytes.slice(from as usize..to as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &MemoryObjects, request: Request) -> Result<Response, ObjectError> {
        store.answer(0, request).result
    }

    #[test]
    fn an_upload_in_parts_is_visible_when_finished_and_not_before() {
        let store = MemoryObjects::default();
        let key = || "p/file".to_owned();
        let Ok(Response::UploadBegun { upload }) = ask(&store, Request::BeginUpload { key: key() }) else { panic!("an upload begins") };
        let mut parts = Vec::new();
        for (number, text) in [(2, "world"), (1, "hello ")] {
            let bytes = Bytes::from(text);
            let crc32 = crc32fast::hash(&bytes);
            match ask(&store, Request::PutPart { key: key(), upload: upload.clone(), number, bytes, crc32 }) {
                Ok(Response::PartPut { part }) => parts.push(part),
                other => panic!("a part is acknowledged, not {other:?}"),
            }
        }
        assert!(ask(&store, Request::get("p/file")).expect_err("not finished").is_not_found());
        let listed = ask(&store, Request::ListUploads { prefix: "p/".into(), after: None });
        assert_eq!(listed, Ok(Response::Uploads { uploads: vec![Upload { key: key(), upload: upload.clone() }], more: false }));
        parts.sort_by_key(|part| part.number);
        ask(&store, Request::FinishUpload { key: key(), upload, parts }).expect("it finishes");
        assert_eq!(store.peek("p/file"), Some(Bytes::from("hello world")));
    }

    #[test]
    fn lists_come_in_pages_and_ranges_end_with_the_object() {
        let store = MemoryObjects::default();
        for number in 0..1_500 {
            ask(&store, Request::put(format!("p/{number:04}"), Bytes::new())).expect("memory takes it");
        }
        ask(&store, Request::put("q", Bytes::from("0123456789"))).expect("memory takes it");
        let Ok(Response::Page { objects, more: true }) = ask(&store, Request::List { prefix: "p/".into(), after: None }) else {
            panic!("there is a second page")
        };
        let after = objects.last().map(|last| last.key.clone());
        let Ok(Response::Page { objects, more: false }) = ask(&store, Request::List { prefix: "p/".into(), after }) else {
            panic!("there is no third page")
        };
        assert_eq!(objects.len(), 500);
        for (range, expected) in
            [(Range::From { offset: 8, length: 8 }, "89"), (Range::Last(20), "0123456789"), (Range::From { offset: 2, length: 2 }, "23")]
        {
            let got = ask(&store, Request::Get { key: "q".into(), range });
            assert_eq!(got, Ok(Response::Bytes { bytes: expected.into(), size: 10 }));
        }
    }

    #[test]
    fn bytes_that_do_not_match_their_checksum_are_refused() {
        let store = MemoryObjects::default();
        let error = ask(&store, Request::Put { key: "k".into(), bytes: "x".into(), crc32: 0 }).expect_err("must be refused");
        assert_eq!(error.class, ErrorClass::Damaged);
        assert_eq!(store.peek("k"), None);
    }
}
