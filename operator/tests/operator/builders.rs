//! `testdata/builders/*.in.yaml`: a KVCluster, its first line says what it shows. Beside it, in `*.out.yaml`, the objects that are built.

use crate::{check, files};
use k8s_openapi::api::apps::v1::StatefulSet;
use std::fs;
use strata_crds::KVCluster;
use strata_operator::resources::{Defaults, objects};

fn defaults() -> Defaults {
    Defaults { node_image: "registry.example/strata".to_owned() }
}

fn cluster(text: &str) -> KVCluster {
    serde_yaml_ng::from_str(text).expect("a fixture is a KVCluster")
}

#[test]
fn objects_are_what_was_recorded() {
    let mut failures = Vec::new();
    for path in files("testdata/builders", ".in.yaml") {
        let text = fs::read_to_string(&path).expect("a fixture is readable");
        assert!(text.starts_with("# "), "{}: the first line must say the intent", path.display());
        let built = objects(&cluster(&text), &defaults());
        let documents: Vec<String> = built.iter().map(|object| serde_yaml_ng::to_string(object).expect("an object is YAML")).collect();
        let recorded = path.to_string_lossy().replace(".in.yaml", ".out.yaml");
        check(recorded.as_ref(), &documents.join("---\n"), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const MINIMAL: &str = "
apiVersion: strata.dev/v1alpha1
kind: KVCluster
metadata: {name: orders, namespace: shop, uid: 11111111-2222-3333-4444-555555555555}
spec: {version: 0.1.0, nodes: 3, zones: [a, b, c], storage: {size: 20Gi}}
";

/// The templates of all pods, as JSON.
fn templates(cluster: &KVCluster) -> Vec<String> {
    let sets =
        objects(cluster, &defaults()).into_iter().filter(|object| object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet"));
    let template = |set: StatefulSet| serde_json::to_string(&set.spec.expect("a set has a spec").template).expect("a template is JSON");
    sets.map(|object| template(serde_json::from_value(serde_json::to_value(object).expect("JSON")).expect("a StatefulSet"))).collect()
}

#[test]
fn what_does_not_concern_a_pod_restarts_none() {
    let before = cluster(MINIMAL);
    let mut after = before.clone();
    after.spec.nodes = 6;
    after.spec.storage.size = strata_crds::Size("40Gi".to_owned());
    after.spec.balance.leaders.tolerance = 2;
    after.metadata.generation = Some(7);
    after.metadata.resource_version = Some("12".to_owned());
    assert_eq!(templates(&before), templates(&after));
    let mut other = before;
    other.spec.version = "9.9.9".to_owned();
    assert!(!templates(&other)[0].contains(env!("CARGO_PKG_VERSION")), "the operator's own version is no part of a pod");
}

#[test]
fn our_labels_cannot_be_overridden() {
    let mut cluster = cluster(MINIMAL);
    cluster.spec.pod_template.labels.insert("strata.dev/cluster".to_owned(), "other".to_owned());
    assert!(templates(&cluster).iter().all(|template| template.contains(r#""strata.dev/cluster":"orders""#)));
}
