//! `strata-node verify-bucket`: reads a bucket alone and says what is restorable to which moment, and which objects are damaged, missing or
//! unreferenced.
//!
//! Exit codes: 0 sound, 1 not sound, 2 the bucket cannot be read.

use crate::{
    config::{self, Config, ConfigError, OnStoreDown},
    shell::{bucket::BucketReader, clock::SystemClock, objects::ObjectStores},
};
use clap::Args;
use serde_json::{Value, json};
use std::{fmt::Write as _, io::Write, path::PathBuf, process::ExitCode};
use strata_engine::{
    objects::ObjectError,
    tier::{
        Place,
        layout::Layout,
        verify::{Depth, Report, Restorable, Verifier},
    },
};

/// Looks at the verification, 50 ms each, between two lines about its progress.
const LOOKS_PER_LINE: u64 = 40;

/// Objects of one kind that are named in the text; JSON names all.
const NAMED_MAX: usize = 50;

/// Which bucket to read, and how.
#[derive(Args)]
pub struct Arguments {
    /// A node's configuration whose section [archive] names the bucket; the flags below replace single keys of it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The S3 store, such as https://s3.eu-central-1.amazonaws.com.
    #[arg(long, required_unless_present = "config")]
    endpoint: Option<String>,
    /// The region that requests are signed for; us-east-1 where none is named.
    #[arg(long)]
    region: Option<String>,
    /// The bucket.
    #[arg(long, required_unless_present = "config")]
    bucket: Option<String>,
    /// What everything of the cluster lies under within the bucket, such as shop/orders.
    #[arg(long, required_unless_present = "config")]
    path: Option<String>,
    /// A file that holds the access key id.
    #[arg(long, required_unless_present = "config")]
    access_key_id_file: Option<PathBuf>,
    /// A file that holds the secret access key.
    #[arg(long, required_unless_present = "config")]
    secret_access_key_file: Option<PathBuf>,
    /// Compare every byte of every tablet file with its checksum, and not only sizes. Log objects are always read whole.
    #[arg(long)]
    deep: bool,
    /// Answer in JSON, for programs.
    #[arg(long)]
    json: bool,
    /// How long a failure that may pass by itself is put up with, in seconds.
    #[arg(long, default_value_t = 30)]
    patience_seconds: u64,
}

/// Why nothing can be said about the bucket.
#[derive(Debug, thiserror::Error)]
enum CannotRead {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Settings(String),
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    #[error("cannot read the bucket: {0}")]
    Store(#[from] ObjectError),
}

/// Verifies, prints, and says by the exit code how it went.
pub fn run(arguments: &Arguments, variables: impl Iterator<Item = (String, String)>) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match settings(arguments, variables).and_then(|settings| Ok((verify(arguments, &settings)?, settings))) {
        Ok((report, settings)) => {
            let text = if arguments.json { format!("{:#}\n", as_json(&report, &settings)) } else { as_text(&report, &settings) };
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if report.is_sound() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            if let (true, CannotRead::Store(error)) = (arguments.json, &why) {
                let error = json!({ "class": error.class.name(), "message": error.message });
                // Whoever closed the output reads the exit code.
                let _ = writeln!(out, "{:#}", json!({ "isSound": false, "error": error }));
            }
            tell(&why.to_string());
            ExitCode::from(2)
        }
    }
}

/// The bucket that is meant: the configuration's, with what flags replace.
fn settings(arguments: &Arguments, variables: impl Iterator<Item = (String, String)>) -> Result<config::Archive, CannotRead> {
    let base = match &arguments.config {
        Some(file) => {
            let archive = Config::load(file, variables)?.archive;
            let none =
                || format!("{}: there is no section [archive]: nothing is archived; add it, or name the bucket by flags", file.display());
            Some(archive.ok_or_else(none).map_err(CannotRead::Settings)?)
        }
        None => None,
    };
    let base = base.unwrap_or(config::Archive {
        endpoint: String::new(),
        region: "us-east-1".to_owned(),
        bucket: String::new(),
        path: String::new(),
        access_key_id_file: PathBuf::new(),
        secret_access_key_file: PathBuf::new(),
        flush_interval_millis: 1_000,
        local_log_bound_bytes: 0,
        on_store_down: OnStoreDown::default(),
    });
    let settings = config::Archive {
        endpoint: arguments.endpoint.clone().unwrap_or(base.endpoint),
        region: arguments.region.clone().unwrap_or(base.region),
        bucket: arguments.bucket.clone().unwrap_or(base.bucket),
        path: arguments.path.clone().unwrap_or(base.path),
        access_key_id_file: arguments.access_key_id_file.clone().unwrap_or(base.access_key_id_file),
        secret_access_key_file: arguments.secret_access_key_file.clone().unwrap_or(base.secret_access_key_file),
        ..base
    };
    settings.check().map_err(CannotRead::Settings)?;
    Ok(settings)
}

