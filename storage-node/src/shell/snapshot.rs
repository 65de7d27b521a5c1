//! Snapshots on their way: a checkpoint's files, piece by piece, then the message that announces them.
//!
//! The receiver has the files whole and checked before its host hears of them. What a crash leaves in `incoming` and `outgoing` is removed at the
//! next start.

use super::{
    driver::{HostHandle, Input},
    peer_client::Peers,
    proto::{FilePiece, SnapshotFile, SnapshotHead, SnapshotPiece, snapshot_piece::Kind},
};
use crate::{host::Event, limits};
use bytes::Bytes;
use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use strata_base::{PeerId, ShardId, StoreId};
use strata_engine::tablet::Tablet;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// The folder of snapshots that are being received.
pub const INCOMING: &str = "incoming";

/// The folder of snapshots that are being sent.
pub const OUTGOING: &str = "outgoing";

const PIECE_DEADLINE: Duration = Duration::from_millis(limits::SNAPSHOT_PIECE_MILLIS_MAX);

/// What is sent to whom.
#[derive(Clone, Debug)]
pub struct Head {
    /// The receiving node.
    pub to: StoreId,
    /// The shard.
    pub shard: ShardId,
    /// The sending member.
    pub from_peer: PeerId,
    /// The receiving member.
    pub to_peer: PeerId,
    /// The message that announces it.
    pub bytes: Bytes,
}

/// Why a snapshot did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The tablet cannot be read in whole.
    #[error("its tablet is damaged: {0}")]
    Damaged(String),
    /// The disk or the tablet failed.
    #[error("cannot read the checkpoint: {0}")]
    Read(String),
    /// The receiver is unknown or unreachable, or it refused.
    #[error("the receiver did not take it: {0}")]
    NotTaken(String),
}

/// Files of a checkpoint that exists for one transfer.
struct Checkpoint {
    folder: PathBuf,
    files: Vec<SnapshotFile>,
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Makes a checkpoint of a tablet and sends it. The tablet is verified first: the receiver knows pieces by the checksums that the sender gives them,
/// and would take damage for data.
pub async fn send(peers: &Peers, outgoing: &Path, head: &Head, tablet: Arc<dyn Tablet>) -> Result<(), SnapshotError> {
    let mut client = peers.snapshots(head.to).ok_or_else(|| SnapshotError::NotTaken("its address is not known".to_owned()))?;
    let folder = unique_folder(outgoing, head.shard);
    let make = move || {
        tablet.verify().map_err(|error| SnapshotError::Damaged(error.to_string()))?;
        make_checkpoint(folder, &tablet).map_err(SnapshotError::Read)
    };
    let checkpoint = tokio::task::spawn_blocking(make).await.map_err(|error| SnapshotError::Read(error.to_string()))??;
    let first = SnapshotHead {
        to: head.to.0,
        shard: head.shard.0,
        from_peer: head.from_peer.0,
        to_peer: head.to_peer.0,
        message: head.bytes.clone(),
        files: checkpoint.files.clone(),
    };
    let (pieces, stream) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || read_pieces(&checkpoint, first, &pieces));
    let taken = client.send_snapshot(ReceiverStream::new(stream)).await;
    let read = reader.await.map_err(|error| SnapshotError::Read(error.to_string()))?;
    taken.map_err(|status| SnapshotError::NotTaken(status.message().to_owned()))?;
    read.map_err(SnapshotError::Read)
}

fn unique_folder(parent: &Path, shard: ShardId) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    parent.join(format!("{shard}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn make_checkpoint(folder: PathBuf, tablet: &Arc<dyn Tablet>) -> Result<Checkpoint, String> {
    let parent = folder.parent().map_or(Ok(()), std::fs::create_dir_all);
    parent.map_err(|error| error.to_string())?;
    let mut checkpoint = Checkpoint { folder, files: Vec::new() };
    tablet.checkpoint(&checkpoint.folder).map_err(|error| error.to_string())?;
    let entries = std::fs::read_dir(&checkpoint.folder).map_err(|error| error.to_string())?;
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let bytes = entry.metadata().map_err(|error| error.to_string())?.len();
        checkpoint.files.push(SnapshotFile { name: entry.file_name().to_string_lossy().into_owned(), bytes });
    }
    checkpoint.files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(checkpoint)
}

fn read_pieces(checkpoint: &Checkpoint, head: SnapshotHead, pieces: &mpsc::Sender<SnapshotPiece>) -> Result<(), String> {
    let give = |kind| pieces.blocking_send(SnapshotPiece { kind: Some(kind) }).map_err(|_| "the receiver hung up".to_owned());
    give(Kind::Head(head))?;
    let mut buffer = vec![0; limits::SNAPSHOT_PIECE_BYTES];
    for (number, file) in checkpoint.files.iter().enumerate() {
        let mut open = File::open(checkpoint.folder.join(&file.name)).map_err(|error| error.to_string())?;
        loop {
            let length = open.read(&mut buffer).map_err(|error| error.to_string())?;
            if length == 0 {
                break;
            }
            let data = Bytes::copy_from_slice(&buffer[..length]);
            let checksum = crc32fast::hash(&data);
            give(Kind::Piece(FilePiece { file: number as u32, data, checksum }))?;
        }
    }
    Ok(())
}

