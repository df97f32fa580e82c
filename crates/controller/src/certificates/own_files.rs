//! Reads a certificate and its key from PEM texts, and checks that browsers can use them.

use rollout::time::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use store::records::{Certificate, CertificateSource};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::clock::rfc3339;

/// A certificate for `name` from the texts of two files, which must be valid now. Errors: a sentence that never repeats a
/// part of the key.
pub(crate) fn read(
    name: &str,
    chain: &str,
    key: &str,
    source: CertificateSource,
    now: Timestamp,
) -> Result<Certificate, String> {
    let ders = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let ders = ders.map_err(|error| format!("the certificate is not in PEM format: {error}"))?;
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "the key file has no private key in PEM format, or the key has a passphrase".to_owned())?;
    let parsed = ders.iter().map(|der| X509Certificate::from_der(der).map(|(_, it)| it)).collect::<Result<Vec<_>, _>>();
    let parsed = parsed.map_err(|error| format!("a certificate of the chain cannot be read: {error}"))?;
    let Some(own) = parsed.first() else { return Err("the certificate file contains no certificate".to_owned()) };
    if let Some(pair) = parsed.windows(2).find(|pair| pair[0].issuer() != pair[1].subject()) {
        return Err(format!(
            "the chain is not in order: {} was issued by {}, but {} follows it. Write the certificate first, then the one \
             of its issuer",
            pair[0].subject(),
            pair[0].issuer(),
            pair[1].subject()
        ));
    }
    let names = names_of(own);
    let (not_before, not_after) = (time(own.validity().not_before), time(own.validity().not_after));
    let certificate = Certificate {
        name: name.to_owned(),
        source,
        names,
        chain: chain.to_owned(),
        key: key.to_owned(),
        not_before,
        not_after,
        added: now,
    };
    if !super::decide::covers(&certificate, name) {
        let names = certificate.names.join(", ");
        return Err(format!("the certificate is not valid for {name}, but for: {names}"));
    }
    if not_after <= now {
        return Err(format!("the certificate expired on {}", rfc3339(not_after)));
    }
    if now < not_before {
        return Err(format!("the certificate is not valid before {}", rfc3339(not_before)));
    }
    CertifiedKey::from_der(ders, private, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        other => format!("the certificate and the key cannot be used: {other}"),
    })?;
    Ok(certificate)
}

/// The host names that a certificate is valid for. Browsers ignore its subject.
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|it| &it.value.general_names);
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.filter_map(dns).collect()
}

fn time(time: x509_parser::time::ASN1Time) -> Timestamp {
    Timestamp(u64::try_from(time.timestamp()).unwrap_or_default().saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn now() -> Timestamp {
        let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        Timestamp(u64::try_from(passed.as_millis()).expect("a time"))
    }

    /// A chain of a certificate and its issuer, and the key.
    fn made(names: &[&str]) -> (String, String, String) {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "Authority");
        let issuer = authority.self_signed(&authority_key).expect("a certificate").pem();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + DAY * 80).into();
        let own = params.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate").pem();
        (own, issuer, key.serialize_pem())
    }

    #[test]
    fn a_chain_with_its_key_is_read() {
        let (own, issuer, key) = made(&["Example.com", "*.example.com"]);
        for chain in [own.clone(), format!("{own}{issuer}")] {
            let read = read("a.example.com", &chain, &key, CertificateSource::OwnFiles, now()).expect("usable");
            assert_eq!(read.names, ["example.com", "*.example.com"]);
            assert_eq!(read.not_after.since(read.not_before).as_secs(), 81 * 24 * 60 * 60);
        }
    }

    #[test]
    fn files_that_browsers_cannot_use_are_refused_with_the_reason_and_without_the_key() {
        let (own, issuer, key) = made(&["example.com"]);
        let (_, _, other_key) = made(&["example.com"]);
        let (late, early) = (now().plus(DAY * 81), Timestamp(now().0 - DAY.as_millis() as u64 * 2));
        let chain = format!("{own}{issuer}");
        let table = [
            ("example.com", format!("{issuer}{own}"), &key, now(), "not in order"),
            ("example.com", chain.clone(), &other_key, now(), "does not belong"),
            ("example.org", chain.clone(), &key, now(), "not valid for example.org, but for: example.com"),
            ("a.example.com", chain.clone(), &key, now(), "not valid for a.example.com"),
            ("example.com", chain.clone(), &key, late, "expired on"),
            ("example.com", chain.clone(), &key, early, "not valid before"),
            ("example.com", String::new(), &key, now(), "no certificate"),
            ("example.com", "-----BEGIN CERTIFICATE-----\nx".to_owned(), &key, now(), "PEM"),
            ("example.com", chain.clone(), &chain, now(), "no private key"),
        ];
        for (name, chain, key, now, wanted) in table {
            let error = read(name, &chain, key, CertificateSource::OwnFiles, now).expect_err(wanted);
            assert!(error.contains(wanted), "{error}");
            assert!(key.lines().filter(|it| it.len() > 20).all(|line| !error.contains(line)), "{error}");
        }
    }
}
