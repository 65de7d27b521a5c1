//! Groups of a few members, wired by hand: what each ready says is done at once unless a test holds it back.

use strata_base::PeerId;
use strata_raft_group::{Change, Configuration, HardState, Message, NoLog, Payload, RaftGroup, Ready, Role, Settings, Start};

fn member(peer: u64, seed: u64) -> RaftGroup<NoLog> {
    let start = Start::empty(PeerId(peer), Configuration::of_voters([1, 2, 3].map(PeerId)));
    RaftGroup::new(Settings { seed, ..Settings::default() }, start, NoLog).expect("a fresh member starts")
}

/// Does everything that a member asks for, and returns its messages.
fn drain(group: &mut RaftGroup<NoLog>) -> Vec<Message> {
    let mut messages = Vec::new();
    while group.has_ready() {
        let ready = group.ready();
        group.persisted(ready.number);
        messages.extend(ready.messages.into_iter().chain(ready.after_persist));
        for entry in &ready.committed {
            if let Payload::Change { change, .. } = &entry.payload {
                group.apply_change(change).expect("a change that was committed can be applied");
            }
        }
        if let Some(last) = ready.committed.last() {
            group.applied(last.index);
        }
    }
    messages
}

/// Passes messages among members until nobody says anything more; those for others are dropped.
fn pass(groups: &mut [&mut RaftGroup<NoLog>]) {
    loop {
        let messages: Vec<Message> = groups.iter_mut().flat_map(|group| drain(group)).collect();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            if let Some(to) = groups.iter_mut().find(|group| group.peer() == message.to) {
                to.receive(&message.bytes);
            }
        }
    }
}

/// Ticks a lonely member, and says at which ticks it asked for votes.
fn campaigns(group: &mut RaftGroup<NoLog>, ticks: usize) -> Vec<usize> {
    (0..ticks)
        .filter(|_| {
            group.tick();
            !drain(group).is_empty()
        })
        .collect()
}

#[test]
fn election_timeouts_follow_from_the_seed() {
    // A leader of ever higher terms makes raft-rs draw anew each time; now and then it draws what was there before.
    let run = |seed: u64| {
        let mut timeouts = Vec::new();
        for round in 0..200 {
            let (mut first, mut second, mut third) = (member(1, seed + round), member(2, 1), member(3, 2));
            for _ in 0..3 {
                second.campaign();
                pass(&mut [&mut first, &mut second, &mut third]);
                third.campaign();
                pass(&mut [&mut first, &mut second, &mut third]);
                timeouts.push(campaigns(&mut first, 60));
            }
        }
        timeouts
    };
    assert_eq!(run(7), run(7));
}

#[test]
fn a_member_that_must_not_campaign_helps_another_up_once_the_leader_is_silent() {
    let (mut leader, mut other, mut muted) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut leader, &mut other, &mut muted]);
    assert_eq!(muted.role(), Role::Follower(Some(PeerId(1))));
    for _ in 0..100 {
        other.tick();
        muted.tick_without_campaign();
        pass(&mut [&mut other, &mut muted]);
    }
    assert_eq!(other.role(), Role::Leader);
    assert_eq!(muted.role(), Role::Follower(Some(PeerId(2))));
}

#[test]
fn a_leader_whose_connection_broke_is_succeeded_sooner_once_its_heartbeat_is_overdue() {
    let ticks_to_succeed = |breaks: bool, seed: u64| {
        let (mut leader, mut other, mut third) = (member(1, 1), member(2, seed), member(3, seed + 100));
        leader.campaign();
        pass(&mut [&mut leader, &mut other, &mut third]);
        (1..=100).find(|_| {
            for follower in [&mut other, &mut third] {
                if breaks {
                    follower.unreachable(PeerId(1));
                }
                follower.tick();
            }
            pass(&mut [&mut other, &mut third]);
            other.is_leader() || third.is_leader()
        })
    };
    for seed in 1..=20 {
        let (noticed, unnoticed) = (ticks_to_succeed(true, seed), ticks_to_succeed(false, seed));
        let (noticed, unnoticed) = (noticed.expect("somebody leads"), unnoticed.expect("somebody leads"));
        assert!(unnoticed - noticed >= 6, "seed {seed}: {noticed} ticks, and {unnoticed} by silence alone");
    }
}

