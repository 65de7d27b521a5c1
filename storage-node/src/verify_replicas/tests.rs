use super::*;
use clap::Parser;
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, SlotRange, StoreId, TableId};
use strata_node_api::{ComparisonReport, ComparisonState, DiskReport, Member, MemberRole, Report, ShardReport, ShardRole};

const SHARD: ShardId = ShardId(3);
const OURS: u64 = 77;
const ENTRY: u64 = 4_711;

/// A replica of a shard of three, on the store of the same number, the first of them leading.
fn replica(peer: u64) -> ShardReport {
    let member = |peer: u64| Member { peer: PeerId(peer), store: StoreId(peer), role: MemberRole::Voter };
    ShardReport {
        shard: SHARD,
        table: TableId(0),
        slots: SlotRange::ALL,
        shard_epoch: Epoch(1),
        peer: PeerId(peer),
        role: if peer == 1 { ShardRole::Leader } else { ShardRole::Follower },
        term: 6,
        leader: Some(PeerId(1)),
        members: (1..=3).map(member).collect(),
        is_joint: false,
        last_index: ENTRY + 10,
        committed: ENTRY + 10,
        applied: ENTRY + 10,
        flushed: 5,
        first_index: 6,
        hlc: Hlc::from_millis(9),
        keys: 8,
        expires: 1,
        progress: Vec::new(),
        archive: None,
        checkpoint: None,
        checkpointing: None,
        comparison: None,
        stopped: None,
    }
}

/// As above, having taken part in the comparison.
fn compared(peer: u64, state: ComparisonState) -> ShardReport {
    let comparison = ComparisonReport { comparison: OURS, index: ENTRY, term: 6, hlc: Hlc::from_millis(8), keys: 8, expires: 1, state };
    ShardReport { comparison: Some(comparison), ..replica(peer) }
}

fn done(peer: u64, digest: &str) -> ShardReport {
    compared(peer, ComparisonState::Done { records: 9, digest: digest.to_owned() })
}

fn answers(replica: ShardReport) -> Seen {
    let (node, store) = (format!("node-{}:6391", replica.peer), StoreId(replica.peer.0));
    let report = Report {
        version: "0.1.0".to_owned(),
        store,
        life: 1,
        state: NodeState::Member { cluster: "c".to_owned(), incarnation: IncarnationId(7) },
        epoch: Epoch(1),
        zone: String::new(),
        uptime_millis: 0,
        evicted_millis: 0,
        clock_offset_millis: 0,
        disk: DiskReport::default(),
        shards: vec![replica],
        heard: Vec::new(),
        problems: Vec::new(),
        archive: None,
        restore: None,
    };
    Seen { node, report: Ok(report) }
}

fn silent(peer: u64) -> Seen {
    Seen { node: format!("node-{peer}:6391"), report: Err("connection refused".to_owned()) }
}

fn looked<const COUNT: usize>(seen: [Seen; COUNT]) -> Look {
    look(SHARD, OURS, &seen)
}

/// The sentence of what was looked at, with the kind before it.
fn sentence(look: Look) -> String {
    match look {
        Look::Begin(node) => format!("begin {node}"),
        Look::Waits(why) => format!("waits: {why}"),
        Look::Spent(why) => format!("spent: {why}"),
        Look::Lacks(why) => format!("lacks: {why}"),
        Look::Ended(Verdict::Equal(what) | Verdict::Different(what) | Verdict::Unknown(what)) => what,
    }
}

#[test]
fn the_newest_leader_begins() {
    let mut late = replica(2);
    (late.role, late.term) = (ShardRole::Leader, 7);
    assert_eq!(looked([answers(replica(1)), answers(late), answers(replica(3))]), Look::Begin(1));
    let mut follows = replica(1);
    follows.role = ShardRole::Follower;
    let said = sentence(looked([answers(follows), answers(replica(2)), silent(3)]));
    assert_eq!(
        said,
        "lacks: nobody leads it, and node-3:6391 does not answer (connection refused): start it, or wait until its members are replaced"
    );
}

#[test]
fn a_node_of_another_version_is_not_given_what_it_may_not_know() {
    let mut old = answers(replica(3));
    old.report.as_mut().expect("it answers").version = "0.0.9".to_owned();
    let said = sentence(looked([answers(replica(1)), answers(replica(2)), old]));
    assert!(said.starts_with("lacks: nodes run versions 0.0.9 and 0.1.0"), "{said}");
}

#[test]
fn who_reads_and_who_is_behind_is_waited_for() {
    let behind = ShardReport { applied: ENTRY - 1, ..replica(3) };
    let said = sentence(looked([answers(done(1, "aa")), answers(compared(2, ComparisonState::Digesting)), answers(behind)]));
    assert_eq!(
        said,
        "waits: node-2:6391 reads what it held at entry 4711; node-3:6391 has applied entry 4710, and the comparison is at 4711"
    );
}

#[test]
fn equal_replicas_are_equal_at_an_entry() {
    let said = sentence(looked([answers(done(1, "aa")), answers(done(2, "aa")), answers(done(3, "aa"))]));
    assert_eq!(said, "equal, 3 replicas at 4711, 9 records, digest aa");
}

#[test]
fn the_one_that_differs_from_most_is_named() {
    let Look::Ended(Verdict::Different(said)) = looked([answers(done(1, "aa")), answers(done(2, "ab")), answers(done(3, "aa"))]) else {
        panic!("they differ");
    };
    assert!(said.starts_with("DIFFERENT at 4711: node-1:6391 (store 0000000000000001) and node-3:6391"), "{said}");
    assert!(said.contains("; node-2:6391 (store 0000000000000002) differs from most: let another member lead"), "{said}");
}

