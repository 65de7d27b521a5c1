//! Child processes that never outlive us: not their owner, and not this program, however it ends.

use crate::failure::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    io,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
};

/// A process of ours. Dropping it ends it.
pub struct Ward {
    child: Child,
    name: String,
}

impl Ward {
    /// Starts a program, whose output of both kinds is added to the file `log`.
    ///
    /// What the environment says about Strata is kept from it: the program is told everything by its arguments.
    pub fn start(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, log: &Path) -> Result<Ward, Failure> {
        Ward::start_in_group(program, arguments, log, None, [])
    }

    /// As [`Ward::start`], in a group of its own, by which rules of the kernel tell its packets from those of others, and with these variables in its environment.
    pub fn start_in_group(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
        group: Option<u32>,
        environment: impl IntoIterator<Item = (&'static str, OsString)>,
    ) -> Result<Ward, Failure> {
        let name = program.display().to_string();
        let open = || -> io::Result<_> {
            let file = OpenOptions::new().create(true).append(true).open(log)?;
            Ok((file.try_clone()?, file))
        };
        let (output, errors) = open().map_err(Failure::of(format!("open {}", log.display())))?;
        let mut command = Command::new("setpriv");
        if let Some(group) = group {
            command.args(["--regid", &group.to_string(), "--clear-groups"]);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output).stderr(errors).env("RUST_BACKTRACE", "1").envs(environment);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("STRATA_") {
                command.env_remove(variable);
            }
        }
        let child = spawn_for_life(command).map_err(Failure::of(format!("start {name} by setpriv (package util-linux)")))?;
        Ok(Ward { child, name })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let id = Pid::from_raw(self.child.id() as i32).expect("a process id is never 0");
        kill_process(id, signal).map_err(Failure::of(format!("signal {}", self.name)))
    }
}

impl Drop for Ward {
    /// As `kill -9` does, which ends a frozen process too; then waits for its end.
    fn drop(&mut self) {
        // Both fail only for a process that has ended and was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

type Spawning = (Command, SyncSender<io::Result<Child>>);

/// Starts a process whose parent lives as long as this program.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends, and test threads end early. So one thread starts all.
fn spawn_for_life(command: Command) -> io::Result<Child> {
    static NURSE: LazyLock<io::Result<SyncSender<Spawning>>> = LazyLock::new(|| {
        let (sender, receiver) = sync_channel::<Spawning>(1);
        let nurse = std::thread::Builder::new().name("nurse".to_owned());
        nurse.spawn(move || {
            while let Ok((mut command, answer)) = receiver.recv() {
                // Who asked waits for the answer.
                drop(answer.send(command.spawn()));
            }
        })?;
        Ok(sender)
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let nurse = NURSE.as_ref().map_err(|error| io::Error::other(error.to_string()))?;
    let (answer, child) = sync_channel(1);
    nurse.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::wait;
    use std::time::Duration;

    #[tokio::test]
    async fn a_ward_outlives_the_thread_that_asked_for_it_and_not_its_owner() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let start = move || Ward::start(Path::new("sleep"), ["600"], &log);
        let thread = std::thread::Builder::new().spawn(start).expect("a thread starts");
        let mut ward = thread.join().expect("the thread ends").expect("sleep starts");
        assert_eq!(ward.ended(), None, "its thread has ended, and it lives");
        let process = std::path::PathBuf::from(format!("/proc/{}", ward.id()));
        assert!(process.exists());
        drop(ward);
        let gone = wait::until(Duration::from_secs(5), "the process is gone", async || {
            if process.exists() { Err("it is there".to_owned()) } else { Ok(()) }
        });
        gone.await.expect("it was waited for");
    }
}
