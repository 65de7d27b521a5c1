//! The operator's part by hand, where a bucket is involved: claim its path, read it, plan a restore, and see how far nodes are.
//!
//! ```text
//! found:    join ─► directory ─► OpenArchive(cluster/0, for an empty path) ─► CreateShard
//! restore:  read the bucket, plan ─► join ─► directory ─► Restore ─► Ready ─► OpenArchive(cluster/0: parent, cuts) ─► CreateShard(origin)
//! ```

use super::{node_process::ArchiveSettings, object_store::BUCKET, process::ProcessCluster, wait};
use crate::{failure::Failure, workload::slot::slot_of};
use std::{collections::BTreeMap, time::Duration};
use strata_base::{Epoch, Hlc, IncarnationId, ShardId, SlotRange, TableId};
use strata_engine::{
    objects::ObjectError,
    tier::{
        Cut,
        documents::{ClusterDocument, Document, MemberDocument, Origin, ParentReference, ShardDocument, TableDocument},
        layout::Layout,
        restore::{Options, Plan, PlanError, Target},
        verify::{Depth, Report as BucketReport},
    },
};
use strata_node::{
    config::{self, OnStoreDown},
    shell::{bucket::BucketReader, clock::SystemClock, objects::ObjectStores},
};
use strata_node_api::{
    ArchiveClaim, ArchivePlace, CheckpointReport, ClaimState, Member, MemberRole, OrderKind, Report, RestoreOrder, RestoreShard,
    RestoreState, ShardArchive, ShardOrigin,
};

/// How long what a bucket is asked for may take to be seen in reports.
const BUCKET_DEADLINE: Duration = Duration::from_secs(60);

/// How long a claim may take to see that the owner lives: two of its beats, and some.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(120);

/// How long a restore may take.
const RESTORE_DEADLINE: Duration = Duration::from_secs(200);

/// How long a failure of the store that may pass is put up with by whoever reads the bucket, in milliseconds.
const PATIENCE_MILLIS: u64 = 20_000;

/// Where an empty shard's log begins: the position before its first entry.
const EMPTY: Cut = Cut { fork_epoch: 0, index: 5, term: 5, hlc: Hlc::ZERO };

/// The namespace that all clusters of scenarios lie in.
const NAMESPACE_UID: &str = "namespace-of-scenarios";

/// A restore that was planned and ordered.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// What the new shards continue.
    pub plan: Plan,
    order: RestoreOrder,
    document: ClusterDocument,
    gone: String,
}

/// What the nodes said of their archive at about one moment, as an operator collects it.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    shards: Vec<(SlotRange, ShardArchive)>,
    count: usize,
}

impl Recovery {
    /// Every write of the key acknowledged before this moment survives all nodes, in milliseconds since the Unix epoch; 0 where nobody says.
    pub fn latest_of(&self, key: &str) -> u64 {
        let found = self.shards.iter().find(|(slots, _)| slots.contains(slot_of(key)));
        found.map_or(0, |(_, archive)| archive.recovery_latest_millis)
    }

    /// The moment for all keys: that of the shard that is furthest behind; 0 where a shard is silent.
    pub fn latest(&self) -> u64 {
        if self.shards.len() < self.count { 0 } else { self.shards.iter().map(|(_, one)| one.recovery_latest_millis).min().unwrap_or(0) }
    }

    /// Keeps, for each shard, the later of both moments: what was promised once holds for ever.
    pub fn or_later(&mut self, other: Recovery) {
        self.count = self.count.max(other.count);
        for (slots, archive) in other.shards {
            match self.shards.iter_mut().find(|(known, _)| *known == slots) {
                Some((_, known)) if known.recovery_latest_millis >= archive.recovery_latest_millis => {}
                Some((_, known)) => *known = archive,
                None => self.shards.push((slots, archive)),
            }
        }
    }

    /// The largest lag, in milliseconds; none where a shard is silent, or its leader too new to know.
    pub fn lag_millis(&self) -> Option<u64> {
        let is_known = self.shards.len() == self.count && self.shards.iter().all(|(_, one)| one.recovery_latest_millis > 0);
        if !is_known { None } else { self.shards.iter().map(|(_, one)| one.lag_millis).max() }
    }

    /// How many stretches of log the archive never had.
    pub fn gaps(&self) -> usize {
        self.shards.iter().map(|(_, one)| one.gaps.len()).sum()
    }

