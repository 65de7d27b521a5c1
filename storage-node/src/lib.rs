//! The storage node: sockets, files, threads and time around the pure rooms.

pub mod agreement;
pub mod bridge;
pub mod clock;
pub mod config;
pub mod descriptor;
#[cfg(test)]
mod formats;
pub mod host;
pub mod limits;
pub mod pipeline;
pub mod routes;
#[cfg(feature = "disk")]
pub mod run;
pub mod shell;
pub mod verify_bucket;
#[cfg(feature = "disk")]
pub mod verify_replicas;
