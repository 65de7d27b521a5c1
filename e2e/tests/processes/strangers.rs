//! Callers that have no business here.

use strata_base::Epoch;
use strata_e2e::{
    failure::Failure,
    harness::{
        certificates::Authority,
        node_client::NodeClient,
        process::Options,
        socket::{ask, converse},
    },
    scene::play,
    workload::Size,
};
use strata_node_api::OrderKind;

#[test]
fn a_caller_without_the_certificate_is_refused() -> Result<(), Failure> {
    play("a_caller_without_the_certificate_is_refused", Options::one_node(2), async |scene| {
        scene.cluster.bootstrap().await?;
        let ours = scene.cluster.authority().certificate().to_owned();
        let elsewhere = scene.cluster.folder().join("elsewhere");
        std::fs::create_dir_all(&elsewhere).map_err(Failure::of("create a folder"))?;
        let stranger = Authority::create(&elsewhere)?.sign("operator")?;
        let callers =
            [("no certificate", NodeClient::anonymous(&ours)), ("the certificate of another authority", NodeClient::new(&ours, &stranger))];
        let ports = scene.cluster.ports(0);
        for (what, caller) in callers {
            let caller = caller.map_err(Failure::Broken)?;
            let mut order = scene.cluster.order_for(0, OrderKind::EvictLeaders { for_millis: 60_000 });
            order.epoch = Epoch(77);
            for port in [ports.api, ports.peer] {
                if let Ok(report) = caller.report(port).await {
                    return Err(Failure::broken(format!("a caller with {what} was shown {report:?}")));
                }
                if let Ok(answer) = caller.order(port, &order).await {
                    return Err(Failure::broken(format!("the order of a caller with {what} was answered with {answer:?}")));
                }
            }
        }
        for port in [ports.api, ports.peer] {
            let said = converse(port, b"GET /v1/report HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            let sentence = || format!("port {port} speaks without TLS: {}", String::from_utf8_lossy(&said));
            Failure::unless(!said.starts_with(b"HTTP/1.1 200"), sentence)?;
        }
        let probe = ask(ports.status, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let sentence = || format!("a probe, which needs no certificate, got {:?}", String::from_utf8_lossy(&probe));
        Failure::unless(probe.starts_with(b"HTTP/1.1 200"), sentence)?;
        let report = scene.cluster.report(0).await.map_err(Failure::Broken)?;
        let is_untouched = (report.epoch, report.evicted_millis) == (Epoch(1), 0);
        Failure::unless(is_untouched, || format!("a stranger was obeyed: {report:?}"))?;
        let load = scene.load(Size::default());
        load.until_acknowledged(100).await?;
        scene.judge(load).await
    })
}