#[test]
fn equal_digests_do_not_hide_other_counts_and_clocks() {
    let spoil: [fn(&mut ComparisonReport); 4] =
        [|one| one.keys += 1, |one| one.expires += 1, |one| one.term += 1, |one| one.hlc = Hlc::from_millis(10)];
    for spoil in spoil {
        let mut other = done(2, "aa");
        spoil(other.comparison.as_mut().expect("it was compared"));
        let found = looked([answers(done(1, "aa")), answers(other), answers(done(3, "aa"))]);
        assert!(matches!(found, Look::Ended(Verdict::Different(_))), "{found:?}");
    }
}

#[test]
fn without_a_majority_nobody_is_blamed() {
    let said = sentence(looked([answers(done(1, "aa")), answers(done(2, "ab")), silent(3)]));
    assert!(said.starts_with("DIFFERENT at 4711") && said.contains("no majority of them agrees"), "{said}");
}

#[test]
fn a_member_that_cannot_be_asked_leaves_it_open() {
    let rest = "; among those that answer there is no difference: 2 replicas at 4711, 9 records, digest aa";
    let with_third = |third: Seen| sentence(looked([answers(done(1, "aa")), answers(done(2, "aa")), third]));
    let cases = [
        (silent(3), "node-3:6391 does not answer (connection refused): start it, or wait until its members are replaced"),
        (
            answers(ShardReport { peer: PeerId(4), ..replica(4) }),
            "its member 3 lies on store 0000000000000003, which none of the named nodes is: name every node by --node",
        ),
        (
            answers(ShardReport { stopped: Some("cannot read".to_owned()), ..replica(3) }),
            "its replica on node-3:6391 stopped: cannot read: give that node an empty disk, so that the member is replaced",
        ),
        (
            answers(ShardReport { shard: ShardId(4), ..replica(3) }),
            "node-3:6391 has nothing of its member 3 yet: wait until the leader has sent a snapshot",
        ),
    ];
    for (third, expected) in cases {
        assert_eq!(with_third(third), format!("lacks: {expected}{rest}"));
    }
}

#[test]
fn what_cannot_end_is_begun_anew() {
    let failed = compared(3, ComparisonState::Failed { message: "it digests 2 tablets already".to_owned() });
    let mut twice = done(3, "aa");
    twice.comparison.as_mut().expect("it was compared").index = ENTRY - 2;
    let cases = [
        (failed, "node-3:6391 was not compared: it digests 2 tablets already"),
        (twice, "node-3:6391 was compared at entry 4709, others at 4711"),
        (
            replica(3),
            "node-3:6391 has applied entry 4711 and says nothing of it: it started anew, was given a snapshot, or was asked by somebody else",
        ),
    ];
    for (third, expected) in cases {
        let said = sentence(looked([answers(done(1, "aa")), answers(done(2, "ab")), answers(third)]));
        assert_eq!(said, format!("spent: {expected}"), "even where the others differ: three tell more than two");
    }
}

#[test]
fn a_shard_that_nobody_has_is_not_compared() {
    let said = sentence(look(ShardId(9), OURS, &[answers(replica(1))]));
    assert_eq!(said, "lacks: none of the named nodes has a replica of it: check its name");
}

#[test]
fn the_exit_code_says_the_worst() {
    let tally =
        |equal, different, unknown, silent: Option<&str>| Tally { equal, different, unknown, silent: silent.map(str::to_owned) }.conclude();
    assert_eq!(tally(4, 0, 0, None), ("verdict: equal shards=4 equal=4 different=0 unknown=0".to_owned(), 0));
    assert_eq!(tally(2, 1, 1, Some("one")), ("verdict: different shards=4 equal=2 different=1 unknown=1".to_owned(), 1));
    assert_eq!(tally(3, 0, 1, None), ("verdict: unknown shards=4 equal=3 different=0 unknown=1".to_owned(), 2));
    assert_eq!(tally(4, 0, 0, Some("one")).1, 2, "a node that never answered may have shards that nobody else knows");
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

#[test]
fn certificates_and_nodes_must_be_named() {
    let parse = |flags: &str| Line::try_parse_from(["verify-replicas"].into_iter().chain(flags.split(' '))).map(|line| line.arguments);
    let parsed = parse("--ca a --certificate b --key c --node n-0:6391 --node [::1]:6391 --shard 0000000000000003").expect("it suffices");
    assert_eq!((parsed.nodes, parsed.shards), (vec!["n-0:6391".to_owned(), "[::1]:6391".to_owned()], vec![SHARD]));
    for (flags, named) in [
        ("--ca a --certificate b --key c", "--node"),
        ("--ca a --certificate b --node n:1", "--key"),
        ("--config a --node n", "expected host:port"),
        ("--config a --node n:1 --shard 3", "16 hexadecimal digits"),
    ] {
        let refused = parse(flags).err().expect("something is missing").to_string();
        assert!(refused.contains(named), "{refused}");
    }
    let missing = parse("--ca /none/ca.pem --certificate b --key c --node n:1").expect("it is well-formed");
    let refused = certificates(&missing, std::iter::empty()).err().expect("there is no such file").to_string();
    assert!(refused.contains("/none/ca.pem"), "{refused}");
}
