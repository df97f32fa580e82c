//! The local certificate authority, which issues the API's certificate on hosts without a public one.
//!
//! Clients trust its certificate, so its certificate limits what its key can do: it can only certify servers under names of
//! this host and the outside name. The key stays in the data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_dir::{DataDirError, private_files};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore};
use tracing::{info, warn};

use super::{Certificate, TlsError, address, provider};
use crate::digest::sha256_of_bytes;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Lifetime of the authority.
const AUTHORITY_DAYS: u32 = 3652;
/// An authority that expires earlier is replaced at the start of the server.
const SPARE_DAYS: u32 = 365;
/// Lifetime of a server certificate, and the age at which the server replaces it.
const SERVER_DAYS: u32 = 90;
const RENEW_AFTER_DAYS: u32 = 60;

/// The key of the authority and its certificate.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// The certificate that clients have to trust.
pub(super) fn certificate_file(directory: &Path) -> PathBuf {
    directory.join("authority.pem")
}

fn key_file(directory: &Path) -> PathBuf {
    directory.join("authority.key")
}

/// The authority in the directory, or a new one if there is none that can certify these names for a year.
pub(super) fn load_or_create(directory: &Path, names: &[String], now: SystemTime) -> Result<Authority, TlsError> {
    let file = certificate_file(directory);
    match load(directory)? {
        Some(Ok(authority)) => match authority.check(names, now) {
            Ok(()) => return Ok(authority),
            Err(reason) => warn_replaced(&file, &reason),
        },
        Some(Err(reason)) => warn_replaced(&file, &reason),
        None => info!(file = %file.display(), "created a certificate authority for the API"),
    }
    create(directory, names, now)
}

fn warn_replaced(file: &Path, reason: &str) {
    let file = file.display();
    warn!(%file, reason, "created another certificate authority for the API: clients have to trust the new one");
}

/// `None` if there is no authority. An inner error says what is wrong with the files.
fn load(directory: &Path) -> Result<Option<Result<Authority, String>>, DataDirError> {
    let (key, certificate) = (key_file(directory), certificate_file(directory));
    let mode = private_files::open_to_others(&key).map_err(|cause| file_error("check the mode of", &key, cause))?;
    if let Some(mode) = mode {
        return Err(DataDirError::OpenToOthers { path: key, mode, wanted: 0o600 });
    }
    let read = |path: &Path| private_files::read_small(path).map_err(|cause| file_error("read", path, cause));
    let (Some(key), Some(certificate)) = (read(&key)?, read(&certificate)?) else { return Ok(None) };
    let certificate = CertificateDer::from_pem_slice(&certificate).map_err(|error| error.to_string());
    let key = String::from_utf8(key).map_err(|error| error.to_string());
    let key = key.and_then(|key| KeyPair::from_pem(&key).map_err(|error| error.to_string()));
    Ok(Some(certificate.and_then(|certificate| {
        let issuer = Issuer::from_ca_cert_der(&certificate, key?).map_err(|error| error.to_string())?;
        Ok(Authority { issuer, certificate })
    })))
}

fn create(directory: &Path, names: &[String], now: SystemTime) -> Result<Authority, TlsError> {
    let refused = |cause| TlsError::Issue { names: names.join(", "), cause };
    let key = KeyPair::generate().map_err(refused)?;
    let id = hex::encode(&sha256_of_bytes(key.der_bytes())[..4]);
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
    let write = |path: PathBuf, text: &str| {
        private_files::write_whole(&path, text.as_bytes()).map_err(|cause| file_error("write", &path, cause))
    };
    // A crash in between leaves files that do not belong together. The next start replaces them.
    write(key_file(directory), &key.serialize_pem())?;
    write(certificate_file(directory), &certificate.pem())?;
    Ok(Authority { certificate: certificate.der().clone(), issuer: Issuer::new(params, key) })
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
    permitted.push(GeneralSubtree::DnsName("localhost".into()));
    for name in names {
        match address(name) {
            Some(ip) if ip.is_loopback() => {}
            Some(ip) => {
                let whole = if ip.is_ipv4() { 32 } else { 128 };
                permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, whole)));
            }
            None if name == "localhost" || name.ends_with(".localhost") => {}
            None => permitted.push(GeneralSubtree::DnsName(name.clone())),
        }
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() }
}

impl Authority {
    /// A certificate with a new key for a server with these names.
    pub fn server_certificate(&self, names: &[String], now: SystemTime) -> Result<Certificate, TlsError> {
        let key = self.issue(names, now)?;
        Ok(Certificate { key: Arc::new(key), renew_at: Some(now + DAY * RENEW_AFTER_DAYS) })
    }

    fn issue(&self, names: &[String], now: SystemTime) -> Result<CertifiedKey, TlsError> {
        let refused = |cause| TlsError::Issue { names: names.join(", "), cause };
        let key = KeyPair::generate().map_err(refused)?;
        let mut params = CertificateParams::new(names).map_err(refused)?;
        params.distinguished_name = named("Boatyard API".into());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // It begins in the past, for clients whose clock is late.
        (params.not_before, params.not_after) = ((now - DAY).into(), (now + DAY * (SERVER_DAYS - 1)).into());
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(CertifiedKey::from_der(vec![certificate.der().clone()], private, &provider())?)
    }

    /// Whether clients that trust this authority will accept certificates for these names for a year. Errors: the reason.
    fn check(&self, names: &[String], now: SystemTime) -> Result<(), String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).map_err(|error| error.to_string())?;
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let expires = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        if expires < seconds(now + DAY * SPARE_DAYS) {
            return Err("the old one expires within a year".into());
        }
        let trial = self.issue(names, now).map_err(|error| error.to_string())?;
        let verified = names.iter().try_for_each(|name| self.verify(&trial, name, now));
        verified.map_err(|error| format!("the old one cannot certify {}: {error}", names.join(", ")))
    }

    fn verify(&self, trial: &CertifiedKey, name: &str, now: SystemTime) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let host = ServerName::try_from(name).map_err(|error| rustls::Error::General(error.to_string()))?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        verifier.verify_server_cert(trial.end_entity_cert()?, &[], &host, &[], now).map(|_| ())
    }
}

fn file_error(doing: &'static str, path: &Path, cause: std::io::Error) -> DataDirError {
    DataDirError::File { doing, path: path.to_owned(), cause }
}
