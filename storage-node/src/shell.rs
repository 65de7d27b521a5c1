//! The shell: everything that touches sockets, files, threads and time. What it decides is how to wait; what to do is decided by the host.

pub mod api;
pub mod api_client;
pub mod bucket;
pub mod clock;
pub mod connection;
pub mod deadline;
pub mod driver;
pub mod files;
pub mod forward;
pub mod inbox;
pub mod node;
pub mod objects;
pub mod peer_client;
pub mod peer_server;
pub mod readers;
pub mod reply_codec;
pub mod router;
pub mod server;
pub mod snapshot;
pub mod status;
pub mod tls;
pub mod wire;

/// Generated from `proto/peer.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code is documented in its source"
)]
pub mod proto {
    tonic::include_proto!("strata.peer.v1");
}
