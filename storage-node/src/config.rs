//! The configuration: one file, unknown keys refused, every key documented with unit and default; environment variables on top.
//!
//! A key `listen.plain` is overridden by `STRATA_LISTEN_PLAIN`. Secrets are never values here: they are read from files that keys name.

mod archive;

pub use archive::{Archive, Checkpoint, OnStoreDown};

use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key is unknown or its value is malformed.
    #[error("{origin}: {message}")]
    Invalid {
        /// The file or variable.
        origin: String,
        /// What is wrong, naming the key.
        message: String,
    },
}

/// What a storage node is told at its start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of the node's disk. It holds the store id, the log and the tablets, and nothing of anybody else.
    pub data_dir: PathBuf,
    /// The failure domain that the node lies in, as placement knows it. Default: `default`.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// The cluster that the node is for, by its UUID: a disk of another one is refused at the start. Default: none, any disk is served.
    pub cluster: Option<String>,
    /// Where the node listens.
    #[serde(default)]
    pub listen: Listen,
    /// The node's certificate, and the authority that all nodes and the operator share.
    pub tls: Tls,
    /// Who may connect as a client.
    #[serde(default)]
    pub auth: Auth,
    /// How much the node may take.
    #[serde(default)]
    pub limits: Limits,
    /// The rhythm of Raft.
    #[serde(default)]
    pub raft: Raft,
    /// Where the log archive and the checkpoints go. Default: nowhere.
    pub archive: Option<Archive>,
    /// When checkpoints are made.
    #[serde(default)]
    pub checkpoint: Checkpoint,
}

/// Where the node listens: `address:port`; port 0 takes a free one, and the log says which.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Plain Redis clients. Default: `0.0.0.0:6379`.
    pub plain: SocketAddr,
    /// Redis Cluster clients. Default: `0.0.0.0:6380`.
    pub cluster: SocketAddr,
    /// Raft transport and forwarding between nodes, mutual TLS. Default: `0.0.0.0:6390`.
    pub peer: SocketAddr,
    /// Reports and orders, mutual TLS. Default: `0.0.0.0:6391`.
    pub api: SocketAddr,
    /// `/healthz`, `/readyz` and `/metrics`, plain and read-only. Default: `0.0.0.0:9121`.
    pub status: SocketAddr,
}

/// Files in PEM, read at the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authority whose certificates are accepted.
    pub ca: PathBuf,
    /// This node's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may connect as a client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// A file that holds the password of the default user, a trailing newline ignored. Default: none, every client is let in.
    pub password_file: Option<PathBuf>,
}

/// How much the node may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections, both ports together; more are refused with Redis's error, and so are more than half of the files that the process may open.
    /// Default: 10000.
    pub connections: usize,
    /// How long a client may take to receive what was sent to it, a large reply or a megabyte of small ones, before it is closed, in milliseconds.
    /// Default: 60000.
    pub client_write_millis: u64,
    /// RocksDB's block cache, shared by all tablets, in bytes. Default: 128 MiB.
    pub block_cache_bytes: u64,
    /// RocksDB's memtables, all tablets together, in bytes. Default: 64 MiB.
    pub write_buffer_bytes: u64,
    /// Whether tablets are read and written past the page cache, so that the block cache is all the memory that their content takes. Worth it where
    /// data is many times larger than memory. Default: false.
    pub direct_io: bool,
    /// What the log may hold on disk before tablets are flushed and it is cut, in bytes. Default: 512 MiB.
    pub log_bytes: u64,
    /// Below this much free disk, writes that grow data are refused, in bytes. Default: 256 MiB.
    pub disk_reserve_bytes: u64,
}

/// The rhythm of Raft.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raft {
    /// The length of a tick, in milliseconds; an election begins after 10 to 20 ticks of silence. Default: 50.
    pub tick_millis: u64,
    /// Whether a leader that a quorum has just confirmed answers reads by itself for 300 ms; otherwise every read is confirmed. Safe while the
    /// clocks of nodes run at rates that differ by less than a quarter. Default: true.
    pub leases: bool,
}

fn default_zone() -> String {
    "default".to_owned()
}

