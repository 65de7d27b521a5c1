//! The formats that outlive a build: each has a fixture that opens for ever, and a target that reads it with other bytes.

/// Where a format is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a node's disk.
    Disk,
    /// Between two processes of which one may be older.
    Wire,
    /// In a bucket, for years.
    Bucket,
}

/// A format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// What it is.
    pub name: &'static str,
    /// Where it is met.
    pub place: Place,
    /// Its fixtures: files, or the folder of one, from the root of the repository.
    pub fixtures: &'static [&'static str],
    /// The target that reads it; none where a library of others does.
    pub target: Option<&'static str>,
}

const fn format(name: &'static str, place: Place, fixtures: &'static [&'static str], target: &'static str) -> Format {
    Format { name, place, fixtures, target: Some(target) }
}

use Place::{Bucket, Disk, Wire};

/// All of them.
pub const FORMATS: &[Format] = &[
    format("records of keys", Disk, &["storage-node/kv/testdata/format/v1/records.txt"], "records"),
    format("keys of the three families", Disk, &["storage-node/kv/testdata/format/v1/keys.txt"], "keys"),
    format("entries of commands", Disk, &["storage-node/kv/testdata/format/v1/entries.txt"], "log_entries"),
    format("agreements as entries", Disk, &["storage-node/testdata/format/v1/binary.txt"], "log_entries"),
    format("agreed documents of a tablet", Disk, &["storage-node/testdata/format/v1/binary.txt"], "agreed_documents"),
    format("the applied state of a tablet", Disk, &["storage-node/testdata/format/v1/binary.txt"], "applied_states"),
    format("the descriptor of a tablet", Disk, &["storage-node/testdata/format/v1/json.txt"], "descriptors"),
    format("replica records of the log", Disk, &["storage-node/testdata/format/v1/json.txt"], "replica_records"),
    format("hard states of the log", Disk, &["storage-node/raft-group/testdata/format/v1/hard_states.txt"], "hard_states"),
    format("entries as the log stores them", Disk, &["storage-node/engine/testdata/format/v1/stored_entries.txt"], "stored_entries"),
    format(
        "changes of members in the log, and what they carry",
        Disk,
        &["storage-node/raft-group/testdata/format/v1/changes.txt", "storage-node/testdata/format/v1/member_changes.txt"],
        "member_changes",
    ),
    format("the identity of a store", Disk, &["storage-node/engine/testdata/format/v1/identities.txt"], "identities"),
    Format {
        name: "a whole disk: the log of raft-engine, a tablet of RocksDB",
        place: Disk,
        fixtures: &["storage-node/testdata/format/v1/disk"],
        target: None,
    },
    format("messages of Raft", Wire, &["storage-node/raft-group/testdata/format/v1/messages.txt"], "raft_messages"),
    format("messages between nodes", Wire, &["storage-node/testdata/format/v1/envelopes.txt"], "envelopes"),
    format("forwarded commands", Wire, &["storage-node/testdata/format/v1/forward_requests.txt"], "forward_requests"),
    format("outcomes of forwarded commands", Wire, &["storage-node/testdata/format/v1/forward_replies.txt"], "forward_replies"),
    format("replies on their way", Wire, &["storage-node/testdata/format/v1/replies.txt"], "replies"),
    format("snapshots on their way", Wire, &["storage-node/testdata/format/v1/snapshot_pieces.txt"], "snapshot_pieces"),
    format("orders", Wire, &["storage-node/node-api/testdata/format/v1/orders.txt"], "orders"),
    format("reports", Wire, &["storage-node/node-api/testdata/format/v1/reports.txt"], "reports"),
    format("answers to orders", Wire, &["storage-node/node-api/testdata/format/v1/answers.txt"], "answers"),
    format("log objects", Bucket, &["storage-node/engine/testdata/format/v1/log_object.bin"], "log_objects"),
    format(
        "OWNER",
        Bucket,
        &["storage-node/engine/testdata/format/v1/owner.json", "storage-node/engine/testdata/format/v1/owner_checked.json"],
        "owners",
    ),
    format(
        "BEAT",
        Bucket,
        &["storage-node/engine/testdata/format/v1/beat.json", "storage-node/engine/testdata/format/v1/beat_checked.json"],
        "beats",
    ),
    format(
        "children",
        Bucket,
        &["storage-node/engine/testdata/format/v1/child.json", "storage-node/engine/testdata/format/v1/child_checked.json"],
        "children",
    ),
    format(
        "cluster documents",
        Bucket,
        &["storage-node/engine/testdata/format/v1/cluster.json", "storage-node/engine/testdata/format/v1/cluster_checked.json"],
        "clusters",
    ),
    format(
        "checkpoint documents",
        Bucket,
        &["storage-node/engine/testdata/format/v1/checkpoint.json", "storage-node/engine/testdata/format/v1/checkpoint_checked.json"],
        "checkpoints",
    ),
    format("names of objects", Bucket, &["storage-node/engine/testdata/format/v1/names.txt"], "object_names"),
    Format {
        name: "the files of a checkpoint: sorted files, and .meta objects",
        place: Bucket,
        fixtures: &["storage-node/testdata/format/v1/disk/tablets"],
        target: None,
    },
];
