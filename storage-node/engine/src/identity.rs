//! The identity of a store: a small file that says which disk this is, and whose.

use crate::EngineError;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};
use strata_base::{Epoch, IncarnationId, StoreId};

/// The version of the disk's format that this build writes; it refuses newer ones.
pub const FORMAT: u32 = 1;

const NAME: &str = "STORE";

/// Which disk this is, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The version of the disk's format.
    pub format: u32,
    /// The store.
    pub store: StoreId,
    /// The cluster and incarnation it belongs to; `None` while it waits for orders.
    pub membership: Option<Membership>,
    /// The highest epoch obeyed.
    pub epoch: Epoch,
    /// The nodes of the cluster as last told by the operator, opaque to this room.
    #[serde(default)]
    pub directory: serde_json::Value,
    /// The archive as last ordered by the operator, opaque to this room.
    #[serde(default)]
    pub archive: serde_json::Value,
    /// Whether `cluster/0` of the incarnation was seen in the bucket.
    #[serde(default)]
    pub is_published: bool,
}

/// Whose a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The cluster's UUID.
    pub cluster: String,
    /// The cluster's incarnation.
    pub incarnation: IncarnationId,
}

impl Identity {
    /// The identity of a disk that is used for the first time.
    pub fn new(store: StoreId) -> Identity {
        let (directory, archive) = (serde_json::Value::Null, serde_json::Value::Null);
        Identity { format: FORMAT, store, membership: None, epoch: Epoch(0), directory, archive, is_published: false }
    }

    /// Reads the identity in `folder`; `None` where the folder is empty or missing. A folder with other content is refused untouched.
    pub fn load(folder: &Path) -> Result<Option<Identity>, EngineError> {
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return refuse_strangers(folder).map(|()| None),
            Err(error) => return Err(EngineError::failed("cannot read the store's identity")(error)),
        };
        Identity::decode(&bytes).map(Some).map_err(|reason| EngineError::Damaged { what: path.display().to_string(), reason })
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("an identity has text keys only, so it is JSON")
    }

    /// Reads what [`Identity::encode`] wrote. The error is a sentence.
    pub fn decode(bytes: &[u8]) -> Result<Identity, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => {
                Err(format!("it has format {format}, this build knows up to {FORMAT}: use a newer build"))
            }
            _ => serde_json::from_value(value).map_err(|error| error.to_string()),
        }
    }

    /// Replaces the identity in `folder`: after a crash either the old or the new one is there, whole.
    pub fn store(&self, folder: &Path) -> Result<(), EngineError> {
        let next = folder.join("STORE.next");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&next)?;
            file.write_all(&self.encode())?;
            file.sync_all()?;
            fs::rename(&next, folder.join(NAME))?;
            File::open(folder)?.sync_all()
        };
        write().map_err(EngineError::failed("cannot write the store's identity"))
    }
}

fn refuse_strangers(folder: &Path) -> Result<(), EngineError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // `lost+found` is in every fresh file system; `STORE.next` is an identity that was never finished.
        if name != "lost+found" && name != "STORE.next" {
            let reason = format!("it holds {name:?} but no {NAME} file: empty it, or point data_dir elsewhere");
            return Err(EngineError::Damaged { what: folder.display().to_string(), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_of_version_1_mean_what_they_meant() {
        strata_golden::check_fixture("testdata/format/v1/identities.txt", |encoding| {
            let identity = Identity::decode(encoding.as_bytes()).expect("an old identity decodes");
            // Fields that came later are written from now on, so that only what reads back must be the same.
            assert_eq!(Identity::decode(&identity.encode()).as_ref(), Ok(&identity));
            format!("{identity:?}")
        });
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let error = Identity::decode(b"{\"format\": 2, \"what\": \"nobody knows yet\"}").expect_err("must be refused");
        assert!(error.contains("format 2") && error.contains("use a newer build"), "{error}");
    }
}
