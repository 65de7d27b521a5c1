//! What operator and nodes say to each other.

use super::Target;
use crate::check::steady_json;
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_node_api::{
    Answer, ArchiveClaim, ArchivePlace, ArchiveReport, CheckpointReport, Checkpointing, ClaimState, ComparisonReport, ComparisonState,
    DiskReport, Heard, Member, MemberChange, MemberRole, NodeAddress, NodeState, ObjectProblem, Order, OrderKind, Problem, ProblemClass,
    Progress, RefusalClass, Report, RestoreOrder, RestoreReport, RestoreShard, RestoreState, ShardArchive, ShardOrigin, ShardReport,
    ShardRole,
};

pub(super) const ORDERS: Target = Target {
    name: "orders",
    from: "the operator, and `verify-replicas`",
    sources: &["storage-node/node-api/src/order.rs", "storage-node/src/shell/api.rs"],
    play: steady_json::<Order>,
    samples: order_samples,
};

pub(super) const REPORTS: Target = Target {
    name: "reports",
    from: "nodes, for the operator and for `verify-replicas`",
    sources: &["storage-node/node-api/src/report.rs", "operator/src/node_client.rs", "storage-node/src/shell/api_client.rs"],
    play: steady_json::<Report>,
    samples: report_samples,
};

pub(super) const ANSWERS: Target = Target {
    name: "answers",
    from: "nodes, for the operator and for `verify-replicas`",
    sources: &["storage-node/node-api/src/order.rs", "operator/src/node_client.rs", "storage-node/src/shell/api_client.rs"],
    play: steady_json::<Answer>,
    samples: answer_samples,
};

const HLC: Hlc = Hlc::from_millis(1_700_000_000_000);

fn origin() -> ShardOrigin {
    ShardOrigin { shard: ShardId(5), fork_epoch: 1, index: 90, term: 6, hlc: HLC }
}

fn member(peer: u64, role: MemberRole) -> Member {
    Member { peer: PeerId(peer), store: StoreId(100 + peer), role }
}

fn orders() -> Vec<(&'static str, OrderKind)> {
    let shard = ShardId(7);
    let members = vec![member(1, MemberRole::Voter), member(2, MemberRole::Voter)];
    let create = |origin| OrderKind::CreateShard { shard, table: TableId(0), slots: SlotRange::ALL, members: members.clone(), origin };
    let node = NodeAddress {
        store: StoreId(101),
        zone: "a".to_owned(),
        peer: "node-0:6390".to_owned(),
        client_host: "10.0.0.7".to_owned(),
        plain_port: 6379,
        cluster_port: 6380,
    };
    let changes = vec![MemberChange::Put { member: member(4, MemberRole::Learner) }, MemberChange::Remove { peer: PeerId(1) }];
    let claim = ArchiveClaim {
        namespace_uid: "1d6f8a7e".to_owned(),
        kv_cluster_uid: "9b2d1c3e".to_owned(),
        may_continue: true,
        gone: Some("8c7e6f5d".to_owned()),
        retire: vec![IncarnationId(1)],
        document: "{}".to_owned(),
    };
    let source = ArchivePlace { store: "https://s3.example.org".to_owned(), bucket: "archive".to_owned(), path: "shop/orders".to_owned() };
    let shards = vec![RestoreShard { shard, stores: vec![StoreId(101)], origin: origin() }];
    vec![
        ("join", OrderKind::Join),
        ("directory", OrderKind::Directory { nodes: vec![node] }),
        ("create_shard", create(None)),
        ("create_shard_restored", create(Some(origin()))),
        ("transfer_leader", OrderKind::TransferLeader { shard, to: PeerId(2) }),
        ("evict_leaders", OrderKind::EvictLeaders { for_millis: 30_000 }),
        ("change_members", OrderKind::ChangeMembers { shard, shard_epoch: Epoch(2), changes }),
        ("open_archive", OrderKind::OpenArchive { claim }),
        ("restore", OrderKind::Restore { restore: RestoreOrder { source, incarnation: IncarnationId(1), accept_damage: true, shards } }),
        ("checkpoint", OrderKind::Checkpoint { shard, not_before_millis: 1_700_000_000_000 }),
        ("compare", OrderKind::Compare { shard, comparison: 7 }),
    ]
}

fn order_samples() -> Vec<(&'static str, Vec<u8>)> {
    let (cluster, incarnation, store) = ("6f1c9a54".to_owned(), IncarnationId(2), StoreId(101));
    let order = |order| Order { epoch: Epoch(3), cluster: cluster.clone(), incarnation, store, order };
    orders().into_iter().map(|(name, kind)| (name, json(&order(kind)))).collect()
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data is JSON")
}

