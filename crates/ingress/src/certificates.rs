//! The certificates of the HTTPS listeners, chosen by the host name that a client asks for (SNI), and the answers to the
//! challenges by which a certificate authority checks that this host serves a name (ACME).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

use crate::host;
use crate::protocol::{Certificate, CertificateSet};

/// The protocol of the challenge TLS-ALPN-01 (RFC 8737).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";
/// The path below which certificate authorities ask for the answers to HTTP-01 (RFC 8555, 8.3).
const ACME_PATH: &str = "/.well-known/acme-challenge/";

/// The certificates in force. Replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct Certificates(ArcSwap<Compiled>);

#[derive(Default)]
struct Compiled {
    /// By host name in normal form; `*.example.com` for all names one level below.
    by_name: HashMap<String, Arc<Entry>>,
    /// The certificates that answer TLS-ALPN-01, by the name that is checked.
    challenges: HashMap<String, Arc<ServerConfig>>,
    /// The answers to HTTP-01, by token.
    answers: BTreeMap<String, String>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("names", &self.by_name.keys()).finish_non_exhaustive()
    }
}

struct Entry {
    given: Certificate,
    config: Arc<ServerConfig>,
}

/// What a TLS connection is used for.
pub(crate) enum Choice {
    Requests(Arc<ServerConfig>),
    /// A check by a certificate authority, which ends after the handshake.
    Challenge(Arc<ServerConfig>),
}

impl Certificates {
    /// Puts certificates in force. Returns a sentence for each one that cannot be used; it is left out. Connections keep the
    /// certificate that they have, and unchanged certificates keep their sessions.
    pub fn install(&self, wanted: &CertificateSet) -> Vec<String> {
        let before = self.0.load();
        let mut refused = Vec::new();
        let mut compiled = Compiled { answers: wanted.answers.clone(), ..Compiled::default() };
        for given in &wanted.certificates {
            let known = given.names.first().and_then(|name| before.by_name.get(name)).filter(|it| it.given == *given);
            let entry = match known {
                Some(entry) => Arc::clone(entry),
                None => match config(given) {
                    Ok(config) => Arc::new(Entry { given: given.clone(), config }),
                    Err(reason) => {
                        refused
                            .push(format!("the certificate for {} cannot be used: {reason}", given.names.join(", ")));
                        continue;
                    }
                },
            };
            for name in &given.names {
                compiled.by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(&entry));
            }
        }
        for given in &wanted.challenges {
            match challenge_config(given) {
                Ok(config) => {
                    let names = given.names.iter().map(|name| (name.to_ascii_lowercase(), Arc::clone(&config)));
                    compiled.challenges.extend(names);
                }
                Err(reason) => refused.push(format!("the answer to a challenge cannot be used: {reason}")),
            }
        }
        self.0.store(Arc::new(compiled));
        refused
    }

    /// `None`: there is no certificate for this name.
    pub fn choose(&self, name: &str, is_challenge: bool) -> Option<Choice> {
        let compiled = self.0.load();
        let name = host::normal(name)?;
        if is_challenge {
            return compiled.challenges.get(name.as_ref()).map(|config| Choice::Challenge(Arc::clone(config)));
        }
        compiled.entry(&name).map(|entry| Choice::Requests(Arc::clone(&entry.config)))
    }

    /// Whether requests to this host by HTTP are redirected to HTTPS. `host` must be in normal form.
    pub fn redirects_http(&self, host: &str) -> bool {
        self.0.load().entry(host).is_some_and(|entry| entry.given.redirect_http)
    }

    /// The answer to the challenge HTTP-01 that has this path, if there is one.
    pub fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(ACME_PATH)?;
        self.0.load().answers.get(token).cloned()
    }
}

impl Compiled {
    fn entry(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name).or_else(|| self.by_name.get(&host::wildcard_for(name)?))
    }
}

fn config(given: &Certificate) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = parse(given)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match given.minimum_tls_version.as_deref() {
        Some("1.3") => &[&TLS13],
        _ => &[&TLS13, &TLS12],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).map_err(|error| error.to_string())?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// rustls checks the certificates of [`config`], and refuses critical extensions that it does not know. The extension that
/// answers a challenge is one of them (RFC 8737, 3), so that certificate is used without a check.
fn challenge_config(given: &Certificate) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = parse(given)?;
    let provider = Arc::new(ring::default_provider());
    let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| error.to_string())?;
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(Arc::new(config))
}