impl Default for Listen {
    fn default() -> Listen {
        let any = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
        Listen { plain: any(6379), cluster: any(6380), peer: any(6390), api: any(6391), status: any(9121) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            client_write_millis: 60_000,
            block_cache_bytes: 128 << 20,
            write_buffer_bytes: 64 << 20,
            direct_io: false,
            log_bytes: 512 << 20,
            disk_reserve_bytes: 256 << 20,
        }
    }
}

impl Default for Raft {
    fn default() -> Raft {
        Raft { tick_millis: 50, leases: true }
    }
}

/// What a variable's name begins with.
const PREFIX: &str = "STRATA_";

impl Config {
    /// Reads the file, then the overrides among `variables` (the process's environment).
    pub fn load(path: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Config::parse(&text, &path.display().to_string(), variables)
    }

    /// Reads the text of a file named `origin`, then the overrides among `variables`.
    pub fn parse(text: &str, origin: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let invalid = |origin: &str, message: String| ConfigError::Invalid { origin: origin.to_owned(), message };
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| invalid(origin, error.to_string()))?;
        let mut origins = vec![origin.to_owned()];
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX).and_then(key_of_variable) else { continue };
            override_key(&mut table, key, &value);
            origins.push(name);
        }
        let config: Config = table.try_into().map_err(|error: toml::de::Error| invalid(&origins.join(" and "), error.to_string()))?;
        config.check().map_err(|message| invalid(&origins.join(" and "), message))?;
        Ok(config)
    }

    /// Why a disk that belongs to `owner` is not for this node.
    pub fn refuse_disk_of(&self, owner: &str) -> Option<String> {
        let wanted = self.cluster.as_deref().filter(|wanted| *wanted != owner)?;
        let disk = self.data_dir.display();
        Some(format!(
            "the disk at {disk} belongs to cluster {owner}, this node is for {wanted}: mount the right volume; nothing was touched"
        ))
    }

    fn check(&self) -> Result<(), String> {
        if !(5..=1_000).contains(&self.raft.tick_millis) {
            return Err(format!("raft.tick_millis is {}: choose between 5 and 1000 milliseconds", self.raft.tick_millis));
        }
        if self.limits.connections == 0 {
            return Err("limits.connections is 0: no client could connect; choose at least 1".to_owned());
        }
        if self.limits.client_write_millis == 0 {
            return Err("limits.client_write_millis is 0: no client could be answered; choose at least 1".to_owned());
        }
        if let Some(archive) = &self.archive {
            archive.check_beside(self.limits.log_bytes)?;
        }
        self.checkpoint.check()
    }
}

/// The keys that a variable may set, by the variable's name less its prefix.
const OVERRIDES: &[(&str, &str)] = &[
    ("DATA_DIR", "data_dir"),
    ("ZONE", "zone"),
    ("CLUSTER", "cluster"),
    ("LISTEN_PLAIN", "listen.plain"),
    ("LISTEN_CLUSTER", "listen.cluster"),
    ("LISTEN_PEER", "listen.peer"),
    ("LISTEN_API", "listen.api"),
    ("LISTEN_STATUS", "listen.status"),
    ("TLS_CA", "tls.ca"),
    ("TLS_CERTIFICATE", "tls.certificate"),
    ("TLS_KEY", "tls.key"),
    ("AUTH_PASSWORD_FILE", "auth.password_file"),
    ("LIMITS_CONNECTIONS", "limits.connections"),
    ("LIMITS_CLIENT_WRITE_MILLIS", "limits.client_write_millis"),
    ("LIMITS_BLOCK_CACHE_BYTES", "limits.block_cache_bytes"),
    ("LIMITS_WRITE_BUFFER_BYTES", "limits.write_buffer_bytes"),
    ("LIMITS_DIRECT_IO", "limits.direct_io"),
    ("LIMITS_LOG_BYTES", "limits.log_bytes"),
    ("LIMITS_DISK_RESERVE_BYTES", "limits.disk_reserve_bytes"),
    ("RAFT_TICK_MILLIS", "raft.tick_millis"),
    ("RAFT_LEASES", "raft.leases"),
    ("ARCHIVE_ENDPOINT", "archive.endpoint"),
    ("ARCHIVE_REGION", "archive.region"),
    ("ARCHIVE_BUCKET", "archive.bucket"),
    ("ARCHIVE_PATH", "archive.path"),
    ("ARCHIVE_ACCESS_KEY_ID_FILE", "archive.access_key_id_file"),
    ("ARCHIVE_SECRET_ACCESS_KEY_FILE", "archive.secret_access_key_file"),
    ("ARCHIVE_FLUSH_INTERVAL_MILLIS", "archive.flush_interval_millis"),
    ("ARCHIVE_LOCAL_LOG_BOUND_BYTES", "archive.local_log_bound_bytes"),
    ("ARCHIVE_ON_STORE_DOWN", "archive.on_store_down"),
    ("CHECKPOINT_INTERVAL_SECONDS", "checkpoint.interval_seconds"),
];

