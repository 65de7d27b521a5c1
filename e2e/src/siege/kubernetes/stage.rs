//! What a siege of a Kubernetes plays on, and how each trouble is inflicted on it.
//!
//! ```text
//! clients ──► 3 pods of a KVCluster, one to a machine ──► S3 server, whose folder is all that survives a loss
//!                │            └── killed; their disks emptied        operator, API server: killed
//!                └── machines of the lab: frozen, cut off, without a kubelet
//! ```

use super::{
    super::play::{Promises, Stage},
    evidence::Evidence,
    schedule::{Fault, Kind, MACHINES, Victim, machine_name},
    tally::Tally,
};
use crate::{
    failure::Failure,
    harness::{
        kubernetes::{
            cluster::{Cluster, is_ready, is_whole},
            install,
            kube::Kube,
            lab::Lab,
            manifest::{archived, manifest, object_store},
        },
        wait,
    },
    say::say,
    workload::{Size, client::Endpoints},
};
use futures_util::future::try_join_all;
use k8s_openapi::jiff::Timestamp;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use strata_crds::{KVClusterStatus, MemberState};

/// The cluster's name.
const NAME: &str = "siege";

/// How long a cluster may take from the end of all troubles until it is whole.
const WHOLE_DEADLINE: Duration = Duration::from_secs(120);

/// How long a restore may take until every shard serves.
const RESTORE_DEADLINE: Duration = Duration::from_secs(180);

/// How long something that is to be killed may take to run, after it was killed before.
const TARGET_DEADLINE: Duration = Duration::from_secs(60);

/// How long the API server may take to serve again.
const API_DEADLINE: Duration = Duration::from_secs(60);

/// What a process that `kill -9` ended leaves.
const KILLED: i32 = 128 + 9;

/// A pod of the cluster, and what lies below it.
struct Member {
    pod: String,
    store: Option<String>,
    volume: String,
}

/// A Kubernetes with a cluster on it, and all that troubles it.
pub struct KubernetesStage {
    lab: Lab,
    cluster: Cluster,
    manifest: String,
    /// By machine.
    members: Vec<Member>,
    endpoints: Endpoints,
    /// Machines whose disk was emptied since the cluster was whole.
    emptied: BTreeSet<usize>,
    /// Every write that was acknowledged before this moment was promised to be in the bucket, in this life of the cluster: milliseconds since the Unix epoch.
    promised_millis: i64,
    /// Whether it was said that a status names gaps.
    are_gaps_told: bool,
    /// Everything is lost, and not yet brought back.
    is_lost: bool,
    told: BTreeSet<Kind>,
    evidence: Arc<Evidence>,
    tally: Arc<Tally>,
}

impl KubernetesStage {
    /// Installs the operator and declares a cluster with an archive.
    pub async fn found(lab: Lab, evidence: Arc<Evidence>, tally: Arc<Tally>) -> Result<KubernetesStage, Failure> {
        install::load_image(&lab).await?;
        install::install().await?;
        let kube = Kube::connect().await?;
        kube.apply(&object_store(&lab.start_s3(&evidence.bucket()?).await?)).await?;
        let manifest = manifest(NAME, &archived(""));
        let cluster = Cluster::new(&kube, NAME);
        kube.apply(&manifest).await?;
        cluster.until_ready().await?;
        let endpoints = Endpoints { plain: Vec::new(), cluster: Vec::new() };
        let (members, emptied, told) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut stage = KubernetesStage {
            lab,
            cluster,
            manifest,
            members,
            endpoints,
            emptied,
            promised_millis: 0,
            are_gaps_told: false,
            is_lost: false,
            told,
            evidence,
            tally,
        };
        stage.meet_members().await?;
        stage.until_whole().await?;
        Ok(stage)
    }