#[test]
fn a_leader_that_speaks_outlives_connections_that_break() {
    let (mut leader, mut other, mut third) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut leader, &mut other, &mut third]);
    let term = leader.term();
    for tick in 0..200 {
        other.unreachable(PeerId(1));
        third.unreachable(PeerId(1));
        leader.tick();
        other.tick();
        third.tick();
        if tick % 2 == 0 {
            leader.beat();
        }
        pass(&mut [&mut leader, &mut other, &mut third]);
        assert_eq!((leader.role(), other.role()), (Role::Leader, Role::Follower(Some(PeerId(1)))));
    }
    assert_eq!(leader.term(), term);
}

#[test]
fn who_is_pledged_helps_nobody_to_lead_unless_the_leader_asks() {
    let (mut leader, mut other, mut third) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut leader, &mut other, &mut third]);
    third.set_pledged(true);
    let tick_both = |other: &mut RaftGroup<NoLog>, third: &mut RaftGroup<NoLog>| {
        for _ in 0..100 {
            other.tick();
            third.tick();
            pass(&mut [other, third]);
        }
    };
    tick_both(&mut other, &mut third);
    assert_ne!(other.role(), Role::Leader, "its vote is pledged");
    assert_eq!(third.term(), leader.term(), "nor does it ask for votes itself");

    let (mut leader, mut other, mut third) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut leader, &mut other, &mut third]);
    other.set_pledged(true);
    third.set_pledged(true);
    leader.transfer_leader(PeerId(2)).expect("a leader may give leadership away");
    pass(&mut [&mut leader, &mut other, &mut third]);
    assert_eq!(other.role(), Role::Leader, "what the leader gives away is bound by no pledge");

    third.set_pledged(false);
    tick_both(&mut leader, &mut third);
    assert!(leader.role() == Role::Leader || third.role() == Role::Leader, "a pledge that ended binds nobody");
}

#[test]
fn who_asked_for_votes_before_it_pledged_does_not_go_on() {
    let (mut leader, mut other, mut third) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut leader, &mut other, &mut third]);
    let term = other.term();
    let asked = (0..40).find_map(|_| {
        other.tick();
        third.tick();
        drain(&mut third);
        Some(drain(&mut other)).filter(|messages| !messages.is_empty())
    });
    for message in asked.expect("it asks whether it would be elected").iter().filter(|message| message.to == PeerId(3)) {
        third.receive(&message.bytes);
    }
    let answers = drain(&mut third);
    assert!(!answers.is_empty(), "who has not heard a leader for long says yes");
    other.set_pledged(true);
    answers.iter().for_each(|message| other.receive(&message.bytes));
    assert_eq!((drain(&mut other), other.term()), (Vec::new(), term));
}

#[test]
fn a_leader_that_is_removed_leads_no_more() {
    let (mut leader, mut other, mut third) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut leader, &mut other, &mut third]);
    leader.propose_change(&[Change::Remove(PeerId(1))], "context".into()).expect("a leader takes proposals");
    // This one is on its way to the disk when the change is applied.
    leader.propose("one".into()).expect("a leader takes proposals");
    pass(&mut [&mut leader, &mut other, &mut third]);
    assert_eq!(leader.configuration().voters, [2, 3].map(PeerId));
    assert_eq!(leader.role(), Role::Follower(None));
    assert!(leader.propose("two".into()).is_err());
    let is_led = (0..100).any(|_| {
        other.tick();
        third.tick();
        pass(&mut [&mut leader, &mut other, &mut third]);
        other.is_leader() || third.is_leader()
    });
    assert!(is_led && !leader.is_leader(), "the others go on");
}

#[test]
fn a_leader_is_settled_once_a_majority_has_heard_who_the_members_are() {
    let (mut first, mut leader, mut third) = (member(1, 1), member(2, 2), member(3, 3));
    leader.campaign();
    pass(&mut [&mut first, &mut leader, &mut third]);
    assert!(leader.is_settled());
    leader.propose_change(&[Change::Remove(PeerId(1))], "context".into()).expect("a leader takes proposals");
    drain(&mut leader).iter().filter(|message| message.to == PeerId(3)).for_each(|message| third.receive(&message.bytes));
    drain(&mut third).iter().for_each(|message| leader.receive(&message.bytes));
    // What the leader says of the end is lost, and were its disk lost, too, the third could be elected by the first alone.
    drop(drain(&mut leader));
    let voters = |member: &RaftGroup<NoLog>| member.configuration().voters.clone();
    assert_eq!((voters(&leader), voters(&third)), ([2, 3].map(PeerId).to_vec(), [1, 2, 3].map(PeerId).to_vec()));
    assert!(!leader.is_settled() && !third.is_settled());
    // Nobody writes, and they hear of it.
    leader.tick();
    pass(&mut [&mut leader, &mut third]);
    assert!(leader.is_settled());
    assert_eq!(voters(&third), [2, 3].map(PeerId));
    let last = leader.last_index();
    leader.tick();
    pass(&mut [&mut leader, &mut third]);
    assert_eq!(leader.last_index(), last, "once is enough");
}

