//! Where the log archive and the checkpoints go, and how often.

use serde::Deserialize;
use std::path::PathBuf;
use strata_engine::tier::layout::Layout;

/// Where the log archive and the checkpoints of the cluster go. Without this section nothing leaves the node's disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The S3 store, such as `https://s3.eu-central-1.amazonaws.com` or `http://10.0.0.7:7070`. Required.
    pub endpoint: String,
    /// The region that requests are signed for; stores without regions take the default. Default: `us-east-1`.
    #[serde(default = "default_region")]
    pub region: String,
    /// The bucket, which must exist. Required.
    pub bucket: String,
    /// What everything of the cluster lies under within the bucket, such as `shop/orders`. Required.
    pub path: String,
    /// A file that holds the access key id, read again before each request. Required.
    pub access_key_id_file: PathBuf,
    /// A file that holds the secret access key, read again before each request. Required.
    pub secret_access_key_file: PathBuf,
    /// How long committed entries gather before they are uploaded, in milliseconds, 10 to 60000; 4 MiB of them go at once. Default: 1000.
    #[serde(default = "default_flush_interval")]
    pub flush_interval_millis: u64,
    /// How much log the node keeps that the store does not have yet, in bytes; not below `limits.log_bytes`. Default: 20 GiB.
    #[serde(default = "default_local_log_bound")]
    pub local_log_bound_bytes: u64,
    /// What happens when that bound is reached. Default: `KeepThenRefuseWrites`.
    #[serde(default)]
    pub on_store_down: OnStoreDown,
}

/// What happens when the log that only the nodes have reaches its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum OnStoreDown {
    /// Writes are refused until the store has taken some of it: the archive stays gapless.
    #[default]
    KeepThenRefuseWrites,
    /// The oldest of it is dropped and the gap is recorded: writes go on, and the next checkpoint closes the gap.
    KeepThenDrop,
}

/// When checkpoints are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// How old the last checkpoint of a shard that was written to may get, in seconds, at most 30 days; 0: only by order. Default: 21600.
    pub interval_seconds: u64,
}

