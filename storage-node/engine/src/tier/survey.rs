//! The survey: reads what a bucket says of a cluster, without its data.
//!
//! ```text
//! OWNER ─► incarnations ─► cluster/0, 1, 2 … ─┬─► shards ─► ckpt/<shard>/0, 1, 2 …
//!            ▲   parents, elsewhere too │     └─► lives ──► log/<life>/0, 1, 2 …: footers only
//!            └──────────────────────────┘
//!     below this path, each incarnation ─► child/0, 1, 2 …
//! ```
//!
//! - Names are dense numbers: a survey asks for one after the other until the store says that there is none. A list only hints at how far to
//!   ask, so a list that lags hides nothing that counts.
//! - What does not decode, after a few reads, is noted as damaged; that a confirmed log object is absent is noted as missing. What this means
//!   is decided in [`super::restore`].
//! - Any other failure of the store is repeated for ever, and shown.

mod life;

use super::{
    Answered, Call, CallId, Place,
    calls::{Backoff, Calls},
    documents::{CheckpointDocument, ChildDocument, ClusterDocument, Document, Owner, ParentReference},
    layout::{Layout, LifeId, Name},
    limits::{DAMAGED_READS_MAX, FOOTER_GUESS_BYTES, SURVEY_CALLS_MAX},
    log_object::{self, End, Footer, LogPlace},
};
use crate::objects::{ErrorClass, ObjectError, Range, Request, Response};
use bytes::Bytes;
pub use life::LifeSurvey;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use strata_base::{IncarnationId, ShardId};

/// What a bucket says of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The bucket.
    pub place: Place,
    /// The path within.
    pub layout: Layout,
    /// Whose path it is; none where nobody ever was.
    pub owner: Option<Owner>,
    /// Every incarnation that exists, and the parents elsewhere that a restore may still need.
    pub incarnations: BTreeMap<ParentReference, IncarnationSurvey>,
    /// What the incarnations below the path name as their children, by parent and number; whether these exist is another question.
    pub children: BTreeMap<(IncarnationId, u64), IncarnationId>,
    /// Objects that do not decode, with the reason.
    pub damaged: BTreeMap<(Place, String), String>,
}

