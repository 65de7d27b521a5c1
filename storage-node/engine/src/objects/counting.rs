//! A store that counts what passes: for tests that say what something must cost.

use super::{Answer, ObjectError, Objects, Pending, Request, Response, SimulatedObjects};
use std::sync::{Mutex, MutexGuard};

/// What passed a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects and parts put, begun or finished uploads included.
    pub puts: u64,
    /// Reads of bytes.
    pub gets: u64,
    /// Questions for size.
    pub heads: u64,
    /// Pages of lists.
    pub lists: u64,
    /// Copies.
    pub copies: u64,
    /// Removals, aborted uploads included.
    pub deletes: u64,
    /// Requests that failed, absences included.
    pub failures: u64,
    /// Bytes to the store.
    pub bytes_put: u64,
    /// Bytes from the store.
    pub bytes_got: u64,
}

/// Counts the requests to the store within.
#[derive(Debug, Default)]
pub struct CountingObjects<S> {
    inner: S,
    counts: Mutex<Counts>,
}

impl<S> CountingObjects<S> {
    /// Counts from zero.
    pub fn new(inner: S) -> CountingObjects<S> {
        CountingObjects { inner, counts: Mutex::default() }
    }

    /// What passed until now.
    pub fn counts(&self) -> Counts {
        *self.lock()
    }

    /// The store within.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nobody panics while counting")
    }

    fn count_request(&self, request: &Request) {
        let mut counts = self.lock();
        counts.bytes_put += request.size();
        let counter = match request {
            Request::Put { .. } | Request::BeginUpload { .. } | Request::PutPart { .. } | Request::FinishUpload { .. } => &mut counts.puts,
            Request::Get { .. } => &mut counts.gets,
            Request::Head { .. } => &mut counts.heads,
            Request::List { .. } | Request::ListUploads { .. } => &mut counts.lists,
            Request::Copy { .. } => &mut counts.copies,
            Request::Delete { .. } | Request::AbortUpload { .. } => &mut counts.deletes,
        };
        *counter += 1;
    }

    fn count_result(&self, result: &Result<Response, ObjectError>) {
        let mut counts = self.lock();
        match result {
            Ok(response) => counts.bytes_got += response.size(),
            Err(_) => counts.failures += 1,
        }
    }
}

impl<S: SimulatedObjects> SimulatedObjects for CountingObjects<S> {
    fn answer(&self, now_ms: u64, request: Request) -> Answer {
        self.count_request(&request);
        let answer = self.inner.answer(now_ms, request);
        self.count_result(&answer.result);
        answer
    }
}

impl<S: Objects> Objects for CountingObjects<S> {
    fn call(&self, request: Request) -> Pending<'_> {
        self.count_request(&request);
        Box::pin(async move {
            let result = self.inner.call(request).await;
            self.count_result(&result);
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::MemoryObjects;

    #[test]
    fn every_request_is_counted_once() {
        let store = CountingObjects::new(MemoryObjects::default());
        let ask = |request| store.answer(0, request).result;
        ask(Request::put("k", "12345")).expect("memory takes it");
        ask(Request::get("k")).expect("it is there");
        ask(Request::get("none")).expect_err("there is none");
        ask(Request::List { prefix: String::new(), after: None }).expect("memory lists");
        let expected = Counts { puts: 1, gets: 2, lists: 1, failures: 1, bytes_put: 5, bytes_got: 5, ..Counts::default() };
        assert_eq!(store.counts(), expected);
    }
}
