//! A certificate authority for one cluster, and what it signs: a certificate for each node, and one for the operator.

use crate::failure::Failure;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// An authority that exists for one cluster.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
    certificate: PathBuf,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key, readable by its owner only.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority whose files go into `directory`, which must exist.
    pub fn create(directory: &Path) -> Result<Authority, Failure> {
        let mut params = CertificateParams::new(Vec::new()).map_err(Failure::of("describe an authority"))?;
        params.distinguished_name.push(DnType::CommonName, "strata test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, new_key()?).map_err(Failure::of("sign an authority"))?;
        let certificate = directory.join("ca.pem");
        write_secret(&certificate, &issuer.pem())?;
        Ok(Authority { issuer, directory: directory.to_owned(), certificate })
    }

    /// The file of the authority's certificate.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Signs a certificate for whoever is called `name` and is reached on the loopback. It serves for both ends of a connection.
    pub fn sign(&self, name: &str) -> Result<Identity, Failure> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).map_err(Failure::of("describe a certificate"))?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Failure::of(format!("sign a certificate for {name}")))?;
        let identity =
            Identity { certificate: self.directory.join(format!("{name}.pem")), key: self.directory.join(format!("{name}.key")) };
        write_secret(&identity.certificate, &certificate.pem())?;
        write_secret(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

fn new_key() -> Result<KeyPair, Failure> {
    KeyPair::generate().map_err(Failure::of("generate a key"))
}

fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let open = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let written = open.and_then(|mut file: File| file.write_all(text.as_bytes()));
    written.map_err(Failure::of(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_for_its_owner_only() {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::create(directory.path()).expect("an authority");
        let identity = authority.sign("node-0").expect("a certificate");
        let mode = std::fs::metadata(&identity.key).expect("the key was written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
