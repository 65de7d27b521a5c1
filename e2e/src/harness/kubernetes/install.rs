//! From programs to an operator that runs: an image, and the two charts.

use super::{
    command::Call,
    kube::Kube,
    lab::{self, Lab},
};
use crate::{failure::Failure, harness::node_process::target_directory, place::repository};
use k8s_openapi::api::core::v1::Pod;
use std::{path::PathBuf, time::Duration};

/// The image's name within a lab: never looked for in a registry.
const REPOSITORY: &str = "lab.local/strata";

/// How long an installation may take until the operator is ready.
const INSTALL_DEADLINE: Duration = Duration::from_secs(120);

/// The version of everything here: the chart's appVersion, and the tag of images.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the image of storage node and operator from the programs beside this one; gives the archive.
pub async fn build_image() -> Result<PathBuf, Failure> {
    let folder = target_directory()?;
    let programs = ["strata-node", "strata-operator"].map(|program| folder.join(program));
    if let Some(missing) = programs.iter().find(|program| !program.is_file()) {
        return Err(Failure::Lacking(format!("there is no {}: run `cargo build --workspace --bins`", missing.display())));
    }
    let archive = folder.join("strata-image.tar");
    if is_newer(&archive, &programs) {
        return Ok(archive);
    }
    lab::image(&format!("{REPOSITORY}:{VERSION}"), &programs, &archive).await?;
    Ok(archive)
}

/// Whether an archive was made after everything that goes into it.
fn is_newer(archive: &std::path::Path, programs: &[PathBuf]) -> bool {
    let changed = |path: &std::path::Path| path.metadata().and_then(|data| data.modified()).ok();
    let recipes = ["e2e/lab/Containerfile", "e2e/lab/lib/image.sh"].map(|path| repository().join(path));
    let Some(made) = changed(archive) else { return false };
    programs.iter().chain(&recipes).all(|source| changed(source).is_some_and(|changed| changed < made))
}

/// Puts the image onto every node.
pub async fn load_image(lab: &Lab) -> Result<(), Failure> {
    lab.load(&build_image().await?).await
}

/// Installs the custom resources and the operator, and waits until it is ready.
pub async fn install() -> Result<(), Failure> {
    helm("strata-crds", "charts/strata-crds", &[]).await?;
    helm("strata", "charts/strata", &["--set", &format!("image.repository={REPOSITORY}"), "--wait"]).await
}

/// The operator's pods.
pub async fn operators(kube: &Kube) -> Result<Vec<Pod>, Failure> {
    kube.list("app.kubernetes.io/name=strata-operator").await
}

async fn helm(release: &str, chart: &str, more: &[&str]) -> Result<(), Failure> {
    let chart = repository().join(chart).display().to_string();
    let mut arguments = vec!["upgrade", "--install", release, &chart];
    arguments.extend(more);
    Call::new("helm", &arguments, INSTALL_DEADLINE).run().await.map(drop)
}
