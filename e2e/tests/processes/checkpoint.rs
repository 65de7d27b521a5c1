//! Checkpoints: what they cost where nothing changed, and where little did.

use redis::Value;
use strata_e2e::{
    failure::Failure,
    harness::{process::Options, s3_proxy::Traffic},
    say::say,
    scene::play_archived,
    workload::{Size, client::Door},
};

#[test]
fn a_checkpoint_of_what_did_not_change_uploads_nothing() -> Result<(), Failure> {
    play_archived("a_checkpoint_of_what_did_not_change_uploads_nothing", Options::three_nodes(4), async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(1_000).await?;
        scene.judge(load).await?;
        // The load left keys that expire, which changes a shard, too.
        let mut client = scene.client(Door::Plain, 0);
        client.ask(&redis::cmd("FLUSHALL")).await.map_err(Failure::Broken)?;
        for number in 0..100 {
            client.ask(redis::cmd("SET").arg(number).arg("stays")).await.map_err(Failure::Broken)?;
        }
        let begun = ground.proxy.traffic();
        scene.cluster.checkpoint_all().await?;
        let first = ground.proxy.traffic();
        Failure::unless(files(&first.since(&begun)) > 0, || "the first checkpoint uploads files".to_owned())?;
        let again = scene.cluster.checkpoint_all().await?;
        let second = ground.proxy.traffic();
        let uploaded = files(&second.since(&first));
        Failure::unless(uploaded == 0, || format!("nothing changed, and {uploaded} files were uploaded"))?;

        let answer = client.ask(redis::cmd("SET").arg("one").arg("more")).await;
        Failure::unless(answer == Ok(Value::Okay), || format!("a write was answered with {answer:?}"))?;
        let last = scene.cluster.checkpoint_all().await?;
        let third = ground.proxy.traffic();
        let changed = last.iter().filter(|(shard, checkpoint)| again[shard].number != checkpoint.number).count();
        Failure::unless(changed == 1, || format!("one shard changed, and {changed} have a new checkpoint"))?;
        let (whole, part) = (files(&first.since(&begun)), files(&third.since(&second)));
        say(format!("checkpoint files: first={whole} unchanged=0 one_write={part}"));
        super::archive::is_sound(scene).await
    })
}

/// How many tablet files were uploaded, in one piece or several.
fn files(traffic: &Traffic) -> usize {
    traffic.requests.keys().filter(|(method, path)| method == "PUT" && path.contains("/file/")).count()
}
