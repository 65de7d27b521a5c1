//! Looks into buckets, read-only: what a cluster may begin from, and whose path it is. What to ask is decided in [`crate::origin`].
//!
//! ```text
//! decide ─► Question ─► Inquiries ─► a task that runs the engine's machines over S3 ─► Finding ─► the next pass
//! ```
//!
//! - A survey of a large archive takes longer than a pass, so it runs beside them, and a pass sees how far it is. Nothing of it is remembered
//!   for longer than [`FINDING_SECONDS_MAX`]: the bucket is the truth.
//! - What one object was told is no answer for another one, and none for its own next decision ([`Inquiries::forget`]): a path where nobody was
//!   may hold a whole life a moment later.
//! - Few run at once, and one that nobody asks for any more ends.
//! - The machines repeat what fails for ever, and say what fails: an error of access is never an absence.
//!
//! Not done here, and why: nothing is written. Only nodes write below a cluster's path.

use crate::limits::{BUCKET_BEAT, FINDING_SECONDS_MAX, INQUIRIES_MAX, INQUIRY_IDLE_SECONDS_MAX};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use k8s_openapi::jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use strata_base::{Hlc, IncarnationId, ShardId, SlotRange, TableId};
use strata_engine::{
    objects::{Credentials, ErrorClass, ObjectError, Objects, Request, Response},
    tier::{
        Answered, CallId, Cut, Place,
        documents::{ClusterDocument, Document, Owner, ParentReference},
        layout::{Layout, Name},
        lineage::{self, LineageError},
        restore::{Options, Plan, PlanError, Planned, Planner, PlannerEvent, Target, plan},
    },
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::interval,
};

/// A bucket and who asks, from a KVObjectStore and its Secret.
#[derive(Clone, Debug)]
pub struct Access {
    /// The bucket.
    pub place: Place,
    /// The region.
    pub region: String,
    /// Who asks.
    pub credentials: Credentials,
    /// Which version of the Secret: other credentials are another question.
    pub version: String,
}

/// What is asked of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The name of the KVObjectStore.
    pub store: String,
    /// The path within its bucket.
    pub path: String,
    /// What.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// What a restore to a moment would take.
    Plan {
        /// To which moment.
        moment: Moment,
        /// The incarnation to restore; none for the one that lives.
        incarnation: Option<IncarnationId>,
    },
    /// The first document of an incarnation, and OWNER.
    Document {
        /// The incarnation.
        incarnation: IncarnationId,
    },
}

/// A moment to restore to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The last that the bucket holds.
    Latest,
    /// A time, in milliseconds since the Unix epoch.
    Time(u64),
    /// That of a backup.
    Backup {
        /// The number of the checkpoint of each shard.
        checkpoints: BTreeMap<ShardId, u64>,
        /// Up to when the log counts, in milliseconds since the Unix epoch.
        until_millis: u64,
    },
}

/// What a bucket answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// When it was read.
    pub read_at: Timestamp,
    /// Whose path it is; none where nobody ever was.
    pub owner: Option<Owner>,
    /// To [`Ask::Plan`]: what a restore takes, or why there is none.
    pub plan: Option<Result<PlannedRestore, PlanError>>,
    /// To [`Ask::Document`]: the bytes, or that there are none.
    pub document: Option<String>,
}

/// What a restore takes.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRestore {
    /// The incarnation that is restored, and where it lies.
    pub parent: ParentReference,
    /// Its shards, in the order of their slots.
    pub shards: Vec<ShardCut>,
    /// The last write that is restored.
    pub last_write: Hlc,
    /// The last write that the bucket reaches: the wanted moment may lie before it or behind.
    pub end: Hlc,
    /// Bytes of checkpoints, counted once.
    pub file_bytes: u64,
    /// Bytes of log to replay, counted once.
    pub log_bytes: u64,
    /// Other living incarnations below the path, which an explicit restore leaves behind.
    pub others: Vec<IncarnationId>,
}

/// A shard to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardCut {
    /// The shard of the parent.
    pub shard: ShardId,
    /// Its table.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// Where its log ends.
    pub cut: Cut,
    /// What lies behind the cut and cannot be reached: the last index before, and the first behind.
    pub gap: Option<(u64, u64)>,
}

/// How far an inquiry is.
#[derive(Clone, Debug, PartialEq)]
pub enum Inquiry {
    /// It reads; what keeps it from going on, if anything does.
    Reading(Option<ObjectError>),
    /// It was read.
    Found(Arc<Finding>),
}