fn parse(given: &Certificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = CertificateDer::pem_slice_iter(given.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("its chain is not in PEM format ({error})"))?;
    // The parser's error could repeat a part of the key.
    let key =
        PrivateKeyDer::from_pem_slice(given.key.as_bytes()).map_err(|_| "its key is not in PEM format".to_owned())?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = rcgen::CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap().pem();
        Certificate { names, chain, key: key.serialize_pem(), minimum_tls_version: None, redirect_http: false }
    }

    fn set(certificates: &[Certificate]) -> CertificateSet {
        CertificateSet { certificates: certificates.to_vec(), ..CertificateSet::default() }
    }

    fn config_for(certificates: &Certificates, name: &str) -> Option<Arc<ServerConfig>> {
        match certificates.choose(name, false)? {
            Choice::Requests(config) => Some(config),
            Choice::Challenge(_) => panic!("a challenge"),
        }
    }

    #[test]
    fn a_name_gets_its_own_certificate_before_one_for_all_names_of_its_level() {
        let all = Certificates::default();
        let (own, wild) = (certificate(&["a.example.com"]), certificate(&["example.com", "*.example.com"]));
        assert_eq!(all.install(&set(&[own, wild])), [] as [String; 0]);
        let chosen = |name: &str| config_for(&all, name);
        assert!(!Arc::ptr_eq(&chosen("a.example.com").unwrap(), &chosen("b.example.com").unwrap()));
        assert!(Arc::ptr_eq(&chosen("B.Example.com.").unwrap(), &chosen("example.com").unwrap()));
        for name in ["a.b.example.com", "example.org", "com", "127.0.0.1", ""] {
            assert!(chosen(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_left_out_and_the_others_work() {
        let all = Certificates::default();
        let (a, b) = (certificate(&["a.example"]), certificate(&["b.example"]));
        let foreign_key = Certificate { key: b.key.clone(), ..a.clone() };
        let broken = Certificate { chain: "x".to_owned(), ..a };
        let refused = all.install(&set(&[foreign_key, broken, b]));
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused.iter().all(|it| it.contains("a.example") && !it.contains("PRIVATE")), "{refused:?}");
        assert!(config_for(&all, "a.example").is_none() && config_for(&all, "b.example").is_some());
    }

    #[test]
    fn a_certificate_with_the_extension_of_a_challenge_answers_the_check_of_its_name_only() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
        let (chain, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        let challenge = Certificate { chain, key, ..certificate(&["a.example"]) };
        let all = Certificates::default();
        assert_eq!(all.install(&CertificateSet { challenges: vec![challenge], ..CertificateSet::default() }), [""; 0]);
        assert!(matches!(all.choose("a.example", true), Some(Choice::Challenge(_))));
        assert!(all.choose("a.example", false).is_none() && all.choose("b.example", true).is_none());
    }

    #[test]
    fn an_unchanged_certificate_keeps_its_sessions() {
        let all = Certificates::default();
        let (a, b) = (certificate(&["a.example"]), certificate(&["b.example"]));
        all.install(&set(&[a.clone(), b]));
        let before = (config_for(&all, "a.example").unwrap(), config_for(&all, "b.example").unwrap());
        all.install(&set(&[a, certificate(&["b.example"])]));
        assert!(Arc::ptr_eq(&before.0, &config_for(&all, "a.example").unwrap()));
        assert!(!Arc::ptr_eq(&before.1, &config_for(&all, "b.example").unwrap()));
    }

    #[test]
    fn only_the_path_of_a_known_challenge_has_an_answer() {
        let all = Certificates::default();
        let answers = BTreeMap::from([("token".to_owned(), "token.thumbprint".to_owned())]);
        all.install(&CertificateSet { answers, ..CertificateSet::default() });
        assert_eq!(all.answer("/.well-known/acme-challenge/token").as_deref(), Some("token.thumbprint"));
        for path in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", "/token", "/"] {
            assert_eq!(all.answer(path), None, "{path}");
        }
    }

    #[test]
    fn no_debug_output_contains_a_key() {
        let all = Certificates::default();
        let given = set(&[certificate(&["a.example"])]);
        all.install(&given);
        assert!(!format!("{all:?} {given:?}").contains("PRIVATE"));
    }
}
