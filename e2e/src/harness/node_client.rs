//! The operator's end of node-api: reports and orders as JSON over HTTP over mutual TLS.

use super::certificates::Identity;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::de::DeserializeOwned;
use std::{fmt::Display, path::Path, sync::Arc, time::Duration};
use strata_node_api::{Answer, BODY_BYTES_MAX, ORDERS_PATH, Order, REPORT_PATH, Report};

/// How long a call may take, connecting included.
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Why a call brought no answer, as a sentence. Whether the node obeyed is unknown then; orders may be given twice.
pub type CallError = String;

/// Calls nodes of one cluster. Every call is a connection of its own, so a node that was killed leaves no dead one behind.
#[derive(Clone)]
pub struct NodeClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl NodeClient {
    /// A client that trusts `authority` and shows `identity`.
    pub fn new(authority: &Path, identity: &Identity) -> Result<NodeClient, CallError> {
        let config = trusting(authority)?
            .with_client_auth_cert(certificates(&identity.certificate)?, key(&identity.key)?)
            .map_err(because("use the client certificate"))?;
        Ok(NodeClient::over(config))
    }

    /// A client that trusts `authority` and shows no certificate: what a node must refuse.
    pub fn anonymous(authority: &Path) -> Result<NodeClient, CallError> {
        Ok(NodeClient::over(trusting(authority)?.with_no_client_auth()))
    }

    fn over(config: ClientConfig) -> NodeClient {
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).retry_canceled_requests(false).build(connector);
        NodeClient { http }
    }

    /// What the node at a port of the loopback says of itself.
    pub async fn report(&self, port: u16) -> Result<Report, CallError> {
        self.call(Method::GET, port, REPORT_PATH, Bytes::new()).await
    }

    /// Gives an order to the node at a port of the loopback. A refusal is an answer, not an error.
    pub async fn order(&self, port: u16, order: &Order) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(order).map_err(because("write the order as JSON"))?;
        self.call(Method::POST, port, ORDERS_PATH, body.into()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, port: u16, path: &str, body: Bytes) -> Result<T, CallError> {
        let url = format!("https://127.0.0.1:{port}{path}");
        let request = Request::builder().method(method).uri(&url).header("content-type", "application/json");
        let request = request.body(Full::new(body)).map_err(because("form the request"))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| format!("cannot reach {url}: {}", causes(&error)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map_err(because(&format!("read what {url} answered")))?.to_bytes();
            serde_json::from_slice(&body)
                .map_err(|error| format!("{url} answered {status} with {:?}, which does not decode: {error}", excerpt(&body)))
        };
        match tokio::time::timeout(CALL_DEADLINE, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("{url} did not answer within {} s", CALL_DEADLINE.as_secs())),
        }
    }
}

fn trusting(authority: &Path) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, CallError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(because("trust the authority"))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    Ok(builder.map_err(because("choose a TLS version"))?.with_root_certificates(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CallError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(because(&format!("read {}", path.display())))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CallError> {
    PrivateKeyDer::from_pem_file(path).map_err(because(&format!("read {}", path.display())))
}

fn because<E: Display>(attempt: &str) -> impl FnOnce(E) -> CallError {
    move |error| format!("cannot {attempt}: {error}")
}

/// An error and what it stands on: hyper's own sentence says only that it could not connect.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}
