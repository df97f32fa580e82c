//! The local certificate authority, which issues certificates on hosts without a public one: for the API, and for apps under
//! names that are reserved for local use.
//!
//! Clients trust its certificate, so its certificate limits what its key can do: it can only certify servers under names of
//! this host, local names, and the outside name of the API. The key stays in the data directory.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use data_dir::{DataDirError, private_files};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::decide::LOCAL_SUFFIXES;
use crate::supervise::lock;

/// Why the local authority cannot issue a certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its files cannot be read or written.
    #[error("the files of the certificate authority cannot be used")]
    Files(#[from] DataDirError),
    /// A certificate cannot be issued, for example for a name with characters that certificates do not allow.
    #[error("cannot issue a certificate for {names}")]
    Issue {
        /// The names, separated by commas.
        names: String,
        /// Why not.
        #[source]
        cause: rcgen::Error,
    },
}

/// A certificate that the authority has issued, with a new key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate in PEM format. Clients have the authority's.
    pub chain: String,
    /// The key in PEM format.
    pub key: String,
    /// When it should be replaced.
    pub renew_at: SystemTime,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Lifetime of the authority.
const AUTHORITY_DAYS: u32 = 3652;
/// An authority that expires earlier is replaced at the start of the server.
const SPARE_DAYS: u32 = 365;
/// Lifetime of a server certificate, and the age at which the server replaces it.
const SERVER_DAYS: u32 = 90;
const RENEW_AFTER_DAYS: u32 = 60;
/// How a certificate in PEM format begins.
const CERTIFICATE_BEGINS: &str = "-----BEGIN CERTIFICATE-----";

/// Held while the files are read or written: by the API, and by the task that gets certificates.
static FILES: Mutex<()> = Mutex::new(());

/// The key of the authority and its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// The certificate that clients have to trust.
pub fn certificate_file(directory: &Path) -> PathBuf {
    directory.join("authority.pem")
}

fn key_file(directory: &Path) -> PathBuf {
    directory.join("authority.key")
}

/// The authority in the directory, or a new one if there is none that can certify these names, and names below
/// [`LOCAL_SUFFIXES`], for a year. Errors: its files cannot be used.
pub fn load_or_create(directory: &Path, names: &[String], now: SystemTime) -> Result<Authority, AuthorityError> {
    let _files = lock(&FILES);
    let file = certificate_file(directory);
    match load(directory)? {
        Some(Ok(authority)) => match authority.check(names, now) {
            Ok(()) => return Ok(authority),
            Err(reason) => warn_replaced(&file, &reason),
        },
        Some(Err(reason)) => warn_replaced(&file, &reason),
        None => info!(file = %file.display(), "created the local certificate authority"),
    }
    create(directory, names, now)
}

fn warn_replaced(file: &Path, reason: &str) {
    let file = file.display();
    warn!(%file, reason, "created another local certificate authority: clients have to trust the new one");
}

/// The authority in the directory, if there is one that can be read.
pub(crate) fn existing(directory: &Path) -> Result<Option<Authority>, AuthorityError> {
    let _files = lock(&FILES);
    Ok(load(directory)?.and_then(Result::ok))
}

/// `None` if there is no authority. An inner error says what is wrong with the files.
fn load(directory: &Path) -> Result<Option<Result<Authority, String>>, DataDirError> {
    let (key, certificate) = (key_file(directory), certificate_file(directory));
    let mode = private_files::open_to_others(&key).map_err(|cause| file_error("check the mode of", &key, cause))?;
    if let Some(mode) = mode {
        return Err(DataDirError::OpenToOthers { path: key, mode, wanted: 0o600 });
    }
    let read = |path: &Path| private_files::read_small(path).map_err(|cause| file_error("read", path, cause));
    let Some(private) = read(&key)? else { return Ok(None) };
    let shown = read(&certificate)?;
    let private = match String::from_utf8(private) {
        Ok(private) => private,
        Err(error) => return Ok(Some(Err(error.to_string()))),
    };
    let own = match private.find(CERTIFICATE_BEGINS) {
        Some(at) => {
            let own = &private.as_bytes()[at..];
            if shown.as_deref() != Some(own) {
                // The write of the second file was interrupted, or somebody changed it.
                write(&certificate, own)?;
            }
            own
        }
        // Older versions wrote the certificate to its own file only.
        None => match &shown {
            Some(shown) => shown,
            None => return Ok(None),
        },
    };
    Ok(Some(pair(own, &private)))
}

