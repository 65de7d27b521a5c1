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
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return refuse_strangers(folder).map(|()| None),
            Err(error) => return Err(EngineError::failed("cannot read the store's identity")(error)),
        };
        let damaged = |reason: String| EngineError::Damaged { what: path.display().to_string(), reason };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => {
                Err(damaged(format!("it has format {format}, this build knows up to {FORMAT}: use a newer build")))
            }
            _ => serde_json::from_value(value).map(Some).map_err(|error| damaged(error.to_string())),
        }
    }

    /// Replaces the identity in `folder`: after a crash either the old or the new one is there, whole.
    pub fn store(&self, folder: &Path) -> Result<(), EngineError> {
        let text = serde_json::to_vec_pretty(self).map_err(EngineError::failed("cannot encode the store's identity"))?;
        let next = folder.join("STORE.next");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&next)?;
            file.write_all(&text)?;
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
