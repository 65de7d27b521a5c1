//! A real S3 server, versitygw over a plain folder, that a scenario may stop, freeze and damage.

use super::{child::Ward, wait};
use crate::{failure::Failure, place::home};
use rustix::process::Signal;
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};
use tempfile::TempDir;

/// How long the server may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// The one bucket of a scenario.
pub const BUCKET: &str = "archive";

/// Who may ask.
const ACCESS_KEY_ID: &str = "strata-test";

/// Not secret at all: the server listens on the loopback, and its data goes with the test.
const SECRET_ACCESS_KEY: &str = "a-secret-of-no-value";

/// A server over a folder of its own. Dropping it ends it, and removes what it held.
pub struct ObjectStore {
    // Fields are dropped in this order: first the process ends, then its folder goes.
    ward: Option<Ward>,
    binary: PathBuf,
    port: u16,
    folder: TempDir,
}

/// Files that hold credentials, as a mounted Secret does.
#[derive(Clone, Debug, Default)]
pub struct CredentialFiles {
    /// Holds the access key id.
    pub access_key_id: PathBuf,
    /// Holds the secret access key.
    pub secret_access_key: PathBuf,
}

impl ObjectStore {
    /// Starts a server whose data lies below `parent`, makes its bucket, and waits until it listens.
    pub async fn start(parent: &Path, port: u16) -> Result<ObjectStore, Failure> {
        let binary = binary()?;
        let folder = tempfile::Builder::new().prefix("store-").tempdir_in(parent).map_err(Failure::of("make a folder for the store"))?;
        let mut store = ObjectStore { ward: None, binary, port, folder };
        // versitygw takes a folder for a bucket.
        std::fs::create_dir_all(store.bucket_folder()).map_err(Failure::of("make a bucket"))?;
        store.credentials().write(SECRET_ACCESS_KEY)?;
        store.resume().await?;
        Ok(store)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The files that hold the credentials it accepts, until a scenario writes others into them.
    pub fn credentials(&self) -> CredentialFiles {
        let file = |name: &str| self.folder.path().join(name);
        CredentialFiles { access_key_id: file("access-key-id"), secret_access_key: file("secret-access-key") }
    }

    /// `id:secret` of who may ask, for programs that take them so. Neither is worth anything elsewhere.
    pub fn user(&self) -> String {
        format!("{ACCESS_KEY_ID}:{SECRET_ACCESS_KEY}")
    }

    /// The file that holds an object.
    pub fn object(&self, key: &str) -> PathBuf {
        self.bucket_folder().join(key)
    }

    /// The keys of all objects that begin with `prefix`, in order, as the folder has them: nobody is asked.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let root = self.bucket_folder();
        let (mut keys, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(Failure::of(format!("read {}", folder.display())))? {
                let path = entry.map_err(Failure::of(format!("read {}", folder.display())))?.path();
                let key = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                if path.is_dir() {
                    folders.push(path);
                } else if key.starts_with(prefix) {
                    keys.push(key);
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Flips a bit in the middle of an object's bytes, behind the server's back.
    pub fn damage(&self, key: &str) -> Result<(), Failure> {
        self.change(key, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    }

    /// Exchanges an object's bytes behind the server's back.
    pub fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
        let path = self.object(key);
        let mut bytes = std::fs::read(&path).map_err(Failure::of(format!("read {}", path.display())))?;
        change(&mut bytes);
        // In place: what the server keeps beside the bytes stays as it is.
        std::fs::write(&path, bytes).map_err(Failure::of(format!("write {}", path.display())))
    }

    /// Ends the server as `kill -9` does: connections to it are refused. What it holds stays.
    pub fn stop(&mut self) {
        self.ward = None;
    }

    /// Starts it again where it was stopped.
    pub async fn resume(&mut self) -> Result<(), Failure> {
        let address = format!("127.0.0.1:{}", self.port);
        let data = self.data().display().to_string();
        let arguments = ["--access", ACCESS_KEY_ID, "--secret", SECRET_ACCESS_KEY, "--port", &address, "--quiet", "posix", &data];
        let ward = self.ward.insert(Ward::start(&self.binary, arguments, &self.folder.path().join("log"))?);
        wait::until(START_DEADLINE, "the S3 server listens", async || {
            if let Some(status) = ward.ended() {
                return Ok(Err(Failure::broken(format!("the S3 server ended at its start with {status}"))));
            }
            let connected = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await;
            connected.map(|_| Ok(())).map_err(|error| error.to_string())
        })
        .await?
    }

    /// Freezes it: connections are accepted by the kernel, and nothing is answered.
    pub fn freeze(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Thaws it.
    pub fn thaw(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        self.ward.as_ref().ok_or_else(|| Failure::broken("the S3 server does not run"))?.signal(signal)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn bucket_folder(&self) -> PathBuf {
        self.data().join(BUCKET)
    }

    /// After a failure: its folder stays.
    pub fn keep(&mut self) -> String {
        self.folder.disable_cleanup(true);
        format!("the bucket is kept in {}", self.bucket_folder().display())
    }
}

impl CredentialFiles {
    /// Writes credentials that the server accepts.
    pub fn write_right(&self) -> Result<(), Failure> {
        self.write(SECRET_ACCESS_KEY)
    }

    /// Writes credentials that the server refuses.
    pub fn write_wrong(&self) -> Result<(), Failure> {
        self.write("rotated-away")
    }

    fn write(&self, secret: &str) -> Result<(), Failure> {
        for (path, text) in [(&self.access_key_id, ACCESS_KEY_ID), (&self.secret_access_key, secret)] {
            // Beside and renamed, as Kubernetes does: a reader sees the old or the new.
            let fresh = path.with_extension("fresh");
            let written = std::fs::write(&fresh, format!("{text}\n")).and_then(|()| std::fs::rename(&fresh, path));
            written.map_err(Failure::of(format!("write {}", path.display())))?;
        }
        Ok(())
    }
}

/// Builds the server's program where there is none, for whoever goes where modules cannot be fetched.
pub fn prepare() -> Result<(), Failure> {
    binary().map(drop)
}

/// The server's program: what `STRATA_VERSITYGW` names, what is on the `PATH`, or what the lab has built or can build.
fn binary() -> Result<PathBuf, Failure> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let lacking = |why| {
        Failure::Lacking(format!("there is no S3 server versitygw (set STRATA_VERSITYGW, or run e2e/lab/lab build versitygw): {why}"))
    };
    FOUND.get_or_init(find).clone().map_err(lacking)
}

fn find() -> Result<PathBuf, String> {
    let named = std::env::var_os("STRATA_VERSITYGW").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|folder| folder.join("versitygw"));
    if let Some(found) = named.into_iter().chain(on_path).find(|candidate| candidate.is_file()) {
        return Ok(found);
    }
    let lab = home().join("lab/lab");
    let ask = |arguments: &[&str]| {
        let output = Command::new(&lab).args(arguments).output().map_err(|error| format!("cannot run {}: {error}", lab.display()))?;
        let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).trim().to_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    };
    let built = PathBuf::from(ask(&["bin"])?).join("versitygw");
    if !built.is_file() {
        ask(&["build", "versitygw"])
            .map_err(|why| format!("there is no S3 server versitygw, and e2e/lab/lab could not build it: {why}"))?;
    }
    if built.is_file() { Ok(built) } else { Err(format!("e2e/lab/lab built versitygw, and there is no {}", built.display())) }
}
