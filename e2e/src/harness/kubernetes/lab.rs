//! The lab, as `e2e/lab/lab` offers it: up and down, and the faults that exist nowhere else.

use super::command::Call;
use crate::{failure::Failure, place::repository};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

/// How long the lab's programs may compile where they were never built.
const BUILD_DEADLINE: Duration = Duration::from_secs(3_600);

/// How long a start may take.
const UP_DEADLINE: Duration = Duration::from_secs(240);

/// How long any other verb may take.
const VERB_DEADLINE: Duration = Duration::from_secs(120);

/// What the lab says when this machine cannot run it.
const CANNOT_RUN: i32 = 3;

/// What the S3 server in the lab takes for the owner of everything.
pub const ACCESS_KEY: &str = "strata-lab";
/// Its secret.
pub const SECRET_KEY: &str = "strata-lab-secret";

/// A running lab. One that this process started ends with it.
pub struct Lab {
    name: String,
    is_ours: bool,
}

/// Whether a lab goes with the process that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It does, whatever becomes of the process.
    OfThisProcess,
    /// It stays until [`Lab::down`].
    UntilEnded,
}

impl Lab {
    /// Compiles what the lab runs, where that was not done before.
    pub async fn build() -> Result<(), Failure> {
        judge(call(&["build"], BUILD_DEADLINE).aloud()).await.map(drop)
    }

    /// Starts a lab and waits until its nodes are Ready; gives it with the seconds that took.
    pub async fn up(name: &str, lifetime: Lifetime) -> Result<(Lab, f64), Failure> {
        Lab::build().await?;
        let owner = std::process::id().to_string();
        let mut arguments = vec!["up", name];
        if lifetime == Lifetime::OfThisProcess {
            arguments.extend(["--owner", &owner]);
        }
        let said = lab(&arguments, UP_DEADLINE).await?;
        let seconds = said.rsplit_once("seconds=").and_then(|(_, seconds)| seconds.trim().parse().ok());
        let lab = Lab { name: name.to_owned(), is_ours: lifetime == Lifetime::OfThisProcess };
        Ok((lab, seconds.ok_or_else(|| Failure::broken(format!("lab up says {said:?}, and not how long it took")))?))
    }