    /// Learns which pods there are, on which machine, and on which volume.
    async fn meet_members(&mut self) -> Result<(), Failure> {
        let mut members: Vec<Option<Member>> = (0..MACHINES).map(|_| None).collect();
        for pod in self.cluster.pod_names().await? {
            let machine = self.cluster.machine_of(&pod).await?;
            let place = (0..MACHINES).find(|at| machine_name(*at) == machine).and_then(|at| members.get_mut(at));
            let place = place.ok_or_else(|| Failure::broken(format!("pod {pod} runs on {machine}, which no lab has")))?;
            let volume = self.cluster.volume_of(&pod).await?;
            *place = Some(Member { pod, store: None, volume });
        }
        let lonely = || Failure::broken("a machine has no pod of the cluster");
        self.members = members.into_iter().collect::<Option<Vec<Member>>>().ok_or_else(lonely)?;
        self.endpoints = self.cluster.endpoints().await?;
        Ok(())
    }

    async fn inflict(&mut self, fault: &Fault) -> Result<(), Failure> {
        let Tally { pods, frozen, partitions, kubelets, operators, api_servers, disks, .. } = &*self.tally;
        match fault {
            Fault::Pod { victim } => {
                let killed = self.kill_pods(*victim).await?;
                pods.add(killed);
            }
            Fault::Frozen { machine } => {
                self.lab.freeze(&machine_name(*machine)).await?;
                frozen.add(1);
            }
            Fault::Cut { machine } => {
                self.lab.cut(&machine_name(*machine)).await?;
                partitions.add(1);
            }
            Fault::CutBetween { one, other } => {
                self.lab.cut_between(&machine_name(*one), &machine_name(*other)).await?;
                partitions.add(1);
            }
            Fault::Kubelet { machine } => {
                self.lab.hold(&kubelet(*machine)).await?;
                kubelets.add(1);
            }
            Fault::Operator => {
                self.kill_operator().await?;
                operators.add(1);
            }
            Fault::ApiServer => {
                self.lab.hold(API_SERVER).await?;
                api_servers.add(1);
            }
            Fault::Disk { machine } => {
                self.lab.empty_disk(&self.members[*machine].volume).await?;
                self.emptied.insert(*machine);
                disks.add(1);
            }
        }
        Ok(())
    }

    /// Kills pods as soon as they can be, since those that were killed before may be starting; gives how many.
    async fn kill_pods(&self, victim: Victim) -> Result<u64, Failure> {
        wait::until(TARGET_DEADLINE, "pods that are to be killed run", async || {
            let leader;
            let pods: Vec<&str> = match victim {
                Victim::On(machine) => vec![&self.members[machine].pod],
                Victim::All => self.members.iter().map(|member| member.pod.as_str()).collect(),
                Victim::Leader => {
                    leader = self.cluster.busiest().await.map_err(|failure| failure.to_string())?.pod;
                    vec![&leader]
                }
            };
            self.lab.kill(&pods).await.map(|()| pods.len() as u64).map_err(|failure| failure.to_string())
        })
        .await
    }

    async fn kill_operator(&self) -> Result<(), Failure> {
        wait::until(TARGET_DEADLINE, "the operator that is to be killed runs", async || {
            let pods = install::operators(&self.cluster.kube).await.map_err(|failure| failure.to_string())?;
            let names: Vec<&str> = pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
            self.lab.kill(&names).await.map_err(|failure| failure.to_string())
        })
        .await
    }

    async fn until_api_answers(&self) -> Result<(), Failure> {
        wait::until(API_DEADLINE, "the API server answers", async || {
            self.cluster.kube.kubectl(&["get", "--raw", "/readyz"]).await.map(drop).map_err(|failure| failure.to_string())
        })
        .await
    }

    /// Remembers what a status promises.
    fn note_promise(&mut self, status: &KVClusterStatus) {
        self.promised_millis = self.promised_millis.max(latest_millis(status).unwrap_or(0));
        // A leader that was filled by a snapshot may take for a gap what others have archived. The bucket is asked in the end.
        let gaps = status.recovery.as_ref().map_or(0, |recovery| recovery.gaps.len());
        if gaps > 0 && !std::mem::replace(&mut self.are_gaps_told, true) {
            say(format!("siege: the status names {gaps} stretches of log that the bucket may lack"));
        }
    }