/// The inquiries under way, and what was found a moment ago.
#[derive(Default)]
pub struct Inquiries {
    open: Mutex<(BTreeMap<Asked, Open>, JoinSet<()>)>,
}

/// Who asks what, where, and with which credentials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    asker: String,
    question: Question,
    place: Place,
    version: String,
}

struct Open {
    progress: watch::Receiver<Inquiry>,
    task: AbortHandle,
    asked: Timestamp,
}

impl Inquiries {
    /// What a bucket says to who asks, an object by its UID and its life; asks it if that one has not of late.
    pub fn ask(&self, now: Timestamp, asker: &str, question: &Question, access: &Access) -> Inquiry {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (inquiries, tasks) = &mut *open;
        while tasks.try_join_next().is_some() {}
        let age = |since: Timestamp| now.as_second().saturating_sub(since.as_second());
        inquiries.retain(|_, inquiry| {
            let is_fresh = match &*inquiry.progress.borrow() {
                Inquiry::Reading(_) => true,
                Inquiry::Found(finding) => age(finding.read_at) <= FINDING_SECONDS_MAX,
            };
            let is_kept = is_fresh && age(inquiry.asked) <= INQUIRY_IDLE_SECONDS_MAX;
            if !is_kept {
                inquiry.task.abort();
            }
            is_kept
        });
        let (place, version) = (access.place.clone(), access.version.clone());
        let asked = Asked { asker: asker.to_owned(), question: question.clone(), place, version };
        if let Some(known) = inquiries.get_mut(&asked) {
            known.asked = now;
            return known.progress.borrow().clone();
        }
        if inquiries.len() < INQUIRIES_MAX {
            let (sender, progress) = watch::channel(Inquiry::Reading(None));
            let task = tasks.spawn(answer(question.clone(), access.clone(), sender));
            inquiries.insert(asked, Open { progress, task, asked: now });
        }
        Inquiry::Reading(None)
    }

    /// Forgets what was told to who asks no more: it has decided, and its next decision is about another time.
    pub fn forget(&self, asker: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0.retain(|asked, inquiry| {
            let is_kept = asked.asker != asker;
            if !is_kept {
                inquiry.task.abort();
            }
            is_kept
        });
    }
}

async fn answer(question: Question, access: Access, progress: watch::Sender<Inquiry>) {
    let layout = match Layout::new(&question.path) {
        Ok(layout) => layout,
        Err(error) => {
            progress.send_replace(Inquiry::Reading(Some(ObjectError::new(ErrorClass::Internal, error.to_string()))));
            return;
        }
    };
    let own = access.place.clone();
    let stores: Mutex<BTreeMap<Place, Arc<dyn Objects>>> = Mutex::default();
    // A parent may lie in another bucket: it is asked for with the same credentials, as nodes do.
    let store = |place: &Place| {
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        let made = stores.entry(place.clone()).or_insert_with(|| Arc::new(objects(&access, place)));
        made.clone()
    };
    let finding = match question.ask {
        Ask::Plan { moment, incarnation } => survey(&store, own, layout, &moment, incarnation, &progress).await,
        Ask::Document { incarnation } => document(&*store(&own), &layout, incarnation, &progress).await,
    };
    progress.send_replace(Inquiry::Found(Arc::new(finding)));
}

/// The S3 client for a place.
#[cfg(feature = "s3")]
pub fn objects(access: &Access, place: &Place) -> impl Objects + use<> {
    use crate::limits::{BUCKET_CONNECT_DEADLINE, BUCKET_DEADLINE};
    use strata_engine::objects::{S3Objects, S3Settings};
    S3Objects::new(S3Settings {
        endpoint: place.store.clone(),
        region: access.region.clone(),
        bucket: place.bucket.clone(),
        credentials: access.credentials.clone(),
        connect_timeout: BUCKET_CONNECT_DEADLINE,
        deadline: BUCKET_DEADLINE,
    })
}

/// What a program without the feature `s3` has for a place: nothing that answers.
#[cfg(not(feature = "s3"))]
pub fn objects(_: &Access, place: &Place) -> impl Objects + use<> {
    struct Nothing(String);
    impl Objects for Nothing {
        fn call(&self, _: Request) -> strata_engine::objects::Pending<'_> {
            let error = ObjectError::new(ErrorClass::Internal, self.0.clone());
            Box::pin(std::future::ready(Err(error)))
        }
    }
    let (bucket, endpoint) = (&place.bucket, &place.store);
    Nothing(format!("bucket {bucket} at {endpoint} cannot be asked: this program was built without the feature s3"))
}