    /// Bytes that only the nodes have.
    pub fn bytes_at_risk(&self) -> u64 {
        self.shards.iter().map(|(_, one)| one.bytes_at_risk).sum()
    }
}

impl ProcessCluster {
    /// What the nodes are told of the archive.
    pub fn archive(&self) -> &ArchiveSettings {
        self.options.settings.archive.as_ref().expect("this scenario's cluster has an archive")
    }

    fn kv_cluster_uid(&self) -> String {
        format!("kvcluster-{}", self.incarnation())
    }

    /// Founds the cluster on nodes that are empty, with an archive below a path where nobody ever was.
    pub async fn bootstrap_archived(&self) -> Result<(), Failure> {
        self.join_all().await?;
        self.open_archive(self.claim(false, None, &self.first_document(None, &BTreeMap::new()))).await?;
        self.create_shards(&BTreeMap::new()).await?;
        self.until_published().await
    }

    /// The claim of the archive's path with this document.
    pub fn claim(&self, may_continue: bool, gone: Option<String>, document: &ClusterDocument) -> ArchiveClaim {
        ArchiveClaim {
            namespace_uid: NAMESPACE_UID.to_owned(),
            kv_cluster_uid: self.kv_cluster_uid(),
            may_continue,
            gone,
            retire: Vec::new(),
            document: String::from_utf8_lossy(&document.encode()).into_owned(),
        }
    }

    /// Orders all nodes to archive.
    pub async fn open_archive(&self, claim: ArchiveClaim) -> Result<(), Failure> {
        for node in self.indexes() {
            self.obey(node, OrderKind::OpenArchive { claim: claim.clone() }).await?;
        }
        Ok(())
    }

    /// `cluster/0` of this incarnation, its shards empty but for those with an origin.
    pub fn first_document(&self, parent: Option<ParentReference>, origins: &BTreeMap<ShardId, ShardOrigin>) -> ClusterDocument {
        let document = |(ordinal, (shard, slots)): (usize, (ShardId, SlotRange))| {
            let member =
                |member: Member| MemberDocument { peer: member.peer, store: member.store, voter: member.role == MemberRole::Voter };
            let origin = origins.get(&shard).map(|origin| Origin { shard: origin.shard, cut: cut_of(origin) });
            let start = origin.map_or(EMPTY, |origin| origin.cut);
            let members = self.first_members(ordinal).into_iter().map(member).collect();
            ShardDocument { shard, table: TableId(0), slots, epoch: Epoch(1), members, forks: Vec::new(), origin, start }
        };
        let mut shards: Vec<ShardDocument> = self.shards().into_iter().zip(self.slots()).enumerate().map(document).collect();
        shards.sort_by_key(|shard| shard.shard);
        ClusterDocument {
            cluster: self.identity.cluster.clone(),
            incarnation: self.incarnation(),
            number: 0,
            parent,
            shards,
            lives: Vec::new(),
            tables: vec![TableDocument { table: TableId(0), name: "default".to_owned(), settings: BTreeMap::new() }],
            settings: BTreeMap::new(),
        }
    }

    /// Waits until `cluster/0` reads back everywhere, and every process may upload.
    pub async fn until_published(&self) -> Result<(), Failure> {
        wait::until(BUCKET_DEADLINE, "the cluster is published and every life is registered", async || {
            for node in self.indexes() {
                let report = self.report(node).await?;
                match &report.archive {
                    Some(archive) if archive.is_published && archive.is_registered => {}
                    archive => return Err(format!("node {node}: {archive:?}")),
                }
            }
            Ok(())
        })
        .await
    }

    /// What the nodes say of how far their shards are archived.
    pub async fn recovery(&self) -> Recovery {
        let view = self.view().await;
        let of = |shard: ShardId| view.leader(shard).and_then(|(_, replica)| Some((replica.slots, replica.archive.clone()?)));
        let shards = self.shards();
        Recovery { shards: shards.iter().filter_map(|shard| of(*shard)).collect(), count: shards.len() }
    }

    /// Waits until every write acknowledged before now survives the loss of all nodes.
    pub async fn until_archived(&self) -> Result<Recovery, Failure> {
        let now = unix_millis();
        wait::until(BUCKET_DEADLINE, "all that was acknowledged is archived", async || {
            let recovery = self.recovery().await;
            if recovery.latest() > now { Ok(recovery) } else { Err(format!("{recovery:?}; now is {now}; {}", self.archives().await)) }
        })
        .await
    }

