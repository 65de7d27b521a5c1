//! A world of its own for a siege: a network whose rules nobody else meets, and mounts that go with it.

use crate::{failure::Failure, say::say};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, ExitStatus, Stdio};
use tokio::signal::unix::{SignalKind, signal};

/// What leads into the namespaces: whoever starts it is survived by nobody.
const INTO: [&str; 6] = ["--pdeathsig", "KILL", "--", "unshare", "--net", "--mount"];

/// Whether this machine and user may have namespaces; why not, otherwise.
pub fn is_possible() -> Result<(), String> {
    let output = Command::new("setpriv").args(INTO).args(["--", "true"]).output().map_err(|error| format!("setpriv: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("there are no network and mount namespaces: {}", words.trim())) }
}

/// Runs this very program again, within namespaces of its own, and waits for its end.
pub async fn enter(arguments: &[String]) -> Result<ExitStatus, Failure> {
    let program = std::env::current_exe().map_err(Failure::of("find this program"))?;
    let mut command = tokio::process::Command::new("setpriv");
    command.args(INTO).arg("--").arg(program).args(arguments).stdin(Stdio::null());
    accompany(command, "enter namespaces by setpriv and unshare (package util-linux)").await
}

/// Runs a siege elsewhere, and waits for its end. Whoever interrupts us interrupts it, and it cleans up.
pub async fn accompany(mut command: tokio::process::Command, attempt: &str) -> Result<ExitStatus, Failure> {
    let mut interrupted = interruption()?;
    let mut child = command.spawn().map_err(Failure::of(attempt))?;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => return status.map_err(Failure::of("wait for the siege")),
            () = interrupted.heard() => {
                say("siege: interrupted; it cleans up");
                // A child that has ended is told of in the next turn.
                if let Some(id) = child.id().and_then(|id| Pid::from_raw(id as i32)) {
                    let _ = kill_process(id, Signal::TERM);
                }
            }
        }
    }
}

/// Makes the network usable, from within.
pub fn furnish() -> Result<(), Failure> {
    let output = Command::new("ip").args(["link", "set", "lo", "up"]).output();
    let output = output.map_err(|error| Failure::Lacking(format!("ip does not work here (package iproute2): {error}")))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(Failure::Lacking(format!("ip link set lo up: {}", words.trim()))) }
}

/// Somebody wants an end.
pub struct Interruption {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

/// From now on nobody dies of an interruption: it is heard.
pub fn interruption() -> Result<Interruption, Failure> {
    let listen = |kind| signal(kind).map_err(Failure::of("listen to signals"));
    Ok(Interruption { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
}

impl Interruption {
    /// Waits for it.
    pub async fn heard(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
