//! Every key under a cluster's path.
//!
//! ```text
//! <path>/OWNER
//! <path>/<incarnation>/BEAT
//! <path>/<incarnation>/cluster/<n>.json
//! <path>/<incarnation>/log/<life>/<seq>
//! <path>/<incarnation>/ckpt/<shard>/<n>.json
//! <path>/<incarnation>/file/<hh>/<uuid>.sst|.blob|.meta
//! <path>/<incarnation>/seg/<hh>/<uuid>.sst
//! <path>/<incarnation>/manifest/<shard>/<n>
//! ```
//!
//! Ids are 16 hexadecimal digits, numbers 16 decimal digits with leading zeros, so that the order of keys is the order of numbers;
//! `<uuid>` is 32 hexadecimal digits and `<hh>` its first two, which spreads load over a store's partitions. `.meta` is what a tablet holds
//! beside sorted and blob files (`CURRENT`, `MANIFEST-…`, `OPTIONS-…`).

use serde::{Deserialize, Serialize};
use std::fmt;
use strata_base::{IncarnationId, ShardId};

/// The longest number in a key.
pub const NUMBER_MAX: u64 = 9_999_999_999_999_999;

/// The life of a node's process: drawn anew at every start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LifeId(pub u64);

/// An immutable object: a tablet's file or a segment. Drawn at random, never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(pub u128);

/// Where a cluster lies in its bucket: `spec.archive.path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layout {
    path: String,
}

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Whose path it is.
    Owner,
    /// The owner's sign of life.
    Beat(IncarnationId),
    /// One of those that were restored from an incarnation.
    Child(IncarnationId, u64),
    /// A cluster document.
    Cluster(IncarnationId, u64),
    /// A log object.
    Log(IncarnationId, LifeId, u64),
    /// A checkpoint document.
    Checkpoint(IncarnationId, ShardId, u64),
    /// A file of a tablet.
    File(IncarnationId, ObjectId, FileKind),
    /// A segment.
    Segment(IncarnationId, ObjectId),
    /// A copy of a shard's segment manifest.
    Manifest(IncarnationId, ShardId, u64),
}

/// What kind of tablet file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// A sorted file.
    Sst,
    /// A blob file.
    Blob,
    /// Anything else that a tablet needs to open.
    Meta,
}

impl FileKind {
    /// The kind of a file of a tablet, by its name.
    pub fn of(name: &str) -> FileKind {
        match name.rsplit_once('.') {
            Some((_, "sst")) => FileKind::Sst,
            Some((_, "blob")) => FileKind::Blob,
            _ => FileKind::Meta,
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            FileKind::Sst => "sst",
            FileKind::Blob => "blob",
            FileKind::Meta => "meta",
        }
    }
}

/// Text is no name of this layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A path that no cluster can have.
    #[error(
        "{path:?} is no archive path: use parts of letters, digits, '-', '_' and '.', joined by '/', at most 512 bytes, such as default/shop"
    )]
    Path {
        /// What was given.
        path: String,
    },
    /// A key that this layout never writes.
    #[error("{key:?} is no key of {path:?}")]
    Foreign {
        /// What was given.
        key: String,
        /// The path it was looked for below.
        path: String,
    },
    /// An id of another form.
    #[error("{text:?} is no id: expected {digits} hexadecimal digits in lower case")]
    Id {
        /// What was given.
        text: String,
        /// How many digits it has.
        digits: usize,
    },
}

