//! Orders certificates from an authority that speaks ACME (RFC 8555).

use std::time::Duration;

use futures::future::BoxFuture;
use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use store::Store;
use store::records::{AcmeAccount, AcmeAnswer, AcmeOrder, Certificate, CertificateAttempts, CertificateSource, Change};

use super::own_files;
use crate::clock;
use crate::config::{AcmeChallenge, AcmeSettings};

/// The longest time for one order.
const ORDER_WITHIN: Duration = Duration::from_secs(180);
/// How long the authority may take to check a name, and then to issue the certificate.
const CHECKED_WITHIN: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(75));

/// Gives the ingress the recorded answers. Returns once the ingress has them. Errors: a sentence.
pub(super) type Publish<'a> = &'a (dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync);

/// A certificate authority, and what is on record about it.
pub(super) struct Authority<'a> {
    pub settings: &'a AcmeSettings,
    pub store: &'a Store,
    /// Held while the account is looked up or created.
    pub account: &'a tokio::sync::Mutex<()>,
}

impl Authority<'_> {
    /// Orders a certificate for one name, or continues the order on record. `attempts`: those on record, of which the last
    /// one begins now. Its order and the answer to the challenge are recorded before the authority checks the name, so that
    /// the order of a process that was killed is continued. Errors: a sentence with the authority's reason.
    pub async fn order(&self, attempts: &mut CertificateAttempts, publish: Publish<'_>) -> Result<Certificate, String> {
        let ordering = async {
            let account = self.account(false).await?;
            let is_continued = attempts.order.is_some();
            match self.issue(&account, attempts, publish).await {
                // The authority has lost its accounts, as one for tests does at each start.
                Err(Failure::Account) => {
                    let account = self.account(true).await?;
                    self.issue(&account, attempts, publish).await.map_err(Failure::into_sentence)
                }
                // The ingress may have been started again without the answer. A new order follows if that one is invalid.
                Err(Failure::Other(_)) if is_continued => {
                    self.issue(&account, attempts, publish).await.map_err(Failure::into_sentence)
                }
                other => other.map_err(Failure::into_sentence),
            }
        };
        let directory = &self.settings.directory;
        let late = |_| format!("{directory} did not issue a certificate within {} s", ORDER_WITHIN.as_secs());
        tokio::time::timeout(ORDER_WITHIN, ordering).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    /// The account of this installation, which is created for the first order.
    async fn account(&self, new: bool) -> Result<Account, String> {
        let _looking_up = self.account.lock().await;
        let (settings, directory) = (self.settings, &self.settings.directory);
        let unreachable = |error: Error| format!("{directory} cannot be used: {}", sentence(&error));
        let known = self.store.acme_account(directory).await.map_err(|error| error.to_string())?;
        // Credentials that cannot be read are replaced.
        let known = known.filter(|_| !new).and_then(|it| serde_json::from_str(&it.credentials).ok());
        if let Some(credentials) = known {
            return builder(settings)?.from_credentials(credentials).await.map_err(unreachable);
        }
        let contact = settings.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let created = builder(settings)?.create(&wanted, directory.clone(), None).await;
        let (account, credentials) = created.map_err(unreachable)?;
        let credentials = serde_json::to_string(&credentials).map_err(|error| error.to_string())?;
        let record = AcmeAccount { directory: directory.clone(), credentials };
        self.store.commit(vec![Change::AcmeAccount(record)]).await.map_err(|error| error.to_string())?;
        tracing::info!(directory, "created an account at the certificate authority");
        Ok(account)
    }

    async fn issue(
        &self,
        account: &Account,
        attempts: &mut CertificateAttempts,
        publish: Publish<'_>,
    ) -> Result<Certificate, Failure> {
        let name = attempts.name.clone();
        let (mut order, key) = match self.recorded_order(account, attempts).await? {
            Some(recorded) => recorded,
            None => self.new_order(account, attempts).await?,
        };
        if order.state().status == OrderStatus::Pending {
            self.answer_challenges(&mut order, attempts, publish).await?;
            if order.poll_ready(&CHECKED_WITHIN).await? != OrderStatus::Ready {
                let reason = refusal(&mut order).await.unwrap_or_else(|| "the order is invalid".to_owned());
                return Err(Failure::Other(format!("the authority could not verify {name}: {reason}")));
            }
        }
        if order.state().status == OrderStatus::Ready {
            let other =
                |error: rcgen::Error| Failure::Other(format!("cannot request a certificate for {name}: {error}"));
            let mut params = CertificateParams::new([name.clone()]).map_err(other)?;
            params.distinguished_name = rcgen::DistinguishedName::new();
            let request = params.serialize_request(&key).map_err(other)?;
            order.finalize_csr(request.der()).await?;
        }
        let chain = order.poll_certificate(&CHECKED_WITHIN).await?;
        let read = own_files::read(&name, &chain, &key.serialize_pem(), CertificateSource::Acme, clock::now());
        read.map_err(|reason| {
            // The next attempt would get the same one.
            attempts.order = None;
            Failure::Other(format!("the authority issued a certificate that cannot be used: {reason}"))
        })
    }

    /// The order of an earlier attempt and its key, if the authority still knows it.
    async fn recorded_order(
        &self,
        account: &Account,
        attempts: &mut CertificateAttempts,
    ) -> Result<Option<(Order, KeyPair)>, Failure> {
        let Some(recorded) = attempts.order.take_if(|it| it.directory == self.settings.directory) else {
            return Ok(None);
        };
        let Ok(key) = KeyPair::from_pem(&recorded.key) else { return Ok(None) };
        match account.order(recorded.url.clone()).await {
            Ok(mut order) => {
                if order.state().status == OrderStatus::Invalid {
                    return Ok(None);
                }
                attempts.order = Some(recorded);
                Ok(Some((order, key)))
            }
            Err(Error::Api(problem)) if is_gone(&problem) => Ok(None),
            Err(error) => {
                attempts.order = Some(recorded);
                Err(error.into())
            }
        }
    }

    /// Begins an order, and records it with a new key.
    async fn new_order(
        &self,
        account: &Account,
        attempts: &mut CertificateAttempts,
    ) -> Result<(Order, KeyPair), Failure> {
        let identifiers = [Identifier::Dns(attempts.name.clone())];
        let order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let key = KeyPair::generate().map_err(|error| Failure::Other(format!("cannot make a key: {error}")))?;
        let directory = self.settings.directory.clone();
        let (url, key_text) = (order.url().to_owned(), key.serialize_pem());
        attempts.order = Some(AcmeOrder { directory, url, key: key_text, answer: None });
        self.record(attempts).await?;
        Ok((order, key))
    }

    async fn answer_challenges(
        &self,
        order: &mut Order,
        attempts: &mut CertificateAttempts,
        publish: Publish<'_>,
    ) -> Result<(), Failure> {
        let name = attempts.name.clone();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let recorded = attempts.order.as_ref().and_then(|it| it.answer.as_ref());
            let answered =
                authorization.challenges.iter().find(|it| recorded.is_some_and(|known| known.token == it.token));
            let chosen = answered.map(|it| it.r#type.clone()).or_else(|| {
                let offered: Vec<ChallengeType> = authorization.challenges.iter().map(|it| it.r#type.clone()).collect();
                choose(self.settings.challenge, &offered, attempts.count - 1)
            });
            let is_recorded = answered.is_some();
            let Some(mut challenge) = chosen.and_then(|chosen| authorization.challenge(chosen)) else {
                return Err(Failure::Other(format!(
                    "the authority offers no challenge for {name} that Boatyard can answer"
                )));
            };
            if !is_recorded && let Some(order) = &mut attempts.order {
                let proof = challenge.key_authorization();
                let (chain, key) = challenge_certificate(&name, proof.digest().as_ref())
                    .map_err(|error| Failure::Other(format!("cannot answer the challenge for {name}: {error}")))?;
                let (token, text) = (challenge.token.clone(), proof.as_str().to_owned());
                order.answer = Some(AcmeAnswer { token, text, chain, key });
                self.record(attempts).await?;
            }
            publish().await.map_err(Failure::Other)?;
            // The authority may be checking already, because the process that asked it was killed.
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await?;
            }
        }
        Ok(())
    }

    async fn record(&self, attempts: &CertificateAttempts) -> Result<(), Failure> {
        let recorded = self.store.commit(vec![Change::CertificateAttempts(attempts.clone())]).await;
        recorded.map_err(|error| Failure::Other(error.to_string()))
    }
}

