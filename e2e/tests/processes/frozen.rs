//! Processes that stand still, and wake up in a world that went on without them.

use strata_e2e::{failure::Failure, harness::process::Options, scene::play, workload::Size};

#[test]
fn a_stopped_process_returns_late() -> Result<(), Failure> {
    play("a_stopped_process_returns_late", Options::three_nodes(8), async |scene| {
        scene.cluster.bootstrap().await?;
        scene.cluster.spread_leaders().await?;
        let load = scene.load(Size::default());
        for _ in 0..6 {
            load.until_acknowledged(300).await?;
            let frozen = scene.cluster.until_whole().await?.busiest();
            let others: Vec<usize> = scene.cluster.indexes().filter(|node| *node != frozen).collect();
            scene.cluster.stop(frozen)?;
            scene.cluster.until_led(&others).await?;
            load.until_acknowledged(200).await?;
            // It still believes that it leads, and clients are connected to it.
            scene.cluster.cont(frozen)?;
            load.until_acknowledged(200).await?;
            load.turn_page();
        }
        scene.judge(load).await
    })
}