impl Layout {
    /// The layout below a path.
    pub fn new(path: impl Into<String>) -> Result<Layout, LayoutError> {
        let path = path.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let good = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed);
        if path.len() <= 512 && path.split('/').all(good) { Ok(Layout { path }) } else { Err(LayoutError::Path { path }) }
    }

    /// The path, without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What every key of the cluster begins with.
    pub fn prefix(&self) -> String {
        format!("{}/", self.path)
    }

    /// What every key of an incarnation begins with.
    pub fn incarnation_prefix(&self, incarnation: IncarnationId) -> String {
        format!("{}/{incarnation}/", self.path)
    }

    /// What every log object of a life begins with.
    pub fn log_prefix(&self, incarnation: IncarnationId, life: LifeId) -> String {
        format!("{}/{incarnation}/log/{life}/", self.path)
    }

    /// The key of a name. Numbers are at most [`NUMBER_MAX`].
    pub fn key(&self, name: Name) -> String {
        let path = &self.path;
        let padded = |number: u64| {
            assert!(number <= NUMBER_MAX, "a number in a key has at most 16 digits: {number}");
            format!("{number:016}")
        };
        match name {
            Name::Owner => format!("{path}/OWNER"),
            Name::Beat(incarnation) => format!("{path}/{incarnation}/BEAT"),
            Name::Child(incarnation, n) => format!("{path}/{incarnation}/child/{}.json", padded(n)),
            Name::Cluster(incarnation, n) => format!("{path}/{incarnation}/cluster/{}.json", padded(n)),
            Name::Log(incarnation, life, seq) => format!("{path}/{incarnation}/log/{life}/{}", padded(seq)),
            Name::Checkpoint(incarnation, shard, n) => format!("{path}/{incarnation}/ckpt/{shard}/{}.json", padded(n)),
            Name::File(incarnation, id, kind) => format!("{path}/{incarnation}/file/{}/{id}.{}", id.shelf(), kind.extension()),
            Name::Segment(incarnation, id) => format!("{path}/{incarnation}/seg/{}/{id}.sst", id.shelf()),
            Name::Manifest(incarnation, shard, n) => format!("{path}/{incarnation}/manifest/{shard}/{}", padded(n)),
        }
    }

    /// What a key names. A key that [`Layout::key`] never returns is refused.
    pub fn parse(&self, key: &str) -> Result<Name, LayoutError> {
        let foreign = || LayoutError::Foreign { key: key.to_owned(), path: self.path.clone() };
        let rest = key.strip_prefix(&self.path).and_then(|rest| rest.strip_prefix('/')).ok_or_else(foreign)?;
        let name = parse_name(rest).ok_or_else(foreign)?;
        if self.key(name) == key { Ok(name) } else { Err(foreign()) }
    }
}

