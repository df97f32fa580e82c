//! Certificates for the host names of apps: which are needed ([`decide`]), where they come from ([`own_files`], [`acme`],
//! [`authority`]), and the task that gets them and gives them to the ingress.

pub(crate) mod acme;
pub mod authority;
pub(crate) mod decide;
pub(crate) mod own_files;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use ingress::protocol::CertificateSet;
use rollout::time::Timestamp;
use store::records::{Certificate, CertificateSource, Change};
use tokio::sync::Notify;
use tracing::{info, warn};

use self::acme::Answer;
use self::authority::AuthorityError;
use self::decide::{Decision, Failures, Need, Sources, decide};
use crate::app::Shared;
use crate::clock;
use crate::ingress_client::WEBHOOKS;
use crate::supervise::lock;

/// The longest time between two checks. It covers changes of the clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The pause after an error of the store or the ingress.
const RETRY: Duration = Duration::from_secs(2);
/// How many answers to challenges are kept: the newest ones.
const ANSWERS_KEPT: usize = 32;

/// The state of certificates that no record has.
#[derive(Default)]
pub(crate) struct Certificates {
    state: Mutex<State>,
    wake: Notify,
    /// Held while a certificate is recorded, so that one that was ordered never replaces files that the operator added
    /// meanwhile.
    pub recording: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Failed attempts since the last success, and the last reason, by name.
    failures: BTreeMap<String, (Failures, String)>,
    /// The name for which a certificate is being ordered.
    ordering: Option<String>,
    /// Answers to challenges, newest last.
    answers: Vec<Answer>,
}

/// A host name that an app has, and the rules for its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName {
    /// For example `shop.example.com`, or `*.example.com`.
    pub name: String,
    /// The app's id.
    pub app: String,
    pub minimum_tls_version: Option<String>,
}

