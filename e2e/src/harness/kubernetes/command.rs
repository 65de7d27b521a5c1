//! Programs that are run for what they say, each with a deadline.

use crate::{failure::Failure, say::say};
use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, Command},
};

/// How much of what a program said a failure repeats, in bytes.
const SAID_BYTES: usize = 600;

/// A program to run.
#[derive(Clone, Debug)]
pub struct Call {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    input: Option<String>,
    is_aloud: bool,
    deadline: Duration,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Call {
    /// A program with its arguments, which must end within the deadline.
    pub fn new(program: impl AsRef<OsStr>, arguments: &[&str], deadline: Duration) -> Call {
        let arguments = arguments.iter().map(OsString::from).collect();
        Call { program: program.as_ref().to_owned(), arguments, variables: Vec::new(), input: None, is_aloud: false, deadline }
    }

    /// What it reads from its standard input.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Call {
        self.input = Some(text.into());
        self
    }

    /// Its standard error is repeated line by line as it comes: it takes long, and somebody waits for it.
    #[must_use]
    pub fn aloud(mut self) -> Call {
        self.is_aloud = true;
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Call {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it; a bad end is a failure with its last words.
    pub async fn run(self) -> Result<String, Failure> {
        let what = self.to_string();
        let said = self.say().await?;
        if said.status.success() { Ok(said.output) } else { Err(said.failure(&what)) }
    }

    /// Runs it, however it ends.
    pub async fn say(self) -> Result<Said, Failure> {
        let what = self.to_string();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(Failure::of(format!("start {what}")))?;
        let seconds = self.deadline.as_secs();
        match tokio::time::timeout(self.deadline, finish(child, self.input, self.is_aloud)).await {
            Ok(said) => said.map_err(Failure::of(format!("run {what}"))),
            Err(_) => Err(Failure::Late { what: format!("{what} ends"), seconds, seen: "it runs".to_owned() }),
        }
    }
}

async fn finish(mut child: Child, input: Option<String>, is_aloud: bool) -> std::io::Result<Said> {
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        pipe.write_all(text.as_bytes()).await?;
    }
    let errors = child.stderr.take();
    let (output, errors) = tokio::try_join!(child.wait_with_output(), hear(errors, is_aloud))?;
    Ok(Said { status: output.status, output: text(&output.stdout), errors: text(&errors) })
}

/// Everything that comes through a pipe.
async fn hear(pipe: Option<ChildStderr>, is_aloud: bool) -> std::io::Result<Vec<u8>> {
    let (Some(pipe), mut heard) = (pipe, Vec::new()) else { return Ok(Vec::new()) };
    let mut pipe = BufReader::new(pipe);
    loop {
        let from = heard.len();
        if pipe.read_until(b'\n', &mut heard).await? == 0 {
            return Ok(heard);
        }
        if is_aloud {
            say(text(&heard[from..]).trim_end());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Said {
    /// A bad end as a failure, with the last that was said.
    pub fn failure(&self, what: &str) -> Failure {
        let said = if self.errors.trim().is_empty() { &self.output } else { &self.errors };
        let said = said.trim();
        let from = said.char_indices().map(|(at, _)| at).find(|at| said.len() - at <= SAID_BYTES).unwrap_or(0);
        Failure::broken(format!("{what} ended with {}: {}", self.status, &said[from..]))
    }
}

/// The program and what it was told first, for sentences.
impl std::fmt::Display for Call {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = PathBuf::from(&self.program);
        write!(out, "{}", program.file_name().unwrap_or(program.as_os_str()).display())?;
        self.arguments.iter().take(4).try_for_each(|argument| write!(out, " {}", argument.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_given_its_input_and_held_to_its_deadline() {
        let echoed = Call::new("cat", &[], Duration::from_secs(10)).input("words").run().await;
        assert_eq!(echoed.expect("cat repeats"), "words");
        let late = Call::new("tail", &["--follow", "/dev/null"], Duration::from_millis(100)).run().await;
        assert!(late.expect_err("tail never ends").to_string().contains("until tail --follow /dev/null ends"));
        let failed = Call::new("ls", &["/nowhere"], Duration::from_secs(10)).run().await;
        assert!(failed.expect_err("ls finds nothing").to_string().contains("/nowhere"));
    }
}