/// Runs a planner to its end.
pub async fn survey(
    store: &(dyn Fn(&Place) -> Arc<dyn Objects> + Sync),
    place: Place,
    layout: Layout,
    moment: &Moment,
    incarnation: Option<IncarnationId>,
    progress: &watch::Sender<Inquiry>,
) -> Finding {
    let options = Options { incarnation, accept_damage: false };
    let mut planner = Planner::new(place, layout, moment.target(), options.clone());
    // Beats count the time: the machine wants a clock that never falls back, and needs no other.
    let (mut beat, mut now_ms) = (interval(BUCKET_BEAT), 0);
    let mut under_way = FuturesUnordered::new();
    let mut calls = planner.step(now_ms, PlannerEvent::Tick);
    loop {
        for call in calls {
            let store = store(&call.place);
            under_way.push(async move { (call.id, store.call(call.request).await) });
        }
        if let Some(found) = found(&planner, &options, Timestamp::now()) {
            return found;
        }
        calls = tokio::select! {
            biased;
            Some((id, answered)) = under_way.next() => planner.step(now_ms, answered_event(id, answered)),
            _ = beat.tick() => {
                now_ms += BUCKET_BEAT.as_millis() as u64;
                planner.step(now_ms, PlannerEvent::Tick)
            }
        };
        show(progress, planner.problem());
    }
}

/// What a planner found that is finished, read until a moment.
pub fn found(planner: &Planner, options: &Options, read_at: Timestamp) -> Option<Finding> {
    let (outcome, survey) = planner.finished().zip(planner.survey())?;
    let latest = match plan(survey, &Target::Latest, options, &Default::default()) {
        Ok(Planned::Plan(latest)) => latest.last_write(),
        _ => Hlc::ZERO,
    };
    let others = match lineage::choose(survey, None) {
        Err(LineageError::AmbiguousLineage { leaves, .. }) => leaves,
        _ => Vec::new(),
    };
    let planned = outcome.clone().map(|plan| reduce(plan, latest, others));
    Some(Finding { read_at, owner: survey.owner.clone(), plan: Some(planned), document: None })
}

fn answered_event(id: CallId, answered: Answered) -> PlannerEvent {
    PlannerEvent::Answered { id, answered }
}

fn show(progress: &watch::Sender<Inquiry>, problem: Option<&ObjectError>) {
    let now = Inquiry::Reading(problem.cloned());
    progress.send_if_modified(|shown| std::mem::replace(shown, now.clone()) != now);
}

fn reduce(plan: Plan, end: Hlc, mut others: Vec<IncarnationId>) -> PlannedRestore {
    others.retain(|other| *other != plan.parent.incarnation);
    let (last_write, file_bytes, log_bytes) = (plan.last_write(), plan.file_bytes(), plan.log_bytes());
    let cut = |shard: strata_engine::tier::restore::ShardPlan| ShardCut {
        shard: shard.shard,
        table: shard.table,
        slots: shard.slots,
        cut: shard.cut,
        gap: shard.gap,
    };
    let mut shards: Vec<ShardCut> = plan.shards.into_iter().map(cut).collect();
    shards.sort_by_key(|shard| shard.slots);
    PlannedRestore { parent: plan.parent, shards, last_write, end: end.max(last_write), file_bytes, log_bytes, others }
}

/// Reads OWNER and the first document of an incarnation. What fails is repeated until it does not.
pub async fn document(store: &dyn Objects, layout: &Layout, incarnation: IncarnationId, progress: &watch::Sender<Inquiry>) -> Finding {
    let mut beat = interval(BUCKET_BEAT * 10);
    loop {
        beat.tick().await;
        let read = async {
            let [owner, first] = document_keys(layout, incarnation);
            let bytes = [read(store, &owner).await?, read(store, &first).await?];
            found_document(layout, incarnation, bytes, Timestamp::now())
        };
        match read.await {
            Ok(finding) => return finding,
            Err(error) => show(progress, Some(&error)),
        }
    }
}

/// What is read for [`Ask::Document`]: OWNER, and the first document of the incarnation.
pub fn document_keys(layout: &Layout, incarnation: IncarnationId) -> [String; 2] {
    [Name::Owner, Name::Cluster(incarnation, 0)].map(|name| layout.key(name))
}

