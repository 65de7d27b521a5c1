//! A small authority per cluster, and the certificates it issues: one for the nodes, one for the operator.
//!
//! ```text
//! Secret NAME-authority       ca.crt ca.key, tls.crt tls.key of the operator     read by the operator alone
//! Secret NAME-certificates    ca.crt, tls.crt tls.key of the nodes               mounted by the nodes
//! ```
//!
//! Every internal port of a node accepts what this authority issued, and nothing else. Nodes read the files again when they change, so
//! new certificates need no restart. Everything is valid for ten years: what ends trust is a new authority, not a calendar.
//!
//! Not done here, and why: a new authority needs a time in which both are trusted, which is the issue of rotation.

use crate::names::Names;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use std::collections::BTreeMap;

/// The authority's certificate, in PEM.
pub const CA: &str = "ca.crt";
/// The authority's private key, in PEM.
pub const CA_KEY: &str = "ca.key";
/// A certificate, in PEM.
pub const CERTIFICATE: &str = "tls.crt";
/// Its private key, in PEM.
pub const KEY: &str = "tls.key";

/// The name that the nodes' certificate carries besides the names of pods.
pub const NODE_NAME: &str = "strata-node";

/// Entries of a Secret.
pub type Entries = BTreeMap<String, String>;

/// Both Secrets of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// For the operator alone.
    pub authority: Entries,
    /// For the nodes.
    pub nodes: Entries,
}

/// Makes an authority and all certificates of a cluster anew. `year` is the current one.
pub fn issue(names: &Names, year: i32) -> Result<Certificates, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let authority = authority_params(names, year);
    let ca = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::from_params(&authority, &authority_key);
    let (operator, operator_key) = issue_one(vec!["strata-operator".to_owned()], year, &issuer)?;
    let (node, node_key) = issue_one(node_names(names), year, &issuer)?;
    let entries = |pairs: &[(&str, &String)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect();
    Ok(Certificates {
        authority: entries(&[(CA, &ca), (CA_KEY, &authority_key.serialize_pem()), (CERTIFICATE, &operator), (KEY, &operator_key)]),
        nodes: entries(&[(CA, &ca), (CERTIFICATE, &node), (KEY, &node_key)]),
    })
}

/// The nodes' entries again, from an authority that exists: after a crash between the two Secrets.
pub fn issue_nodes(names: &Names, authority: &Entries, year: i32) -> Result<Entries, rcgen::Error> {
    let text = |key: &str| authority.get(key).cloned().unwrap_or_default();
    let authority_key = KeyPair::from_pem(&text(CA_KEY))?;
    let params = authority_params(names, year);
    let (node, node_key) = issue_one(node_names(names), year, &Issuer::from_params(&params, &authority_key))?;
    Ok([(CA, text(CA)), (CERTIFICATE, node), (KEY, node_key)].map(|(key, value)| (key.to_owned(), value)).into())
}

fn authority_params(names: &Names, year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, format!("strata {}/{}", names.namespace, names.cluster));
    valid_for_ten_years(&mut params, year);
    params
}

fn issue_one(subjects: Vec<String>, year: i32, issuer: &Issuer<'_, &KeyPair>) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(subjects.clone())?;
    params.distinguished_name.push(DnType::CommonName, subjects.first().cloned().unwrap_or_default());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A node is a server to some and a client to others.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for_ten_years(&mut params, year);
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn valid_for_ten_years(params: &mut CertificateParams, year: i32) {
    // From the year before, since clocks of nodes may lag.
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + 10, 1, 1);
}

fn node_names(names: &Names) -> Vec<String> {
    let service = format!("{}.{}.svc", names.headless(), names.namespace);
    vec![NODE_NAME.to_owned(), format!("*.{service}"), format!("*.{service}.cluster.local"), "localhost".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_read_back_issues_for_the_same_trust() {
        let names = Names { cluster: "orders".into(), namespace: "shop".into() };
        let made = issue(&names, 2026).expect("certificates are issued");
        let again = issue_nodes(&names, &made.authority, 2027).expect("certificates are issued");
        assert_eq!(again[CA], made.nodes[CA]);
        assert_ne!(again[KEY], made.nodes[KEY]);
        assert!(!made.nodes.contains_key(CA_KEY), "nodes never see the authority's key");
    }
}
