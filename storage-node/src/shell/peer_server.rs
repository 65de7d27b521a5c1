//! What other nodes may ask of this one.

use super::{
    driver::{HostHandle, Input},
    forward,
    proto::{Delivered, Envelope, ForwardReply, ForwardRequest, SnapshotPiece, peer_server::Peer},
    snapshot::{self, OpenReceived},
    wire,
};
use crate::{host::Event, limits};
use std::path::PathBuf;
use strata_base::StoreId;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Serves the peer protocol.
pub struct PeerServer {
    /// The host.
    pub host: HostHandle,
    /// Where snapshots are received.
    pub incoming: PathBuf,
    /// How they are opened.
    pub open: OpenReceived,
}

#[tonic::async_trait]
impl Peer for PeerServer {
    async fn deliver(&self, request: Request<Streaming<Envelope>>) -> Result<Response<Delivered>, Status> {
        let mut envelopes = request.into_inner();
        while let Some(envelope) = envelopes.message().await? {
            if envelope.to != self.host.store.0 {
                return Err(Status::failed_precondition("this is another store: its disk was replaced"));
            }
            let messages = envelope.messages.into_iter().filter_map(wire::from_wire).collect();
            // A host that is busy loses messages, as a network does.
            let _ = self.host.offer(Input::Event(Event::Messages { from: StoreId(envelope.from), messages }));
        }
        Ok(Response::new(Delivered {}))
    }

    type ForwardStream = Replies;

    async fn forward(&self, request: Request<Streaming<ForwardRequest>>) -> Result<Response<Replies>, Status> {
        let (sender, replies) = mpsc::channel(limits::PIPELINE_MAX);
        let mut task = JoinSet::new();
        task.spawn(forward::serve(self.host.clone(), request.into_inner(), sender));
        Ok(Response::new(Replies { replies: ReceiverStream::new(replies), _task: task }))
    }

    async fn send_snapshot(&self, request: Request<Streaming<SnapshotPiece>>) -> Result<Response<Delivered>, Status> {
        snapshot::receive(&self.host, &self.incoming, &self.open, request.into_inner()).await?;
        Ok(Response::new(Delivered {}))
    }
}

/// Outcomes of forwarded commands; the task that makes them ends with the stream.
pub struct Replies {
    replies: ReceiverStream<Result<ForwardReply, Status>>,
    _task: JoinSet<()>,
}

impl tokio_stream::Stream for Replies {
    type Item = Result<ForwardReply, Status>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.replies).poll_next(context)
    }
}
