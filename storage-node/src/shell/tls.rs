//! The node's certificate, and whom it believes.

use crate::config::Tls;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{path::Path, sync::Arc};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// A certificate could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {what} at {path}: {reason}")]
pub struct TlsError {
    what: &'static str,
    path: String,
    reason: String,
}

/// The node's certificate, and whom it believes.
pub struct Certificates {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    paths: Tls,
}

impl Certificates {
    /// Reads the files.
    pub fn load(paths: &Tls) -> Result<Certificates, TlsError> {
        let read = |what, path: &Path| std::fs::read(path).map_err(|error| error_of(what, path, &error));
        Ok(Certificates {
            ca: read("the authority tls.ca", &paths.ca)?,
            certificate: read("the certificate tls.certificate", &paths.certificate)?,
            key: read("the key tls.key", &paths.key)?,
            paths: paths.clone(),
        })
    }

    /// For the peer protocol's server: callers without a certificate of our authority are refused.
    pub fn tonic_server(&self) -> ServerTlsConfig {
        let identity = Identity::from_pem(&self.certificate, &self.key);
        ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(&self.ca))
    }

    /// For the peer protocol's client.
    pub fn tonic_client(&self) -> ClientTlsConfig {
        let identity = Identity::from_pem(&self.certificate, &self.key);
        ClientTlsConfig::new().identity(identity).ca_certificate(Certificate::from_pem(&self.ca))
    }

    /// For the node-api's server.
    pub fn rustls_server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?)).build();
        let verifier = verifier.map_err(|error| error_of("the authority tls.ca", &self.paths.ca, &error))?;
        let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(self.chain()?, self.private_key()?);
        Ok(Arc::new(config.map_err(|error| error_of("the certificate tls.certificate", &self.paths.certificate, &error))?))
    }

    /// For the node-api's client.
    pub fn rustls_client(&self) -> Result<ClientConfig, TlsError> {
        let config =
            ClientConfig::builder().with_root_certificates(self.roots()?).with_client_auth_cert(self.chain()?, self.private_key()?);
        config.map_err(|error| error_of("the certificate tls.certificate", &self.paths.certificate, &error))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.ca) {
            let certificate = certificate.map_err(|error| error_of("the authority tls.ca", &self.paths.ca, &error))?;
            roots.add(certificate).map_err(|error| error_of("the authority tls.ca", &self.paths.ca, &error))?;
        }
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        chain.map_err(|error| error_of("the certificate tls.certificate", &self.paths.certificate, &error))
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| error_of("the key tls.key", &self.paths.key, &error))
    }
}

fn error_of(what: &'static str, path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError { what, path: path.display().to_string(), reason: error.to_string() }
}