/// What the objects of [`document_keys`] say; `None` for one that is not there.
pub fn found_document(
    layout: &Layout,
    incarnation: IncarnationId,
    bytes: [Option<Bytes>; 2],
    read_at: Timestamp,
) -> Result<Finding, ObjectError> {
    let ([owner_key, key], [owner, document]) = (document_keys(layout, incarnation), bytes);
    let owner = owner.map(|bytes| Owner::decode(&bytes)).transpose().map_err(|error| ObjectError::damaged(&owner_key, error))?;
    // It is kept for ever as it was read, so what was cut off on the way is read again.
    let document = document.map(|bytes| ClusterDocument::decode(&bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())).transpose();
    let document = document.map_err(|error| ObjectError::damaged(&key, error))?;
    Ok(Finding { read_at, owner, plan: None, document })
}

async fn read(store: &dyn Objects, key: &str) -> Result<Option<Bytes>, ObjectError> {
    match store.call(Request::get(key)).await {
        Ok(Response::Bytes { bytes, .. }) => Ok(Some(bytes)),
        Ok(_) => Err(ObjectError::new(ErrorClass::Internal, format!("{key}: not an answer to a read"))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Moment {
    /// Up to where a restore to it goes.
    pub fn target(&self) -> Target {
        match self {
            Moment::Latest => Target::Latest,
            Moment::Time(millis) => Target::Time(*millis),
            Moment::Backup { checkpoints, until_millis } => Target::Backup { checkpoints: checkpoints.clone(), until_ms: *until_millis },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question { store: "s3".to_owned(), path: "shop/orders".to_owned(), ask: Ask::Plan { moment: Moment::Latest, incarnation: None } }
    }

    fn access() -> Access {
        let place = Place { store: "http://127.0.0.1:9".to_owned(), bucket: "strata".to_owned() };
        let credentials = Credentials::Given { access_key_id: "key".to_owned(), secret_access_key: "secret".to_owned() };
        Access { place, region: "us-east-1".to_owned(), credentials, version: "1".to_owned() }
    }

    /// As if an object had been told just now that nobody ever was there.
    fn told_nothing(inquiries: &Inquiries, asker: &str) {
        let finding = Finding { read_at: Timestamp::now(), owner: None, plan: None, document: None };
        let (_, progress) = watch::channel(Inquiry::Found(Arc::new(finding)));
        let mut open = inquiries.open.lock().expect("nobody panicked");
        let task = open.1.spawn(std::future::pending());
        let asked = Asked { asker: asker.to_owned(), question: question(), place: access().place, version: access().version };
        open.0.insert(asked, Open { progress, task, asked: Timestamp::now() });
    }

    #[tokio::test]
    async fn what_an_earlier_object_of_the_same_name_was_told_is_no_answer() {
        let inquiries = Inquiries::default();
        told_nothing(&inquiries, "first-uid");
        let ask = |asker| inquiries.ask(Timestamp::now(), asker, &question(), &access());
        assert!(matches!(ask("first-uid"), Inquiry::Found(_)), "its own answer holds for a while");
        assert_eq!(ask("second-uid"), Inquiry::Reading(None), "the path may hold a whole life by now");
    }

    #[tokio::test]
    async fn what_was_decided_upon_is_read_again_for_the_next_decision() {
        let inquiries = Inquiries::default();
        told_nothing(&inquiries, "first-uid");
        told_nothing(&inquiries, "second-uid");
        inquiries.forget("first-uid");
        let ask = |asker| inquiries.ask(Timestamp::now(), asker, &question(), &access());
        assert_eq!(ask("first-uid"), Inquiry::Reading(None));
        assert!(matches!(ask("second-uid"), Inquiry::Found(_)), "others keep theirs");
    }

    #[test]
    fn a_document_that_was_cut_off_on_the_way_is_no_finding() {
        let document = ClusterDocument {
            cluster: "orders".to_owned(),
            incarnation: IncarnationId(7),
            number: 0,
            parent: None,
            shards: Vec::new(),
            lives: Vec::new(),
            tables: Vec::new(),
            settings: BTreeMap::new(),
        };
        let layout = Layout::new("shop/orders").expect("it is a path");
        let read = |bytes: Bytes| found_document(&layout, IncarnationId(7), [None, Some(bytes)], Timestamp::now());
        let (whole, key) = (document.encode(), layout.key(Name::Cluster(IncarnationId(7), 0)));
        assert_eq!(read(whole.clone()).expect("it is whole").document.expect("it is there").as_bytes(), whole);
        let error = read(whole.slice(..whole.len() / 2)).expect_err("half of it is not there");
        assert_eq!(error.class, ErrorClass::Damaged);
        assert!(error.to_string().contains(&key), "{error}");
    }
}
