//! The threads that read from the disk what memory cannot answer.
//!
//! Their queue looks around before it sleeps, which is worth half of their rate: whoever has read finds the next command there. Readers that sleep at
//! once, those of tokio's blocking pool for one, need a switch of threads for each.

use super::{
    clock::SystemClock,
    driver::{Input, Token},
    inbox::{Inbox, Kind},
};
use crate::{
    host::{ColdDone, ColdRead, Event, NotDone, Outcome},
    limits,
};
use crossbeam_channel::{Receiver, Sender};
use std::{sync::Arc, thread::Builder};

/// Threads that wait for the disk. They end with it.
pub struct Readers {
    reads: Sender<Box<ColdRead<Token>>>,
}

impl Readers {
    /// Starts them; what has no reply goes back to the host.
    pub fn start(host: Arc<Inbox<Input>>, clock: SystemClock) -> Readers {
        let (reads, taken) = crossbeam_channel::bounded(limits::COLD_READS_MAX);
        for _ in 0..limits::READERS {
            let (taken, host) = (taken.clone(), host.clone());
            let reader = Builder::new().name("reader".to_owned());
            // Not joined: it ends when nobody can ask for anything any more.
            drop(reader.spawn(move || run(&taken, &host, clock)).expect("the system starts a thread"));
        }
        Readers { reads }
    }

    /// Reads, and tells who waits; refused where too many wait.
    pub fn read(&self, read: ColdRead<Token>) {
        if let Err(error) = self.reads.try_send(Box::new(read)) {
            // A client that went away takes no reply.
            let _ = error.into_inner().into_token().send(Outcome::NotDone(NotDone::Busy));
        }
    }
}

fn run(reads: &Receiver<Box<ColdRead<Token>>>, host: &Inbox<Input>, clock: SystemClock) {
    while let Ok(read) = reads.recv() {
        let _read = tracing::debug_span!("cold_read", shard = %read.shard()).entered();
        match read.perform(clock.monotonic_ms()) {
            ColdDone::Answered { token, reply } => drop(token.send(Outcome::Reply(reply))),
            ColdDone::Refused { token, why } => drop(token.send(Outcome::NotDone(why))),
            ColdDone::Returned(returned) => host.give(Input::Event(Event::ColdReturned(returned)), Kind::Urgent),
        }
    }
}
