//! `/healthz`, `/readyz` and `/metrics` on a plain, read-only port. Not ready says why: a kind that Kubernetes does not know is named.

use crate::{
    limits::{STATUS_DEADLINE, STATUS_REQUEST_BYTES_MAX},
    metrics::Metrics,
};
use k8s_openapi::jiff::Timestamp;
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

/// Why the operator is not ready; `None` when it is.
pub type Readiness = Option<String>;

/// Answers probes for ever, one after the other: they are few, small and each has a deadline.
pub async fn serve(listener: TcpListener, readiness: Arc<watch::Sender<Readiness>>, metrics: Arc<Metrics>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let reason = readiness.borrow().clone();
        match timeout(STATUS_DEADLINE, answer(stream, reason, &metrics)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a probe broke off"),
            Err(_) => tracing::debug!("a probe took too long"),
        }
    }
}

async fn answer(mut stream: TcpStream, reason: Readiness, metrics: &Metrics) -> io::Result<()> {
    let mut request = vec![0; STATUS_REQUEST_BYTES_MAX];
    let mut length = 0;
    while length < request.len() && !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[length..]).await? {
            0 => return Ok(()),
            read => length += read,
        }
    }
    let (status, body) = respond(&request[..length], reason, || metrics.render(Timestamp::now()));
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn respond(request: &[u8], reason: Readiness, metrics: impl FnOnce() -> String) -> (&'static str, String) {
    match (request, reason) {
        (request, _) if request.starts_with(b"GET /healthz ") => ("200 OK", "ok\n".to_owned()),
        (request, _) if request.starts_with(b"GET /metrics ") => ("200 OK", metrics()),
        (request, None) if request.starts_with(b"GET /readyz ") => ("200 OK", "ok\n".to_owned()),
        (request, Some(reason)) if request.starts_with(b"GET /readyz ") => ("503 Service Unavailable", format!("{reason}\n")),
        _ => ("404 Not Found", "there are /healthz, /readyz and /metrics\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_ready_says_why() {
        let respond = |request: &[u8], reason| respond(request, reason, || "numbers\n".to_owned());
        let missing = Some("the kind KVCluster is missing".to_owned());
        assert_eq!(respond(b"GET /healthz HTTP/1.1\r\n", missing.clone()).0, "200 OK");
        assert_eq!(
            respond(b"GET /readyz HTTP/1.1\r\n", missing),
            ("503 Service Unavailable", "the kind KVCluster is missing\n".to_owned())
        );
        assert_eq!(respond(b"GET /readyz HTTP/1.1\r\n", None).0, "200 OK");
        assert_eq!(respond(b"GET /metrics HTTP/1.1\r\n", None), ("200 OK", "numbers\n".to_owned()));
        assert_eq!(respond(b"POST / HTTP/1.1\r\n", None).0, "404 Not Found");
    }
}
