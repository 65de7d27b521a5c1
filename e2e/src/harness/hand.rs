//! The operator's part by hand: found a cluster, spread its leaders, replace a member, and see when it has come to rest.

use super::{process::ProcessCluster, wait};
use crate::failure::Failure;
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};
use strata_base::{PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_node_api::{
    Answer, Member, MemberChange, MemberRole, NodeState, OrderKind, RefusalClass, Report, ShardOrigin, ShardReport, ShardRole,
};

/// How long an order may be put off, and its effect may take to be seen in reports.
const EFFECT_DEADLINE: Duration = Duration::from_secs(30);

/// How many entries a member that keeps up may be behind, while load goes on.
const NEAR_ENTRIES: u64 = 50;

/// A node that was heard so long ago, in milliseconds, speaks: it says every fifth of a second what its clock shows.
const HEARD_MILLIS_MAX: u64 = 500;

/// The one table of these scenarios.
const TABLE: TableId = TableId(0);

/// What all nodes that answered say at about one moment.
#[derive(Clone, Debug)]
pub struct View {
    reports: BTreeMap<usize, Report>,
}

/// Replicas are equal when these are.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    applied: u64,
    hlc: u64,
    keys: u64,
    expires: u64,
}

impl View {
    /// The node's report, if it answered.
    pub fn report(&self, node: usize) -> Option<&Report> {
        self.reports.get(&node)
    }

    /// The node that leads the shard and serves it, and what that replica says; the newest where two believe so.
    pub fn leader(&self, shard: ShardId) -> Option<(usize, &ShardReport)> {
        self.replicas(shard).filter(|(_, replica)| replica.role == ShardRole::Leader).max_by_key(|(_, replica)| replica.term)
    }

    /// The slots of the shards that the node leads.
    pub fn led_by(&self, node: usize) -> Vec<SlotRange> {
        let Some(report) = self.reports.get(&node) else { return Vec::new() };
        let led = report.shards.iter().filter(|replica| self.leader(replica.shard).is_some_and(|(leader, _)| leader == node));
        led.map(|replica| replica.slots).collect()
    }

    /// The node that leads most shards; the first one of equals.
    pub fn busiest(&self) -> usize {
        let nodes = self.reports.keys().rev();
        *nodes.max_by_key(|node| self.led_by(**node).len()).expect("a view holds at least one report")
    }

    /// All replicas of a shard that their nodes report.
    pub fn replicas(&self, shard: ShardId) -> impl Iterator<Item = (usize, &ShardReport)> {
        let all = self.reports.iter().flat_map(|(node, report)| report.shards.iter().map(|replica| (*node, replica)));
        all.filter(move |(_, replica)| replica.shard == shard)
    }
}

impl ProcessCluster {
    /// Every shard's id, by its ordinal.
    pub fn shards(&self) -> Vec<ShardId> {
        (0..u32::from(self.options().shards)).map(|ordinal| ShardId::derive(self.incarnation().0, TABLE.0, ordinal)).collect()
    }

    /// The reports of those nodes that answer.
    pub async fn view_of(&self, nodes: &[usize]) -> View {
        let reports = join_all(nodes.iter().map(|node| async { (*node, self.report(*node).await.ok()) })).await;
        View { reports: reports.into_iter().filter_map(|(node, report)| Some((node, report?))).collect() }
    }

    /// The reports of all nodes that answer.
    pub async fn view(&self) -> View {
        self.view_of(&self.indexes().collect::<Vec<_>>()).await
    }

    /// Gives an order until it is obeyed: a refusal that may pass is given another chance, and an order may be given twice.
    pub async fn obey(&self, node: usize, order: OrderKind) -> Result<(), Failure> {
        let what = format!("node {node} obeys {order:?}");
        let refused = wait::until(EFFECT_DEADLINE, &what, async || match self.order(node, order.clone()).await? {
            Answer::Done | Answer::Accepted => Ok(None),
            Answer::Refused { class: RefusalClass::NotReady | RefusalClass::NotLeader, message } => Err(message),
            Answer::Refused { class, message } => Ok(Some(format!("{class}: {message}"))),
        });
        match refused.await? {
            None => Ok(()),
            Some(refusal) => Err(Failure::broken(format!("node {node} refused {order:?} with {refusal}"))),
        }
    }

    /// Founds the cluster on nodes that are empty: all join, all know each other, every shard is created and led.
    pub async fn bootstrap(&self) -> Result<(), Failure> {
        self.join_all().await?;
        self.create_shards(&BTreeMap::new()).await
    }

    /// Empty nodes join, and know each other.
    pub async fn join_all(&self) -> Result<(), Failure> {
        for node in self.indexes() {
            let report = self.report(node).await.map_err(Failure::Broken)?;
            if report.state != NodeState::Empty {
                return Err(Failure::broken(format!("node {node} should be empty, and is {:?}", report.state)));
            }
            self.obey(node, OrderKind::Join).await?;
        }
        self.tell_directory().await
    }

