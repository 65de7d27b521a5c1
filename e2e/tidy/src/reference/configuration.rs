//! The configuration of a storage node, from the structures that it is read into.

use super::{Field, Structure, cell, head, prose, structures};
use crate::company::variants;
use crate::repository::File;
use std::fmt::Write;

/// The structure that a whole file is read into.
const ROOT: &str = "Config";
/// What a variable's name begins with.
const PREFIX: &str = "STRATA_";

/// The page of all keys. The error names a key that says too little of itself.
pub fn configuration(files: &[&File]) -> Result<String, String> {
    let text: String = files.iter().map(|file| file.text.as_str()).collect();
    let known = structures(&text);
    let root = known.iter().find(|structure| structure.name == ROOT).ok_or_else(|| format!("there is no structure {ROOT}"))?;
    let mut out = head("Configuration of a storage node", "`storage-node/src/config.rs`");
    out.push_str(
        "`strata-node --config node.toml` reads one file in TOML. An unknown key is refused, by its name. Every key can be overridden by the\n\
         environment variable beside it. Secrets are never values here: they are read from files that keys name. Under the operator, the\n\
         `KVCluster` says what belongs in here, and the operator writes the file.\n",
    );
    let section_of = |field: &Field| known.iter().find(|structure| structure.name == bare(&field.kind));
    let (sections, plain): (Vec<&Field>, Vec<&Field>) = root.fields.iter().partition(|field| section_of(field).is_some());
    table("", &plain, &text, &mut out)?;
    for field in sections {
        let section: &Structure = section_of(field).ok_or("a section was found before")?;
        write!(out, "\n## `[{}]`\n\n{}\n", field.name, prose(&section.words)).map_err(|error| error.to_string())?;
        if field.kind.starts_with("Option<") {
            out.push_str("\nThe section may be left out; then there is none of it.\n");
        }
        table(&field.name, &section.fields.iter().collect::<Vec<_>>(), &text, &mut out)?;
    }
    Ok(out)
}

/// A type without its option.
fn bare(kind: &str) -> &str {
    kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(kind)
}

fn table(section: &str, fields: &[&Field], source: &str, out: &mut String) -> Result<(), String> {
    out.push_str("\n| key | default | variable | what |\n| --- | --- | --- | --- |\n");
    for field in fields {
        let key = if section.is_empty() { field.name.clone() } else { format!("{section}.{}", field.name) };
        if field.words.is_empty() {
            return Err(format!("{key} has no documentation"));
        }
        if !source.contains(&format!("\"{key}\"")) {
            return Err(format!("{key} cannot be overridden by a variable: add it to OVERRIDES"));
        }
        let (said, default) = said_and_default(&field.words);
        let choices: Vec<String> =
            variants(source, bare(&field.kind)).into_iter().map(|(name, words)| format!(" `{name}`: {words}")).collect();
        let variable = format!("{PREFIX}{}", key.replace('.', "_").to_uppercase());
        let what = cell(&prose(&format!("{said}{}", choices.concat())));
        out.push_str(&format!("| `{}` | {} | `{variable}` | {what} |\n", field.name, cell(&default)));
    }
    Ok(())
}

/// What is said of a key, and its default apart. A key without one must be given.
fn said_and_default(words: &str) -> (String, String) {
    match words.split_once("Default: ") {
        Some((said, default)) => (said.trim().to_owned(), default.trim_end_matches('.').to_owned()),
        None => (words.trim_end_matches("Required.").trim().to_owned(), "required".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "/// All.\npub struct Config {\n    /// The folder.\n    pub data_dir: PathBuf,\n    /// The rest.\n    pub archive: Option<Archive>,\n}\n\n/// Where it goes.\npub struct Archive {\n    /// How long, in [`units`] | seconds. Default: 5.\n    pub wait: u64,\n    /// What happens. Default: `Keep`.\n    pub when: When,\n}\n\npub enum When {\n    /// It is kept.\n    #[default]\n    Keep,\n}\nconst OVERRIDES: [&str; 3] = [\"data_dir\", \"archive.wait\", \"archive.when\"];\n";

    #[test]
    fn good_every_key_has_a_row() {
        let page = configuration(&[&File::new("config.rs", SOURCE)]).expect("it is complete");
        for row in [
            "| `data_dir` | required | `STRATA_DATA_DIR` | The folder. |\n",
            "## `[archive]`\n\nWhere it goes.\n\nThe section may be left out",
            "| `wait` | 5 | `STRATA_ARCHIVE_WAIT` | How long, in `units` \\| seconds. |\n",
            "| `when` | `Keep` | `STRATA_ARCHIVE_WHEN` | What happens. `Keep`: It is kept. |\n",
        ] {
            assert!(page.contains(row), "{row} is not in\n{page}");
        }
    }

    #[test]
    fn bad_a_key_says_nothing_or_has_no_variable() {
        let refused = |text: String| configuration(&[&File::new("config.rs", &text)]).expect_err("it must be refused");
        assert!(refused(SOURCE.replace("    /// The folder.\n", "")).contains("data_dir has no documentation"));
        assert!(refused(SOURCE.replace("\"archive.wait\"", "\"\"")).contains("archive.wait cannot be overridden"));
        assert!(refused(String::new()).contains("no structure"));
    }
}