    /// What the nodes say of their archives, in words.
    pub async fn archives(&self) -> String {
        let view = self.view().await;
        let of = |node: usize| view.report(node).map(|report| format!("node {node}: {:?}, {:?}", report.archive, report.problems));
        self.indexes().filter_map(of).collect::<Vec<_>>().join("; ")
    }

    /// What each node's report says keeps its archive from going on.
    pub async fn archive_problems(&self) -> BTreeMap<usize, String> {
        let view = self.view().await;
        let class = |report: &Report| report.archive.as_ref().and_then(|archive| archive.problem.as_ref()).map(|one| one.class.clone());
        self.indexes().filter_map(|node| Some((node, class(view.report(node)?)?))).collect()
    }

    /// Waits until the leader of the first shard was refused the path, and returns why.
    pub async fn until_claim_is_refused(&self) -> Result<String, Failure> {
        wait::until(REFUSAL_DEADLINE, "the claim of the path is refused", async || {
            let view = self.view().await;
            let refused = self.indexes().find_map(|node| match &view.report(node)?.archive.as_ref()?.claim {
                ClaimState::Refused { message } => Some(message.clone()),
                _ => None,
            });
            match refused {
                Some(message) => Ok(message),
                None => Err(self.archives().await),
            }
        })
        .await
    }

    /// Has a checkpoint of every shard that holds every write acknowledged before now, and waits until the bucket has it.
    pub async fn checkpoint_all(&self) -> Result<BTreeMap<ShardId, CheckpointReport>, Failure> {
        let not_before_millis = unix_millis();
        let mut made = BTreeMap::new();
        for shard in self.shards() {
            let what = format!("shard {shard} has a checkpoint in the bucket");
            let report = wait::until(BUCKET_DEADLINE, &what, async || {
                let view = self.view().await;
                let (leader, replica) = view.leader(shard).ok_or("nobody leads it")?;
                match replica.checkpoint {
                    Some(checkpoint) if checkpoint.covers_millis >= not_before_millis => Ok(checkpoint),
                    checkpoint => {
                        let answer = self.order(leader, OrderKind::Checkpoint { shard, not_before_millis }).await;
                        Err(format!(
                            "it has {checkpoint:?}, {:?} is under way, and the order is answered with {answer:?}",
                            replica.checkpointing
                        ))
                    }
                }
            });
            made.insert(shard, report.await?);
        }
        Ok(made)
    }

    /// Someone who reads the bucket, with the nodes' credentials, at `endpoint`.
    fn reader(&self, endpoint: &str) -> BucketReader {
        let archive = self.archive();
        let settings = config::Archive {
            endpoint: endpoint.to_owned(),
            region: "us-east-1".to_owned(),
            bucket: BUCKET.to_owned(),
            path: archive.path.clone(),
            access_key_id_file: archive.credentials.access_key_id.clone(),
            secret_access_key_file: archive.credentials.secret_access_key.clone(),
            flush_interval_millis: archive.flush_interval_millis,
            local_log_bound_bytes: archive.local_log_bound_bytes,
            on_store_down: OnStoreDown::default(),
        };
        let stores = ObjectStores::new(&settings, tokio::runtime::Handle::current());
        BucketReader { stores, clock: SystemClock::start(), patience_millis: PATIENCE_MILLIS }
    }

    /// Reads the bucket alone, every byte of it.
    pub async fn verify_bucket(&self) -> Result<BucketReport, Failure> {
        let reader = self.reader(&self.archive().endpoint);
        let place = reader.stores.place();
        reader.verify(place, self.layout(), Depth::Bytes, |_| {}).await.map_err(Failure::of("read the bucket"))
    }

    /// Plans a restore from the bucket, as the operator does.
    pub async fn plan_restore(&self, target: Target) -> Result<Result<Plan, PlanError>, ObjectError> {
        let reader = self.reader(&self.archive().endpoint);
        let place = reader.stores.place();
        Ok(reader.plan(place, self.layout(), target, Options::default()).await?.0)
    }

    fn layout(&self) -> Layout {
        Layout::new(self.archive().path.as_str()).expect("a scenario names a sensible path")
    }