    /// The slots of every shard, by its ordinal.
    pub fn slots(&self) -> Vec<SlotRange> {
        SlotRange::split_evenly(self.options().shards)
    }

    /// The members that the shard of this ordinal begins with.
    pub fn first_members(&self, ordinal: usize) -> Vec<Member> {
        let nodes = (0..self.options().replication_factor).map(|nth| (ordinal + nth) % self.options().nodes);
        nodes.enumerate().map(|(nth, node)| voter(PeerId(nth as u64 + 1), self.stores[node])).collect()
    }

    /// Creates every shard on all its members, and waits until it is led. Those without an origin begin empty.
    pub async fn create_shards(&self, origins: &BTreeMap<ShardId, ShardOrigin>) -> Result<(), Failure> {
        for (ordinal, (shard, slots)) in self.shards().into_iter().zip(self.slots()).enumerate() {
            let (members, origin) = (self.first_members(ordinal), origins.get(&shard).copied());
            for node in self.indexes().filter(|node| members.iter().any(|member| member.store == self.stores[*node])) {
                self.obey(node, OrderKind::CreateShard { shard, table: TABLE, slots, members: members.clone(), origin }).await?;
            }
        }
        self.until_led(&self.indexes().collect::<Vec<_>>()).await.map(drop)
    }

    /// Tells every node where all are. Nodes that do not answer are told nothing.
    pub async fn tell_directory(&self) -> Result<(), Failure> {
        let nodes: Vec<_> = self.indexes().map(|node| self.address(node)).collect();
        for node in self.indexes() {
            if self.report(node).await.is_ok() {
                self.obey(node, OrderKind::Directory { nodes: nodes.clone() }).await?;
            }
        }
        Ok(())
    }

    /// Waits until every shard has a leader among `nodes` that serves it.
    pub async fn until_led(&self, nodes: &[usize]) -> Result<View, Failure> {
        wait::until(EFFECT_DEADLINE, &format!("every shard is led by one of the nodes {nodes:?}"), async || {
            let view = self.view_of(nodes).await;
            let leaderless = self.shards().iter().filter(|shard| view.leader(**shard).is_none()).count();
            if leaderless == 0 { Ok(view) } else { Err(format!("{leaderless} shards have none")) }
        })
        .await
    }

    /// Waits until every shard is led, and every member keeps up with its leader: one more node may be lost now.
    pub async fn until_whole(&self) -> Result<View, Failure> {
        wait::until(EFFECT_DEADLINE, "every member of every shard keeps up", async || {
            let view = self.view().await;
            self.shards().iter().try_for_each(|shard| whole(&view, *shard))?;
            Ok(view)
        })
        .await
    }

    /// Waits until every node reports, and hears all others.
    pub async fn until_heard(&self) -> Result<(), Failure> {
        wait::until(EFFECT_DEADLINE, "all nodes hear each other", async || {
            for node in self.indexes() {
                let heard = self.report(node).await?.heard;
                let is_heard = |store: &StoreId| heard.iter().any(|one| one.store == *store && one.millis_ago <= HEARD_MILLIS_MAX);
                if !self.stores.iter().enumerate().all(|(other, store)| other == node || is_heard(store)) {
                    return Err(format!("node {node} hears {heard:?}"));
                }
            }
            Ok(())
        })
        .await
    }

    /// Transfers leaders until no node leads more than its share.
    pub async fn spread_leaders(&self) -> Result<(), Failure> {
        wait::until(EFFECT_DEADLINE, "no node leads two shards more than another", async || {
            let view = self.view().await;
            let counts: Vec<usize> = self.indexes().map(|node| view.led_by(node).len()).collect();
            let [giver, taker] = [self.indexes().max_by_key(|node| counts[*node]), self.indexes().min_by_key(|node| counts[*node])];
            let (giver, taker) = giver.zip(taker).expect("a cluster has a node");
            if counts.iter().sum::<usize>() == self.shards().len() && counts[giver] <= counts[taker] + 1 {
                return Ok(());
            }
            for shard in self.shards() {
                let Some((leader, replica)) = view.leader(shard) else { continue };
                let to = replica.members.iter().find(|member| member.store == self.stores[taker]);
                if let (true, Some(to)) = (leader == giver, to) {
                    // Whatever is answered: the next look shows what became of it.
                    drop(self.order(giver, OrderKind::TransferLeader { shard, to: to.peer }).await);
                    break;
                }
            }
            Err(format!("they lead {counts:?}"))
        })
        .await
    }

    /// Waits until every replica of every shard holds the same, and nothing is under way. Load must have ended.
    pub async fn until_converged(&self) -> Result<View, Failure> {
        wait::until(EFFECT_DEADLINE, "all replicas hold the same", async || {
            let view = self.view().await;
            self.shards().iter().try_for_each(|shard| converged(&view, *shard))?;
            Ok(view)
        })
        .await
    }

