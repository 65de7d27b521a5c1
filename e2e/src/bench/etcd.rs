//! etcd: three members on this machine, and a load of `KV.Put` over gRPC on their leader, which spares them forwarding.

use super::generator::{Ledger, Tally, noise, value};
use super::routes::key_name;
use crate::{
    failure::Failure,
    harness::{child::Ward, ports::Ports, wait},
};
use bytes::Bytes;
use std::{path::Path, rc::Rc, time::Duration};
use tokio::task::LocalSet;
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

/// How long the members may take to serve.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Members.
const MEMBERS: usize = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// The header that it holds is passed over.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// Three members. Dropping it ends them.
pub struct Etcd {
    wards: Vec<Ward>,
    leader: String,
    version: String,
}

impl Etcd {
    /// Starts the program three times, each with a folder of its own below `folder`, and waits until one of them leads.
    pub async fn start(program: &Path, folder: &Path, ports: &mut Ports) -> Result<Etcd, Failure> {
        let peers: Vec<u16> = (0..MEMBERS).map(|_| ports.take()).collect();
        let clients: Vec<u16> = (0..MEMBERS).map(|_| ports.take()).collect();
        let cluster: Vec<String> = (0..MEMBERS).map(|nth| format!("m{nth}=http://127.0.0.1:{}", peers[nth])).collect();
        let mut wards = Vec::with_capacity(MEMBERS);
        for nth in 0..MEMBERS {
            let (peer, client) = (format!("http://127.0.0.1:{}", peers[nth]), format!("http://127.0.0.1:{}", clients[nth]));
            let data = folder.join(format!("etcd-{nth}"));
            std::fs::create_dir_all(&data).map_err(Failure::of(format!("create {}", data.display())))?;
            let (name, data, cluster) = (format!("m{nth}"), data.display().to_string(), cluster.join(","));
            let arguments = [
                ["--name", &name],
                ["--data-dir", &data],
                ["--initial-cluster", &cluster],
                ["--initial-advertise-peer-urls", &peer],
                ["--listen-peer-urls", &peer],
                ["--advertise-client-urls", &client],
                ["--listen-client-urls", &client],
                // As in its own benchmarks: what is measured is the log, not a full space.
                ["--quota-backend-bytes", "8589934592"],
                ["--log-level", "error"],
            ];
            wards.push(Ward::start(program, arguments.concat(), &folder.join(format!("etcd-{nth}.log")))?);
        }
        let addresses: Vec<String> = clients.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let (leader, version) = wait::until(START_DEADLINE, "one member of etcd leads", async || {
            for address in &addresses {
                let status = status(address).await?;
                if status.leader != 0 && status.header.is_some_and(|header| header.member_id == status.leader) {
                    return Ok((address.clone(), status.version));
                }
            }
            Err("nobody does".to_owned())
        })
        .await?;
        Ok(Etcd { wards, leader, version })
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        self.wards.iter().map(Ward::id).collect()
    }

    /// Puts values under random ones of `keys` keys, one request in flight for each of `clients`, over `channels` connections.
    pub async fn put(
        &self,
        (clients, channels): (usize, usize),
        (keys, value_bytes): (u32, usize),
        (warm, length): (Duration, Duration),
        begins: impl FnOnce(),
        ends: impl FnOnce(),
    ) -> Result<Tally, Failure> {
        let mut connections = Vec::with_capacity(channels);
        for _ in 0..channels {
            connections.push(connect(&self.leader).await.map_err(Failure::of("connect to etcd"))?);
        }
        let shared = Rc::new((Ledger::default(), Bytes::from(noise(2))));
        let tasks = LocalSet::new();
        for index in 0..clients {
            let (shared, channel) = (shared.clone(), connections[index % channels].clone());
            tasks.spawn_local(async move {
                let (ledger, noise) = &*shared;
                let mut random = fastrand::Rng::with_seed(index as u64);
                while !ledger.is_over() {
                    let value = noise.slice_ref(value(noise, value_bytes, &mut random));
                    let request = PutRequest { key: key_name(random.u32(..keys)).into(), value };
                    let sent = std::time::Instant::now();
                    match unary::<_, PutResponse>(channel.clone(), "/etcdserverpb.KV/Put", request).await {
                        Ok(_) => ledger.answered(1, sent),
                        Err(_) => ledger.refused(1),
                    }
                }
            });
        }
        let tally = tasks.run_until(shared.0.measure(warm, length, begins, ends)).await;
        tasks.await;
        Ok(tally)
    }
}

async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    Channel::from_shared(address.to_owned()).expect("the address was made here").tcp_nodelay(true).connect().await
}

async fn status(address: &str) -> Result<StatusResponse, String> {
    let channel = connect(address).await.map_err(|error| error.to_string())?;
    unary(channel, "/etcdserverpb.Maintenance/Status", StatusRequest {}).await.map_err(|status| status.to_string())
}

async fn unary<Q, A>(channel: Channel, path: &'static str, request: Q) -> Result<A, tonic::Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    Ok(grpc.unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await?.into_inner())
}
