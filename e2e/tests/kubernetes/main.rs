//! Scenarios over a real Kubernetes: each file is about one kind of trouble, each function is one story, and all share one lab.
//!
//! `cargo test --test kubernetes -- frozen` plays those whose names contain a word. Outside of the lab this program only brings it up and
//! starts itself again within its network; there it plays, and prints what libtest would. Where the lab cannot run, every story is skipped
//! by name, with the reason.

mod bucket;
mod faults;
mod install;
mod operator;
mod refused;
mod rollout;
mod serving;
mod volumes;
mod world;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use strata_e2e::{
    checker,
    failure::Failure,
    harness::kubernetes::lab::{Lab, Lifetime},
    say::say,
};
use world::World;

/// The stories, in the order in which they are played: what a cluster needs first comes first.
const STORIES: [&str; 14] = [
    "a_cluster_is_declared_and_becomes_ready",
    "what_makes_no_sense_is_refused_in_a_sentence",
    "both_ports_serve_what_the_other_wrote",
    "the_leader_pod_is_killed_under_load",
    "a_machine_is_frozen_and_thawed",
    "a_disk_is_emptied_and_its_member_replaced",
    "a_changed_setting_rolls_through_without_a_failed_request",
    "a_cluster_is_deleted_and_adopts_its_surviving_volumes",
    "a_pod_that_was_placed_without_its_volume_is_made_anew",
    "the_operator_is_killed_in_mid_creation",
    "everything_is_lost_but_the_bucket",
    "a_second_cluster_goes_back_before_a_flushall",
    "wrong_credentials_are_named_and_right_ones_heal",
    "a_path_with_a_living_owner_is_refused",
];

async fn play(story: &str, world: &mut World) -> Result<(), Failure> {
    match story {
        "a_cluster_is_declared_and_becomes_ready" => install::a_cluster_is_declared_and_becomes_ready(world).await,
        "what_makes_no_sense_is_refused_in_a_sentence" => refused::what_makes_no_sense_is_refused_in_a_sentence(world).await,
        "both_ports_serve_what_the_other_wrote" => serving::both_ports_serve_what_the_other_wrote(world).await,
        "the_leader_pod_is_killed_under_load" => faults::the_leader_pod_is_killed_under_load(world).await,
        "a_machine_is_frozen_and_thawed" => faults::a_machine_is_frozen_and_thawed(world).await,
        "a_disk_is_emptied_and_its_member_replaced" => volumes::a_disk_is_emptied_and_its_member_replaced(world).await,
        "a_changed_setting_rolls_through_without_a_failed_request" => {
            rollout::a_changed_setting_rolls_through_without_a_failed_request(world).await
        }
        "a_cluster_is_deleted_and_adopts_its_surviving_volumes" => {
            volumes::a_cluster_is_deleted_and_adopts_its_surviving_volumes(world).await
        }
        "a_pod_that_was_placed_without_its_volume_is_made_anew" => {
            volumes::a_pod_that_was_placed_without_its_volume_is_made_anew(world).await
        }
        "the_operator_is_killed_in_mid_creation" => operator::the_operator_is_killed_in_mid_creation(world).await,
        "everything_is_lost_but_the_bucket" => bucket::everything_is_lost_but_the_bucket(world).await,
        "a_second_cluster_goes_back_before_a_flushall" => bucket::a_second_cluster_goes_back_before_a_flushall(world).await,
        "wrong_credentials_are_named_and_right_ones_heal" => bucket::wrong_credentials_are_named_and_right_ones_heal(world).await,
        "a_path_with_a_living_owner_is_refused" => bucket::a_path_with_a_living_owner_is_refused(world).await,
        other => Err(Failure::broken(format!("no story is called {other}"))),
    }
}

/// How long a story may take.
const STORY_DEADLINE: Duration = Duration::from_secs(300);

/// The argument that says: we are within the lab of this name.
const INSIDE: &str = "--inside";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let inside = arguments.iter().position(|argument| argument == INSIDE).and_then(|at| arguments.get(at + 1)).cloned();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with("--") && Some(*word) != inside.as_ref()).collect();
    let is_wanted = |story: &&str| words.is_empty() || words.iter().any(|word| story.contains(word.as_str()));
    let stories: Vec<&str> = STORIES.into_iter().filter(is_wanted).collect();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start a runtime: {error}")),
    };
    runtime.block_on(async {
        match inside {
            Some(lab) => play_all(&stories, Lab::of(&lab)).await,
            None => raise(&stories, &arguments).await,
        }
    })
}

/// Outside: brings a lab up, which goes with this process, and plays within it.
async fn raise(stories: &[&str], arguments: &[String]) -> ExitCode {
    let name = format!("test-{}", std::process::id());
    let ground = async {
        checker::prepare()?;
        let (lab, seconds) = Lab::up(&name, Lifetime::OfThisProcess).await?;
        say(format!("lab_start_to_nodes_ready: {seconds:.1}s (bar 15 s)"));
        let mut inside = vec![INSIDE.to_owned(), name.clone()];
        inside.extend(arguments.iter().cloned());
        lab.enter(&inside)
    };
    match ground.await {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(Failure::Lacking(reason)) => {
            stories.iter().for_each(|story| say(format!("skipped: {story}: {reason}")));
            summary(stories.len(), 0);
            ExitCode::SUCCESS
        }
        Err(failure) => fail(&failure.to_string()),
    }
}

/// Inside: plays one story after the other. After one that failed, the next begins with a cluster of its own.
async fn play_all(stories: &[&str], lab: Lab) -> ExitCode {
    let mut world = match World::found(lab).await {
        Ok(world) => world,
        Err(failure) => return fail(&failure.to_string()),
    };
    let mut failed = 0;
    for story in stories {
        let start = Instant::now();
        world.begin(story);
        let played = tokio::time::timeout(STORY_DEADLINE, play(story, &mut world)).await;
        let late = || Failure::broken(format!("the story did not end within {} s", STORY_DEADLINE.as_secs()));
        let played = played.unwrap_or_else(|_| Err(late()));
        let verdict = if played.is_ok() { "ok" } else { "FAILED" };
        say(format!("test {story} ... {verdict}, {:.1} s", start.elapsed().as_secs_f64()));
        if let Err(failure) = played {
            failed += 1;
            say(format!("{story}: {failure}\n{}", world.kube.autopsy().await));
            world.start_over().await;
        }
    }
    summary(stories.len() - failed, failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The line that the suite counts.
fn summary(passed: usize, failed: usize) {
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    say(format!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out"));
}

fn fail(sentence: &str) -> ExitCode {
    say(sentence);
    summary(0, 1);
    ExitCode::FAILURE
}