/// Whether a request for an order failed because the order has expired or belongs to an account that is gone, and not
/// because the authority is busy.
fn is_gone(problem: &Problem) -> bool {
    problem.status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 408 | 429))
}

enum Failure {
    /// The authority does not know the account.
    Account,
    Other(String),
}

impl Failure {
    fn into_sentence(self) -> String {
        match self {
            Failure::Account => "the authority does not know the account that it has just created".to_owned(),
            Failure::Other(sentence) => sentence,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(problem)
                if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist") =>
            {
                Failure::Account
            }
            _ => Failure::Other(sentence(&error)),
        }
    }
}

fn builder(settings: &AcmeSettings) -> Result<AccountBuilder, String> {
    let builder = match &settings.authority {
        Some(file) => Account::builder_with_root(file)
            .map_err(|error| format!("cannot use --acme-ca {}: {}", file.display(), sentence(&error)))?,
        None => Account::builder().map_err(|error| sentence(&error))?,
    };
    Ok(builder)
}

/// If none is chosen by the operator, attempts alternate: a host may be reachable on one of the two ports only.
fn choose(wanted: Option<AcmeChallenge>, offered: &[ChallengeType], attempt: u32) -> Option<ChallengeType> {
    let both = match wanted {
        Some(AcmeChallenge::Http01) => vec![ChallengeType::Http01],
        Some(AcmeChallenge::TlsAlpn01) => vec![ChallengeType::TlsAlpn01],
        None if attempt.is_multiple_of(2) => vec![ChallengeType::Http01, ChallengeType::TlsAlpn01],
        None => vec![ChallengeType::TlsAlpn01, ChallengeType::Http01],
    };
    both.into_iter().find(|it| offered.contains(it))
}