/// What the names of keys that hold numbers end with.
const NUMBERS: &[&str] = &["_bytes", "_millis", "_seconds", "connections"];

/// The keys that hold `true` or `false`.
const SWITCHES: &[&str] = &["limits.direct_io", "raft.leases"];

fn key_of_variable(name: &str) -> Option<&'static str> {
    OVERRIDES.iter().find(|(variable, _)| *variable == name).map(|(_, key)| *key)
}

fn override_key(table: &mut toml::Table, key: &str, value: &str) {
    // A number and a word look alike in a variable: what a key holds is told by its unit, which its name ends with.
    let is_number = NUMBERS.iter().any(|unit| key.ends_with(unit));
    let is_switch = SWITCHES.contains(&key);
    let value = match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) if is_number => toml::Value::Integer(number),
        (_, Ok(switch)) if is_switch => toml::Value::Boolean(switch),
        _ => toml::Value::String(value.to_owned()),
    };
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, key)) => {
            let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(key.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "data_dir = '/data'\n[tls]\nca = 'ca.pem'\ncertificate = 'node.pem'\nkey = 'node.key'\n";

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse(text, "node.toml", variables)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let config = parse(MINIMAL, &[]).expect("a minimal file suffices");
        assert_eq!(config.listen.cluster.port(), 6380);
        assert_eq!(config.raft.tick_millis, 50);
    }

    #[test]
    fn a_variable_overrides_the_file() {
        let config = parse(MINIMAL, &[("STRATA_LIMITS_CONNECTIONS", "7"), ("STRATA_ZONE", "b"), ("PATH", "/bin")]).expect("valid");
        assert_eq!((config.limits.connections, config.zone.as_str()), (7, "b"));
    }

    #[test]
    fn a_variable_turns_a_switch() {
        assert!(parse(MINIMAL, &[("STRATA_LIMITS_DIRECT_IO", "true")]).expect("valid").limits.direct_io);
        let refusal = parse(MINIMAL, &[("STRATA_LIMITS_DIRECT_IO", "yes")]).expect_err("must be refused").to_string();
        assert!(refusal.contains("direct_io"), "{refusal}");
    }

    #[test]
    fn a_disk_of_another_cluster_is_refused_in_one_sentence() {
        let config = parse(MINIMAL, &[("STRATA_CLUSTER", "orders")]).expect("valid");
        assert_eq!(config.refuse_disk_of("orders"), None);
        let refusal = config.refuse_disk_of("carts").expect("must be refused");
        assert!(refusal.contains("/data") && refusal.contains("carts") && refusal.contains("orders"), "{refusal}");
        assert_eq!(parse(MINIMAL, &[]).expect("valid").refuse_disk_of("carts"), None, "who names no cluster takes any disk");
    }

    #[test]
    fn a_mistake_is_named_with_its_origin() {
        for (text, variables, named) in [
            (format!("{MINIMAL}[raft]\ntick = 5\n"), &[][..], "tick"),
            (MINIMAL.replace("data_dir", "datadir"), &[], "data"),
            (MINIMAL.to_owned(), &[("STRATA_LISTEN_PLAIN", "nowhere")], "STRATA_LISTEN_PLAIN"),
            (MINIMAL.to_owned(), &[("STRATA_RAFT_TICK_MILLIS", "0")], "raft.tick_millis"),
        ] {
            let error = parse(&text, variables).expect_err("must be refused").to_string();
            assert!(error.starts_with("node.toml") && error.contains(named), "{error}");
        }
    }
}