/// Opens the files of a received snapshot; they go with the tablet.
pub type OpenReceived = Arc<dyn Fn(&Path) -> Result<Arc<dyn Tablet>, String> + Send + Sync>;

/// Receives a snapshot and gives it to the host.
pub async fn receive(host: &HostHandle, incoming: &Path, open: &OpenReceived, mut pieces: Streaming<SnapshotPiece>) -> Result<(), Status> {
    let Some(Kind::Head(head)) = next_piece(&mut pieces).await? else {
        return Err(Status::invalid_argument("a snapshot begins with its head"));
    };
    if head.to != host.store.0 {
        return Err(Status::failed_precondition("this is another store: its disk was replaced"));
    }
    let mut writer = Receiving::begin(unique_folder(incoming, ShardId(head.shard)), &head)?;
    while let Some(kind) = next_piece(&mut pieces).await? {
        let Kind::Piece(piece) = kind else { return Err(Status::invalid_argument("a snapshot has one head")) };
        writer = tokio::task::spawn_blocking(move || writer.take(&piece).map(|()| writer))
            .await
            .map_err(|error| Status::internal(error.to_string()))??;
    }
    let open = Arc::clone(open);
    let opened = tokio::task::spawn_blocking(move || {
        let folder = writer.finish()?;
        open(&folder).map_err(Status::data_loss)
    });
    let tablet = opened.await.map_err(|error| Status::internal(error.to_string()))??;
    let event = Event::SnapshotArrived {
        shard: ShardId(head.shard),
        from: PeerId(head.from_peer),
        to: PeerId(head.to_peer),
        bytes: head.message,
        tablet,
    };
    host.offer(Input::Event(event)).map_err(|_| Status::resource_exhausted("the node is busy"))
}

async fn next_piece(pieces: &mut Streaming<SnapshotPiece>) -> Result<Option<Kind>, Status> {
    let piece = timeout(PIECE_DEADLINE, pieces.message()).await;
    let piece = piece.map_err(|_| Status::deadline_exceeded("no piece of the snapshot came for 30 s"))??;
    Ok(piece.and_then(|piece| piece.kind))
}

/// A snapshot's files as they come. Dropped before it is finished, it leaves nothing.
struct Receiving {
    folder: PathBuf,
    files: Vec<SnapshotFile>,
    current: Option<(usize, File, u64)>,
    done: usize,
    is_finished: bool,
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Whether a name that came from elsewhere stays in the folder that it is joined to.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

fn io_status(error: std::io::Error) -> Status {
    Status::internal(format!("cannot write a snapshot: {error}"))
}

impl Receiving {
    fn begin(folder: PathBuf, head: &SnapshotHead) -> Result<Receiving, Status> {
        if !head.files.iter().all(|file| is_plain_name(&file.name)) {
            return Err(Status::invalid_argument("a snapshot's file has a name that is no plain file name"));
        }
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(io_status)?;
        Ok(Receiving { folder, files: head.files.clone(), current: None, done: 0, is_finished: false })
    }

    fn take(&mut self, piece: &FilePiece) -> Result<(), Status> {
        if crc32fast::hash(&piece.data) != piece.checksum {
            return Err(Status::data_loss("a piece of the snapshot was damaged on its way"));
        }
        let number = piece.file as usize;
        while self.current.as_ref().is_none_or(|(open, ..)| *open != number) {
            self.end_file()?;
            let next = self.done;
            let file =
                self.files.get(next).filter(|_| next <= number).ok_or_else(|| Status::invalid_argument("a piece is out of order"))?;
            let open = File::create(self.folder.join(&file.name)).map_err(io_status)?;
            self.current = Some((next, open, 0));
        }
        let Some((_, file, written)) = &mut self.current else { return Err(Status::internal("no file is open")) };
        file.write_all(&piece.data).map_err(io_status)?;
        *written += piece.data.len() as u64;
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Status> {
        let Some((number, file, written)) = self.current.take() else { return Ok(()) };
        if written != self.files[number].bytes {
            return Err(Status::data_loss(format!(
                "{} has {written} bytes instead of {}",
                self.files[number].name, self.files[number].bytes
            )));
        }
        file.sync_all().map_err(io_status)?;
        self.done = number + 1;
        Ok(())
    }

    fn finish(mut self) -> Result<PathBuf, Status> {
        self.end_file()?;
        // Empty files have no pieces.
        while self.done < self.files.len() {
            let file = &self.files[self.done];
            if file.bytes != 0 {
                return Err(Status::data_loss(format!("{} is missing", file.name)));
            }
            File::create(self.folder.join(&file.name)).and_then(|file| file.sync_all()).map_err(io_status)?;
            self.done += 1;
        }
        self.is_finished = true;
        Ok(self.folder.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain_name;

    #[test]
    fn a_name_that_leads_elsewhere_is_not_plain() {
        assert!(["000012.sst", "CURRENT", "..sst"].into_iter().all(is_plain_name));
        assert!(!["", ".", "..", "../000012.sst", "/etc/passwd", "a/b", "a\\b", "a\0"].into_iter().any(is_plain_name));
    }
}