#[test]
fn a_member_that_was_just_installed_can_campaign_and_not_before() {
    let (mut leader, mut other) = (member(1, 1), member(2, 2));
    leader.campaign();
    pass(&mut [&mut leader, &mut other]);
    leader.propose("one".into()).expect("a leader takes proposals");
    pass(&mut [&mut leader, &mut other]);
    let cut = leader.committed();
    leader.truncate(cut);

    let mut late = RaftGroup::new(Settings::default(), Start::awaiting_snapshot(PeerId(3)), NoLog).expect("a member without state starts");
    let snapshot = (0..20).find_map(|_| {
        leader.tick();
        let messages = drain(&mut leader).into_iter().filter(|message| message.to == PeerId(3));
        let (snapshots, others): (Vec<Message>, Vec<Message>) = messages.partition(|message| message.is_snapshot);
        others.iter().for_each(|message| late.receive(&message.bytes));
        drain(&mut late).iter().for_each(|message| leader.receive(&message.bytes));
        snapshots.into_iter().next()
    });
    let snapshot = snapshot.expect("a member whose entries are cut gets a snapshot");
    let configuration = leader.configuration().clone();
    assert!(late.receive_snapshot(&snapshot.bytes, (cut, leader.term()), &configuration));
    assert!(!late.receive_snapshot(&snapshot.bytes, (cut - 1, leader.term()), &configuration), "an older one does not take its place");
    let ready: Ready = late.ready();
    assert_eq!(ready.snapshot.map(|install| install.index), Some(cut));
    assert_eq!(campaigns(&mut late, 100), [] as [usize; 0], "nothing is durable yet");
    late.persisted(ready.number);
    assert_ne!(campaigns(&mut late, 100), [] as [usize; 0]);
}

/// A member that starts with a log of which nothing can be read, up to `last` and committed up to `commit`.
fn unreadable(peer: u64, last: (u64, u64), commit: u64) -> RaftGroup<NoLog> {
    let empty = Start::empty(PeerId(peer), Configuration::of_voters([1, 2, 3].map(PeerId)));
    let hard_state = HardState { term: last.1, vote: 0, commit };
    RaftGroup::new(Settings { seed: peer, ..Settings::default() }, Start { hard_state, last, ..empty }, NoLog).expect("it starts")
}

#[test]
fn a_log_that_cannot_be_read_is_told_and_nothing_panics() {
    let (mut leader, mut other) = (member(1, 1), member(2, 2));
    leader.campaign();
    pass(&mut [&mut leader, &mut other]);
    leader.propose("one".into()).expect("a leader takes proposals");
    pass(&mut [&mut leader, &mut other]);
    let (last, origin) = ((leader.last_index(), leader.term()), Start::ORIGIN);

    let mut applies = unreadable(3, last, last.0);
    assert!(applies.has_ready() && applies.ready().committed.is_empty());
    assert!(applies.log_failure().is_some() && !applies.truncate(origin + 1), "nothing is applied, and nothing cut");

    let mut campaigner = unreadable(3, last, last.0);
    campaigner.campaign();
    assert!(campaigner.log_failure().is_some(), "it cannot tell who its members are");

    // The leader goes back to the beginning for a member that it has not heard of, which has it all.
    let mut follower = unreadable(3, last, origin);
    for _ in 0..20 {
        leader.tick();
        leader.beat();
        let messages: Vec<Message> = drain(&mut leader).into_iter().filter(|message| message.to == PeerId(3)).collect();
        messages.iter().for_each(|message| follower.receive(&message.bytes));
        drain(&mut follower).iter().for_each(|message| leader.receive(&message.bytes));
    }
    assert!(follower.log_failure().is_some(), "it cannot compare what it is sent");
}
