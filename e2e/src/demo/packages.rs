//! Real data: the package index of Debian's `main`, by apt. Where there is no apt, data of the same shape.

use super::stage::Done;
use crate::{failure::Failure, harness::kubernetes::command::Call};
use std::{collections::BTreeMap, time::Duration};

/// How long apt may take to fetch its lists.
const UPDATE_DEADLINE: Duration = Duration::from_secs(300);

/// How long it may take to read one.
const READ_DEADLINE: Duration = Duration::from_secs(60);

/// Stanzas that are generated where there is no apt: as many as Debian has.
const GENERATED: u64 = 63_000;

/// The fields of a package.
pub type Fields = BTreeMap<String, String>;

/// Every package by its name.
pub type Packages = BTreeMap<String, Fields>;

/// Finds the index: in apt's lists, else through apt, else generated.
pub async fn find() -> Done<Packages> {
    let (text, source) = match from_apt().await {
        Ok(Some(found)) => found,
        _ if update().await => match from_apt().await? {
            Some(found) => found,
            None => generated(),
        },
        _ => generated(),
    };
    let packages = parse(&text);
    Failure::unless(packages.len() > 1_000, || format!("{source} has {} packages only: run apt-get update", packages.len()))?;
    let words = format!("{} packages, {} MiB, {source}", packages.len(), text.len() >> 20);
    Ok((packages, words))
}

/// The biggest index of `main` that apt has.
async fn from_apt() -> Result<Option<(String, String)>, Failure> {
    let targets = ["indextargets", "--format", "$(FILENAME)", "Created-By: Packages", "Component: main"];
    let Ok(listed) = Call::new("apt-get", &targets, READ_DEADLINE).run().await else { return Ok(None) };
    let size = |path: &&str| std::fs::metadata(path).map_or(0, |data| data.len());
    let Some(biggest) = listed.lines().filter(|path| size(path) > 0).max_by_key(size) else { return Ok(None) };
    let text = Call::new("/usr/lib/apt/apt-helper", &["cat-file", biggest], READ_DEADLINE).run().await?;
    let name = biggest.rsplit('/').next().unwrap_or(biggest);
    Ok(Some((text, format!("from apt's {name}"))))
}

async fn update() -> bool {
    Call::new("apt-get", &["update", "--quiet"], UPDATE_DEADLINE).run().await.is_ok()
}

fn parse(text: &str) -> Packages {
    let mut packages = Packages::new();
    for stanza in text.split("\n\n") {
        let mut fields = Fields::new();
        let mut last = String::new();
        for line in stanza.lines() {
            match line.split_once(": ").filter(|_| !line.starts_with(' ')) {
                Some((field, value)) => {
                    field.clone_into(&mut last);
                    fields.insert(field.to_owned(), value.to_owned());
                }
                None => {
                    if let Some(value) = fields.get_mut(&last) {
                        value.push('\n');
                        value.push_str(line.trim_start());
                    }
                }
            }
        }
        if let Some(name) = fields.get("Package") {
            packages.entry(name.clone()).or_insert(fields);
        }
    }
    packages
}

fn generated() -> (String, String) {
    let mut random = fastrand::Rng::with_seed(1);
    let sections = ["admin", "devel", "doc", "games", "libs", "net", "python", "sound", "utils", "web"];
    let stanza = |number: u64| {
        let words: Vec<String> = (0..30).map(|_| format!("{:x}", random.u32(..))).collect();
        format!(
            "Package: package-{number}\nVersion: {}.{}-{}\nSection: {}\nInstalled-Size: {}\nSize: {}\nDescription: {}\nSHA256: {:032x}{:032x}",
            random.u8(..),
            random.u8(..),
            random.u8(1..9),
            sections[random.usize(..sections.len())],
            random.u32(10..90_000),
            random.u32(1_000..9_000_000),
            words.join(" "),
            random.u128(..),
            random.u128(..)
        )
    };
    let text = (0..GENERATED).map(stanza).collect::<Vec<_>>().join("\n\n");
    (text, "GENERATED, since there is no apt here: not Debian's data, only of its shape".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_become_fields_and_continued_lines_belong_to_theirs() {
        let packages = parse("Package: a\nDepends: b (>= 1), c: any\nTag: x,\n y\n\nPackage: b\nVersion: 1\n");
        assert_eq!(packages.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(packages["a"]["Tag"], "x,\ny");
        assert_eq!(packages["a"]["Depends"], "b (>= 1), c: any");
    }

    #[test]
    fn generated_data_has_the_size_of_the_real() {
        assert_eq!(parse(&generated().0).len() as u64, GENERATED);
    }
}