/// What is known about the certificate of one host name.
#[derive(Debug, Clone)]
pub(crate) struct HostState {
    pub host: HostName,
    pub certificate: Option<Certificate>,
    pub need: Need,
    pub is_ordering: bool,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl Certificates {
    /// Wakes the task, because certificates or host names have changed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Forgets the failures of names, so that the next attempt begins at once.
    pub fn retry(&self, name: &str) {
        lock(&self.state).failures.remove(name);
        self.wake();
    }
}

/// The state of every host name, in the order of the names.
pub(crate) async fn host_states(shared: &Shared) -> Result<Vec<HostState>, store::StoreError> {
    let certificates = shared.store.certificates().await?;
    let (now, sources) = (clock::now(), sources(shared));
    let state = lock(&shared.certificates.state);
    let of = |host: HostName| {
        let failures = state.failures.get(&host.name);
        let Decision { serves, need } = decide(&host.name, &certificates, sources, failures.map(|(it, _)| it), now);
        HostState {
            certificate: serves.cloned(),
            need,
            is_ordering: state.ordering.as_ref() == Some(&host.name),
            last_error: failures.map(|(_, why)| why.clone()),
            host,
        }
    };
    Ok(shared.ingress.host_names().into_iter().map(of).collect())
}

fn sources(shared: &Shared) -> Sources {
    Sources { acme: shared.config.acme.is_some() }
}

/// Gets certificates and gives them to the ingress, until the controller stops. Does nothing without an HTTPS listener.
pub(crate) async fn watch(shared: Arc<Shared>) {
    if shared.config.https.is_none() {
        return std::future::pending().await;
    }
    let mut changes = shared.ingress.tables();
    loop {
        changes.borrow_and_update();
        let pause = match look(&shared).await {
            Ok(pause) => pause,
            Err(why) => {
                warn!(why, "cannot update the certificates; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.certificates.wake.notified() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Gives the ingress the current certificates, and gets one that is needed. Returns the time until the next look.
async fn look(shared: &Arc<Shared>) -> Result<Duration, String> {
    publish(shared).await?;
    let now = clock::now();
    let states = host_states(shared).await.map_err(|error| error.to_string())?;
    // The local authority takes milliseconds. Then the name whose attempts failed least often comes first, so that no name
    // keeps the others waiting.
    let count = |name: &str| lock(&shared.certificates.state).failures.get(name).map_or(0, |(it, _)| it.count);
    let needed = states.iter().filter_map(|it| match it.need {
        Need::New(source) => {
            Some((source != CertificateSource::LocalAuthority, count(&it.host.name), &it.host.name, source))
        }
        _ => None,
    });
    if let Some((_, attempt, name, source)) = needed.min() {
        get(shared, name, source, attempt).await;
        return Ok(Duration::ZERO);
    }
    forget_unused(shared, &states, now).await?;
    let next = states.iter().filter_map(|it| match &it.need {
        Need::Nothing { until } => *until,
        Need::Later(_, at) => Some(*at),
        Need::New(_) | Need::Impossible(_) => None,
    });
    Ok(next.map(|at| at.since(now)).filter(|it| !it.is_zero()).min().unwrap_or(LOOK_EVERY).min(LOOK_EVERY))
}

/// Removes expired certificates of names that no app has any more. Files of the operator stay.
async fn forget_unused(shared: &Shared, states: &[HostState], now: Timestamp) -> Result<(), String> {
    let is_used = |name: &str| states.iter().any(|it| it.host.name == name);
    let all = shared.store.certificates().await.map_err(|error| error.to_string())?;
    let unused = all.into_iter().filter(|it| it.source != CertificateSource::OwnFiles && it.not_after < now);
    let unused: Vec<_> = unused.filter(|it| !is_used(&it.name)).map(|it| Change::ForgetCertificate(it.name)).collect();
    match unused.is_empty() {
        true => Ok(()),
        false => shared.store.commit(unused).await.map_err(|error| error.to_string()),
    }
}

/// Gets one certificate and records it. A failure is recorded and ends the attempt.
async fn get(shared: &Arc<Shared>, name: &str, source: CertificateSource, attempt: u32) {
    lock(&shared.certificates.state).ordering = Some(name.to_owned());
    let got = match source {
        CertificateSource::LocalAuthority => issue_locally(shared, name).await,
        CertificateSource::Acme => order(shared, name, attempt).await,
        CertificateSource::OwnFiles => Err("files come from the operator".to_owned()),
    };
    let recorded = match got {
        Ok(certificate) => {
            let until = clock::rfc3339(certificate.not_after);
            match record(shared, certificate).await {
                // The certificate is reported as valid once connections get it.
                Ok(()) => publish(shared).await.map(|()| info!(name, ?source, until, "new certificate")),
                Err(why) => Err(why),
            }
        }
        Err(why) => Err(why),
    };
    let mut state = lock(&shared.certificates.state);
    state.ordering = None;
    state.answers.retain(|it| it.name != name);
    match recorded {
        Ok(()) => drop(state.failures.remove(name)),
        Err(why) => {
            let failures = Failures { count: attempt + 1, last: clock::now() };
            let next = clock::rfc3339(decide::next_attempt(&failures));
            warn!(name, ?source, why, next, "no new certificate; the one in use stays");
            state.failures.insert(name.to_owned(), (failures, why));
        }
    }
}

/// Records a new certificate, unless the operator has added valid files for the name meanwhile.
async fn record(shared: &Shared, certificate: Certificate) -> Result<(), String> {
    let _recording = shared.certificates.recording.lock().await;
    let all = shared.store.certificates().await.map_err(|error| error.to_string())?;
    let now = clock::now();
    let of_operator = |it: &Certificate| it.source == CertificateSource::OwnFiles && now < it.not_after;
    if all.iter().any(|it| it.name == certificate.name && of_operator(it)) {
        return Ok(());
    }
    shared.store.commit(vec![Change::Certificate(Box::new(certificate))]).await.map_err(|error| error.to_string())
}

async fn order(shared: &Arc<Shared>, name: &str, attempt: u32) -> Result<Certificate, String> {
    let settings = shared.config.acme.clone().ok_or("there is no ACME server")?;
    let publish = |answer: Answer| {
        let shared = shared.clone();
        async move {
            {
                let mut state = lock(&shared.certificates.state);
                state.answers.push(answer);
                let excess = state.answers.len().saturating_sub(ANSWERS_KEPT);
                state.answers.drain(..excess);
            }
            self::publish(&shared).await
        }
        .boxed()
    };
    acme::order(&settings, &shared.store, name, attempt, &publish).await
}

async fn issue_locally(shared: &Arc<Shared>, name: &str) -> Result<Certificate, String> {
    let (directory, name) = (authority_directory(shared), name.to_owned());
    let issued = tokio::task::spawn_blocking(move || {
        let now = SystemTime::now();
        let issued = authority::load_or_create(&directory, &[], now)?.issue(std::slice::from_ref(&name), now)?;
        Ok::<_, AuthorityError>((name, issued))
    });
    let (name, issued) = issued.await.map_err(|error| error.to_string())?.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|it| format!(": {it}")).unwrap_or_default();
        format!("{error}{cause}")
    })?;
    own_files::read(&name, &issued.chain, &issued.key, CertificateSource::LocalAuthority, clock::now())
}

fn authority_directory(shared: &Shared) -> PathBuf {
    data_dir::DataDir::certificate_authority_of(&shared.config.data_dir)
}

/// Gives the ingress the certificates that serve, and the answers to challenges.
pub(crate) async fn publish(shared: &Shared) -> Result<(), String> {
    let certificates = shared.store.certificates().await.map_err(|error| error.to_string())?;
    let hosts = shared.ingress.host_names();
    let mut set = set(&certificates, &hosts, sources(shared), clock::now());
    for answer in &lock(&shared.certificates.state).answers {
        set.answers.insert(answer.token.clone(), answer.text.clone());
        set.challenges.push(ingress::protocol::Certificate {
            names: vec![answer.name.clone()],
            chain: answer.chain.clone(),
            key: answer.key.clone(),
            minimum_tls_version: None,
            redirect_http: false,
        });
    }
    shared.ingress.set_certificates(set).await
}

/// The certificate of each host name. Requests by HTTP are redirected to HTTPS for names whose certificate every browser
/// trusts; the local authority's is trusted only where somebody has installed it.
fn set(certificates: &[Certificate], hosts: &[HostName], sources: Sources, now: Timestamp) -> CertificateSet {
    let of = |host: &HostName| {
        let serves = decide(&host.name, certificates, sources, None, now).serves?;
        Some(ingress::protocol::Certificate {
            names: vec![host.name.clone()],
            chain: serves.chain.clone(),
            key: serves.key.clone(),
            minimum_tls_version: host.minimum_tls_version.clone(),
            // Webhooks may be called by HTTP, and hosts of repositories need not follow a redirect.
            redirect_http: serves.source != CertificateSource::LocalAuthority
                && now < serves.not_after
                && host.app != WEBHOOKS,
        })
    };
    CertificateSet { certificates: hosts.iter().filter_map(of).collect(), ..CertificateSet::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(source: CertificateSource, name: &str, until: u64) -> Certificate {
        Certificate {
            name: name.to_owned(),
            source,
            names: vec![name.to_owned()],
            chain: format!("{source:?} {name}"),
            key: String::new(),
            not_before: Timestamp(0),
            not_after: Timestamp(until),
            added: Timestamp(0),
        }
    }

    #[test]
    fn every_host_name_gets_its_certificate_and_only_public_ones_redirect_http() {
        use CertificateSource::{Acme, LocalAuthority, OwnFiles};
        let certificates = [
            certificate(Acme, "a.example.com", 100),
            certificate(LocalAuthority, "shop.localhost", 100),
            certificate(OwnFiles, "*.example.com", 100),
            certificate(Acme, "old.example.org", 10),
            certificate(Acme, "unused.example.org", 100),
        ];
        let host = |name: &str| HostName {
            name: name.to_owned(),
            app: "shop".to_owned(),
            minimum_tls_version: (name == "b.example.com").then(|| "1.3".to_owned()),
        };
        let names = ["a.example.com", "b.example.com", "shop.localhost", "old.example.org", "none.example.org"];
        let set = set(&certificates, &names.map(host), Sources { acme: true }, Timestamp(50));
        let short = |it: &ingress::protocol::Certificate| {
            let version = it.minimum_tls_version.as_deref().unwrap_or_default();
            format!("{} {} {} {version}", it.names.join(" "), it.chain, it.redirect_http).trim_end().to_owned()
        };
        let wanted = [
            "a.example.com OwnFiles *.example.com true",
            "b.example.com OwnFiles *.example.com true 1.3",
            "shop.localhost LocalAuthority shop.localhost false",
            "old.example.org Acme old.example.org false",
        ];
        assert_eq!(set.certificates.iter().map(short).collect::<Vec<_>>(), wanted);
    }
}