    /// All processes end at once as by `kill -9`, and all disks are emptied. What starts on them is a new incarnation.
    pub async fn lose_everything(&mut self) -> Result<(), Failure> {
        self.kill_all(&self.indexes().collect::<Vec<_>>());
        for node in self.indexes() {
            self.empty_disk(node)?;
        }
        self.identity.incarnation = IncarnationId(self.identity.incarnation.0.wrapping_add(2));
        self.identity.epoch = Epoch(self.identity.epoch.0 + 1);
        self.restart_all().await?;
        for node in self.indexes() {
            self.stores[node] = self.report(node).await.map_err(Failure::Broken)?.store;
        }
        Ok(())
    }

    /// Restores a path onto nodes that are empty, whole.
    pub async fn restore(&self, target: Target) -> Result<Restoring, Failure> {
        let restoring = self.begin_restore(target).await?;
        self.until_fetched().await?;
        self.finish_restore(&restoring).await?;
        Ok(restoring)
    }

    /// Plans a restore, and orders all nodes to fetch.
    pub async fn begin_restore(&self, target: Target) -> Result<Restoring, Failure> {
        let planned = self.plan_restore(target).await.map_err(Failure::of("read the bucket"))?;
        let plan = planned.map_err(|error| Failure::broken(format!("there is no plan: {}: {error}", error.class())))?;
        let mut shards = Vec::new();
        for (ordinal, (shard, slots)) in self.shards().into_iter().zip(self.slots()).enumerate() {
            let parent = plan.shards.iter().find(|parent| parent.slots == slots);
            let parent = parent.ok_or_else(|| Failure::broken(format!("the plan has no shard of slots {slots:?}")))?;
            let Cut { fork_epoch, index, term, hlc } = parent.cut;
            let stores = self.first_members(ordinal).iter().map(|member| member.store).collect();
            shards.push(RestoreShard { shard, stores, origin: ShardOrigin { shard: parent.shard, fork_epoch, index, term, hlc } });
        }
        let parent = plan.parent.clone();
        let origins = shards.iter().map(|shard| (shard.shard, shard.origin)).collect();
        let source =
            ArchivePlace { store: parent.place.store.clone(), bucket: parent.place.bucket.clone(), path: parent.path.path().to_owned() };
        let order = RestoreOrder { source, incarnation: parent.incarnation, accept_damage: false, shards };
        let gone = format!("kvcluster-{}", parent.incarnation);
        let document = self.first_document(Some(parent), &origins);
        let restoring = Restoring { plan, order, document, gone };
        self.join_all().await?;
        self.order_fetch(&restoring).await?;
        Ok(restoring)
    }

    /// Orders all nodes to fetch, once more or for the first time.
    pub async fn order_fetch(&self, restoring: &Restoring) -> Result<(), Failure> {
        for node in self.indexes() {
            self.obey(node, OrderKind::Restore { restore: restoring.order.clone() }).await?;
        }
        Ok(())
    }

    /// Waits until every node has fetched what it needs, and fails where one cannot.
    pub async fn until_fetched(&self) -> Result<(), Failure> {
        let fetched = wait::until(RESTORE_DEADLINE, "every node has fetched its shards", async || {
            let mut waiting = Vec::new();
            for node in self.indexes() {
                match self.report(node).await?.restore {
                    Some(restore) => match restore.state {
                        RestoreState::Ready => {}
                        RestoreState::Failed { class, message } => return Ok(Err(format!("node {node}: {class}: {message}"))),
                        RestoreState::Planning | RestoreState::Fetching => waiting.push(format!("node {node}: {restore:?}")),
                    },
                    None => waiting.push(format!("node {node} restores nothing")),
                }
            }
            if waiting.is_empty() { Ok(Ok(())) } else { Err(waiting.join("; ")) }
        });
        fetched.await?.map_err(Failure::Broken)
    }

    /// Creates the shards of what was fetched, and waits until they serve.
    pub async fn finish_restore(&self, restoring: &Restoring) -> Result<(), Failure> {
        self.open_archive(self.claim(true, Some(restoring.gone.clone()), &restoring.document)).await?;
        let origins = restoring.order.shards.iter().map(|shard| (shard.shard, shard.origin)).collect();
        self.create_shards(&origins).await?;
        self.until_published().await
    }
}

/// Milliseconds since the Unix epoch, by the clock that the nodes of this machine share.
pub fn unix_millis() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}

fn cut_of(origin: &ShardOrigin) -> Cut {
    Cut { fork_epoch: origin.fork_epoch, index: origin.index, term: origin.term, hlc: origin.hlc }
}
