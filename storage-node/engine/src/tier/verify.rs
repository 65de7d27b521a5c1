//! Verify: reads a bucket alone and says what it is worth.
//!
//! ```text
//! list all keys ─► survey ─► every log object whole ─► every file that a checkpoint names ─► report
//! ```
//!
//! A list that lags can make an object look unlisted, never missing: what a document names is asked for by name.

use super::{
    Answered, Call, CallId, Place,
    calls::{Backoff, Calls},
    documents::ParentReference,
    layout::{Layout, Name},
    limits::{DAMAGED_READS_MAX, SURVEY_CALLS_MAX},
    lineage,
    log_object::{self, LogPlace},
    restore::{self, Heads, Options, PlanError, Planned, Target},
    survey::{Survey, SurveyEvent, Surveyor},
};
use crate::objects::{ErrorClass, ObjectError, Request, Response};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use strata_base::{IncarnationId, ShardId};

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Files by their sizes, log objects whole.
    Sizes,
    /// Every byte against its checksum. A file is held in memory while it is compared.
    Bytes,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum VerifyEvent {
    /// Begin, or time passed. At least every 100 ms while a request failed.
    Tick,
    /// The store answered.
    Answered {
        /// Which call.
        id: CallId,
        /// What it said.
        answered: Answered,
    },
}

/// What a bucket is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What each incarnation of the path can be restored to, oldest first.
    pub incarnations: Vec<Restorable>,
    /// What a restore would do that names no incarnation.
    pub choice: Result<IncarnationId, String>,
    /// Objects that are not what was stored, by key, with the reason.
    pub damaged: BTreeMap<String, String>,
    /// Objects that others name and that are not there.
    pub missing: BTreeSet<String>,
    /// Objects that nothing names: left behind by interrupted work, or by others.
    pub unreferenced: BTreeSet<String>,
    /// Objects listed, and their bytes.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What an incarnation can be restored to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restorable {
    /// Which.
    pub incarnation: IncarnationId,
    /// The shards, or why it cannot be restored.
    pub shards: Result<Vec<ShardRestorable>, String>,
}

/// What a shard can be restored to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRestorable {
    /// The shard.
    pub shard: ShardId,
    /// Its last index that can be reached.
    pub index: u64,
    /// The last write that can be reached, in milliseconds since the Unix epoch.
    pub last_write_ms: u64,
    /// What lies behind and cannot be reached: (last index before, first index behind).
    pub gap: Option<(u64, u64)>,
}

impl Report {
    /// Whether everything that is named is there and whole, and something can be restored.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty() && self.choice.is_ok() && self.incarnations.iter().all(|one| one.shards.is_ok())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    List(Option<String>),
    Survey(CallId, Place),
    Log(LogPlace),
    File { key: String, size: u64, crc32: u32 },
}

/// The verification of one path.
#[derive(Debug)]
pub struct Verifier {
    place: Place,
    layout: Layout,
    depth: Depth,
    surveyor: Surveyor,
    surveyed: bool,
    listed: BTreeMap<String, u64>,
    named: BTreeSet<String>,
    damaged: BTreeMap<String, String>,
    missing: BTreeSet<String>,
    queue: VecDeque<(Ask, u32)>,
    calls: Calls<(Ask, u32)>,
    backoff: Backoff,
    problem: Option<ObjectError>,
}

impl Verifier {
    /// A verification that has read nothing; begins with the first [`VerifyEvent::Tick`].
    pub fn new(place: Place, layout: Layout, depth: Depth) -> Verifier {
        Verifier {
            surveyor: Surveyor::new(place.clone(), layout.clone()),
            place,
            layout,
            depth,
            surveyed: false,
            listed: BTreeMap::new(),
            named: BTreeSet::new(),
            damaged: BTreeMap::new(),
            missing: BTreeSet::new(),
            queue: VecDeque::from([(Ask::List(None), 0)]),
            calls: Calls::default(),
            backoff: Backoff::default(),
            problem: None,
        }
    }

    /// What keeps it from going on, while the store fails.
    pub fn problem(&self) -> Option<&ObjectError> {
        self.problem.as_ref().or(self.surveyor.problem())
    }

    /// How many objects were read, and how many are known to be left.
    pub fn progress(&self) -> (usize, usize) {
        (self.named.len(), self.queue.len() + self.calls.len())
    }