/// What a bucket says of an incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncarnationSurvey {
    /// Its cluster documents, by number. One that is damaged is left out.
    pub clusters: BTreeMap<u64, ClusterDocument>,
    /// Its checkpoints, by shard and number. One that is damaged is left out.
    pub checkpoints: BTreeMap<ShardId, BTreeMap<u64, CheckpointDocument>>,
    /// Its log, by life.
    pub lives: BTreeMap<LifeId, LifeSurvey>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum SurveyEvent {
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

#[derive(Clone, Debug)]
enum Ask {
    Owner,
    Child(ParentReference, u64),
    Cluster(ParentReference, u64),
    Checkpoint(ParentReference, ShardId, u64),
    List(ParentReference, LifeId, Option<String>),
    LogEnd(ParentReference, LifeId, u64, u64),
}

/// The survey of one path.
#[derive(Debug)]
pub struct Surveyor {
    survey: Survey,
    queue: VecDeque<(Ask, u32)>,
    calls: Calls<(Ask, u32)>,
    backoff: Backoff,
    problem: Option<ObjectError>,
    begun: BTreeSet<ParentReference>,
}

impl Surveyor {
    /// A survey that has read nothing; begins with the first [`SurveyEvent::Tick`].
    pub fn new(place: Place, layout: Layout) -> Surveyor {
        Surveyor {
            survey: Survey {
                place,
                layout,
                owner: None,
                incarnations: BTreeMap::new(),
                children: BTreeMap::new(),
                damaged: BTreeMap::new(),
            },
            queue: VecDeque::from([(Ask::Owner, 0)]),
            calls: Calls::default(),
            backoff: Backoff::default(),
            problem: None,
            begun: BTreeSet::new(),
        }
    }

    /// What keeps it from going on, while the store fails.
    pub fn problem(&self) -> Option<&ObjectError> {
        self.problem.as_ref()
    }

    /// The survey, once it is complete.
    pub fn finished(&self) -> Option<&Survey> {
        if self.queue.is_empty() && self.calls.len() == 0 { Some(&self.survey) } else { None }
    }

    /// Takes one event at `now_ms`, in milliseconds of a clock that never falls back, and returns what to ask.
    pub fn step(&mut self, now_ms: u64, event: SurveyEvent) -> Vec<Call> {
        if let SurveyEvent::Answered { id, answered } = event
            && let Some((ask, reads)) = self.calls.end(id)
        {
            match self.answered(ask.clone(), reads, answered) {
                Ok(()) => {
                    self.backoff.succeed();
                    self.problem = None;
                }
                Err(error) => {
                    self.backoff.fail(now_ms);
                    self.problem = Some(error);
                    self.queue.push_front((ask, reads));
                }
            }
        }
        if self.queue.is_empty() && self.calls.len() == 0 {
            self.follow_parents();
        }
        let mut calls = Vec::new();
        while self.backoff.is_due(now_ms)
            && self.calls.len() < SURVEY_CALLS_MAX
            && let Some((ask, reads)) = self.queue.pop_front()
        {
            let (place, request) = self.request(&ask);
            calls.push(Call { id: self.calls.begin((ask, reads)), place, request });
        }
        calls
    }

    fn request(&self, ask: &Ask) -> (Place, Request) {
        let place = match ask {
            Ask::Owner => self.survey.place.clone(),
            Ask::Child(at, _) | Ask::Cluster(at, _) | Ask::Checkpoint(at, ..) | Ask::List(at, ..) | Ask::LogEnd(at, ..) => at.place.clone(),
        };
        let request = match ask {
            Ask::List(at, life, after) => Request::List { prefix: at.path.log_prefix(at.incarnation, *life), after: after.clone() },
            Ask::LogEnd(_, _, _, length) => Request::Get { key: self.key(ask), range: Range::Last(*length) },
            _ => Request::get(self.key(ask)),
        };
        (place, request)
    }

    fn key(&self, ask: &Ask) -> String {
        match ask {
            Ask::Owner => self.survey.layout.key(Name::Owner),
            Ask::Child(at, n) => at.path.key(Name::Child(at.incarnation, *n)),
            Ask::Cluster(at, n) => at.path.key(Name::Cluster(at.incarnation, *n)),
            Ask::Checkpoint(at, shard, n) => at.path.key(Name::Checkpoint(at.incarnation, *shard, *n)),
            Ask::LogEnd(at, life, seq, _) => at.path.key(Name::Log(at.incarnation, *life, *seq)),
            Ask::List(at, life, _) => at.path.log_prefix(at.incarnation, *life),
        }
    }

    fn answered(&mut self, ask: Ask, reads: u32, answered: Answered) -> Result<(), ObjectError> {
        let response = match answered {
            Ok(response) => response,
            Err(error) if error.is_not_found() => {
                self.absent(ask);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match (&ask, response) {
            (Ask::List(at, life, _), Response::Page { objects, more }) => {
                self.listed(at.clone(), *life, objects.into_iter().map(|object| object.key), more);
                Ok(())
            }
            (_, Response::Bytes { bytes, size }) => {
                self.read(ask, reads, bytes, size);
                Ok(())
            }
            (_, other) => {
                let message = format!("{}: an unexpected answer of {} bytes", self.key(&ask), other.size());
                Err(ObjectError::new(ErrorClass::Internal, message))
            }
        }
    }

    /// The store has no such object.
    fn absent(&mut self, ask: Ask) {
        match ask {
            // The documents of an incarnation end here: now it is known who wrote and what there is.
            Ask::Cluster(at, _) => self.follow(at),
            Ask::LogEnd(at, life, seq, _) => {
                self.life(&at, life).absent(seq);
                self.probe(at, life);
            }
            Ask::Owner | Ask::Child(..) | Ask::Checkpoint(..) | Ask::List(..) => {}
        }
    }

    fn read(&mut self, ask: Ask, reads: u32, bytes: Bytes, size: u64) {
        let result = match &ask {
            Ask::Owner => Owner::decode(&bytes).map_err(|error| error.to_string()).map(|owner| self.found_owner(owner)),
            Ask::Child(at, n) => {
                let is_it = |document: &ChildDocument| (document.incarnation, document.number) == (at.incarnation, *n);
                named(&bytes, is_it).map(|document| self.found_child(at.clone(), &document))
            }
            Ask::Cluster(at, n) => {
                let is_it = |document: &ClusterDocument| (document.incarnation, document.number) == (at.incarnation, *n);
                named(&bytes, is_it).map(|document| self.found_cluster(at.clone(), document))
            }
            Ask::Checkpoint(at, shard, n) => {
                let is_it =
                    |document: &CheckpointDocument| (document.incarnation, document.shard, document.number) == (at.incarnation, *shard, *n);
                named(&bytes, is_it).map(|document| self.found_checkpoint(at.clone(), document))
            }
            Ask::LogEnd(at, life, seq, _) => {
                let place = LogPlace { incarnation: at.incarnation, life: *life, seq: *seq };
                let end = log_object::decode_end(bytes, size, place).map_err(|error| error.to_string());
                end.map(|end| match end {
                    End::Footer(footer) => self.found_log(at.clone(), *life, footer, size),
                    End::Longer(length) => self.queue.push_front((Ask::LogEnd(at.clone(), *life, *seq, length), reads)),
                })
            }
            Ask::List(..) => Err("a list is no object".to_owned()),
        };
        if let Err(message) = result {
            if reads + 1 < DAMAGED_READS_MAX {
                self.queue.push_back((ask, reads + 1));
            } else {
                self.damaged(ask, message);
            }
        }
    }

    fn damaged(&mut self, ask: Ask, message: String) {
        let key = self.key(&ask);
        let place = self.request(&ask).0;
        self.survey.damaged.insert((place, key), message);
        // It is there, so whatever follows it may be there, too.
        match ask {
            Ask::Child(at, n) => self.queue.push_back((Ask::Child(at, n + 1), 0)),
            Ask::Cluster(at, n) => self.queue.push_back((Ask::Cluster(at, n + 1), 0)),
            Ask::Checkpoint(at, shard, n) => self.queue.push_back((Ask::Checkpoint(at, shard, n + 1), 0)),
            Ask::LogEnd(at, life, seq, _) => {
                self.life(&at, life).damaged(seq);
                self.probe(at, life);
            }
            Ask::Owner | Ask::List(..) => {}
        }
    }

    fn found_owner(&mut self, owner: Owner) {
        owner.incarnations.iter().for_each(|incarnation| self.begin(self.survey.at(incarnation.id)));
        self.survey.owner = Some(owner);
    }

    fn begin(&mut self, at: ParentReference) {
        if self.begun.insert(at.clone()) {
            if self.survey.is_here(&at) {
                self.queue.push_back((Ask::Child(at.clone(), 0), 0));
            }
            self.queue.push_back((Ask::Cluster(at, 0), 0));
        }
    }

    /// Below this path lies another one, whether OWNER names it or not.
    fn found_child(&mut self, at: ParentReference, document: &ChildDocument) {
        self.begin(self.survey.at(document.child));
        self.survey.children.insert((at.incarnation, document.number), document.child);
        self.queue.push_back((Ask::Child(at, document.number + 1), 0));
    }

    /// Parents below this path are read, whether OWNER names them or not: the dead may have put back an OWNER that knows of none. One that lies
    /// elsewhere is read only where it is needed: as long as a shard has no checkpoint of its own. After that it may be gone, with its bucket.
    fn follow_parents(&mut self) {
        let needed = |found: &IncarnationSurvey| {
            let document = found.newest()?;
            let has_own = |shard: ShardId| found.checkpoints.get(&shard).is_some_and(|documents| !documents.is_empty());
            let complete = document.shards.iter().all(|shard| shard.origin.is_none() || has_own(shard.shard));
            document.parent.clone().filter(|parent| !complete || self.survey.is_here(parent))
        };
        let parents: Vec<ParentReference> = self.survey.incarnations.values().filter_map(needed).collect();
        for parent in parents {
            self.begin(parent);
        }
    }

    fn found_cluster(&mut self, at: ParentReference, document: ClusterDocument) {
        self.queue.push_back((Ask::Cluster(at.clone(), document.number + 1), 0));
        self.survey.incarnations.entry(at).or_default().clusters.insert(document.number, document);
    }

    /// All cluster documents of an incarnation are read: goes on to its shards and lives.
    fn follow(&mut self, at: ParentReference) {
        let Some(found) = self.survey.incarnations.get_mut(&at) else { return };
        let shards: BTreeSet<ShardId> = found.clusters.values().flat_map(|document| &document.shards).map(|shard| shard.shard).collect();
        let lives: BTreeSet<LifeId> = found.clusters.values().flat_map(|document| &document.lives).map(|life| life.life).collect();
        found.lives = lives.iter().map(|life| (*life, LifeSurvey::default())).collect();
        self.queue.extend(shards.into_iter().map(|shard| (Ask::Checkpoint(at.clone(), shard, 0), 0)));
        self.queue.extend(lives.into_iter().map(|life| (Ask::List(at.clone(), life, None), 0)));
    }

    fn found_checkpoint(&mut self, at: ParentReference, document: CheckpointDocument) {
        self.queue.push_back((Ask::Checkpoint(at.clone(), document.shard, document.number + 1), 0));
        let found = self.survey.incarnations.entry(at).or_default();
        found.checkpoints.entry(document.shard).or_default().insert(document.number, document);
    }

    fn listed(&mut self, at: ParentReference, life: LifeId, keys: impl Iterator<Item = String>, more: bool) {
        let mut last = None;
        for key in keys {
            if let Ok(Name::Log(_, _, seq)) = at.path.parse(&key) {
                self.life(&at, life).hint(seq);
            }
            last = Some(key);
        }
        match last {
            Some(last) if more => self.queue.push_back((Ask::List(at, life, Some(last)), 0)),
            _ => self.probe(at, life),
        }
    }

    fn found_log(&mut self, at: ParentReference, life: LifeId, footer: Footer, size: u64) {
        self.life(&at, life).present(footer, size);
        self.probe(at, life);
    }

    fn life(&mut self, at: &ParentReference, life: LifeId) -> &mut LifeSurvey {
        self.survey.incarnations.entry(at.clone()).or_default().lives.entry(life).or_default()
    }

    /// Asks for the seqs that may follow.
    fn probe(&mut self, at: ParentReference, life: LifeId) {
        for seq in self.life(&at, life).take_next() {
            self.queue.push_back((Ask::LogEnd(at.clone(), life, seq, FOOTER_GUESS_BYTES), 0));
        }
    }
}

/// A document, which must be the one of its name.
fn named<D: Document>(bytes: &[u8], is_it: impl Fn(&D) -> bool) -> Result<D, String> {
    let document = D::decode(bytes).map_err(|error| error.to_string())?;
    if is_it(&document) { Ok(document) } else { Err("it is the document of another name".to_owned()) }
}

impl Survey {
    /// An incarnation below the path.
    pub fn at(&self, incarnation: IncarnationId) -> ParentReference {
        ParentReference { place: self.place.clone(), path: self.layout.clone(), incarnation }
    }

    /// Whether an incarnation lies below the path.
    pub fn is_here(&self, at: &ParentReference) -> bool {
        (&at.place, &at.path) == (&self.place, &self.layout)
    }
}

impl IncarnationSurvey {
    /// Its newest cluster document.
    pub fn newest(&self) -> Option<&ClusterDocument> {
        self.clusters.values().next_back()
    }
}
