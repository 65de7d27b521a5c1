//! The second opinion on histories: `e2e/checkers`, a program of its own that shares no code with what it judges.

use crate::{
    failure::Failure,
    harness::{child::Ward, wait},
    history::History,
    place::home,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// How long the judgement of one history may take.
const JUDGE_DEADLINE: Duration = Duration::from_secs(60);

/// How long the search for an order may take for one key, in seconds; beyond it the key is undecided, and the scenario fails.
const SECONDS_PER_KEY: u64 = 20;

/// How far the cluster's clock may be from the clients' on one machine, in milliseconds: a node further off may not lead.
const CLOCK_OFFSET_MILLIS: u64 = 500;

/// The checker's program below `e2e/checkers`.
const PROGRAM: &str = "history-check";

/// Judges a history, which is written to `path` first and stays there.
pub async fn linearizable(history: &History, path: &Path) -> Result<(), Failure> {
    let program = program()?;
    history.write(path, CLOCK_OFFSET_MILLIS)?;
    let output = path.with_extension("verdict");
    let seconds = SECONDS_PER_KEY.to_string();
    let mut judge = Ward::start(&program, [Path::new("-seconds-per-key"), Path::new(&seconds), path], &output)?;
    let what = format!("{PROGRAM} has judged {} operations", history.operations().len());
    let status = wait::until(JUDGE_DEADLINE, &what, async || judge.ended().ok_or_else(|| "it still thinks".to_owned()));
    let status = status.await?;
    let verdict = std::fs::read_to_string(&output).map_err(Failure::of(format!("read {}", output.display())))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::broken(format!("the history {} is not linearizable:\n{verdict}", path.display()))),
        Some(3) => {
            Err(Failure::Late { what: format!("every key of {} is decided", path.display()), seconds: SECONDS_PER_KEY, seen: verdict })
        }
        _ => Err(Failure::broken(format!("{PROGRAM} could not judge {} ({status}):\n{verdict}", path.display()))),
    }
}

/// Builds the checker's program, for whoever goes where modules cannot be fetched.
pub fn prepare() -> Result<(), Failure> {
    program().map(drop)
}

/// The checker's program, built once for each process that asks.
fn program() -> Result<PathBuf, Failure> {
    static PROGRAM_BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM_BUILT.get_or_init(build).clone().map_err(Failure::Lacking)
}

fn build() -> Result<PathBuf, String> {
    let source = home().join("checkers");
    let folder = cache()?.join("checkers");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    // Built beside and renamed, since another test may be running the present one.
    let (program, fresh) = (folder.join(PROGRAM), folder.join(format!("{PROGRAM}.{}", std::process::id())));
    let mut command = Command::new("go");
    let output = command.current_dir(&source).args(["build", "-o"]).arg(&fresh).arg(format!("./{PROGRAM}")).output();
    let output = output.map_err(|error| {
        format!("cannot run go, which builds the checker of histories: {error}; install Go 1.25 or newer (https://go.dev/dl)")
    })?;
    if !output.status.success() {
        return Err(format!("go build of {} failed:\n{}", source.display(), String::from_utf8_lossy(&output.stderr)));
    }
    std::fs::rename(&fresh, &program).map_err(|error| format!("cannot rename {}: {error}", fresh.display()))?;
    Ok(program)
}

fn cache() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("STRATA_CACHE") {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").ok_or("neither STRATA_CACHE nor HOME names a folder for what is built once")?;
    Ok(Path::new(&home).join(".cache/strata"))
}
