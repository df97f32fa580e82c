//! Certificates for the host names of apps: which are needed ([`decide`]), where they come from ([`own_files`], [`acme`],
//! [`authority`]), and the task that gets them and gives them to the ingress.

pub(crate) mod acme;
pub mod authority;
pub(crate) mod decide;
pub(crate) mod own_files;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use ingress::protocol::CertificateSet;
use rollout::time::Timestamp;
use store::records::{Certificate, CertificateAttempts, CertificateSource, Change};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use self::authority::AuthorityError;
use self::decide::{Decision, Need, Sources, decide};
use crate::app::Shared;
use crate::clock;
use crate::ingress_client::WEBHOOKS;
use crate::supervise::lock;

/// The longest time between two checks. It covers changes of the clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The pause after an error of the store or the ingress.
const RETRY: Duration = Duration::from_secs(2);
/// How long the attempts for a name that no app has are kept: an app that has it again must not exceed the limits of the
/// authority. The longest pause between two attempts is half as long.
const ATTEMPTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of certificates that no record has.
#[derive(Default)]
pub(crate) struct Certificates {
    state: Mutex<State>,
    wake: Notify,
    /// Held while a certificate is recorded, so that one that was ordered never replaces files that the operator added
    /// meanwhile.
    pub recording: tokio::sync::Mutex<()>,
    /// Held while the set for the ingress is put together and sent, so that no older set replaces a newer one.
    publishing: tokio::sync::Mutex<()>,
    /// Held while the account at the authority is looked up or created, so that there is one.
    account: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The names for which a certificate is being ordered.
    ordering: BTreeSet<String>,
    /// The certificate of the local authority that other certificates were compared with; empty if there was none.
    authority: Option<Vec<u8>>,
    /// Names whose certificate does not come from that authority.
    outdated: Vec<String>,
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
}

/// Forgets the failures for a name, so that the next attempt begins at once.
pub(crate) async fn retry(shared: &Shared, name: &str) {
    if let Err(error) = shared.store.commit(vec![Change::ForgetCertificateAttempts(name.to_owned())]).await {
        warn!(name, %error, "failed attempts to get a certificate are not forgotten, so the next one waits");
    }
    shared.certificates.wake();
}

/// The state of every host name, in the order of the names.
pub(crate) async fn host_states(shared: &Shared) -> Result<Vec<HostState>, store::StoreError> {
    let certificates = shared.store.certificates().await?;
    let attempts = shared.store.certificate_attempts().await?;
    let now = clock::now();
    let state = lock(&shared.certificates.state);
    let sources = Sources { outdated: &state.outdated, ..sources(shared) };
    let of = |host: HostName| {
        let attempts = attempts.iter().find(|it| it.name == host.name);
        let Decision { serves, need } = decide(&host.name, &certificates, sources, attempts, now);
        let is_ordering = state.ordering.contains(&host.name);
        let last_error = attempts.and_then(|it| match it.ended || is_ordering {
            true => it.error.clone(),
            false => Some("serve was stopped during the last attempt".to_owned()),
        });
        HostState { certificate: serves.cloned(), need, is_ordering, last_error, host }
    };
    Ok(shared.ingress.host_names().into_iter().map(of).collect())
}

fn sources(shared: &Shared) -> Sources<'static> {
    Sources { acme: shared.config.acme.is_some(), outdated: &[] }
}