/// Errors: the texts cannot be read, or the certificate is that of another key.
fn pair(certificate: &[u8], key: &str) -> Result<Authority, String> {
    let certificate = CertificateDer::from_pem_slice(certificate).map_err(|error| error.to_string())?;
    let key = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|error| error.to_string())?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err("the key does not belong to the certificate".into());
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|error| error.to_string())?;
    Ok(Authority { issuer, certificate })
}

fn create(directory: &Path, names: &[String], now: SystemTime) -> Result<Authority, AuthorityError> {
    let refused = |cause| AuthorityError::Issue { names: names.join(", "), cause };
    let key = KeyPair::generate().map_err(refused)?;
    let id = hex::encode(&Sha256::digest(key.der_bytes())[..4]);
    let mut params = CertificateParams::default();
    // Clients find an issuer by its subject, and a client may trust several installations.
    params.distinguished_name = named(format!("Boatyard local authority {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = Some(constraints(names));
    (params.not_before, params.not_after) = ((now - DAY).into(), (now + DAY * AUTHORITY_DAYS).into());
    let certificate = params.self_signed(&key).map_err(refused)?;
    private_files::make_directory(directory).map_err(|cause| file_error("create", directory, cause))?;
    // One file contains both, so that a crash leaves no key without its certificate. The other file is a copy of the
    // certificate for clients.
    write(&key_file(directory), format!("{}{}", key.serialize_pem(), certificate.pem()).as_bytes())?;
    write(&certificate_file(directory), certificate.pem().as_bytes())?;
    Ok(Authority { certificate: certificate.der().clone(), issuer: Issuer::new(params, key) })
}

fn write(path: &Path, text: &[u8]) -> Result<(), DataDirError> {
    private_files::write_whole(path, text).map_err(|cause| file_error("write", path, cause))
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// The subtrees that contain these names. A constraint on a domain includes the names below it.
fn constraints(names: &[String]) -> NameConstraints {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|it| it.parse::<CidrSubnet>().expect("a subnet"));
    let mut permitted: Vec<_> = loopback.into_iter().map(GeneralSubtree::IpAddress).collect();
    permitted.extend(LOCAL_SUFFIXES.map(|suffix| GeneralSubtree::DnsName(suffix.into())));
    for name in names {
        match name.parse::<IpAddr>().ok() {
            Some(ip) if ip.is_loopback() => {}
            Some(ip) => {
                let whole = if ip.is_ipv4() { 32 } else { 128 };
                permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, whole)));
            }
            None if name == "localhost" || super::decide::is_local(name) => {}
            None => permitted.push(GeneralSubtree::DnsName(name.clone())),
        }
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() }
}