fn parse_name(rest: &str) -> Option<Name> {
    let parts: Vec<&str> = rest.split('/').collect();
    let json = |text: &str| number(text.strip_suffix(".json")?);
    if parts == ["OWNER"] {
        return Some(Name::Owner);
    }
    let incarnation: IncarnationId = parts.first()?.parse().ok()?;
    match parts[1..] {
        ["BEAT"] => Some(Name::Beat(incarnation)),
        ["child", n] => Some(Name::Child(incarnation, json(n)?)),
        ["cluster", n] => Some(Name::Cluster(incarnation, json(n)?)),
        ["log", life, seq] => Some(Name::Log(incarnation, life.to_owned().try_into().ok()?, number(seq)?)),
        ["ckpt", shard, n] => Some(Name::Checkpoint(incarnation, shard.parse().ok()?, json(n)?)),
        ["file", _, file] => {
            let (id, extension) = file.split_once('.')?;
            let kind = [FileKind::Sst, FileKind::Blob, FileKind::Meta].into_iter().find(|kind| kind.extension() == extension)?;
            Some(Name::File(incarnation, id.to_owned().try_into().ok()?, kind))
        }
        ["seg", _, file] => Some(Name::Segment(incarnation, file.strip_suffix(".sst")?.to_owned().try_into().ok()?)),
        ["manifest", shard, n] => Some(Name::Manifest(incarnation, shard.parse().ok()?, number(n)?)),
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl ObjectId {
    fn shelf(self) -> String {
        format!("{:02x}", self.0 >> 120)
    }
}

impl fmt::Display for LifeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.path)
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl TryFrom<String> for LifeId {
    type Error = LayoutError;

    fn try_from(text: String) -> Result<LifeId, LayoutError> {
        match u64::from_str_radix(&text, 16) {
            Ok(raw) if is_hex(&text, 16) => Ok(LifeId(raw)),
            _ => Err(LayoutError::Id { text, digits: 16 }),
        }
    }
}

impl TryFrom<String> for ObjectId {
    type Error = LayoutError;

    fn try_from(text: String) -> Result<ObjectId, LayoutError> {
        match u128::from_str_radix(&text, 16) {
            Ok(raw) if is_hex(&text, 32) => Ok(ObjectId(raw)),
            _ => Err(LayoutError::Id { text, digits: 32 }),
        }
    }
}

impl TryFrom<String> for Layout {
    type Error = LayoutError;

    fn try_from(path: String) -> Result<Layout, LayoutError> {
        Layout::new(path)
    }
}

impl From<LifeId> for String {
    fn from(id: LifeId) -> String {
        id.to_string()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.to_string()
    }
}

impl From<Layout> for String {
    fn from(layout: Layout) -> String {
        layout.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout::new("default/shop").expect("a path")
    }

    fn names() -> impl Strategy<Value = Name> {
        let ids = || any::<u64>().prop_map(IncarnationId);
        let shards = || any::<u64>().prop_map(ShardId);
        let objects = || any::<u128>().prop_map(ObjectId);
        let kinds = prop_oneof![Just(FileKind::Sst), Just(FileKind::Blob), Just(FileKind::Meta)];
        prop_oneof![
            Just(Name::Owner),
            ids().prop_map(Name::Beat),
            (ids(), 0..=NUMBER_MAX).prop_map(|(id, n)| Name::Child(id, n)),
            (ids(), 0..=NUMBER_MAX).prop_map(|(id, n)| Name::Cluster(id, n)),
            (ids(), any::<u64>(), 0..=NUMBER_MAX).prop_map(|(id, life, seq)| Name::Log(id, LifeId(life), seq)),
            (ids(), shards(), 0..=NUMBER_MAX).prop_map(|(id, shard, n)| Name::Checkpoint(id, shard, n)),
            (ids(), objects(), kinds).prop_map(|(id, object, kind)| Name::File(id, object, kind)),
            (ids(), objects()).prop_map(|(id, object)| Name::Segment(id, object)),
            (ids(), shards(), 0..=NUMBER_MAX).prop_map(|(id, shard, n)| Name::Manifest(id, shard, n)),
        ]
    }

    proptest! {
        #[test]
        fn a_name_survives_its_key(name in names()) {
            prop_assert_eq!(layout().parse(&layout().key(name)), Ok(name));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in ".{0,80}") {
            if let Ok(name) = layout().parse(&format!("default/shop/{text}")) {
                prop_assert_eq!(layout().key(name), format!("default/shop/{text}"));
            }
        }
    }

    #[test]
    fn keys_are_those_of_the_design() {
        let (incarnation, shard, id) = (IncarnationId(1), ShardId(0xa7), ObjectId(0xfe << 120 | 5));
        let keys: Vec<String> = [
            Name::Owner,
            Name::Beat(incarnation),
            Name::Child(incarnation, 3),
            Name::Cluster(incarnation, 12),
            Name::Log(incarnation, LifeId(3), 4),
            Name::Checkpoint(incarnation, shard, 0),
            Name::File(incarnation, id, FileKind::of("000012.sst")),
            Name::File(incarnation, id, FileKind::of("000013.blob")),
            Name::File(incarnation, id, FileKind::of("MANIFEST-000004")),
            Name::Segment(incarnation, id),
            Name::Manifest(incarnation, shard, 2),
        ]
        .into_iter()
        .map(|name| layout().key(name))
        .collect();
        let expected = [
            "default/shop/OWNER",
            "default/shop/0000000000000001/BEAT",
            "default/shop/0000000000000001/child/0000000000000003.json",
            "default/shop/0000000000000001/cluster/0000000000000012.json",
            "default/shop/0000000000000001/log/0000000000000003/0000000000000004",
            "default/shop/0000000000000001/ckpt/00000000000000a7/0000000000000000.json",
            "default/shop/0000000000000001/file/fe/fe000000000000000000000000000005.sst",
            "default/shop/0000000000000001/file/fe/fe000000000000000000000000000005.blob",
            "default/shop/0000000000000001/file/fe/fe000000000000000000000000000005.meta",
            "default/shop/0000000000000001/seg/fe/fe000000000000000000000000000005.sst",
            "default/shop/0000000000000001/manifest/00000000000000a7/0000000000000002",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn names_of_version_1_mean_what_they_meant() {
        strata_golden::check_fixture("testdata/format/v1/names.txt", |key| {
            let name = layout().parse(key).expect("an old key has a name");
            assert_eq!(layout().key(name), key, "version 1 is what this build writes");
            format!("{name:?}")
        });
    }

    #[test]
    fn foreign_keys_are_refused_by_name() {
        for key in [
            "default/shop",
            "default/shop/",
            "default/shopping/OWNER",
            "default/shop/OWNER/x",
            "default/shop/owner",
            "default/shop/0000000000000001/cluster/12.json",
            "default/shop/0000000000000001/cluster/0000000000000012",
            "default/shop/000000000000000A/BEAT",
            "default/shop/0000000000000001/file/00/fe000000000000000000000000000005.sst",
            "default/shop/0000000000000001/log/0000000000000003/+000000000000004",
        ] {
            let error = layout().parse(key).expect_err("must be refused").to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn paths_that_could_escape_are_refused() {
        for path in ["", "/", "a/", "/a", "a//b", "a/../b", ".", "a b", &"x".repeat(513)] {
            assert!(Layout::new(path).is_err(), "{path:?} must be refused");
        }
    }
}