fn verify(arguments: &Arguments, settings: &config::Archive) -> Result<Report, CannotRead> {
    let layout = Layout::new(settings.path.as_str()).map_err(|error| CannotRead::Settings(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stores = ObjectStores::new(settings, runtime.handle().clone());
    let place = stores.place();
    let patience_millis = arguments.patience_seconds.saturating_mul(1_000);
    let reader = BucketReader { stores, clock: SystemClock::start(), patience_millis };
    let depth = if arguments.deep { Depth::Bytes } else { Depth::Sizes };
    let (mut looks, mut known) = (0_u64, String::new());
    let watch = |verifier: &Verifier| {
        looks += 1;
        let problem = verifier.problem().map(|error| format!("it is tried again: {error}")).unwrap_or_default();
        if !problem.is_empty() && problem != known {
            tell(&problem);
        }
        known = problem;
        if looks.is_multiple_of(LOOKS_PER_LINE) {
            let (named, left) = verifier.progress();
            tell(&format!("{named} objects named so far, {left} left to read"));
        }
    };
    Ok(runtime.block_on(reader.verify(place, layout, depth, watch))?)
}

/// A line for people, beside the answer.
fn tell(line: &str) {
    // Progress that nobody reads is no failure.
    let _ = writeln!(std::io::stderr(), "verify-bucket: {line}");
}

fn as_text(report: &Report, settings: &config::Archive) -> String {
    let config::Archive { path, bucket, endpoint, .. } = settings;
    let mut text = format!("{path} in bucket {bucket} at {endpoint}: {} objects, {} bytes\n", report.objects, report.bytes);
    for one in &report.incarnations {
        describe(one, &mut text);
    }
    let _ = match &report.choice {
        Ok(incarnation) => writeln!(text, "a restore that names no incarnation takes {incarnation}"),
        Err(why) => writeln!(text, "a restore that names no incarnation finds none: {why}"),
    };
    let damaged: Vec<String> = report.damaged.iter().map(|(key, what)| format!("{key}: {what}")).collect();
    list("damaged", damaged.iter(), &mut text);
    list("missing", report.missing.iter(), &mut text);
    list("unreferenced", report.unreferenced.iter(), &mut text);
    let verdict = if report.is_sound() { "sound" } else { "not sound" };
    let _ = writeln!(
        text,
        "verdict: {verdict} damaged={} missing={} unreferenced={}",
        report.damaged.len(),
        report.missing.len(),
        report.unreferenced.len()
    );
    text
}

fn describe(one: &Restorable, text: &mut String) {
    // Writing into a text does not fail.
    let _ = match &one.shards {
        Ok(shards) => {
            let last = shards.iter().map(|shard| shard.last_write_ms).max().unwrap_or(0);
            writeln!(text, "incarnation {}: {} shards, the last write at {}", one.incarnation, shards.len(), moment(last))
        }
        Err(why) => writeln!(text, "incarnation {}: cannot be restored: {why}", one.incarnation),
    };
    for shard in one.shards.iter().flatten() {
        let _ = write!(text, "  shard {}: index {}, written last at {}", shard.shard, shard.index, moment(shard.last_write_ms));
        let _ = match shard.gap {
            Some((before, behind)) => {
                writeln!(text, "; entries {} to {} are nowhere, and what lies behind is lost", before + 1, behind - 1)
            }
            None => writeln!(text),
        };
    }
}

fn list<'a>(what: &str, keys: impl ExactSizeIterator<Item = &'a String>, text: &mut String) {
    let count = keys.len();
    for key in keys.take(NAMED_MAX) {
        let _ = writeln!(text, "{what}: {key}");
    }
    if count > NAMED_MAX {
        let _ = writeln!(text, "{what}: and {} more; --json names all", count - NAMED_MAX);
    }
}

fn as_json(report: &Report, settings: &config::Archive) -> Value {
    let incarnation = |one: &Restorable| {
        let mut value = json!({ "incarnation": one.incarnation });
        match &one.shards {
            Err(why) => value["error"] = json!(why),
            Ok(shards) => {
                let shard = |shard: &strata_engine::tier::verify::ShardRestorable| json!({ "shard": shard.shard, "index": shard.index, "lastWriteMillis": shard.last_write_ms, "gap": shard.gap });
                value["lastWriteMillis"] = json!(shards.iter().map(|shard| shard.last_write_ms).max());
                value["shards"] = shards.iter().map(shard).collect();
            }
        }
        value
    };
    let choice = match &report.choice {
        Ok(incarnation) => json!({ "incarnation": incarnation }),
        Err(why) => json!({ "error": why }),
    };
    let damaged: Vec<Value> = report.damaged.iter().map(|(key, what)| json!({ "key": key, "what": what })).collect();
    let place = Place { store: settings.endpoint.clone(), bucket: settings.bucket.clone() };
    json!({
        "isSound": report.is_sound(),
        "place": place,
        "path": settings.path,
        "objects": report.objects,
        "bytes": report.bytes,
        "incarnations": report.incarnations.iter().map(incarnation).collect::<Vec<_>>(),
        "choice": choice,
        "damaged": damaged,
        "missing": report.missing,
        "unreferenced": report.unreferenced,
    })
}

/// A moment in UTC, as in RFC 3339. The calendar is that of Howard Hinnant's "chrono-compatible low-level date algorithms".
fn moment(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests;