    /// Every member is who it was, but for those whose disk was emptied: they are somebody else.
    fn judge_stores(&mut self, status: &KVClusterStatus) -> Result<(), Failure> {
        for (machine, member) in self.members.iter_mut().enumerate() {
            let store = store_of(status, &member.pod);
            let is_itself = member.store.is_none() || member.store == store || self.emptied.contains(&machine);
            let was = &member.store;
            Failure::unless(is_itself, || format!("{} came back without what was on its disk: {was:?} became {store:?}", member.pod))?;
            member.store = store;
        }
        self.emptied.clear();
        Ok(())
    }

    /// No process of a node ends by itself.
    async fn judge_ends(&self) -> Result<(), Failure> {
        for pod in self.cluster.pods().await? {
            let name = pod.metadata.name.unwrap_or_default();
            for container in pod.status.and_then(|status| status.container_statuses).unwrap_or_default() {
                let Some(ended) = container.last_state.and_then(|state| state.terminated) else { continue };
                let is_killed = ended.exit_code == KILLED && ended.reason.as_deref() != Some("OOMKilled");
                Failure::unless(is_killed, || format!("{name} ended by itself: {ended:?}"))?;
            }
        }
        Ok(())
    }

    /// What a storage node's program says within a pod, when it is asked to verify something: zero is well, one is a find, anything else is no answer.
    async fn verify(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = vec!["strata-node", arguments[0], "--config", "/etc/strata/configuration/node.toml"];
        command.extend(&arguments[1..]);
        let said = self.cluster.kube.exec(&self.members[0].pod, &command).await?;
        let words = format!("{} says: {}{}", arguments[0], said.output, said.errors);
        match said.status.code() {
            Some(0) => Ok(said.output),
            Some(1) if !said.output.trim().is_empty() => Err(Failure::Broken(words)),
            _ => Err(Failure::Late { what: format!("{} has an answer", arguments[0]), seconds: 0, seen: words }),
        }
    }
}

/// What the lab calls these components.
const API_SERVER: &str = "kube-apiserver";

fn kubelet(machine: usize) -> String {
    format!("{}.kubelet", machine_name(machine))
}

fn latest_millis(status: &KVClusterStatus) -> Option<i64> {
    Some(status.recovery.as_ref()?.latest.as_ref()?.0.as_millisecond())
}

fn store_of(status: &KVClusterStatus, pod: &str) -> Option<String> {
    status.members.iter().find(|member| member.pod == pod)?.store.clone()
}

impl Stage for KubernetesStage {
    type Fault = Fault;

    const LOADS: u64 = 2;
    const SIZE: Size = Size { registers: 6, counters: 0, writers: 2, beat: Duration::from_millis(8), page: 0, is_doubling: false };

    fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    async fn begin(&mut self, fault: &Fault) -> Result<bool, Failure> {
        match self.inflict(fault).await {
            Ok(()) => Ok(true),
            Err(Failure::Lacking(why)) => {
                if self.told.insert(fault.kind()) {
                    say(format!("skipped: siege without {:?}: {}", fault.kind(), why.replace('\n', "; ")));
                }
                self.tally.skipped.add(1);
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn end(&mut self, fault: &Fault) -> Result<(), Failure> {
        match fault {
            // What is lost stays frozen until it is buried.
            Fault::Frozen { .. } if self.is_lost => Ok(()),
            Fault::Frozen { machine } => self.lab.thaw(&machine_name(*machine)).await,
            Fault::Cut { machine } => self.lab.heal(&machine_name(*machine)).await,
            Fault::CutBetween { one, other } => self.lab.heal_between(&machine_name(*one), &machine_name(*other)).await,
            Fault::Kubelet { machine } => self.lab.release(&kubelet(*machine)).await,
            Fault::ApiServer => {
                self.lab.release(API_SERVER).await?;
                self.until_api_answers().await
            }
            // Kubernetes and the operator end these.
            Fault::Pod { .. } | Fault::Operator | Fault::Disk { .. } => Ok(()),
        }
    }

    fn is_heard_amid(fault: &Fault) -> bool {
        fault.kind() != Kind::ApiServer
    }

    async fn hear_promises(&mut self, deadline: Duration) {
        // Where the API server is away or slow, what was heard before holds.
        if let Ok(Ok(status)) = tokio::time::timeout(deadline, self.cluster.status()).await {
            self.note_promise(&status);
        }
    }

    async fn until_whole(&mut self) -> Result<(), Failure> {
        // A status is as old as what it promises: this one is from after the end of all troubles, and the archive has caught up.
        let ended_millis = Timestamp::now().as_millisecond();
        let is_new = |status: &KVClusterStatus| {
            is_whole(status)?;
            for machine in &self.emptied {
                let Member { pod, store, .. } = &self.members[*machine];
                let found = status.members.iter().find(|member| member.pod == *pod);
                let is_replaced = found.is_some_and(|member| member.store != *store && member.state == MemberState::Up);
                if !is_replaced {
                    return Err(format!("{pod}, whose disk was emptied, is {found:?}"));
                }
            }
            let latest_millis = latest_millis(status).unwrap_or(0);
            let lag = || format!("recovery.latest is {} ms older than the end of troubles", ended_millis - latest_millis);
            if latest_millis > ended_millis { Ok(()) } else { Err(lag()) }
        };
        let status = self.cluster.until(WHOLE_DEADLINE, "is whole after all troubles", is_new).await?;
        self.note_promise(&status);
        self.judge_stores(&status)
    }

    async fn judge(&mut self) -> Result<(), Failure> {
        self.judge_ends().await?;
        let nodes: Vec<String> = self.members.iter().map(|member| format!("{}:6391", self.cluster.host(&member.pod))).collect();
        let mut arguments = vec!["verify-replicas", "--deadline-seconds", "40"];
        nodes.iter().for_each(|node| arguments.extend(["--node", node]));
        self.verify(&arguments).await.map(drop)
    }

    fn ends_before_loss(_: &Fault) -> bool {
        false
    }

    /// All machines stand still at one moment, and find their disks empty and their processes dead when they go on.
    async fn lose_everything(&mut self) -> Result<(), Failure> {
        self.tally.losses.add(1);
        self.is_lost = true;
        let machines: Vec<String> = (0..MACHINES).map(machine_name).collect();
        try_join_all(machines.iter().map(|machine| self.lab.freeze(machine))).await?;
        try_join_all(self.members.iter().map(|member| self.lab.empty_disk(&member.volume))).await.map(drop)
    }

    async fn restore(&mut self) -> Result<Promises, Failure> {
        let kube = self.cluster.kube.clone();
        kube.delete(&["kvcluster", NAME, "--wait=false"]).await?;
        let machines: Vec<String> = (0..MACHINES).map(machine_name).collect();
        try_join_all(machines.iter().map(|machine| self.lab.thaw(machine))).await?;
        self.cluster.delete().await?;
        self.cluster.delete_claims().await?;
        self.lab.recycle().await?;
        let promised_millis = u64::try_from(std::mem::take(&mut self.promised_millis)).unwrap_or(0);
        self.emptied.clear();
        self.is_lost = false;

        kube.apply(&self.manifest).await?;
        self.cluster.until(RESTORE_DEADLINE, "is restored", is_ready).await?;
        self.meet_members().await?;
        self.until_whole().await?;
        Ok(Box::new(move |_| promised_millis))
    }

    async fn until_settled(&mut self) -> Result<(), Failure> {
        self.judge().await
    }

    async fn judge_bucket(&mut self) -> Result<(), Failure> {
        self.until_whole().await?;
        let said = self.verify(&["verify-bucket", "--deep"]).await?;
        say(format!("siege: bucket: {}", said.lines().last().unwrap_or_default()));
        Ok(())
    }

    async fn autopsy(self) -> String {
        // Whatever stands still or is away says nothing.
        for machine in 0..MACHINES {
            drop(self.lab.thaw(&machine_name(machine)).await);
            drop(self.lab.heal(&machine_name(machine)).await);
            drop(self.lab.release(&kubelet(machine)).await);
        }
        drop(self.lab.release(API_SERVER).await);
        drop(self.until_api_answers().await);
        let pods = self.members.iter().map(|member| member.pod.clone()).collect::<Vec<_>>();
        self.evidence.keep(&self.cluster.kube, &pods).await
    }
}
