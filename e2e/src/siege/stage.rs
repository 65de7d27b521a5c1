//! What a siege plays on, and how each trouble is inflicted on it.
//!
//! ```text
//! clients ──► 3 × strata-node ──► proxy that fails ──► versitygw
//!                │         └── each in a group of its own: rules of the kernel cut it off; and with a wall clock of its own
//!                └── each on an ext4 of its own: full, frozen, without power
//! ```

use super::{
    clocks::Wrong,
    play::{Promises, Stage},
    schedule::{Fault, Kind, NODES},
    tally::Tally,
};
use crate::{
    failure::Failure,
    harness::{
        archive::{Recovery, unix_millis},
        node_process::{ArchiveSettings, Settings},
        partition::{Cut, Cuts},
        process::{Options, ProcessCluster},
        s3_proxy::Mode,
        small_disk::SmallDisk,
        wait,
        wall_clock::{Jumps, Library, Shown, WallClock},
    },
    say::say,
    scene::Ground,
    workload::{Size, client::Endpoints},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use strata_engine::tier::restore::Target;
use strata_node_api::NodeState;

/// Shards of the one table.
const SHARDS: u16 = 8;

/// A node's disk, and what is to stay free of it, in bytes.
const DISK_BYTES: u64 = 1 << 30;
const RESERVE_BYTES: u64 = 64 << 20;

/// A frozen disk takes writes again after so long, whatever becomes of the siege.
const FROZEN_MAX: Duration = Duration::from_secs(10);

/// How long a node may take until it reports again, after whatever was done to it.
const REPORT_DEADLINE: Duration = Duration::from_secs(60);

/// How long a clock that jumps shows the same time.
const JUMP: Duration = Duration::from_millis(300);

/// The group of the first node's process: above those of people and programs.
const FIRST_GROUP: u32 = 61_000;

/// Processes, and all that troubles them.
pub struct ProcessStage {
    // Fields are dropped in this order: disks go when the last process has ended, and let none wait until then.
    disks: Vec<SmallDisk>,
    cuts: Option<Cuts>,
    jumps: Option<Jumps>,
    /// The nodes.
    pub cluster: ProcessCluster,
    ground: Ground,
    lacking: BTreeMap<Kind, String>,
    told: BTreeSet<Kind>,
    /// The latest moments that any node promised in this incarnation.
    promised: Recovery,
    tally: Arc<Tally>,
}

impl ProcessStage {
    /// Founds the cluster. `lack` says why there is no network of its own; disks may be such that fsync does nothing.
    pub async fn found(seed: u64, are_forgetful: bool, lack: Option<String>, tally: Arc<Tally>) -> Result<ProcessStage, Failure> {
        let ground = Ground::start(seed ^ 0x5a5a).await?;
        let mut lacking = BTreeMap::new();
        let cuts = had(lack.map_or_else(Cuts::none, |why| Err(Failure::Lacking(why))), Kind::Partition, &mut lacking)?;
        let clocks = had(Library::build(), Kind::Clock, &mut lacking)?.map(Arc::new);
        let (endpoint, credentials) = (ground.proxy.endpoint(), ground.store.credentials());
        let archive = ArchiveSettings::below("siege/archive");
        let archive = ArchiveSettings { endpoint, credentials, flush_interval_millis: 500, checkpoint_seconds: 20, ..archive };
        let settings = Settings {
            log_bytes: 16 << 20,
            write_buffer_bytes: 8 << 20,
            disk_reserve_bytes: RESERVE_BYTES,
            archive: Some(archive),
            ..Settings::default()
        };
        let first_group = cuts.is_some().then_some(FIRST_GROUP);
        let options = Options { nodes: NODES, settings, first_group, clocks, ..Options::three_nodes(SHARDS) };
        let cluster = ProcessCluster::start(seed, options).await?;
        let (told, promised) = (BTreeSet::new(), Recovery::default());
        let mut stage = ProcessStage { disks: Vec::new(), cuts, jumps: None, cluster, ground, lacking, told, promised, tally };
        stage.put_disks(are_forgetful).await?;
        stage.cluster.bootstrap_archived().await?;
        stage.cluster.spread_leaders().await?;
        Ok(stage)
    }

    /// Puts a disk under each node, where this machine has the means.
    async fn put_disks(&mut self, are_forgetful: bool) -> Result<(), Failure> {
        let nodes: Vec<usize> = self.cluster.indexes().collect();
        self.cluster.kill_all(&nodes);
        let make = if are_forgetful { SmallDisk::forgetful_under } else { SmallDisk::under };
        for node in nodes {
            let mut disk = match make(&self.cluster.disk(node), DISK_BYTES) {
                Ok(disk) => disk,
                Err(Failure::Lacking(why)) if !are_forgetful && self.disks.is_empty() => {
                    self.lacking.insert(Kind::SlowDisk, why.clone());
                    self.lacking.insert(Kind::Disk, why);
                    break;
                }
                Err(failure) => return Err(failure),
            };
            let is_lost = disk.cut_power().await?;
            Failure::unless(is_lost, || "a disk without power kept what was not synced".to_owned())?;
            self.disks.push(disk);
        }
        self.cluster.restart_all().await
    }

    async fn inflict(&mut self, fault: &Fault) -> Result<(), Failure> {
        match fault {
            Fault::Kill { nodes } => self.kill(nodes).await,
            Fault::Stop { node } => self.cluster.stop(*node),
            Fault::Cut { ways } => ways.iter().try_for_each(|way| {
                let cut = self.cut(*way);
                self.cuts.as_mut().map_or(Ok(()), |cuts| cuts.cut(cut))
            }),
            Fault::Full { node } => self.disks[*node].fill_up(RESERVE_BYTES / 2),
            Fault::Frozen { node } => self.disks[*node].freeze(FROZEN_MAX),
            Fault::Slow { node } => self.disks[*node].slow_down(FROZEN_MAX),
            Fault::Clock { node, wrong } => self.make_wrong(*node, wrong).await,
            Fault::Store { mode } => {
                self.ground.proxy.set_mode(*mode);
                Ok(())
            }
        }
    }

    /// Makes the clock of a node wrong while all nodes hear each other, and waits until the node tells so.
    async fn make_wrong(&mut self, node: usize, wrong: &Wrong) -> Result<(), Failure> {
        self.cluster.until_heard().await?;
        let clock = self.clock(node)?;
        match wrong {
            Wrong::Off { millis } => clock.show(Shown::Off { millis: *millis })?,
            Wrong::Jumping { offsets } => self.jumps = Some(Jumps::begin(clock, offsets.clone(), JUMP)),
            Wrong::Frozen => clock.show(Shown::Still { unix_millis: unix_millis() })?,
        }
        wait::until(REPORT_DEADLINE, &format!("node {node} tells that its clock is {wrong}"), async || {
            let told = self.cluster.report(node).await?.clock_offset_millis;
            if wrong.is_told_by(told) { Ok(()) } else { Err(format!("it tells {told} ms")) }
        })
        .await
    }

    async fn make_right(&mut self, node: usize) -> Result<(), Failure> {
        if let Some(jumps) = self.jumps.take() {
            jumps.end().await;
        }
        self.clock(node)?.show(Shown::RIGHT)
    }

    fn clock(&self, node: usize) -> Result<WallClock, Failure> {
        let clock = self.cluster.clock(node).cloned();
        clock.ok_or_else(|| Failure::broken(format!("node {node} has the clock of the system")))
    }

    /// Ends processes and cuts the power of their disks. Without disks of our own the kernel keeps what was not synced, and the kill counts as a plain one.
    async fn kill(&mut self, nodes: &[usize]) -> Result<(), Failure> {
        self.cluster.kill_all(nodes);
        for node in nodes {
            self.tally.kills.add(1);
            let Some(disk) = self.disks.get_mut(*node) else { continue };
            // What a disk lacks now is no lack of this machine.
            if disk.cut_power().await.map_err(Failure::of("cut the power of a disk"))? {
                self.tally.unsynced.add(1);
            }
        }
        Ok(())
    }

    /// The rule that keeps what one node sends from another.
    fn cut(&self, (from, to): (usize, usize)) -> Cut {
        Cut { group: FIRST_GROUP + from as u32, port: self.cluster.ports(to).peer }
    }

    /// Waits until every node runs and reports, and is who it was: with its store, and in the cluster.
    async fn until_themselves(&mut self) -> Result<(), Failure> {
        self.cluster.launch_all()?;
        for node in self.cluster.indexes() {
            let what = format!("node {node} reports again");
            let report = wait::until(REPORT_DEADLINE, &what, async || match self.cluster.check_alive() {
                Ok(()) => self.cluster.report(node).await.map(Ok),
                Err(ended) => Ok(Err(ended)),
            });
            let report = report.await??;
            let is_itself = report.store == self.cluster.address(node).store && report.state != NodeState::Empty;
            Failure::unless(is_itself, || format!("node {node} came back without what was on its disk: it reports {report:?}"))?;
        }
        Ok(())
    }
}

impl Stage for ProcessStage {
    type Fault = Fault;

    const LOADS: u64 = 4;
    const SIZE: Size = Size { registers: 8, counters: 0, writers: 2, beat: Duration::from_millis(4), page: 0, is_doubling: false };

    fn endpoints(&self) -> Endpoints {
        self.cluster.endpoints_of(&self.cluster.indexes().collect::<Vec<_>>())
    }

    async fn begin(&mut self, fault: &Fault) -> Result<bool, Failure> {
        let kind = fault.kind();
        let begun = match self.lacking.get(&kind) {
            Some(why) => Err(Failure::Lacking(why.clone())),
            None => self.inflict(fault).await,
        };
        match begun {
            Ok(()) => {}
            Err(Failure::Lacking(why)) => {
                if self.told.insert(kind) {
                    say(format!("skipped: siege without {kind:?}: {}", why.replace('\n', "; ")));
                }
                self.lacking.insert(kind, why);
                self.tally.skipped.add(1);
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        }
        let figure = match kind {
            // Each of the killed was counted when it was.
            Kind::Kill => return Ok(true),
            Kind::Stop => &self.tally.stops,
            Kind::Partition => &self.tally.partitions,
            Kind::Disk => &self.tally.disks,
            Kind::SlowDisk => &self.tally.slow_disks,
            Kind::Clock => &self.tally.clocks,
            Kind::Store => &self.tally.store_faults,
        };
        figure.add(1);
        Ok(true)
    }

    async fn end(&mut self, fault: &Fault) -> Result<(), Failure> {
        match fault {
            Fault::Kill { nodes } => {
                for node in nodes.iter().filter(|node| !self.cluster.is_started(**node)).copied().collect::<Vec<_>>() {
                    self.cluster.launch(node)?;
                }
            }
            Fault::Stop { node } => self.cluster.cont(*node)?,
            Fault::Cut { ways } => {
                for way in ways {
                    let cut = self.cut(*way);
                    self.cuts.as_mut().map_or(Ok(()), |cuts| cuts.open(cut))?;
                }
            }
            Fault::Full { node } => self.disks[*node].relieve()?,
            Fault::Frozen { node } | Fault::Slow { node } => self.disks[*node].thaw(),
            Fault::Clock { node, .. } => self.make_right(*node).await?,
            Fault::Store { .. } => self.ground.proxy.set_mode(Mode::Pass),
        }
        self.cluster.check_alive()
    }

    fn is_heard_amid(fault: &Fault) -> bool {
        matches!(fault.kind(), Kind::Clock | Kind::Store)
    }

    async fn hear_promises(&mut self, deadline: Duration) {
        if let Ok(promised) = tokio::time::timeout(deadline, self.cluster.recovery()).await {
            self.promised.or_later(promised);
        }
    }

    async fn until_whole(&mut self) -> Result<(), Failure> {
        self.until_themselves().await?;
        self.cluster.until_whole().await.map(drop)
    }

    async fn judge(&mut self) -> Result<(), Failure> {
        self.cluster.check_alive()?;
        self.cluster.until_converged().await.map(drop)
    }

    /// Nobody could kill a process that waits for its disk.
    fn ends_before_loss(fault: &Fault) -> bool {
        matches!(fault.kind(), Kind::Disk | Kind::SlowDisk)
    }

    async fn lose_everything(&mut self) -> Result<(), Failure> {
        self.tally.losses.add(1);
        self.cluster.lose_everything().await
    }

    async fn restore(&mut self) -> Result<Promises, Failure> {
        self.cluster.restore(Target::Latest).await?;
        let promised = std::mem::take(&mut self.promised);
        Ok(Box::new(move |key| promised.latest_of(key)))
    }

    async fn until_settled(&mut self) -> Result<(), Failure> {
        self.cluster.until_converged().await?;
        self.cluster.spread_leaders().await.map(drop)
    }

    async fn judge_bucket(&mut self) -> Result<(), Failure> {
        self.cluster.checkpoint_all().await?;
        self.cluster.until_archived().await?;
        let bucket = self.cluster.verify_bucket().await?;
        say(format!("siege: bucket: objects={} unreferenced={}", bucket.objects, bucket.unreferenced.len()));
        Failure::unless(bucket.is_sound(), || format!("the bucket should be sound, and is {bucket:#?}"))
    }

    async fn autopsy(self) -> String {
        let ProcessStage { mut disks, cluster, mut ground, .. } = self;
        disks.iter_mut().for_each(SmallDisk::thaw);
        let text = cluster.autopsy();
        format!("{text}\neach node's disk is kept as data.image below that\n{}", ground.store.keep())
    }
}

/// What this machine has, or nothing where it lacks it: then why is kept.
fn had<T>(had: Result<T, Failure>, kind: Kind, lacking: &mut BTreeMap<Kind, String>) -> Result<Option<T>, Failure> {
    match had {
        Ok(means) => Ok(Some(means)),
        Err(Failure::Lacking(why)) => {
            lacking.insert(kind, why);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