    /// A lab that somebody else started.
    pub fn of(name: &str) -> Lab {
        Lab { name: name.to_owned(), is_ours: false }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs this very program again within the lab's network, and waits for its end.
    pub fn enter(&self, arguments: &[String]) -> Result<ExitStatus, Failure> {
        self.entrance(arguments)?.status().map_err(Failure::of("enter the lab"))
    }

    /// What runs this very program again within the lab's network, in one process from its start to its end.
    pub fn entrance(&self, arguments: &[String]) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(Failure::of("find this program"))?;
        let mut command = Command::new(program_of_lab());
        command.args(["in", &self.name]).arg(program).args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// Ends the lab and leaves nothing of it.
    pub async fn down(&self) -> Result<(), Failure> {
        self.verb("down", &[]).await.map(drop)
    }

    /// Puts an image onto every node.
    pub async fn load(&self, archive: &Path) -> Result<(), Failure> {
        self.verb("load", &[&archive.display().to_string()]).await.map(drop)
    }

    /// Starts the S3 server over a folder, each of whose folders is a bucket; gives its endpoint.
    pub async fn start_s3(&self, folder: &Path) -> Result<String, Failure> {
        let call = call(&["s3", &self.name, "start", "--data", &folder.display().to_string()], VERB_DEADLINE);
        let said = call.variable("AWS_ACCESS_KEY_ID", ACCESS_KEY).variable("AWS_SECRET_ACCESS_KEY", SECRET_KEY).run().await?;
        Ok(said.trim().to_owned())
    }

    /// Ends the S3 server as `kill -9` does; its folder stays.
    pub async fn stop_s3(&self) -> Result<(), Failure> {
        lab(&["s3", &self.name, "stop"], VERB_DEADLINE).await.map(drop)
    }

    /// SIGKILL from outside for the processes of pods or components, all at once.
    pub async fn kill(&self, targets: &[&str]) -> Result<(), Failure> {
        self.verb("kill", targets).await.map(drop)
    }

    /// SIGKILL for a component such as `kube-apiserver` or `node-1.kubelet`, which nobody starts again until it is released.
    pub async fn hold(&self, component: &str) -> Result<(), Failure> {
        self.verb("hold", &[component]).await.map(drop)
    }

    /// A component that was held is started again; it may take a while to serve.
    pub async fn release(&self, component: &str) -> Result<(), Failure> {
        self.verb("release", &[component]).await.map(drop)
    }

    /// Every process of a machine stands still.
    pub async fn freeze(&self, node: &str) -> Result<(), Failure> {
        self.verb("freeze", &[node]).await.map(drop)
    }

    /// And goes on.
    pub async fn thaw(&self, node: &str) -> Result<(), Failure> {
        self.verb("thaw", &[node]).await.map(drop)
    }

    /// No packet to or from a machine gets through.
    pub async fn cut(&self, node: &str) -> Result<(), Failure> {
        self.verb("cut", &[node]).await.map(drop)
    }

    /// And gets through again.
    pub async fn heal(&self, node: &str) -> Result<(), Failure> {
        self.verb("heal", &[node]).await.map(drop)
    }

    /// No packet between two machines gets through.
    pub async fn cut_between(&self, one: &str, other: &str) -> Result<(), Failure> {
        self.verb("cut", &[one, other]).await.map(drop)
    }

    /// And gets through again.
    pub async fn heal_between(&self, one: &str, other: &str) -> Result<(), Failure> {
        self.verb("heal", &[one, other]).await.map(drop)
    }

    /// Exchanges the disk behind a volume such as `node-1-disk-0` for an empty one, under whoever uses it.
    pub async fn empty_disk(&self, volume: &str) -> Result<(), Failure> {
        let parts = volume.split_once("-disk-").ok_or_else(|| Failure::broken(format!("{volume} is no volume of a lab")))?;
        self.verb("empty-disk", &[parts.0, parts.1]).await.map(drop)
    }

    /// Empties all disks, and makes released volumes available again.
    pub async fn wipe_volumes(&self) -> Result<(), Failure> {
        self.verb("wipe-volumes", &[]).await.map(drop)
    }

    /// Makes released volumes available again, empty.
    pub async fn recycle(&self) -> Result<(), Failure> {
        self.verb("recycle", &[]).await.map(drop)
    }

    async fn verb(&self, verb: &str, arguments: &[&str]) -> Result<String, Failure> {
        let mut all = vec![verb, &self.name];
        all.extend(arguments);
        lab(&all, VERB_DEADLINE).await
    }
}

impl Drop for Lab {
    /// Also in a panic. Whoever dies without this is noticed by the lab's watcher.
    fn drop(&mut self) {
        if self.is_ours {
            drop(Command::new(program_of_lab()).args(["down", &self.name]).stdin(Stdio::null()).status());
        }
    }
}

/// Builds an image of prebuilt programs into an archive.
pub async fn image(tag: &str, programs: &[PathBuf], archive: &Path) -> Result<(), Failure> {
    let (programs, archive): (Vec<String>, String) =
        (programs.iter().map(|program| program.display().to_string()).collect(), archive.display().to_string());
    let mut arguments = vec!["image", tag, "--out", &archive];
    for program in &programs {
        arguments.extend(["--binary", program]);
    }
    lab(&arguments, UP_DEADLINE).await.map(drop)
}

fn program_of_lab() -> PathBuf {
    repository().join("e2e/lab/lab")
}

fn call(arguments: &[&str], deadline: Duration) -> Call {
    Call::new(program_of_lab(), arguments, deadline)
}

async fn lab(arguments: &[&str], deadline: Duration) -> Result<String, Failure> {
    judge(call(arguments, deadline)).await
}

async fn judge(call: Call) -> Result<String, Failure> {
    let what = call.to_string();
    let said = call.say().await?;
    match said.status.code() {
        Some(0) => Ok(said.output),
        Some(CANNOT_RUN) => Err(Failure::Lacking(said.errors.trim().replace('\n', "; "))),
        _ => Err(said.failure(&what)),
    }
}
