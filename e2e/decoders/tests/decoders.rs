//! The smoke of every decoder, and the lists that must not fall behind the code.
//!
//! `UPDATE=1` writes seeds that are missing; those that are there stay as they are. `STRATA_MUTATIONS` plays more, and `STRATA_SEED` others.

use std::{
    collections::BTreeSet,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
};
use strata_decoders::{
    TARGETS, Target, Verdict,
    formats::FORMATS,
    meter::{FACTOR, Meter, bounded_by, peak_of},
    smoke::{home, kept, play, smoke},
};

#[global_allocator]
static METER: Meter = Meter;

/// What all mutations follow from.
const SEED: u64 = 20_260_101;

/// Mutations of each target's seeds.
const MUTATIONS: usize = 20_000;

fn root() -> PathBuf {
    home().join("../..").canonicalize().expect("the fuzzing crate lies two folders below the root")
}

/// A number that whoever runs the tests asks for, or the usual one.
fn asked<T: std::str::FromStr>(name: &str, usual: T) -> T {
    let Some(text) = std::env::var_os(name) else { return usual };
    text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} is {text:?}, and must be a number"))
}

#[test]
fn every_decoder_holds() {
    let (seed, mutations) = (asked("STRATA_SEED", SEED), asked("STRATA_MUTATIONS", MUTATIONS));
    let failures: Vec<String> = TARGETS.iter().filter_map(|target| smoke(target, seed, mutations).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_target_has_seeds_that_decode() {
    for target in TARGETS {
        let folder = home().join("seeds").join(target.name);
        for (name, bytes) in (target.samples)() {
            let path = folder.join(name);
            if !path.exists() && std::env::var_os("UPDATE").is_some() {
                fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &bytes)).expect("a seed can be written");
            }
            assert!(path.exists(), "{} is missing: UPDATE=1 writes it", path.display());
        }
        let seeds = kept("seeds", target.name);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (name, bytes) in seeds {
            assert_eq!(play(target, &bytes), Ok(Verdict::Taken), "the seed {name} of {} is what its encoder writes", target.name);
            let few = bytes.len() <= 8 << 10;
            assert!(few, "the seed {name} of {} has {} bytes: keep it small", target.name, bytes.len());
        }
    }
}

#[test]
fn every_mutation_follows_from_the_seed() {
    let target = TARGETS[0];
    assert_eq!(smoke(&target, SEED, 200), smoke(&target, SEED, 200));
    let (one, other) = (smoke(&target, SEED, 200), smoke(&target, SEED + 1, 200));
    assert_ne!(one.map(|figures| figures.taken), other.map(|figures| figures.taken), "another seed gives other bytes");
}

/// A decoder of a length and so many bytes, with a mistake in it. It goes by the name of one whose seeds begin with a length.
fn planted(play: fn(&[u8]) -> Verdict) -> Target {
    Target { name: "replies", from: "a test", sources: &[], play, samples: Vec::new }
}

fn length_of(bytes: &[u8]) -> Option<usize> {
    bytes.get(1..)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk) as usize)
}

#[test]
fn a_decoder_that_believes_a_length_is_noticed() {
    fn believes(bytes: &[u8]) -> Verdict {
        bounded_by(FACTOR, bytes, || {
            // No more than the machine has, so that what is seen is the meter.
            let room: Vec<u8> = black_box(Vec::with_capacity(length_of(bytes).unwrap_or_default().min(64 << 20)));
            if room.capacity() == 0 { Verdict::Refused } else { Verdict::Taken }
        })
    }
    let error = smoke(&planted(believes), SEED, MUTATIONS).expect_err("it takes what it is told to");
    assert!(error.contains("bytes of memory at once"), "{error}");
}

#[test]
fn a_decoder_that_reads_beyond_the_end_is_noticed() {
    fn reads_on(bytes: &[u8]) -> Verdict {
        match length_of(bytes) {
            Some(length) if bytes[5..].len() < length => {
                let last = bytes[4 + length];
                assert_ne!(last, 0);
                Verdict::Taken
            }
            _ => Verdict::Refused,
        }
    }
    let error = smoke(&planted(reads_on), SEED, MUTATIONS).expect_err("it reads where nothing is");
    assert!(error.contains("out of bounds"), "{error}");
}

#[test]
fn a_value_with_two_encodings_is_noticed() {
    fn trims(bytes: &[u8]) -> Verdict {
        strata_decoders::check::exact(bytes, |bytes| Some(bytes.to_vec()), |value| value.trim_ascii().to_vec().into())
    }
    let error = smoke(&planted(trims), SEED, MUTATIONS).expect_err("spaces are lost");
    assert!(error.contains("a value has one encoding"), "{error}");
}

