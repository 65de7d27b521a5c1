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

/// A server that keeps everything in memory, and serves all slots as a Redis Cluster of one node.
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    ward: Ward,
}

impl RedisServer {
    /// Whether there is a redis-server on this machine.
    pub fn is_installed() -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join("redis-server").is_file())
    }

    /// Starts a server, and waits until it serves.
    pub async fn start(folder: &Path, port: u16) -> Result<RedisServer, Failure> {
        let server = RedisServer { folder: folder.to_owned(), port, ward: launch(folder, port)? };
        server.until_serving().await?;
        Ok(server)
    }

    /// Ends it as `kill -9` does, with all that it held, and starts it anew.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.ward.signal(rustix::process::Signal::KILL)?;
        wait::until(START_DEADLINE, "redis-server has ended", async || self.ward.ended().ok_or_else(|| "it runs".to_owned())).await?;
        self.ward = launch(&self.folder, self.port)?;
        self.until_serving().await
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

fn launch(folder: &Path, port: u16) -> Result<Ward, Failure> {
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
    Ward::start(Path::new("redis-server"), arguments, &folder.join("redis-server.log"))
}