/// Gets certificates and gives them to the ingress, until the controller stops. Does nothing without an HTTPS listener.
pub(crate) async fn watch(shared: Arc<Shared>) {
    if shared.config.https.is_none() {
        return std::future::pending().await;
    }
    let mut changes = shared.ingress.tables();
    // Orders end with this future.
    let mut orders = JoinSet::new();
    loop {
        changes.borrow_and_update();
        let pause = match look(&shared, &mut orders).await {
            Ok(pause) => pause,
            Err(why) => {
                warn!(why, "cannot update the certificates; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.certificates.wake.notified() => {}
            Some(ended) = orders.join_next() => if ended.is_err() {
                error!("an order of a certificate panicked; the next attempt follows later");
            },
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Gives the ingress the current certificates, and gets what is needed: one certificate of the local authority, which takes
/// milliseconds, and orders that run beside this task. Returns the time until the next look.
async fn look(shared: &Arc<Shared>, orders: &mut JoinSet<()>) -> Result<Duration, String> {
    publish(shared).await?;
    compare_with_authority(shared).await?;
    let now = clock::now();
    let states = host_states(shared).await.map_err(|error| error.to_string())?;
    let attempts = shared.store.certificate_attempts().await.map_err(|error| error.to_string())?;
    let needing = |source| states.iter().filter(move |it| it.need == Need::New(source)).map(|it| &it.host.name);
    if let Some(name) = needing(CertificateSource::LocalAuthority).next()
        && let Some(_ordering) = Ordering::begin(shared, name)
    {
        get_locally(shared, name, &attempts).await;
        return Ok(Duration::ZERO);
    }
    let count = |name: &str| attempts.iter().find(|it| it.name == name).map_or(0, |it| it.count);
    let waiting = needing(CertificateSource::Acme).map(|name| (count(name), name.clone())).collect();
    let running = lock(&shared.certificates.state).ordering.clone();
    for name in decide::next_orders(waiting, &running) {
        let Some(order) = Ordering::begin(shared, &name) else { continue };
        let attempt = next(&name, &attempts);
        let change = Change::CertificateAttempts(attempt.clone());
        shared.store.commit(vec![change]).await.map_err(|error| error.to_string())?;
        orders.spawn(get_by_order(order, attempt));
    }
    forget_unused(shared, &states, &attempts, now).await?;
    let next = states.iter().filter_map(|it| match &it.need {
        Need::Nothing { until } => *until,
        Need::Later(_, at) => Some(*at),
        Need::New(_) | Need::Impossible(_) => None,
    });
    Ok(next.map(|at| at.since(now)).filter(|it| !it.is_zero()).min().unwrap_or(LOOK_EVERY).min(LOOK_EVERY))
}

/// Finds the certificates that the local authority has not issued, whenever it is another one. An authority of an older
/// version, or one whose files were damaged, is replaced.
async fn compare_with_authority(shared: &Shared) -> Result<(), String> {
    let directory = authority_directory(shared);
    let file = authority::certificate_file(&directory);
    let shown = tokio::fs::read(&file).await.unwrap_or_default();
    if lock(&shared.certificates.state).authority.as_ref() == Some(&shown) {
        return Ok(());
    }
    let all = shared.store.certificates().await.map_err(|error| error.to_string())?;
    let compared = tokio::task::spawn_blocking(move || {
        let authority = authority::existing(&directory).map_err(|error| sentence(&error))?;
        let local = all.into_iter().filter(|it| it.source == CertificateSource::LocalAuthority);
        let is_of = |it: &Certificate| {
            authority.as_ref().is_some_and(|authority| authority.certifies(&it.chain, &it.name, SystemTime::now()))
        };
        Ok::<_, String>(local.filter(|it| !is_of(it)).map(|it| it.name).collect())
    });
    let outdated: Vec<String> = compared.await.map_err(|error| error.to_string())??;
    let mut state = lock(&shared.certificates.state);
    (state.outdated, state.authority) = (outdated, Some(shown));
    Ok(())
}

/// Removes expired certificates of names that no app has any more, and old attempts for them. Files of the operator stay.
async fn forget_unused(
    shared: &Shared,
    states: &[HostState],
    attempts: &[CertificateAttempts],
    now: Timestamp,
) -> Result<(), String> {
    let is_used = |name: &str| states.iter().any(|it| it.host.name == name);
    let all = shared.store.certificates().await.map_err(|error| error.to_string())?;
    let unused = all.into_iter().filter(|it| it.source != CertificateSource::OwnFiles && it.not_after < now);
    let unused = unused.filter(|it| !is_used(&it.name)).map(|it| Change::ForgetCertificate(it.name));
    let old = attempts.iter().filter(|it| !is_used(&it.name) && it.last.plus(ATTEMPTS_KEPT) < now);
    let old = old.map(|it| Change::ForgetCertificateAttempts(it.name.clone()));
    let changes: Vec<_> = unused.chain(old).collect();
    match changes.is_empty() {
        true => Ok(()),
        false => shared.store.commit(changes).await.map_err(|error| error.to_string()),
    }
}

/// The place of one name among those that are ordered. It is free when this value is dropped, also after a panic.
struct Ordering {
    shared: Arc<Shared>,
    name: String,
}

impl Ordering {
    /// `None`: the name has one already.
    fn begin(shared: &Arc<Shared>, name: &str) -> Option<Self> {
        let begins = lock(&shared.certificates.state).ordering.insert(name.to_owned());
        begins.then(|| Self { shared: shared.clone(), name: name.to_owned() })
    }
}

impl Drop for Ordering {
    fn drop(&mut self) {
        lock(&self.shared.certificates.state).ordering.remove(&self.name);
    }
}

/// The next attempt, which begins now.
fn next(name: &str, known: &[CertificateAttempts]) -> CertificateAttempts {
    let known = known.iter().find(|it| it.name == name);
    CertificateAttempts {
        name: name.to_owned(),
        count: known.map_or(0, |it| it.count) + 1,
        last: clock::now(),
        ended: false,
        error: known.and_then(|it| it.error.clone()),
        order: known.and_then(|it| it.order.clone()),
    }
}

/// Orders a certificate from the authority and records it.
async fn get_by_order(order: Ordering, mut attempts: CertificateAttempts) {
    let shared = &order.shared;
    let ordered = match self::order(shared, &mut attempts).await {
        Ok(certificate) => record(shared, certificate).await,
        Err(why) => Err(why),
    };
    if let Err(why) = ordered {
        failed(shared, attempts, CertificateSource::Acme, why).await;
    }
}

/// Gets a certificate from the local authority and records it.
async fn get_locally(shared: &Arc<Shared>, name: &str, attempts: &[CertificateAttempts]) {
    let issued = match issue_locally(shared, name).await {
        Ok(certificate) => record(shared, certificate).await,
        Err(why) => Err(why),
    };
    let Err(why) = issued else {
        return lock(&shared.certificates.state).outdated.retain(|it| it != name);
    };
    failed(shared, next(name, attempts), CertificateSource::LocalAuthority, why).await;
}

/// Records that an attempt failed.
async fn failed(shared: &Shared, attempts: CertificateAttempts, source: CertificateSource, why: String) {
    let attempts = CertificateAttempts { last: clock::now(), ended: true, error: Some(why.clone()), ..attempts };
    let (name, next) = (attempts.name.clone(), clock::rfc3339(decide::next_attempt(&attempts)));
    warn!(name, ?source, why, next, "no new certificate; the one in use stays");
    // If this fails, the attempt counts as one that was interrupted.
    if let Err(error) = shared.store.commit(vec![Change::CertificateAttempts(attempts)]).await {
        warn!(name, %error, "the failure could not be recorded");
    }
}

/// Records a new certificate, unless the operator has added valid files for the name meanwhile, and gives it to the ingress:
/// the certificate is reported as valid once connections get it.
async fn record(shared: &Shared, certificate: Certificate) -> Result<(), String> {
    let (name, source, until) = (certificate.name.clone(), certificate.source, clock::rfc3339(certificate.not_after));
    {
        let _recording = shared.certificates.recording.lock().await;
        let all = shared.store.certificates().await.map_err(|error| error.to_string())?;
        let now = clock::now();
        let of_operator = |it: &Certificate| it.source == CertificateSource::OwnFiles && now < it.not_after;
        let mut changes = vec![Change::ForgetCertificateAttempts(name.clone())];
        if !all.iter().any(|it| it.name == name && of_operator(it)) {
            changes.push(Change::Certificate(Box::new(certificate)));
        }
        shared.store.commit(changes).await.map_err(|error| error.to_string())?;
    }
    if let Err(why) = publish(shared).await {
        // The task tries again.
        warn!(name, why, "the ingress does not have the new certificate yet");
    }
    info!(name, ?source, until, "new certificate");
    Ok(())
}

async fn order(shared: &Arc<Shared>, attempts: &mut CertificateAttempts) -> Result<Certificate, String> {
    let settings = shared.config.acme.clone().ok_or("there is no ACME server")?;
    let publish = || {
        let shared = shared.clone();
        async move { self::publish(&shared).await }.boxed()
    };
    let authority =
        acme::Authority { settings: &settings, store: &shared.store, account: &shared.certificates.account };
    authority.order(attempts, &publish).await
}

async fn issue_locally(shared: &Arc<Shared>, name: &str) -> Result<Certificate, String> {
    let (directory, name) = (authority_directory(shared), name.to_owned());
    let issued = tokio::task::spawn_blocking(move || {
        let now = SystemTime::now();
        let issued = authority::load_or_create(&directory, &[], now)?.issue(std::slice::from_ref(&name), now)?;
        Ok::<_, AuthorityError>((name, issued))
    });
    let (name, issued) = issued.await.map_err(|error| error.to_string())?.map_err(|error| sentence(&error))?;
    own_files::read(&name, &issued.chain, &issued.key, CertificateSource::LocalAuthority, clock::now())
}

/// The error and its cause.
fn sentence(error: &AuthorityError) -> String {
    let cause = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn authority_directory(shared: &Shared) -> PathBuf {
    data_dir::DataDir::certificate_authority_of(&shared.config.data_dir)
}

/// Gives the ingress the certificates that serve, and the answers to challenges, also those of a process that was killed.
pub(crate) async fn publish(shared: &Shared) -> Result<(), String> {
    let _publishing = shared.certificates.publishing.lock().await;
    let certificates = shared.store.certificates().await.map_err(|error| error.to_string())?;
    let attempts = shared.store.certificate_attempts().await.map_err(|error| error.to_string())?;
    let hosts = shared.ingress.host_names();
    let mut set = set(&certificates, &hosts, sources(shared), clock::now());
    add_answers(&mut set, &attempts);
    shared.ingress.set_certificates(set).await
}

/// The answers to challenges of attempts that have not ended.
fn add_answers(set: &mut CertificateSet, attempts: &[CertificateAttempts]) {
    for attempt in attempts.iter().filter(|it| !it.ended) {
        let Some(answer) = attempt.order.as_ref().and_then(|it| it.answer.as_ref()) else { continue };
        set.answers.insert(answer.token.clone(), answer.text.clone());
        set.challenges.push(ingress::protocol::Certificate {
            names: vec![attempt.name.clone()],
            chain: answer.chain.clone(),
            key: answer.key.clone(),
            minimum_tls_version: None,
            redirect_http: false,
        });
    }
}

/// The certificate of each host name. Requests by HTTP are redirected to HTTPS for names whose certificate every browser
/// trusts; the local authority's is trusted only where somebody has installed it.
fn set(certificates: &[Certificate], hosts: &[HostName], sources: Sources<'_>, now: Timestamp) -> CertificateSet {
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
    use store::records::{AcmeAnswer, AcmeOrder};

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
    fn the_ingress_keeps_the_answers_of_interrupted_attempts_and_not_those_of_ended_ones() {
        let answer =
            |of: &str| AcmeAnswer { token: of.into(), text: format!("{of}.text"), chain: of.into(), key: of.into() };
        let attempts = |name: &str, ended: bool, answer: Option<AcmeAnswer>| CertificateAttempts {
            name: name.to_owned(),
            count: 1,
            last: Timestamp(1),
            ended,
            error: None,
            order: Some(AcmeOrder { directory: String::new(), url: String::new(), key: String::new(), answer }),
        };
        let mut set = CertificateSet::default();
        let all = [
            attempts("a.test", false, Some(answer("a"))),
            attempts("b.test", true, Some(answer("b"))),
            attempts("c.test", false, None),
        ];
        add_answers(&mut set, &all);
        assert_eq!(set.answers.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "a.text".to_owned())]);
        assert_eq!(set.challenges.iter().map(|it| (&*it.names[0], &*it.chain)).collect::<Vec<_>>(), [("a.test", "a")]);
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
        let set = set(&certificates, &names.map(host), Sources { acme: true, outdated: &[] }, Timestamp(50));
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
