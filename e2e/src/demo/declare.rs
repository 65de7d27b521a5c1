//! The manifests of `crds/examples/`, with this machine's S3 server in place of the example's.

use super::{Wish, stage::Done};
use crate::{
    failure::Failure,
    harness::kubernetes::{
        cluster::Cluster,
        lab::{ACCESS_KEY, SECRET_KEY},
    },
    place::repository,
};

/// An example as it lies in the repository.
pub fn example(name: &str) -> Result<String, Failure> {
    let path = repository().join("crds/examples").join(name);
    std::fs::read_to_string(&path).map_err(Failure::of(format!("read {}", path.display())))
}

/// Applies the object store and the cluster, and waits until it is Ready; gives the cluster's manifest.
pub async fn first(cluster: &Cluster, endpoint: &str, wish: &Wish) -> Done<String> {
    let mut manifest = example("cluster.yaml")?;
    if wish.has_archive {
        let store = with(&example("object-store.yaml")?, "https://s3.example.com", endpoint)?;
        let store = with(&store, "accessKeyID: replace-me", &format!("accessKeyID: {ACCESS_KEY}"))?;
        let store = with(&store, "secretAccessKey: replace-me", &format!("secretAccessKey: {SECRET_KEY}"))?;
        cluster.kube.apply(&store).await?;
    } else {
        manifest = with(&manifest, "  archive:\n    objectStoreRef:\n      name: s3\n", "")?;
        manifest = with(&manifest, "  bootstrap:\n    policy: RestoreIfExists\n", "")?;
    }
    cluster.kube.apply(&manifest).await?;
    let status = cluster.until_ready().await?;
    let members: Vec<String> = status.members.iter().map(|member| format!("{} in {}", member.pod, member.zone)).collect();
    Ok((manifest, members.join(", ")))
}

fn with(text: &str, part: &str, other: &str) -> Result<String, Failure> {
    Failure::unless(text.contains(part), || format!("crds/examples no longer says {part:?}, which the demo replaces"))?;
    Ok(text.replace(part, other))
}
