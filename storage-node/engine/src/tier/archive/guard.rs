//! Whether the path is still ours, and the beat that says so.

use super::{ArchiveSettings, Ask};
use crate::{
    objects::{ErrorClass, ObjectError, Request, Response},
    tier::{
        Answered,
        calls::Backoff,
        documents::{Beat, Document, Owner},
        layout::Name,
        limits::BEAT_PERIOD_MS,
    },
};

#[derive(Debug, Default)]
pub(super) struct Guard {
    pub(super) leads_beat: bool,
    owner: Standing,
    /// When OWNER was last read and understood.
    read_ms: Option<u64>,
    reading: bool,
    owner_backoff: Backoff,
    /// When BEAT was last written.
    beat_ms: Option<u64>,
    beating: bool,
    beat_backoff: Backoff,
    beats: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Unknown,
    Ours,
    Foreign,
}

fn is_over(since_ms: Option<u64>, now_ms: u64) -> bool {
    since_ms.is_none_or(|since_ms| now_ms.saturating_sub(since_ms) >= BEAT_PERIOD_MS)
}

impl Guard {
    /// Whether OWNER named this incarnation when it was last read.
    pub(super) fn is_owner(&self) -> bool {
        self.owner == Standing::Ours
    }

    /// What to ask the store now.
    pub(super) fn requests(&mut self, now_ms: u64, settings: &ArchiveSettings) -> Vec<(Ask, Request)> {
        let mut requests = Vec::new();
        if !self.reading && is_over(self.read_ms, now_ms) && self.owner_backoff.is_due(now_ms) {
            self.reading = true;
            requests.push((Ask::Owner, Request::get(settings.layout.key(Name::Owner))));
        }
        if self.leads_beat && self.is_owner() && !self.beating && is_over(self.beat_ms, now_ms) && self.beat_backoff.is_due(now_ms) {
            self.beating = true;
            self.beats += 1;
            let beat = Beat { incarnation: settings.incarnation, life: settings.life, count: self.beats };
            requests.push((Ask::Beat, Request::put(settings.layout.key(Name::Beat(settings.incarnation)), beat.encode())));
        }
        requests
    }

    pub(super) fn owner_read(&mut self, now_ms: u64, settings: &ArchiveSettings, answered: Answered) -> Result<(), ObjectError> {
        self.reading = false;
        let key = settings.layout.key(Name::Owner);
        let result = answered.and_then(|response| match response {
            Response::Bytes { bytes, .. } => Owner::decode(&bytes).map_err(|error| ObjectError::damaged(&key, error)),
            other => Err(ObjectError::new(ErrorClass::Internal, format!("{key}: not an answer to a read: {other:?}"))),
        });
        match result {
            Ok(owner) if owner.cluster == settings.cluster && owner.incarnation == settings.incarnation => {
                self.owner = Standing::Ours;
                self.read_ms = Some(now_ms);
                self.owner_backoff.succeed();
                Ok(())
            }
            Ok(owner) => {
                self.owner = Standing::Foreign;
                self.read_ms = Some(now_ms);
                let Owner { cluster, incarnation, .. } = owner;
                let message = format!("{key} names cluster {cluster}, incarnation {incarnation}: this one has stopped archiving");
                Err(ObjectError::new(ErrorClass::ForeignOwner, message))
            }
            Err(error) => {
                self.owner_backoff.fail(now_ms);
                Err(error)
            }
        }
    }

    pub(super) fn beat_written(&mut self, now_ms: u64, answered: Answered) -> Result<(), ObjectError> {
        self.beating = false;
        match answered {
            Ok(_) => {
                self.beat_ms = Some(now_ms);
                self.beat_backoff.succeed();
                Ok(())
            }
            Err(error) => {
                self.beat_backoff.fail(now_ms);
                Err(error)
            }
        }
    }
}