fn problem() -> ObjectProblem {
    ObjectProblem {
        class: "AccessDenied".to_owned(),
        message: "the store refuses the key: mend the secret".to_owned(),
        millis: 9,
        attempts: 2,
    }
}

fn comparison(state: ComparisonState) -> ComparisonReport {
    ComparisonReport { comparison: 7, index: 98, term: 9, hlc: HLC, keys: 12, expires: 2, state }
}

/// A replica that stopped, and could not be read either.
fn stopped_report() -> ShardReport {
    let state = ComparisonState::Failed { message: "the disk cannot be read: replace this replica".to_owned() };
    let stopped = Some("its hard state in the log does not decode: replace this replica".to_owned());
    ShardReport {
        role: ShardRole::Follower,
        leader: None,
        archive: None,
        checkpoint: None,
        checkpointing: None,
        comparison: Some(comparison(state)),
        stopped,
        ..shard_report()
    }
}

fn shard_report() -> ShardReport {
    let archive = ShardArchive {
        archived: 80,
        recovery_latest_millis: 1_700_000_000_000,
        lag_millis: 1_200,
        bytes_at_risk: 4_096,
        gaps: vec![(3, 5)],
    };
    ShardReport {
        shard: ShardId(7),
        table: TableId(0),
        slots: SlotRange::ALL,
        shard_epoch: Epoch(2),
        peer: PeerId(1),
        role: ShardRole::Leader,
        term: 9,
        leader: Some(PeerId(1)),
        members: vec![member(1, MemberRole::Voter), member(4, MemberRole::Learner)],
        is_joint: true,
        last_index: 100,
        committed: 99,
        applied: 98,
        flushed: 60,
        first_index: 41,
        hlc: HLC,
        keys: 12,
        expires: 2,
        progress: vec![Progress { peer: PeerId(4), matched: 0, in_snapshot: true, is_active: false }],
        archive: Some(archive),
        checkpoint: Some(CheckpointReport { number: 4, at: origin(), covers_millis: 1_700_000_000_000, bytes: 4_112 }),
        checkpointing: Some(Checkpointing { done_bytes: 1, total_bytes: 2, problem: Some(problem()) }),
        comparison: Some(comparison(ComparisonState::Done { records: 14, digest: "a7".repeat(32) })),
        stopped: None,
    }
}

fn report() -> Report {
    let state = RestoreState::Failed { class: "Damaged".to_owned(), message: "an object is not what was put".to_owned() };
    let archive = ArchiveReport {
        is_published: true,
        is_registered: true,
        claim: ClaimState::Watching { cluster: "6f1c9a54".to_owned() },
        refuses_writes: false,
        objects: 3,
        problem: Some(problem()),
    };
    Report {
        version: "0.1.0".to_owned(),
        store: StoreId(101),
        life: 11,
        state: NodeState::Member { cluster: "6f1c9a54".to_owned(), incarnation: IncarnationId(2) },
        epoch: Epoch(3),
        zone: "a".to_owned(),
        uptime_millis: 60_000,
        evicted_millis: 0,
        clock_offset_millis: -3,
        disk: DiskReport { total_bytes: 1 << 30, free_bytes: 1 << 29, ..DiskReport::default() },
        shards: vec![shard_report()],
        heard: vec![Heard { store: StoreId(102), millis_ago: 40 }],
        problems: vec![Problem { class: ProblemClass::DiskSlow, message: "the disk takes long to sync: look at it".to_owned() }],
        archive: Some(archive),
        restore: Some(RestoreReport { state, done_bytes: 1, total_bytes: 2, millis: 3, problem: None }),
    }
}

fn report_samples() -> Vec<(&'static str, Vec<u8>)> {
    let empty = Report { state: NodeState::Empty, shards: Vec::new(), archive: None, restore: None, ..report() };
    let stopped = Report { shards: vec![stopped_report()], ..empty.clone() };
    vec![("full", json(&report())), ("empty", json(&empty)), ("stopped", json(&stopped))]
}

fn answer_samples() -> Vec<(&'static str, Vec<u8>)> {
    let refused = Answer::Refused { class: RefusalClass::StaleEpoch, message: "epoch 2 is older than 3".to_owned() };
    vec![("done", json(&Answer::Done)), ("accepted", json(&Answer::Accepted)), ("refused", json(&refused))]
}
