//! One client connection: requests in, replies out in their order.

use super::{
    driver::Token,
    node::NodeView,
    router::{Begun, Router},
};
use crate::{
    host::{Command, Grant, Leased, ReplyRoom},
    limits,
    pipeline::PipelineOrder,
};
use bytes::{Buf, BytesMut};
use std::{io, sync::Arc, time::Duration};
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

/// Replies are sent once there are this many bytes of them, and buffers that grew beyond it are not kept for the next request.
const BUFFER_BYTES: usize = 1 << 20;

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
    order: PipelineOrder,
    /// What the replies to what was begun may take.
    room: ReplyRoom,
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
    pub async fn run(mut self) -> io::Result<()> {
        let (mut reader, mut input, mut output) = (RequestReader::default(), BytesMut::new(), BytesMut::new());
        while !self.session.is_closing {
            // From its front again, once everything in it was answered: less memory to keep in the processor's caches.
            let is_reclaimed = input.is_empty() && input.try_reclaim(READ_BYTES);
            if !is_reclaimed && input.capacity() - input.len() < READ_BYTES / 4 {
                input.reserve(READ_BYTES);
            }
            if self.stream.read_buf(&mut input).await? == 0 {
                break;
            }
            self.session.active_ms = self.node.now_ms();
            let is_large = input.len() > BUFFER_BYTES;
            loop {
                let is_drained = self.serve_batch(&mut reader, &mut input, &mut output).await?;
                self.flush(&mut output).await?;
                if is_drained || self.session.is_closing {
                    break;
                }
            }
            if is_large && input.is_empty() {
                input = BytesMut::new();
            }
        }
        // The client sees its last reply before the connection ends.
        self.stream.shutdown().await
    }

    /// Serves the whole requests in `input`, up to a bound; whether all of them were.
    async fn serve_batch(&mut self, reader: &mut RequestReader, input: &mut BytesMut, output: &mut BytesMut) -> io::Result<bool> {
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
                self.answer(&mut pipeline, output).await?;
                if self.session.is_closing {
                    break;
                }
                let reply = call.answer(&mut self.session, &*self.node);
                self.put(&reply, output);
                continue;
            }
            let grant = match self.read_at_once(&call, &pipeline) {
                Leased::Reply(reply) => {
                    pipeline.room.take(&reply);
                    pipeline.waiting.push(Waiting::Known(reply));
                    continue;
                }
                Leased::Disk(grant) => Some(grant),
                Leased::Host => None,
            };
            if let Some(begun) = self.begin(&call, grant, &mut pipeline) {
                pipeline.waiting.push(Waiting::Begun(call, begun));
            } else {
                // Several shards or other nodes: their order with what is under way is kept by waiting for that first.
                self.answer(&mut pipeline, output).await?;
                if self.session.is_closing {
                    break;
                }
                let reply = self.router.route(self.session.port, call).await;
                pipeline.waiting.push(Waiting::Known(reply));
            }
        }
        self.answer(&mut pipeline, output).await?;
        Ok(is_drained)
    }

    /// A reply that needs no host, while there is room for it.
    fn read_at_once(&self, call: &Call, pipeline: &Pipeline) -> Leased {
        if pipeline.room.is_spent() {
            return Leased::Host;
        }
        self.router.read_at_once(call, |shard| pipeline.order.may_answer_at_once(shard))
    }

    fn begin(&self, call: &Call, grant: Option<Box<Grant>>, pipeline: &mut Pipeline) -> Option<Begun> {
        let Pipeline { begun: earlier, order, room, .. } = pipeline;
        let is_write = call.spec.is_write();
        let begun = self.router.begin((call, grant), earlier, room, |shard| order.is_beside_queue(shard, is_write))?;
        order.begin(begun.shard(), is_write, earlier);
        Some(begun)
    }

    /// Answers everything that was read, in its order; nothing is in a queue then. Replies that are many or large are sent while the rest is
    /// waited for.
    async fn answer(&mut self, pipeline: &mut Pipeline, output: &mut BytesMut) -> io::Result<()> {
        self.router.submit(&mut pipeline.begun);
        pipeline.room = ReplyRoom::default();
        let has_writes = pipeline.order.has_writes();
        pipeline.order.clear();
        for waiting in pipeline.waiting.drain(..) {
            let reply = match waiting {
                Waiting::Known(reply) => Some(reply),
                Waiting::Begun(call, begun) => self.router.finish(self.session.port, call, begun, !has_writes).await,
            };
            let Some(reply) = reply else {
                self.session.is_closing = true;
                break;
            };
            self.put(&reply, output);
            if output.len() > BUFFER_BYTES {
                self.flush(output).await?;
            }
        }
        Ok(())
    }

    fn put(&mut self, reply: &Reply, output: &mut BytesMut) {
        self.node.count(reply);
        if self.session.takes_reply() {
            reply.encode(self.session.protocol, output);
        }
    }

    async fn flush(&mut self, output: &mut BytesMut) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let is_large = output.len() > 2 * BUFFER_BYTES;
        let deadline = Duration::from_millis(self.node.client_write_millis);
        let written = timeout(deadline, self.stream.write_all_buf(output)).await;
        written.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client does not take its replies"))??;
        if is_large {
            *output = BytesMut::new();
        }
        Ok(())
    }
}
