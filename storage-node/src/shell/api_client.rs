//! The caller's end of the node-api, for commands of this program: reports and orders, over mutual TLS.

use super::tls::Certificates;
use crate::limits;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, http::request::Builder};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use std::time::Duration;
use strata_node_api::{Answer, BODY_BYTES_MAX, ORDERS_PATH, Order, REPORT_PATH, Report};

/// Calls nodes of one cluster. Every call is a connection of its own, so that a node that died leaves no dead one behind.
pub struct ApiClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl ApiClient {
    /// A client with these certificates. Nodes must show their host's name, or `server_name` where one is given. The error is a sentence.
    pub fn new(certificates: &Certificates, server_name: Option<&str>) -> Result<ApiClient, String> {
        let config = certificates.rustls_client().map_err(|error| error.to_string())?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let connector = match server_name {
            Some(name) => {
                let resolved =
                    ServerName::try_from(name.to_owned()).map_err(|error| format!("{name:?} is no name of a server: {error}"))?;
                builder.with_server_name_resolver(FixedServerNameResolver::new(resolved)).enable_http1().build()
            }
            None => builder.enable_http1().build(),
        };
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).retry_canceled_requests(false).build(connector);
        Ok(ApiClient { http })
    }

    /// What the node at `host:port` says of itself.
    pub async fn report(&self, node: &str) -> Result<Report, String> {
        self.call(Request::get(format!("https://{node}{REPORT_PATH}")), Bytes::new()).await
    }

    /// Gives an order to the node at `host:port`. A refusal is an answer, not an error; after an error nobody knows whether it was obeyed.
    pub async fn order(&self, node: &str, order: &Order) -> Result<Answer, String> {
        let body = serde_json::to_vec(order).map_err(|error| error.to_string())?;
        let request = Request::post(format!("https://{node}{ORDERS_PATH}")).header("content-type", "application/json");
        self.call(request, body.into()).await
    }

    async fn call<T: DeserializeOwned>(&self, request: Builder, body: Bytes) -> Result<T, String> {
        const SHOWN_BYTES: usize = 200;
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| causes(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| error.to_string())?.to_bytes();
            if !status.is_success() {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)])));
            }
            serde_json::from_slice(&body).map_err(|error| format!("its answer is not understood: {error}"))
        };
        let late = || Err(format!("no answer within {} s", limits::API_CALL_MILLIS_MAX / 1_000));
        tokio::time::timeout(Duration::from_millis(limits::API_CALL_MILLIS_MAX), exchange).await.unwrap_or_else(|_| late())
    }
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
