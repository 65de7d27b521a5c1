//! One client connection: requests in, replies out in their order.

use super::{
    driver::Token,
    node::NodeView,
    router::{Begun, Router},
};
use crate::{host::Command, limits};
use bytes::{Buf, BytesMut};
use std::{sync::Arc, time::Duration};
use strata_base::ShardId;
use strata_kv::{
    Reply,
    command::{self, Call, Run},
    resp::RequestReader,
    session::{Node, Session},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Bytes read from a socket at once.
const READ_BYTES: usize = 64 << 10;

/// A reply that is known, or under way.
enum Waiting {
    Known(Reply),
    Begun(Call, Begun),
}

/// What a connection has read and not yet answered.
#[derive(Default)]
struct Pipeline {
    waiting: Vec<Waiting>,
    /// Commands that the host does not have yet: one wake for all of them. They reach it before anything is waited for.
    begun: Vec<Command<Token>>,
    /// Shards that have an unanswered command of this connection in their queue: a read must not pass it.
    queued: Vec<ShardId>,
}

/// Serves a connection until the client leaves or breaks the protocol.
pub struct Connection {
    /// Its socket.
    pub stream: TcpStream,
    /// What it remembers.
    pub session: Session,
    /// The way to shards.
    pub router: Router,
    /// What the node tells.
    pub node: Arc<NodeView>,
}

impl Connection {
    /// Serves it.
    pub async fn run(mut self) -> std::io::Result<()> {
        let (mut reader, mut input, mut output) = (RequestReader::default(), BytesMut::new(), BytesMut::new());
        while !self.session.is_closing {
            if input.capacity() - input.len() < READ_BYTES / 4 {
                input.reserve(READ_BYTES);
            }
            if self.stream.read_buf(&mut input).await? == 0 {
                break;
            }
            self.session.active_ms = self.node.now_ms();
            loop {
                let is_drained = self.serve_batch(&mut reader, &mut input, &mut output).await;
                self.flush(&mut output).await?;
                if is_drained || self.session.is_closing {
                    break;
                }
            }
        }
        // The client sees its last reply before the connection ends.
        self.stream.shutdown().await
    }

    /// Serves the whole requests in `input`, up to a bound; whether all of them were.
    async fn serve_batch(&mut self, reader: &mut RequestReader, input: &mut BytesMut, output: &mut BytesMut) -> bool {
        let mut pipeline = Pipeline::default();
        let mut is_drained = false;
        while pipeline.waiting.len() < limits::PIPELINE_MAX && !self.session.is_closing {
            reader.restrict(!self.session.is_authenticated);
            let arguments = match reader.next(input) {
                Ok(Some(arguments)) => arguments,
                Ok(None) => {
                    is_drained = true;
                    break;
                }
                Err(error) => {
                    pipeline.waiting.push(Waiting::Known(error.reply()));
                    self.session.is_closing = true;
                    input.advance(input.len());
                    break;
                }
            };
            if arguments.is_empty() {
                continue;
            }
            let call = match command::parse(arguments).and_then(|call| self.session.admit(&call).map(|()| call)) {
                Ok(call) => call,
                Err(error) => {
                    pipeline.waiting.push(Waiting::Known(Reply::Error(error)));
                    continue;
                }
            };
            if let Run::Connection(_) = call.spec.run {
                // It may change how replies look: those before it go out first.
                self.answer(&mut pipeline, output).await;
                let reply = call.answer(&mut self.session, &*self.node);
                self.put(&reply, output);
            } else if let Some(begun) = self.begin(&call, &mut pipeline) {
                pipeline.waiting.push(Waiting::Begun(call, begun));
            } else {
                // Several shards or other nodes: their order with what is under way is kept by waiting for that first.
                self.answer(&mut pipeline, output).await;
                let reply = self.router.route(self.session.port, call).await;
                pipeline.waiting.push(Waiting::Known(reply));
            }
        }
        self.answer(&mut pipeline, output).await;
        is_drained
    }

    fn begin(&self, call: &Call, pipeline: &mut Pipeline) -> Option<Begun> {
        let Pipeline { begun: earlier, queued, .. } = pipeline;
        let begun = self.router.begin(call, earlier, |shard| !call.spec.is_write() && !queued.contains(&shard))?;
        if call.spec.is_write() && !queued.contains(&begun.shard()) {
            queued.push(begun.shard());
            // A read that this write follows must not be passed by it: both go through the queue.
            earlier.iter_mut().filter(|command| command.shard == begun.shard()).for_each(|command| command.is_beside_queue = false);
        }
        Some(begun)
    }

    /// Answers everything that was read, in its order; nothing is in a queue then.
    async fn answer(&mut self, pipeline: &mut Pipeline, output: &mut BytesMut) {
        self.router.submit(&mut pipeline.begun);
        for waiting in pipeline.waiting.drain(..) {
            let reply = match waiting {
                Waiting::Known(reply) => reply,
                Waiting::Begun(call, begun) => self.router.finish(self.session.port, call, begun).await,
            };
            put(&mut self.session, &self.node, &reply, output);
        }
        pipeline.queued.clear();
    }

    fn put(&mut self, reply: &Reply, output: &mut BytesMut) {
        put(&mut self.session, &self.node, reply, output);
    }

    async fn flush(&mut self, output: &mut BytesMut) -> std::io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let deadline = Duration::from_millis(limits::CLIENT_WRITE_MILLIS_MAX);
        let written = timeout(deadline, self.stream.write_all_buf(output)).await;
        written.map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the client does not take its replies"))?
    }
}

fn put(session: &mut Session, node: &NodeView, reply: &Reply, output: &mut BytesMut) {
    node.count(reply);
    if session.takes_reply() {
        reply.encode(session.protocol, output);
    }
    if output.len() > limits::REPLY_BUFFER_BYTES_MAX {
        session.is_closing = true;
    }
}
