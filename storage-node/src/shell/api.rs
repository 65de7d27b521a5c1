//! The node-api: reports and orders, over mutual TLS.

use super::driver::{HostHandle, Input};
use crate::limits;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::Listener,
};
use rustls::ServerConfig;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use strata_node_api::{Answer, BODY_BYTES_MAX, ORDERS_PATH, Order, REPORT_PATH, RefusalClass};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a caller may take to show its certificate.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long an order may take to be answered.
const ORDER: Duration = Duration::from_secs(30);

/// The routes of the node-api.
pub fn router(host: HostHandle) -> Router {
    Router::new()
        .route(REPORT_PATH, get(report))
        .route(ORDERS_PATH, post(order))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(host)
}

async fn report(State(host): State<HostHandle>) -> Response {
    match host.report().await {
        Some(report) => Json(report).into_response(),
        None => {
            let seconds = limits::COMMAND_DEADLINE_MILLIS / 1_000;
            (StatusCode::SERVICE_UNAVAILABLE, format!("the host did not answer within {seconds} s: its disk may be stuck")).into_response()
        }
    }
}

async fn order(State(host): State<HostHandle>, body: Result<Json<Order>, JsonRejection>) -> Response {
    let refuse = |class, message: String| Json(Answer::Refused { class, message }).into_response();
    let order = match body {
        Ok(Json(order)) => order,
        Err(rejection) => return refuse(RefusalClass::Invalid, rejection.body_text()),
    };
    let (sender, answer) = oneshot::channel();
    if host.offer(Input::Order(Box::new(order), sender)).is_err() {
        return refuse(RefusalClass::NotReady, "the node is busy: give the order again".to_owned());
    }
    match timeout(ORDER, answer).await {
        Ok(Ok(answer)) => Json(answer).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the order was not answered within 30 s: give it again").into_response(),
    }
}

/// Accepts callers that show a certificate of our authority. Handshakes run side by side, so that a slow caller delays nobody.
pub struct TlsListener {
    streams: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl TlsListener {
    /// Callers of `listener`.
    pub fn new(listener: TcpListener, config: Arc<ServerConfig>) -> io::Result<TlsListener> {
        let address = listener.local_addr()?;
        let (sender, streams) = mpsc::channel(16);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, TlsAcceptor::from(config), sender));
        Ok(TlsListener { streams, address, _task: task })
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, streams: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    /// Handshakes at the same time.
    const HANDSHAKES_MAX: usize = 256;
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.len() >= HANDSHAKES_MAX {
            handshakes.join_next().await;
        }
        while handshakes.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a caller of the node-api was not accepted");
                continue;
            }
        };
        let (acceptor, streams) = (acceptor.clone(), streams.clone());
        handshakes.spawn(async move {
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(streams.send((stream, address)).await),
                Ok(Err(error)) => tracing::warn!(%address, %error, "a caller of the node-api was refused"),
                Err(_) => tracing::warn!(%address, "a caller of the node-api did not finish its handshake"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
