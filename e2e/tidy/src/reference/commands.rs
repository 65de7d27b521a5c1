//! The commands, from their rows and the heads of their files.

use super::{cell, head, prose};
use crate::repository::File;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a row says, as far as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: String,
    group: String,
    since: String,
    summary: String,
}

/// A command, as its file describes it.
struct Described {
    usage: String,
    row: Row,
    subcommands: Vec<Row>,
}

/// The page of all commands, by group. `table` lists them as `&name::SPEC`; the error names a command whose file says too little.
pub fn commands(table: &File, files: &[&File]) -> Result<String, String> {
    let listed: Vec<&str> = table.text.lines().filter_map(|line| line.trim().strip_prefix('&')?.strip_suffix("::SPEC,")).collect();
    if listed.is_empty() {
        return Err(format!("{} lists no commands", table.path));
    }
    let mut groups: BTreeMap<String, Vec<Described>> = BTreeMap::new();
    for name in &listed {
        let stem = name.trim_start_matches("r#");
        let file = files.iter().find(|file| file.stem() == stem).ok_or_else(|| format!("{name} has no file"))?;
        let mut rows = rows(&file.text).into_iter();
        let row = rows.next().ok_or_else(|| format!("{} has no row", file.path))?;
        groups.entry(row.group.clone()).or_default().push(Described { usage: said(file)?, row, subcommands: rows.collect() });
    }
    let mut out = head("Commands", "`storage-node/kv/src/command/`");
    let _written = write!(
        out,
        "{} commands, in RESP2 and RESP3, with the replies and errors of Redis 7.2. The column *since* is the version of Redis that had the\n\
         command first. Any other command is refused as unknown, in the words of Redis.\n",
        listed.len()
    );
    for (group, commands) in &groups {
        let _written = write!(out, "\n## {group}\n\n| command | since | what |\n| --- | --- | --- |\n");
        for Described { usage, row, subcommands } in commands {
            let _written = writeln!(out, "| `{}` | {} | {} |", cell(usage), row.since, cell(&row.summary));
            for row in subcommands {
                let name = row.name.replace('|', " ").to_uppercase();
                let _written = writeln!(out, "| `{name}` | {} | {} |", row.since, cell(&row.summary));
            }
        }
    }
    Ok(out)
}

/// How a command is called: what the head of its file begins with.
fn said(file: &File) -> Result<String, String> {
    let head = file.text.strip_prefix("//! `").and_then(|rest| rest.split_once('`'));
    head.map(|(usage, _)| prose(usage)).ok_or_else(|| format!("{} does not begin with how the command is called", file.path))
}

/// The rows of a file, its command's first.
fn rows(text: &str) -> Vec<Row> {
    let bodies = text.split(": Spec = Spec {\n").skip(1).map(|rest| rest.split("\n};").next().unwrap_or_default());
    bodies
        .filter_map(|body| {
            let value = |key: &str| {
                let line = body.lines().find_map(|line| line.strip_prefix(&format!("    {key}: \"")))?;
                Some(line.strip_suffix("\",")?.replace("\\\"", "\""))
            };
            Some(Row { name: value("name")?, group: value("group")?, since: value("since")?, summary: value("summary")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> String {
        format!(
            "pub static X: Spec = Spec {{\n    name: \"{name}\",\n    group: \"string\",\n    since: \"1.0.0\",\n    summary: \"Does it.\",\n}};\n"
        )
    }

    #[test]
    fn good_every_command_has_a_row() {
        let table = File::new("command.rs", "pub static TABLE: &[&Spec] = &[\n    &get::SPEC,\n    &r#type::SPEC,\n];\n");
        let get = File::new("command/get.rs", &format!("//! `GET key [A | B]`: the string.\n{}", row("get")));
        let kind = File::new("command/type.rs", &format!("//! `TYPE …`: the type.\n{}{}", row("type"), row("type|help")));
        let page = commands(&table, &[&get, &kind]).expect("it is complete");
        let rows = "| `GET key [A \\| B]` | 1.0.0 | Does it. |\n| `TYPE …` | 1.0.0 | Does it. |\n| `TYPE HELP` | 1.0.0 | Does it. |\n";
        assert!(page.contains("2 commands") && page.ends_with(rows), "{page}");
    }

    #[test]
    fn bad_a_command_has_no_file_no_row_or_no_head() {
        let table = File::new("command.rs", "    &get::SPEC,\n");
        let refused = |files: &[&File]| commands(&table, files).expect_err("it must be refused");
        assert_eq!(refused(&[]), "get has no file");
        assert_eq!(refused(&[&File::new("command/get.rs", "//! `GET key`: it.\n")]), "command/get.rs has no row");
        assert!(refused(&[&File::new("command/get.rs", &row("get"))]).contains("does not begin"));
        assert!(commands(&File::new("command.rs", ""), &[]).is_err());
    }
}
