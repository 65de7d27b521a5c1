//! `testdata/builders/*.in.yaml`: a KVCluster, its first line says what it shows. Beside it, in `*.out.yaml`, the objects that are built.

use k8s_openapi::api::apps::v1::StatefulSet;
use std::{fs, path::PathBuf};
use strata_crds::{KVCluster, KVClusterStatus, KVObjectStoreSpec};
use strata_golden::{compare, expect_all, files};
use strata_operator::resources::{Defaults, objects};

fn defaults() -> Defaults {
    Defaults { node_image: "registry.example/strata".to_owned() }
}

fn cluster(text: &str) -> KVCluster {
    serde_yaml_ng::from_str(text).expect("a fixture is a KVCluster")
}

#[test]
fn objects_are_what_was_recorded() {
    let store: KVObjectStoreSpec = serde_yaml_ng::from_str(STORE).expect("the fixture is a KVObjectStore's spec");
    let check = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a fixture is readable");
        assert!(text.starts_with("# "), "{}: the first line must say the intent", path.display());
        let cluster = cluster(&text);
        let built = objects(&cluster, cluster.spec.archive.as_ref().map(|_| &store), &defaults());
        let documents: Vec<String> = built.iter().map(|object| serde_yaml_ng::to_string(object).expect("an object is YAML")).collect();
        let recorded = path.to_string_lossy().replace(".in.yaml", ".out.yaml");
        compare(recorded, &documents.join("---\n"))
    };
    expect_all(files("testdata/builders", ".in.yaml").iter().map(check));
}

const STORE: &str = "{bucket: strata, endpoint: 'http://s3.example:7070/', credentialsSecretRef: {name: s3-credentials}}";

const MINIMAL: &str = "
apiVersion: strata.dev/v1alpha1
kind: KVCluster
metadata: {name: orders, namespace: shop, uid: 11111111-2222-3333-4444-555555555555}
spec: {version: 0.1.0, nodes: 3, zones: [a, b, c], storage: {size: 20Gi}}
";

/// The templates of all pods, as JSON.
fn templates(cluster: &KVCluster) -> Vec<String> {
    let sets = objects(cluster, None, &defaults())
        .into_iter()
        .filter(|object| object.types.as_ref().is_some_and(|types| types.kind == "StatefulSet"));
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
    after.status = Some(KVClusterStatus { cluster_id: Some("a-uuid".to_owned()), ..KVClusterStatus::default() });
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

#[test]
fn nothing_that_needs_the_bucket_is_made_before_it_is_known() {
    let text = MINIMAL.replace("20Gi}}", "20Gi}, archive: {objectStoreRef: {name: s3}}}");
    let kinds = |store: Option<&KVObjectStoreSpec>| -> Vec<String> {
        let built = objects(&cluster(&text), store, &defaults());
        built.into_iter().filter_map(|object| object.types.map(|types| types.kind)).collect()
    };
    assert!(!kinds(None).iter().any(|kind| kind == "StatefulSet" || kind == "ConfigMap"), "{:?}", kinds(None));
    let store = serde_yaml_ng::from_str(STORE).expect("the fixture is a KVObjectStore's spec");
    assert!(kinds(Some(&store)).contains(&"StatefulSet".to_owned()));
}

#[test]
fn the_configuration_names_the_cluster_once_it_is_known() {
    let mut cluster = cluster(MINIMAL);
    let text = |cluster: &KVCluster| {
        let built = objects(cluster, None, &defaults());
        let map = built.into_iter().find(|object| object.types.as_ref().is_some_and(|types| types.kind == "ConfigMap"));
        map.expect("there is a ConfigMap").data["data"]["node.toml"].as_str().expect("text").to_owned()
    };
    assert!(!text(&cluster).contains("cluster ="));
    cluster.status = Some(KVClusterStatus { cluster_id: Some("a-uuid".to_owned()), ..KVClusterStatus::default() });
    assert!(text(&cluster).starts_with("cluster = \"a-uuid\"\n"), "{}", text(&cluster));
}
