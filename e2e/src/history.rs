//! What clients did and saw, in the format that `history-check` judges: one operation per line, as JSON.

use crate::failure::Failure;
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// The version of the format that is written here; the README of `e2e/checkers` describes it.
const FORMAT: u32 = 1;

/// A command on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, in lower case.
    pub name: &'static str,
    /// What follows the key.
    pub arguments: Vec<String>,
}

impl Call {
    /// A command that takes the key only.
    pub fn plain(name: &'static str) -> Call {
        Call { name, arguments: Vec::new() }
    }

    /// A command with one argument after the key.
    pub fn with(name: &'static str, argument: impl ToString) -> Call {
        Call { name, arguments: vec![argument.to_string()] }
    }
}

/// What a client knows of its command.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It happened between start and end, and this is the reply: `"OK"`, a number, a text, or null.
    Ok(Value),
    /// It may happen at any time after its start, or never.
    Unknown,
    /// It never happened.
    Failed,
}

/// One command, as its client saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Who gave it. A client has one command under way at a time.
    pub client: u32,
    /// The key.
    pub key: String,
    /// The command.
    pub call: Call,
    /// When it was given, in nanoseconds since the Unix epoch by a clock that never jumps.
    pub start_nanos: u64,
    /// When its client learnt, or gave up.
    pub end_nanos: u64,
    /// What became of it.
    pub fate: Fate,
}

/// Operations in no particular order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    /// Adds an operation.
    pub fn record(&mut self, operation: Operation) {
        assert!(operation.start_nanos <= operation.end_nanos, "an operation ends after its start: {operation:?}");
        self.operations.push(operation);
    }

    /// Adds another client's operations.
    pub fn append(&mut self, mut other: History) {
        self.operations.append(&mut other.operations);
    }

    /// The operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Writes the history where the checker can read it. `clock_offset_millis` bounds how far the cluster's clock is from the clients'.
    pub fn write(&self, path: &Path, clock_offset_millis: u64) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(File::create(path)?);
            writeln!(file, "{}", json!({ "format": FORMAT, "clock_offset_ms": clock_offset_millis }))?;
            for operation in &self.operations {
                writeln!(file, "{}", line(operation))?;
            }
            file.flush()
        };
        write().map_err(Failure::of(format!("write {}", path.display())))
    }
}

/// One line of the checker's format.
fn line(operation: &Operation) -> Value {
    let Operation { client, key, call, start_nanos, end_nanos, fate } = operation;
    let mut line = json!({
        "client": client,
        "start_ns": start_nanos,
        "end_ns": end_nanos,
        "key": key,
        "op": call.name,
        "args": call.arguments,
    });
    line["outcome"] = match fate {
        Fate::Ok(_) => "ok".into(),
        Fate::Unknown => "unknown".into(),
        Fate::Failed => "failed".into(),
    };
    if let Fate::Ok(result) = fate {
        line["result"] = result.clone();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_seen_and_only_that() {
        let mut operation = Operation {
            client: 3,
            key: "k".into(),
            call: Call::with("set", "v"),
            start_nanos: 10,
            end_nanos: 20,
            fate: Fate::Ok("OK".into()),
        };
        let text = r#"{"args":["v"],"client":3,"end_ns":20,"key":"k","op":"set","outcome":"ok","result":"OK","start_ns":10}"#;
        assert_eq!(line(&operation).to_string(), text);
        operation.fate = Fate::Unknown;
        assert_eq!(line(&operation).get("result"), None);
    }
}
