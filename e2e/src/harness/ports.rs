//! Loopback ports that nobody else takes while a cluster lives.
//!
//! Asking the kernel for port 0, noting the number and closing the socket would race with every other test and with outgoing connections.
//! So ports come from below the ephemeral range, in blocks; a block is held by a lock on a file, which ends with the process whatever
//! becomes of it; and every port of a block is tried once, in case that a stranger uses it.

use crate::failure::Failure;
use std::{
    fs::{File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

/// The first port of the first block: below Kubernetes' node ports and Linux's ephemeral ports, above what services are usually given.
const FIRST: u16 = 20_000;

/// Ports in a block: five for each of eight nodes.
const BLOCK: u16 = 40;

/// Blocks on one machine.
const BLOCKS: u16 = 250;

const _: () = assert!(FIRST as u32 + BLOCK as u32 * BLOCKS as u32 <= 30_000, "blocks must end before Kubernetes' node ports");

/// A block of ports, ours until dropped.
#[derive(Debug)]
pub struct Ports {
    next: u16,
    end: u16,
    _lock: File,
}

impl Ports {
    /// Reserves a block. `seed` only spreads the search, so that parallel tests do not all try the same block first.
    pub fn reserve(seed: u64) -> Result<Ports, Failure> {
        let folder = PathBuf::from("/tmp/strata-test-ports");
        std::fs::create_dir_all(&folder).map_err(Failure::of(format!("create {}", folder.display())))?;
        for offset in 0..BLOCKS {
            let block = ((seed % u64::from(BLOCKS)) as u16 + offset) % BLOCKS;
            let path = folder.join(format!("{block}.lock"));
            let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let lock = open.map_err(Failure::of(format!("open {}", path.display())))?;
            let first = FIRST + block * BLOCK;
            if lock.try_lock().is_ok() && (first..first + BLOCK).all(is_free) {
                return Ok(Ports { next: first, end: first + BLOCK, _lock: lock });
            }
        }
        Err(Failure::Lacking(format!("all {BLOCKS} blocks of ports from {FIRST} on are in use: end other test runs, then try again")))
    }

    /// The next port of the block.
    pub fn take(&mut self) -> u16 {
        assert!(self.next < self.end, "a block holds {BLOCK} ports, and more were asked for");
        self.next += 1;
        self.next - 1
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_never_share_a_port() {
        let (mut one, mut other) = (Ports::reserve(7).expect("a block is free"), Ports::reserve(7).expect("another is free"));
        let ones: Vec<u16> = (0..BLOCK).map(|_| one.take()).collect();
        assert!((0..BLOCK).all(|_| !ones.contains(&other.take())));
    }
}
