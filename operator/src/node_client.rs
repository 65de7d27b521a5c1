//! Asks nodes for reports and gives them orders: HTTP over mutual TLS, with the cluster's own authority on both sides.

use crate::{
    certificates::{self, Entries, NODE_NAME},
    limits::NODE_DEADLINE,
    names::PORT_API,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde::de::DeserializeOwned;
use strata_node_api::{Answer, BODY_BYTES_MAX, ORDERS_PATH, Order, REPORT_PATH, Report};
use tokio::time::timeout;

/// A client for the nodes of one cluster.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl NodeClient {
    /// A client with the operator's certificate, from the Secret of the cluster's authority. The error says what is wrong with it.
    pub fn new(authority: &Entries) -> Result<NodeClient, String> {
        let text = |key: &str| authority.get(key).ok_or_else(|| format!("the authority's Secret has no entry {key}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text(certificates::CA)?.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("{}: {error}", certificates::CA))?;
            roots.add(certificate).map_err(|error| format!("{}: {error}", certificates::CA))?;
        }
        let own = CertificateDer::pem_slice_iter(text(certificates::CERTIFICATE)?.as_bytes()).collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|error| format!("{}: {error}", certificates::CERTIFICATE))?;
        let key = PrivateKeyDer::from_pem_slice(text(certificates::KEY)?.as_bytes())
            .map_err(|error| format!("{}: {error}", certificates::KEY))?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(own, key);
        let name = ServerName::try_from(NODE_NAME).map_err(|error| error.to_string())?;
        // Pods are called by their addresses, which change; what is verified is that it is a node of this cluster.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.map_err(|error| error.to_string())?)
            .https_only()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .build();
        Ok(NodeClient { http: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// What a node says of itself.
    pub async fn report(&self, address: &str) -> Result<Report, String> {
        self.call(Request::get(url(address, REPORT_PATH)), Bytes::new()).await
    }

    /// What a node makes of an order.
    pub async fn order(&self, address: &str, order: &Order) -> Result<Answer, String> {
        let body = serde_json::to_vec(order).map_err(|error| error.to_string())?;
        self.call(Request::post(url(address, ORDERS_PATH)).header("content-type", "application/json"), body.into()).await
    }

    async fn call<T: DeserializeOwned>(&self, request: hyper::http::request::Builder, body: Bytes) -> Result<T, String> {
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| causes(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| error.to_string())?.to_bytes();
            if !status.is_success() {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])));
            }
            serde_json::from_slice(&body).map_err(|error| format!("the answer is not understood: {error}"))
        };
        timeout(NODE_DEADLINE, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {} s", NODE_DEADLINE.as_secs())))
    }
}

fn url(address: &str, path: &str) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("https://{host}:{PORT_API}{path}")
}

/// An error with what caused it: the outermost alone says "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