impl Default for Checkpoint {
    fn default() -> Checkpoint {
        Checkpoint { interval_seconds: 21_600 }
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

const fn default_flush_interval() -> u64 {
    1_000
}

const fn default_local_log_bound() -> u64 {
    20 << 30
}

impl Archive {
    /// What is wrong with it, naming the key and the remedy.
    pub fn check(&self) -> Result<(), String> {
        let host = self.endpoint.strip_prefix("http://").or_else(|| self.endpoint.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            let given = &self.endpoint;
            return Err(format!("archive.endpoint is {given:?}: write a URL, such as https://s3.example.org or http://10.0.0.7:7070"));
        }
        if self.region.is_empty() {
            return Err("archive.region is empty: leave the key out where the store has no regions".to_owned());
        }
        if self.bucket.is_empty() || self.bucket.contains('/') {
            return Err(format!("archive.bucket is {:?}: name one bucket, and put what lies below it into archive.path", self.bucket));
        }
        Layout::new(self.path.as_str()).map_err(|error| format!("archive.path: {error}"))?;
        if !(10..=60_000).contains(&self.flush_interval_millis) {
            return Err(format!(
                "archive.flush_interval_millis is {}: choose between 10 and 60000 milliseconds",
                self.flush_interval_millis
            ));
        }
        Ok(())
    }

    /// What is wrong with it beside the node's own limit of the log, in bytes.
    pub(super) fn check_beside(&self, log_bytes: u64) -> Result<(), String> {
        self.check()?;
        if self.local_log_bound_bytes < log_bytes {
            let bound = self.local_log_bound_bytes;
            return Err(format!(
                "archive.local_log_bound_bytes is {bound}, below limits.log_bytes, {log_bytes}: choose at least as much, since the log holds \
                 what is archived too"
            ));
        }
        Ok(())
    }
}

impl Checkpoint {
    /// What is wrong with it, naming the key and the remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        const THIRTY_DAYS: u64 = 30 * 24 * 60 * 60;
        if self.interval_seconds > THIRTY_DAYS {
            return Err(format!("checkpoint.interval_seconds is {}: choose at most {THIRTY_DAYS}, or 0 for none", self.interval_seconds));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    const NODE: &str = "data_dir = '/data'\n[tls]\nca = 'ca.pem'\ncertificate = 'node.pem'\nkey = 'node.key'\n";
    const ARCHIVE: &str = "[archive]\nendpoint = 'http://10.0.0.7:7070'\nbucket = 'archive'\npath = 'shop/orders'\n\
                           access_key_id_file = '/etc/id'\nsecret_access_key_file = '/etc/secret'\n";

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse(text, "node.toml", variables)
    }

    #[test]
    fn without_the_section_nothing_is_archived() {
        let config = parse(NODE, &[]).expect("valid");
        assert!(config.archive.is_none());
        assert_eq!(config.checkpoint.interval_seconds, 21_600);
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let config = parse(&format!("{NODE}{ARCHIVE}"), &[]).expect("valid");
        let archive = config.archive.expect("there is a section");
        assert_eq!((archive.region.as_str(), archive.flush_interval_millis), ("us-east-1", 1_000));
        assert_eq!((archive.local_log_bound_bytes, archive.on_store_down), (21_474_836_480, OnStoreDown::KeepThenRefuseWrites));
    }

    #[test]
    fn variables_say_all_that_the_file_can() {
        let variables = [
            ("STRATA_ARCHIVE_ENDPOINT", "https://s3.example.org"),
            ("STRATA_ARCHIVE_REGION", "eu-central-1"),
            ("STRATA_ARCHIVE_BUCKET", "archive"),
            ("STRATA_ARCHIVE_PATH", "shop/orders"),
            ("STRATA_ARCHIVE_ACCESS_KEY_ID_FILE", "/etc/id"),
            ("STRATA_ARCHIVE_SECRET_ACCESS_KEY_FILE", "/etc/secret"),
            ("STRATA_ARCHIVE_FLUSH_INTERVAL_MILLIS", "10"),
            ("STRATA_ARCHIVE_LOCAL_LOG_BOUND_BYTES", "1073741824"),
            ("STRATA_ARCHIVE_ON_STORE_DOWN", "KeepThenDrop"),
            ("STRATA_CHECKPOINT_INTERVAL_SECONDS", "0"),
        ];
        let config = parse(NODE, &variables).expect("valid");
        let archive = config.archive.expect("variables make a section");
        assert_eq!((archive.endpoint.as_str(), archive.region.as_str()), ("https://s3.example.org", "eu-central-1"));
        assert_eq!((archive.bucket.as_str(), archive.path.as_str()), ("archive", "shop/orders"));
        assert_eq!((archive.flush_interval_millis, archive.local_log_bound_bytes), (10, 1 << 30));
        assert_eq!(archive.on_store_down, OnStoreDown::KeepThenDrop);
        assert_eq!(config.checkpoint.interval_seconds, 0);
    }

    #[test]
    fn a_number_for_a_name_stays_a_name() {
        let config = parse(&format!("{NODE}{ARCHIVE}"), &[("STRATA_ARCHIVE_BUCKET", "2024")]).expect("a bucket may be all digits");
        assert_eq!(config.archive.expect("there is a section").bucket, "2024");
    }

    #[test]
    fn a_mistake_is_named_with_its_remedy() {
        let with = |from: &str, to: &str| format!("{NODE}{}", ARCHIVE.replace(from, to));
        for (text, named) in [
            (with("http://", "s3://"), "archive.endpoint"),
            (with("10.0.0.7:7070", ""), "archive.endpoint"),
            (with("'archive'", "''"), "archive.bucket"),
            (with("'archive'", "'archive/shop'"), "archive.path"),
            (with("shop/orders", "/shop/"), "archive.path"),
            (with("shop/orders", "shop/../orders"), "archive.path"),
            (with("bucket", "bukket"), "bukket"),
            (with("path = 'shop/orders'\n", ""), "path"),
            (format!("{NODE}{ARCHIVE}region = ''\n"), "archive.region"),
            (format!("{NODE}{ARCHIVE}flush_interval_millis = 9\n"), "archive.flush_interval_millis"),
            (format!("{NODE}{ARCHIVE}flush_interval_millis = 60001\n"), "archive.flush_interval_millis"),
            (format!("{NODE}{ARCHIVE}local_log_bound_bytes = 1\n"), "limits.log_bytes"),
            (format!("{NODE}{ARCHIVE}on_store_down = 'Hope'\n"), "KeepThenRefuseWrites"),
            (format!("{NODE}[checkpoint]\ninterval_seconds = 2592001\n"), "checkpoint.interval_seconds"),
            (format!("{NODE}[checkpoint]\ninterval = 5\n"), "interval"),
        ] {
            let error = parse(&text, &[]).expect_err("must be refused").to_string();
            assert!(error.starts_with("node.toml") && error.contains(named), "{error}");
        }
    }
}
