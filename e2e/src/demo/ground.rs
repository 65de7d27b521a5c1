//! What the story stands on: a Kubernetes, an S3 server, images, the operator.

use super::stage::{Done, Stopped, tell, tell_failure};
use crate::{
    failure::Failure,
    harness::kubernetes::{
        install,
        kube::Kube,
        lab::{Lab, Lifetime},
    },
};
use std::path::PathBuf;

/// The bucket of `crds/examples/object-store.yaml`.
const BUCKET: &str = "strata";

/// Where the demo's bucket lies on this machine: a plain folder.
fn folder(lab: &str) -> Result<PathBuf, Failure> {
    let cache = match (std::env::var_os("STRATA_CACHE"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache/strata"),
        (None, None) => return Err(Failure::Lacking("set STRATA_CACHE or HOME: the bucket needs a folder".to_owned())),
    };
    Ok(cache.join("demo").join(lab))
}

/// Brings a lab up and has `arguments` of this program played within it. False if anything failed. The lab stays.
pub async fn begin(name: &str, arguments: &[String]) -> bool {
    tell(" 0. lab: starts a Kubernetes of three nodes in three zones on this machine (compiles it first, once)");
    match raise(name, arguments).await {
        Ok(is_well) => is_well,
        Err(failure) => {
            tell_failure(&Stopped::at("lab", failure), name);
            false
        }
    }
}

async fn raise(name: &str, arguments: &[String]) -> Result<bool, Failure> {
    Lab::of(name).down().await?;
    let folder = folder(name)?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(Failure::of(format!("remove {}", folder.display())))?;
    }
    let (lab, seconds) = Lab::up(name, Lifetime::UntilEnded).await?;
    tell(&format!("    {seconds:.1} s: its nodes are Ready"));
    Ok(lab.enter(arguments)?.success())
}

/// Starts the S3 server with an empty bucket; gives its endpoint.
pub async fn start_s3(lab: &Lab) -> Done<String> {
    let data = folder(lab.name())?.join("s3");
    std::fs::create_dir_all(data.join(BUCKET)).map_err(Failure::of(format!("create {}", data.display())))?;
    let endpoint = lab.start_s3(&data).await?;
    Ok((endpoint.clone(), format!("{endpoint}, bucket {BUCKET}, over {}", data.display())))
}

/// Builds the image and loads it.
pub async fn images(lab: &Lab) -> Done<()> {
    install::load_image(lab).await?;
    Ok(((), String::new()))
}

/// Installs the charts.
pub async fn install() -> Done<()> {
    install::install().await?;
    Ok(((), format!("charts strata-crds and strata, version {}", install::VERSION)))
}

/// Connects to the API server.
pub async fn connect() -> Done<Kube> {
    Ok((Kube::connect().await?, String::new()))
}
