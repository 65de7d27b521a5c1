//! A cluster as its users have one: a real Kubernetes, the operator from its chart, pods, volumes, and faults from outside.
//!
//! ```text
//! outside   Lab::up ── e2e/lab/lab ──► Kubernetes in namespaces of its own
//!              │
//!              └── Lab::enter: this very program again, within the lab's network
//!
//! inside    Installation   images, charts          Kube   what the API server says, typed
//!           Cluster        pods, services, the status of one KVCluster, clients that reach it
//!           Lab            kill, freeze, cut, empty a disk, S3 on and off
//! ```
//!
//! What is inside reaches pods and services by their names, as a client in a pod of its own would. It is started there anew, because a
//! program enters a network before it has threads, and because names are looked up in the lab's name service only there.
//!
//! Every call has a deadline, and says what it waited for. A lab is owned by the process that started it, and goes with it.

pub mod cluster;
pub mod command;
pub mod install;
pub mod kube;
pub mod lab;
pub mod manifest;
