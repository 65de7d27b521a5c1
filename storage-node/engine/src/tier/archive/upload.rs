//! Log objects on their way: each bound to its seq, repeated until it reads back.

use super::{ArchiveSettings, Ask, lane::Taken};
use crate::{
    objects::{ErrorClass, ObjectError, Range, Request, Response},
    tier::{
        Answered,
        calls::Backoff,
        layout::Name,
        limits,
        log_object::{self, End, LogPlace, Run, RunSummary},
    },
};
use bytes::Bytes;
use std::collections::VecDeque;
use strata_base::{Hlc, ShardId};

#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// In the order of their seqs, without a gap.
    queue: VecDeque<Upload>,
    /// How many seqs are confirmed: the next one is the first in the queue.
    confirmed: u64,
    /// When the last object was made: never falls.
    made: Hlc,
}

#[derive(Debug)]
struct Upload {
    key: String,
    bytes: Bytes,
    runs: Vec<RunSummary>,
    /// Beside each run, an HLC below that of its first command.
    above: Vec<Hlc>,
    state: State,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unsent,
    Sent,
    Stored,
    ReadingBack,
    Confirmed,
}

/// What objects on their way hold of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InFlight {
    /// Below the HLC of the first command.
    pub(super) above: Option<Hlc>,
    pub(super) bytes: u64,
}

impl Uploads {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    pub(super) fn bytes(&self) -> u64 {
        self.queue.iter().map(|upload| upload.bytes.len() as u64).sum()
    }

    /// Binds the next seq to these runs.
    pub(super) fn bind(&mut self, now_ms: u64, settings: &ArchiveSettings, taken: Vec<Taken>) {
        let (runs, above): (Vec<Run>, Vec<Hlc>) = taken.into_iter().map(|taken| (taken.run, taken.above)).unzip();
        let seq = self.confirmed + self.queue.len() as u64;
        let at = LogPlace { incarnation: settings.incarnation, life: settings.life, seq };
        let youngest = runs.iter().flat_map(|run| &run.entries).map(|entry| entry.hlc).max().unwrap_or_default();
        self.made = self.made.max(youngest).max(Hlc::from_millis(now_ms));
        let bytes = log_object::encode(at, self.confirmed, self.made, &runs);
        let end = log_object::decode_end(bytes.clone(), bytes.len() as u64, at);
        let Ok(End::Footer(footer)) = end else { panic!("a log object must read as it was written: {end:?}") };
        let key = settings.layout.key(Name::Log(settings.incarnation, settings.life, seq));
        self.queue.push_back(Upload { key, bytes, runs: footer.runs, above, state: State::Unsent, backoff: Backoff::default() });
    }

    /// What to ask the store now.
    pub(super) fn requests(&mut self, now_ms: u64) -> Vec<(Ask, Request)> {
        let mut requests = Vec::new();
        for (upload, seq) in self.queue.iter_mut().zip(self.confirmed..) {
            if !upload.backoff.is_due(now_ms) {
                continue;
            }
            match upload.state {
                State::Unsent => {
                    upload.state = State::Sent;
                    requests.push((Ask::Put(seq), Request::put(upload.key.clone(), upload.bytes.clone())));
                }
                State::Stored => {
                    upload.state = State::ReadingBack;
                    let range = Range::Last(log_object::end_bytes(upload.runs.len()));
                    requests.push((Ask::ReadBack(seq), Request::Get { key: upload.key.clone(), range }));
                }
                State::Sent | State::ReadingBack | State::Confirmed => {}
            }
        }
        requests
    }

    fn get(&mut self, seq: u64) -> Option<&mut Upload> {
        self.queue.get_mut(seq.checked_sub(self.confirmed)? as usize)
    }

    pub(super) fn put(&mut self, now_ms: u64, seq: u64, answered: Answered) -> Result<(), ObjectError> {
        let Some(upload) = self.get(seq) else { return Ok(()) };
        match answered {
            Ok(_) => {
                upload.state = State::Stored;
                Ok(())
            }
            Err(error) => upload.again(now_ms, error),
        }
    }

    pub(super) fn read_back(&mut self, now_ms: u64, seq: u64, answered: Answered) -> Result<(), ObjectError> {
        let Some(upload) = self.get(seq) else { return Ok(()) };
        let expected = upload.bytes.slice(upload.bytes.len() - log_object::end_bytes(upload.runs.len()) as usize..);
        match answered {
            Ok(Response::Bytes { bytes, size }) if bytes == expected && size == upload.bytes.len() as u64 => {
                upload.state = State::Confirmed;
                upload.backoff.succeed();
                Ok(())
            }
            Ok(_) => {
                let error = ObjectError::damaged(&upload.key, "it does not read back as it was put");
                upload.again(now_ms, error)
            }
            Err(error) if error.is_not_found() => {
                let message = format!("{} was put and does not read back", upload.key);
                upload.again(now_ms, ObjectError::new(ErrorClass::Internal, message))
            }
            Err(error) => upload.again(now_ms, error),
        }
    }

    /// The runs of objects that are confirmed, and so are all before them.
    pub(super) fn take_confirmed(&mut self) -> Vec<RunSummary> {
        let mut runs = Vec::new();
        while self.queue.front().is_some_and(|upload| upload.state == State::Confirmed) {
            if let Some(upload) = self.queue.pop_front() {
                runs.extend(upload.runs);
                self.confirmed += 1;
            }
        }
        runs
    }

    /// What is on its way of this shard beyond an index.
    pub(super) fn beyond(&self, shard: ShardId, archived: u64) -> InFlight {
        let mut found = InFlight::default();
        let runs = self.queue.iter().flat_map(|upload| upload.runs.iter().zip(&upload.above));
        for (run, above) in runs.filter(|(run, _)| run.shard == shard && run.last > archived) {
            found.above = Some(found.above.map_or(*above, |first| first.min(*above)));
            found.bytes += run.length + (run.last - run.first + 1) * (limits::ENTRY_OVERHEAD_BYTES / 2);
        }
        found
    }
}

impl Upload {
    fn again(&mut self, now_ms: u64, error: ObjectError) -> Result<(), ObjectError> {
        self.state = State::Unsent;
        self.backoff.fail(now_ms);
        Err(error)
    }
}