#[test]
fn memory_is_counted() {
    let (room, peak) = peak_of(|| black_box(vec![0_u8; 1 << 20]));
    assert!(room.len() <= peak && peak < 2 << 20, "a megabyte is a megabyte, not {peak}");
    let (_, peak) = peak_of(|| black_box(vec![0_u8; 100]).len());
    assert!((100..1_000).contains(&peak), "what was given back counts while it was there: {peak}");
}

#[test]
fn every_target_has_its_program() {
    let fuzz = home();
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzzing crate has a manifest");
    let named: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(named.len(), TARGETS.len(), "a name is used once");
    let names = |kind: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz.join(kind)).expect("it can be listed").flatten();
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect()
    };
    assert_eq!(names("fuzz_targets"), named, "one program for each target");
    assert_eq!(names("seeds"), named, "one folder for each target");
    assert!(names("found").is_subset(&named), "what was found is kept by target");
    for name in &named {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "e2e/fuzz/Cargo.toml lacks {name}");
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).expect("it was just listed");
        assert!(program.contains(&format!("\"{name}\"")), "fuzz_targets/{name}.rs plays another target");
    }
}

#[test]
fn every_format_has_a_fixture_and_every_fixture_a_format() {
    let root = root();
    for format in FORMATS {
        assert!(!format.fixtures.is_empty(), "{} has no fixture", format.name);
        for fixture in format.fixtures {
            assert!(root.join(fixture).exists(), "{} has lost its fixture {fixture}", format.name);
        }
        let is_known = |name| TARGETS.iter().any(|target| target.name == name);
        assert!(format.target.is_none_or(is_known), "{} names no target: {:?}", format.name, format.target);
    }
    let mut found = Vec::new();
    files_below(&root.join("storage-node"), &mut found);
    let fixtures: Vec<&PathBuf> = found.iter().filter(|path| path.to_string_lossy().contains("/testdata/format/")).collect();
    assert!(fixtures.len() > 20, "only {} fixtures were found", fixtures.len());
    for path in fixtures {
        let is_named = FORMATS.iter().flat_map(|format| format.fixtures).any(|fixture| path.starts_with(root.join(fixture)));
        assert!(is_named, "{} belongs to no format of strata_decoders::formats", path.display());
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What a source says that reads bytes or text from outside.
const READS: &[&str] = &[
    "fn decode",
    "serde_json::from_",
    "parse_from_bytes(",
    "CodedInputStream::from",
    "toml::Table",
    "fn parse(",
    "fn from_wire",
    "pieces.message()",
    "Json(order)",
];

/// Sources that say so and need no target, with the reason.
const NO_TARGET: &[(&str, &str)] = &[
    ("storage-node/kv/src/float.rs", "arguments of commands: golden scripts, and streams against redis-server"),
    ("storage-node/kv/src/command/client.rs", "arguments of commands, likewise"),
    ("storage-node/kv/src/command/expire.rs", "arguments of commands, likewise"),
];

/// Code of a source without its tests and comments.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source is text");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_source_that_reads_bytes_has_a_target() {
    let root = root();
    let mut sources = Vec::new();
    files_below(&root.join("storage-node"), &mut sources);
    let is_source = |path: &PathBuf| {
        let text = path.to_string_lossy();
        text.contains("/src/") && text.ends_with(".rs") && !text.ends_with("/tests.rs") && !text.contains("/formats")
    };
    let named =
        |source: &str| TARGETS.iter().any(|target| target.sources.contains(&source)) || NO_TARGET.iter().any(|(path, _)| *path == source);
    let mut unnamed = Vec::new();
    for path in sources.iter().filter(|path| is_source(path)) {
        let source = path.strip_prefix(&root).expect("it lies below the root").to_string_lossy().into_owned();
        let code = code_of(path);
        assert!(
            !NO_TARGET.iter().any(|(path, _)| *path == source) || READS.iter().any(|word| code.contains(*word)),
            "{source} reads nothing"
        );
        if let Some(word) = READS.iter().find(|word| code.contains(**word))
            && !named(&source)
        {
            unnamed.push(format!("{source} says {word:?}"));
        }
    }
    assert!(unnamed.is_empty(), "these read bytes, and no target of strata_decoders names them:\n{}", unnamed.join("\n"));
    for source in TARGETS.iter().flat_map(|target| target.sources).chain(NO_TARGET.iter().map(|(path, _)| path)) {
        assert!(root.join(source).is_file(), "{source} is gone, and the list still names it");
    }
}