/// The name of the authority whose certificate this is, in PEM format. `None`: it is not a certificate with a name.
pub fn name_of(certificate: &[u8]) -> Option<String> {
    let certificate = CertificateDer::from_pem_slice(certificate).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

impl Authority {
    /// A certificate with a new key for a server with these names. Errors: a name is not allowed in certificates.
    pub fn issue(&self, names: &[String], now: SystemTime) -> Result<Issued, AuthorityError> {
        let refused = |cause| AuthorityError::Issue { names: names.join(", "), cause };
        let key = KeyPair::generate().map_err(refused)?;
        let mut params = CertificateParams::new(names).map_err(refused)?;
        params.distinguished_name = named("Boatyard".into());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // It begins in the past, for clients whose clock is late.
        (params.not_before, params.not_after) = ((now - DAY).into(), (now + DAY * (SERVER_DAYS - 1)).into());
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        Ok(Issued { chain: certificate.pem(), key: key.serialize_pem(), renew_at: now + DAY * RENEW_AFTER_DAYS })
    }

    /// Whether clients that trust this authority accept the certificate for this name. `chain`: in PEM format.
    pub fn certifies(&self, chain: &str, name: &str, now: SystemTime) -> bool {
        self.verify(chain, name, now).is_ok()
    }

    /// Whether clients that trust this authority will accept certificates for these names for a year. Errors: the reason.
    fn check(&self, names: &[String], now: SystemTime) -> Result<(), String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).map_err(|error| error.to_string())?;
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let expires = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        if expires < seconds(now + DAY * SPARE_DAYS) {
            return Err("the old one expires within a year".into());
        }
        // Authorities of older versions permit only the names of this host.
        let local = LOCAL_SUFFIXES.map(|suffix| format!("any.{suffix}"));
        let names: Vec<String> = names.iter().cloned().chain(local).collect();
        let trial = self.issue(&names, now).map_err(|error| error.to_string())?;
        let verified = names.iter().try_for_each(|name| self.verify(&trial.chain, name, now));
        verified.map_err(|error| format!("the old one cannot certify {}: {error}", names.join(", ")))
    }

    fn verify(&self, chain: &str, name: &str, now: SystemTime) -> Result<(), rustls::Error> {
        let general = |error: &dyn std::fmt::Display| rustls::Error::General(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| general(&error))?;
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|error| general(&error))?;
        // A wildcard certifies names below it.
        let name = name.strip_prefix('*').map_or(name.to_owned(), |rest| format!("any{rest}"));
        let host = ServerName::try_from(name).map_err(|error| general(&error))?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        verifier.verify_server_cert(&certificate, &[], &host, &[], now).map(|_| ())
    }
}

fn file_error(doing: &'static str, path: &Path, cause: std::io::Error) -> DataDirError {
    DataDirError::File { doing, path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(directory: &Path) -> String {
        std::fs::read_to_string(certificate_file(directory)).unwrap()
    }

    /// An authority as versions without domains of apps wrote it: in two files, and only for this host.
    fn write_old(directory: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Old".into());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let permitted_subtrees = vec![GeneralSubtree::DnsName("localhost".into())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        (params.not_before, params.not_after) =
            ((SystemTime::now() - DAY).into(), (SystemTime::now() + DAY * AUTHORITY_DAYS).into());
        private_files::make_directory(directory).unwrap();
        write(&key_file(directory), key.serialize_pem().as_bytes()).unwrap();
        write(&certificate_file(directory), params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
    }

    #[test]
    fn an_authority_that_may_not_certify_local_names_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, now) = (folder.path().join("tls"), SystemTime::now());
        write_old(&directory);
        let old = shown(&directory);
        let of_old = existing(&directory).unwrap().unwrap();
        let issued = of_old.issue(&["shop.test".to_owned()], now).unwrap();
        assert!(!of_old.certifies(&issued.chain, "shop.test", now));
        let new = load_or_create(&directory, &[], now).unwrap();
        assert_ne!(shown(&directory), old);
        for name in ["shop.localhost", "shop.test", "*.shop.test", "shop.home.arpa"] {
            let issued = new.issue(&[name.to_owned()], now).unwrap();
            assert!(new.certifies(&issued.chain, name, now), "{name}");
            assert!(!of_old.certifies(&issued.chain, name, now), "{name}");
        }
    }

    #[test]
    fn a_write_that_was_interrupted_between_the_files_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, now) = (folder.path().join("tls"), SystemTime::now());
        load_or_create(&directory, &[], now).unwrap();
        let first = shown(&directory);
        // The certificate of an authority before it, or none.
        write_old(&folder.path().join("old"));
        let before = shown(&folder.path().join("old"));
        for leave in
            [&|file: &Path| std::fs::write(file, &before).unwrap(), &|file: &Path| std::fs::remove_file(file).unwrap()]
                as [&dyn Fn(&Path); 2]
        {
            leave(&certificate_file(&directory));
            load_or_create(&directory, &[], now).unwrap();
            assert_eq!(shown(&directory), first);
        }
    }

    #[test]
    fn a_key_beside_the_certificate_of_another_key_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        write_old(&one);
        write_old(&two);
        std::fs::copy(key_file(&two), key_file(&one)).unwrap();
        let reason = load(&one).unwrap().unwrap().map(|_| ()).unwrap_err();
        assert!(reason.contains("does not belong"), "{reason}");
        assert!(existing(&one).unwrap().is_none());
    }
}