/// The certificate that answers TLS-ALPN-01: self-signed, with the digest of the proof (RFC 8737, 3).
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// What the authority says about a check that failed.
async fn refusal(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|it| it.error.as_ref()) {
            return problem.detail.clone().or_else(|| problem.r#type.clone());
        }
    }
    None
}

/// The error and its causes in one line.
fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_alternate_between_the_challenges_unless_one_is_chosen() {
        use ChallengeType::{Dns01, Http01, TlsAlpn01};
        let all = [Dns01, TlsAlpn01, Http01];
        let table = [
            (None, &all[..], 0, Some(Http01)),
            (None, &all, 1, Some(TlsAlpn01)),
            (None, &all, 2, Some(Http01)),
            (None, &all[..2], 0, Some(TlsAlpn01)),
            (None, &all[..1], 0, None),
            (Some(AcmeChallenge::TlsAlpn01), &all, 0, Some(TlsAlpn01)),
            (Some(AcmeChallenge::Http01), &all, 1, Some(Http01)),
            (Some(AcmeChallenge::Http01), &all[..2], 0, None),
        ];
        for (wanted, offered, attempt, chosen) in table {
            assert_eq!(choose(wanted, offered, attempt), chosen, "{wanted:?} {offered:?} {attempt}");
        }
    }

    #[test]
    fn an_order_is_forgotten_if_it_is_gone_and_not_if_the_authority_is_busy() {
        for (status, forgotten) in
            [(400, true), (401, true), (403, true), (404, true), (408, false), (429, false), (503, false)]
        {
            let problem: Problem = serde_json::from_value(serde_json::json!({ "status": status })).expect("a problem");
            assert_eq!(is_gone(&problem), forgotten, "{status}");
        }
    }

    #[test]
    fn the_answer_to_a_tls_challenge_has_a_critical_extension_with_the_digest() {
        let (chain, _) = challenge_certificate("shop.test", &[7; 32]).expect("a certificate");
        let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).expect("PEM");
        let certificate = pem.parse_x509().expect("a certificate");
        let extension = certificate.extensions().iter().find(|it| it.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let extension = extension.expect("the extension of RFC 8737");
        assert!(extension.critical);
        // An octet string of 32 bytes.
        assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
    }
}