    /// After a node's disk was emptied and the node runs again: makes its new store a member wherever its old one was.
    ///
    /// Each step is one that the operator would take: join, tell the directory, add as learner, wait until it has caught up, then let it
    /// vote and remove its predecessor in one joint change.
    pub async fn replace_store(&mut self, node: usize) -> Result<(), Failure> {
        let old = self.stores[node];
        self.stores[node] = self.report(node).await.map_err(Failure::Broken)?.store;
        self.obey(node, OrderKind::Join).await?;
        self.tell_directory().await?;
        for shard in self.shards() {
            self.replace_member(shard, old, self.stores[node]).await?;
        }
        Ok(())
    }

    async fn replace_member(&self, shard: ShardId, old: StoreId, new: StoreId) -> Result<(), Failure> {
        let (_, replica) = self.leader_now(shard).await?;
        let Some(leaving) = replica.members.iter().find(|member| member.store == old).copied() else { return Ok(()) };
        let taken = replica.members.iter().map(|member| member.peer.0).max().unwrap_or(0);
        let learner = Member { peer: PeerId(taken + 1), store: new, role: MemberRole::Learner };
        self.change_members(shard, vec![MemberChange::Put { member: learner }]).await?;
        wait::until(EFFECT_DEADLINE, &format!("the learner {} of shard {shard} has caught up", learner.peer), async || {
            let (_, replica) = self.leader_now(shard).await.map_err(|late| late.to_string())?;
            let progress = replica.progress.iter().find(|progress| progress.peer == learner.peer);
            match progress {
                Some(progress) if progress.matched >= replica.committed && !progress.in_snapshot => Ok(()),
                progress => Err(format!("{} is committed, and it is at {progress:?}", replica.committed)),
            }
        })
        .await?;
        let voter = voter(learner.peer, new);
        self.change_members(shard, vec![MemberChange::Put { member: voter }, MemberChange::Remove { peer: leaving.peer }]).await
    }

    /// Changes the members of a shard, and waits until the change has ended.
    async fn change_members(&self, shard: ShardId, changes: Vec<MemberChange>) -> Result<(), Failure> {
        let (leader, before) = self.leader_now(shard).await?;
        let order = OrderKind::ChangeMembers { shard, shard_epoch: before.shard_epoch, changes: changes.clone() };
        self.obey(leader, order).await?;
        wait::until(EFFECT_DEADLINE, &format!("shard {shard} has changed its members by {changes:?}"), async || {
            let (_, replica) = self.leader_now(shard).await.map_err(|late| late.to_string())?;
            let is_done = changes.iter().all(|change| match change {
                MemberChange::Put { member } => replica.members.contains(member),
                MemberChange::Remove { peer } => replica.members.iter().all(|member| member.peer != *peer),
            });
            if is_done && !replica.is_joint { Ok(()) } else { Err(format!("joint: {}, {:?}", replica.is_joint, replica.members)) }
        })
        .await
    }

    async fn leader_now(&self, shard: ShardId) -> Result<(usize, ShardReport), Failure> {
        wait::until(EFFECT_DEADLINE, &format!("shard {shard} is led"), async || {
            let view = self.view().await;
            let leader = view.leader(shard).map(|(node, replica)| (node, replica.clone()));
            leader.ok_or_else(|| "nobody leads it".to_owned())
        })
        .await
    }
}

fn voter(peer: PeerId, store: StoreId) -> Member {
    Member { peer, store, role: MemberRole::Voter }
}

/// Whether the shard is led, and its leader hears every member and has almost all of its log on that member's disk.
fn whole(view: &View, shard: ShardId) -> Result<(), String> {
    let (_, leader) = view.leader(shard).ok_or_else(|| format!("nobody leads shard {shard}"))?;
    let is_near = |member: &Member| {
        let mut others = leader.progress.iter();
        let progress = others.find(|progress| progress.peer == member.peer);
        member.peer == leader.peer || progress.is_some_and(|member| member.is_active && member.matched + NEAR_ENTRIES >= leader.last_index)
    };
    if leader.members.iter().all(is_near) { Ok(()) } else { Err(format!("shard {shard} is at {leader:?}")) }
}

/// Whether all members of the shard report, and have applied everything that its leader's log holds.
fn converged(view: &View, shard: ShardId) -> Result<(), String> {
    let (_, leader) = view.leader(shard).ok_or_else(|| format!("nobody leads shard {shard}"))?;
    if leader.is_joint || leader.applied != leader.last_index {
        return Err(format!("the leader of shard {shard} has something under way: {leader:?}"));
    }
    let replicas: Vec<_> = view.replicas(shard).collect();
    if replicas.len() != leader.members.len() {
        return Err(format!("{} of {} members of shard {shard} are reported", replicas.len(), leader.members.len()));
    }
    for (node, replica) in replicas {
        if content(replica) != content(leader) {
            return Err(format!("shard {shard}: node {node} holds {:?}, its leader {:?}", content(replica), content(leader)));
        }
    }
    Ok(())
}

fn content(replica: &ShardReport) -> Content {
    Content { applied: replica.applied, hlc: replica.hlc.as_u64(), keys: replica.keys, expires: replica.expires }
}