    /// Takes one event at `now_ms`, in milliseconds of a clock that never falls back, and returns what to ask.
    pub fn step(&mut self, now_ms: u64, event: VerifyEvent) -> Vec<Call> {
        let mut asked = Vec::new();
        if let VerifyEvent::Answered { id, answered } = event
            && let Some((ask, reads)) = self.calls.end(id)
        {
            match ask {
                Ask::Survey(id, _) => asked = self.surveyor.step(now_ms, SurveyEvent::Answered { id, answered }),
                ask => self.answered(now_ms, ask, reads, answered),
            }
        }
        asked.extend(self.surveyor.step(now_ms, SurveyEvent::Tick));
        let mut calls = Vec::new();
        for call in asked {
            let id = self.calls.begin((Ask::Survey(call.id, call.place.clone()), 0));
            calls.push(Call { id, ..call });
        }
        if !self.surveyed && self.surveyor.finished().is_some() {
            self.surveyed = true;
            self.follow();
        }
        while self.backoff.is_due(now_ms)
            && self.calls.len() < SURVEY_CALLS_MAX
            && let Some((ask, reads)) = self.queue.pop_front()
        {
            let request = self.request(&ask);
            calls.push(Call { id: self.calls.begin((ask, reads)), place: self.place.clone(), request });
        }
        calls
    }

    fn request(&self, ask: &Ask) -> Request {
        match ask {
            Ask::List(after) => Request::List { prefix: self.layout.prefix(), after: after.clone() },
            Ask::Log(at) => Request::get(self.log_key(*at)),
            Ask::File { key, .. } if self.depth == Depth::Sizes => Request::Head { key: key.clone() },
            Ask::File { key, .. } => Request::get(key.clone()),
            Ask::Survey(..) => Request::get(String::new()),
        }
    }

    fn log_key(&self, at: LogPlace) -> String {
        self.layout.key(Name::Log(at.incarnation, at.life, at.seq))
    }

    fn home(&self, incarnation: IncarnationId) -> ParentReference {
        ParentReference { place: self.place.clone(), path: self.layout.clone(), incarnation }
    }

    /// The survey is complete: everything that it names below this path is looked at.
    fn follow(&mut self) {
        let Some(survey) = self.surveyor.finished() else { return };
        let layout = &self.layout;
        let mut named = BTreeSet::from([layout.key(Name::Owner)]);
        named.extend(survey.children.keys().map(|(parent, n)| layout.key(Name::Child(*parent, *n))));
        let mut asks = BTreeSet::new();
        for (at, found) in survey.incarnations.iter().filter(|(at, _)| at.place == self.place && at.path == *layout) {
            named.insert(layout.key(Name::Beat(at.incarnation)));
            named.extend(found.clusters.keys().map(|n| layout.key(Name::Cluster(at.incarnation, *n))));
            for document in found.checkpoints.values().flat_map(|documents| documents.values()) {
                named.insert(layout.key(Name::Checkpoint(at.incarnation, document.shard, document.number)));
                for file in &document.files {
                    let key = layout.key(Name::File(at.incarnation, file.object, file.kind()));
                    named.insert(key.clone());
                    asks.insert(Ask::File { key, size: file.size, crc32: file.crc32 });
                }
            }
            for (life, log) in &found.lives {
                let key = |seq| layout.key(Name::Log(at.incarnation, *life, seq));
                self.missing.extend(log.missing().map(key));
                named.extend(log.unreadable().map(key));
                for (footer, _) in log.objects() {
                    named.insert(key(footer.at.seq));
                    asks.insert(Ask::Log(footer.at));
                }
            }
        }
        let damaged = survey.damaged.iter().filter(|((place, _), _)| *place == self.place);
        self.damaged.extend(damaged.map(|((_, key), what)| (key.clone(), what.clone())));
        named.extend(self.damaged.keys().cloned());
        self.named = named;
        self.queue.extend(asks.into_iter().map(|ask| (ask, 0)));
    }

