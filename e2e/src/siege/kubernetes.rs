//! A siege of a Kubernetes: the lab's machines, kubelets, API server, the operator, pods and disks are troubled, and everything is lost but the bucket,
//! under load, for so long.
//!
//! ```text
//! outside   raise ── a lab, which goes with this process ──► this very program again, within its network
//! inside    run ── schedule, stage, tally: the rounds and judges are those of a siege of processes
//! ```
//!
//! What it holds the cluster to beyond the histories and the keys that were acknowledged:
//! - when troubles end, the KVCluster is whole within a bound, by a status that is younger than that end, and the archive has caught up with it;
//! - a pod comes back with its store, but for one whose disk was emptied, which has another, with every replica; no process of a node ends by itself;
//! - the replicas of every shard hold the same, as `strata-node verify-replicas` finds;
//! - after a loss the same manifest brings back every key that was acknowledged before the latest `recovery.latest` that anybody read off the status;
//! - in the end `strata-node verify-bucket` reads every byte of the bucket.

mod evidence;
pub mod schedule;
mod stage;
pub mod tally;

use super::{Wish, attend, namespace, play::Siege, rounds, tally::End};
use crate::{
    checker,
    failure::Failure,
    harness::kubernetes::lab::{Lab, Lifetime},
    say::say,
};
use evidence::Evidence;
use schedule::Schedule;
use stage::KubernetesStage;
use std::sync::Arc;
use tally::Tally;

/// Prints what will happen when.
pub fn say_schedule(wish: &Wish) {
    say(format!("siege: seed {}, {} s, on a Kubernetes", wish.seed, wish.seconds));
    rounds::lines(&Schedule::draw(wish.seed, wish.seconds).rounds).for_each(|line| say(format!("siege: {line}")));
}

/// Outside: brings a lab up, which goes with this process, and has `arguments` of this program played within it. Whether every promise was kept.
pub async fn raise(wish: &Wish, arguments: &[String]) -> Result<bool, Failure> {
    let name = format!("siege-{}", std::process::id());
    let ground = async {
        checker::prepare()?;
        Lab::up(&name, Lifetime::OfThisProcess).await
    };
    let lab = match ground.await {
        Ok((lab, _)) => lab,
        Err(failure) => {
            say(format!("siege: {failure}"));
            say(Tally::default().line(&End::Failed(failure), wish.seed, wish.seconds));
            return Ok(false);
        }
    };
    let mut inside = vec![format!("--lab={name}")];
    inside.extend_from_slice(arguments);
    let status = namespace::accompany(lab.entrance(&inside)?.into(), "enter the lab").await?;
    lab.down().await?;
    Ok(status.success())
}

/// Inside: plays the siege, and says how it was; the last line is for machines. Whether every promise was kept.
pub async fn run(wish: &Wish, lab: &str) -> Result<bool, Failure> {
    let (tally, evidence) = (Arc::new(Tally::default()), Arc::new(Evidence::new()?));
    let end = attend(|| say_schedule(wish), || tally.progress(), besiege(wish, lab, &evidence, &tally)).await?;
    // A bucket that somebody writes to cannot be removed. The lab ends what does not end here.
    drop(Lab::of(lab).stop_s3().await);
    say(tally.line(&end, wish.seed, wish.seconds));
    Ok(end.is_well())
}

async fn besiege(wish: &Wish, lab: &str, evidence: &Arc<Evidence>, tally: &Arc<Tally>) -> End {
    let stage = match KubernetesStage::found(Lab::of(lab), evidence.clone(), tally.clone()).await {
        Ok(stage) => stage,
        Err(failure) => return End::Failed(failure),
    };
    let siege = Siege::new(wish, stage, evidence.folder(), tally.rounds.clone(), tally.operations.clone());
    siege.run(&Schedule::draw(wish.seed, wish.seconds).rounds, || tally.progress()).await
}
