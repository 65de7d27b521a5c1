//! The ground that scenarios stand on: clusters at several distances, and what they are given to live.

pub mod archive;
pub mod certificates;
pub mod child;
pub mod hand;
pub mod kubernetes;
pub mod node_client;
pub mod node_process;
pub mod object_store;
pub mod partition;
pub mod ports;
pub mod process;
pub mod redis_server;
pub mod s3_proxy;
pub mod sim;
pub mod small_disk;
pub mod socket;
pub mod wait;
pub mod wall_clock;
