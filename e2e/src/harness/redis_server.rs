//! Debian's redis-server as a process: what we are compared with, and what the judge is tried on.

use super::{child::Ward, wait};
use crate::{
    failure::Failure,
    workload::client::{Door, Endpoints, RedisClient},
};
use redis::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long it may take to serve.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// A server that serves all slots as a Redis Cluster of one node.
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    keeping: Keeping,
    ward: Ward,
}

/// What a server keeps on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing.
    Nothing,
    /// Every write, before it is acknowledged; its file is never rewritten, which would cost the server's time.
    EveryWrite,
}

impl RedisServer {
    /// Whether there is a redis-server on this machine.
    pub fn is_installed() -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join("redis-server").is_file())
    }

    /// Starts a server, and waits until it serves.
    pub async fn start(folder: &Path, port: u16) -> Result<RedisServer, Failure> {
        RedisServer::start_keeping(folder, port, Keeping::Nothing).await
    }

    /// Starts a server that keeps what it is told to keep, and waits until it serves.
    pub async fn start_keeping(folder: &Path, port: u16, keeping: Keeping) -> Result<RedisServer, Failure> {
        let server = RedisServer { folder: folder.to_owned(), port, keeping, ward: launch(folder, port, keeping)? };
        server.until_serving().await?;
        Ok(server)
    }

    /// Ends it as `kill -9` does, with all that it held, and starts it anew.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.ward.signal(rustix::process::Signal::KILL)?;
        wait::until(START_DEADLINE, "redis-server has ended", async || self.ward.ended().ok_or_else(|| "it runs".to_owned())).await?;
        self.ward = launch(&self.folder, self.port, self.keeping)?;
        self.until_serving().await
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.ward.id()
    }

    /// Its one port, which serves plain clients and those of Redis Cluster alike.
    pub fn endpoints(&self) -> Endpoints {
        let address = format!("127.0.0.1:{}", self.port);
        Endpoints { plain: vec![address.clone()], cluster: vec![address] }
    }

    async fn until_serving(&self) -> Result<(), Failure> {
        let mut client = RedisClient::new(Door::Plain, Arc::new(self.endpoints()), 0);
        wait::until(START_DEADLINE, "redis-server serves", async || {
            // All but the first time it says that the slots are taken.
            drop(client.ask(redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383)).await);
            match client.ask(redis::cmd("SET").arg("served").arg("yes")).await? {
                Value::Okay => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

fn launch(folder: &Path, port: u16, keeping: Keeping) -> Result<Ward, Failure> {
    let port = port.to_string();
    let folder_text = folder.display().to_string();
    let arguments = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        &folder_text,
        "--save",
        "",
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "nodes.conf",
    ];
    let keeping: &[&str] = match keeping {
        Keeping::Nothing => &[],
        Keeping::EveryWrite => &["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"],
    };
    let arguments = arguments.iter().chain(keeping);
    Ward::start(Path::new("redis-server"), arguments, &folder.join("redis-server.log"))
}