    fn answered(&mut self, now_ms: u64, ask: Ask, reads: u32, answered: Answered) {
        let key = match &ask {
            Ask::Log(at) => self.log_key(*at),
            Ask::File { key, .. } => key.clone(),
            Ask::List(_) | Ask::Survey(..) => self.layout.prefix(),
        };
        let wrong = match (&ask, answered) {
            (Ask::List(_), Ok(Response::Page { objects, more })) => {
                let last = objects.last().map(|object| object.key.clone());
                self.listed.extend(objects.into_iter().map(|object| (object.key, object.size)));
                if more {
                    self.queue.push_back((Ask::List(last), 0));
                }
                None
            }
            (Ask::Log(at), Ok(Response::Bytes { bytes, .. })) => log_object::decode(&bytes, *at).err().map(|error| error.to_string()),
            (Ask::File { size, .. }, Ok(Response::Size { size: found })) => {
                (found != *size).then(|| format!("it has {found} bytes, and its checkpoint says {size}"))
            }
            (Ask::File { size, crc32, .. }, Ok(Response::Bytes { bytes, .. })) => {
                let same = (bytes.len() as u64, crc32fast::hash(&bytes)) == (*size, *crc32);
                (!same).then(|| "its bytes do not match the checksum in the checkpoint's document".to_owned())
            }
            (_, Err(error)) if error.is_not_found() => {
                self.missing.insert(key);
                return;
            }
            (_, other) => {
                let odd = || ObjectError::new(ErrorClass::Internal, format!("{key}: not an answer to what was asked"));
                self.problem = Some(other.err().unwrap_or_else(odd));
                self.backoff.fail(now_ms);
                self.queue.push_front((ask, reads));
                return;
            }
        };
        self.problem = None;
        self.backoff.succeed();
        match wrong {
            Some(_) if reads + 1 < DAMAGED_READS_MAX => self.queue.push_back((ask, reads + 1)),
            Some(what) => drop(self.damaged.insert(key, what)),
            None => {}
        }
    }

    /// The report, once everything was read.
    pub fn finished(&self) -> Option<Report> {
        let survey = self.surveyor.finished()?;
        if !self.surveyed || !self.queue.is_empty() || self.calls.len() > 0 {
            return None;
        }
        // What the survey could not see in footers alone counts as damaged for plans, too.
        let mut survey = survey.clone();
        for (key, what) in &self.damaged {
            survey.damaged.insert((self.place.clone(), key.clone()), what.clone());
        }
        let known: BTreeSet<IncarnationId> = survey.owner.iter().flat_map(|owner| &owner.incarnations).map(|one| one.id).collect();
        let exists = |incarnation: &IncarnationId| survey.incarnations.contains_key(&self.home(*incarnation));
        let incarnations = known.into_iter().filter(exists).map(|incarnation| self.restorable(&survey, incarnation)).collect();
        Some(Report {
            incarnations,
            choice: lineage::choose(&survey, None).map(|at| at.incarnation).map_err(|error| error.to_string()),
            damaged: self.damaged.clone(),
            missing: self.missing.clone(),
            unreferenced: self.listed.keys().filter(|key| !self.named.contains(*key)).cloned().collect(),
            objects: self.listed.len() as u64,
            bytes: self.listed.values().sum(),
        })
    }

    fn restorable(&self, survey: &Survey, incarnation: IncarnationId) -> Restorable {
        let options = Options { incarnation: Some(incarnation), accept_damage: false };
        let shards = match restore::plan(survey, &Target::Latest, &options, &Heads::new()) {
            Ok(Planned::Plan(plan)) => self.check_needed(&plan).map(|()| {
                let shard = |shard: &restore::ShardPlan| ShardRestorable {
                    shard: shard.shard,
                    index: shard.cut.index,
                    last_write_ms: shard.cut.hlc.millis(),
                    gap: shard.gap,
                };
                plan.shards.iter().map(shard).collect()
            }),
            Ok(Planned::Need(places)) => {
                Err(PlanError::Missing { key: places.iter().next().map(restore::RunPlace::key).unwrap_or_default() })
            }
            Err(error) => Err(error),
        };
        Restorable { incarnation, shards: shards.map_err(|error| error.to_string()) }
    }

    /// A plan is worth something only if what it needs is there and whole.
    fn check_needed(&self, plan: &restore::Plan) -> Result<(), PlanError> {
        let files =
            plan.shards.iter().filter_map(|shard| shard.base.as_ref()).flat_map(|(at, document)| {
                document.files.iter().map(|file| at.path.key(Name::File(at.incarnation, file.object, file.kind())))
            });
        let runs = plan.shards.iter().flat_map(|shard| &shard.steps).map(|step| step.place.key());
        for key in files.chain(runs) {
            if let Some(what) = self.damaged.get(&key) {
                return Err(PlanError::Damaged { key, what: what.clone() });
            }
            if self.missing.contains(&key) {
                return Err(PlanError::Missing { key });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
