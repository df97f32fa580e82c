//! Lists the certificates of host names, and adds and removes files of the operator.

use store::records::{Certificate, CertificateSource, Change};

use super::Controller;
use crate::certificates::decide::{Need, is_host_name};
use crate::certificates::{HostState, host_states, own_files, publish, retry};
use crate::clock;
use crate::error::{ControlError, closest};
use crate::view::{Caller, CertificateState, CertificateView};

impl Controller {
    /// The certificates of all host names, and those that no app uses.
    pub(super) async fn list_certificates(&self) -> Result<Vec<CertificateView>, ControlError> {
        let shared = &self.0.shared;
        let states = host_states(shared).await?;
        let apps = shared.store.apps().await?;
        let name_of = |id: &str| apps.iter().find(|it| it.id.as_str() == id).map(|it| it.name.clone());
        let secure = shared.config.https.is_some();
        let used: Vec<String> =
            states.iter().filter_map(|it| it.certificate.as_ref().map(|it| it.name.clone())).collect();
        let mut views: Vec<_> = states.into_iter().map(|it| view(it, &name_of, secure)).collect();
        let unused = shared.store.certificates().await?.into_iter().filter(|it| !used.contains(&it.name));
        views.extend(unused.map(|it| of_certificate(&it)));
        views.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(views)
    }

    /// Adds a certificate of the operator, or replaces the one of the same name.
    pub(super) async fn put_certificate(
        &self,
        name: &str,
        chain: &str,
        key: &str,
        caller: &Caller,
    ) -> Result<CertificateView, ControlError> {
        self.in_charge()?;
        let name = normal(name)?;
        let certificate = own_files::read(&name, chain, key, CertificateSource::OwnFiles, clock::now());
        let certificate = certificate.map_err(ControlError::Invalid)?;
        if let Some(audit) = &caller.audit {
            audit.set_subject(&name);
        }
        let added = of_certificate(&certificate);
        let recording = self.0.shared.certificates.recording.lock().await;
        self.commit_audited(vec![Change::Certificate(Box::new(certificate))], caller).await?;
        drop(recording);
        self.publish(&name).await;
        Ok(added)
    }

    /// Removes a certificate of the operator.
    pub(super) async fn delete_certificate(
        &self,
        name: &str,
        caller: &Caller,
    ) -> Result<CertificateView, ControlError> {
        self.in_charge()?;
        let name = normal(name)?;
        let all = self.0.shared.store.certificates().await?;
        let own: Vec<Certificate> = all.into_iter().filter(|it| it.source == CertificateSource::OwnFiles).collect();
        let Some(found) = own.iter().find(|it| it.name == name) else {
            let names: Vec<_> = own.into_iter().map(|it| it.name).collect();
            return Err(ControlError::NotFound(format!(
                "no certificate was added for {name}.{} See: boatyard certificates list",
                closest(&name, &names)
            )));
        };
        if let Some(audit) = &caller.audit {
            audit.set_subject(&name);
        }
        self.commit_audited(vec![Change::ForgetCertificate(name.clone())], caller).await?;
        self.publish(&name).await;
        Ok(of_certificate(found))
    }

    /// Gives the ingress the certificates now, so that the caller's next connection gets the new one. If that fails, the task
    /// tries again.
    async fn publish(&self, name: &str) {
        let shared = &self.0.shared;
        if shared.config.https.is_some()
            && let Err(why) = publish(shared).await
        {
            tracing::warn!(why, "the ingress does not have the new certificates yet");
        }
        retry(shared, name).await;
    }
}

/// The name in lower case without a final dot. Errors: it is not a host name.
fn normal(name: &str) -> Result<String, ControlError> {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    match is_host_name(name) {
        true => Ok(name.to_owned()),
        false => Err(ControlError::Invalid(format!(
            "{name:?} is not a host name. Write it as in the domains of an app, such as shop.example.com, or *.example.com \
             for all names one level below"
        ))),
    }
}

fn view(host: HostState, name_of: &dyn Fn(&str) -> Option<String>, secure: bool) -> CertificateView {
    let now = clock::now();
    let is_valid = host.certificate.as_ref().is_some_and(|it| now < it.not_after);
    let (state, next, reason) = match host.need {
        _ if !secure => (CertificateState::Unused, None, Some("serve has no --https address".to_owned())),
        _ if host.is_ordering => (CertificateState::Ordering, None, host.last_error),
        Need::Nothing { until } => (CertificateState::Valid, until, None),
        Need::New(_) => (CertificateState::Ordering, None, host.last_error),
        Need::Later(_, at) if is_valid => (CertificateState::RenewalFailed, Some(at), host.last_error),
        Need::Later(_, at) => (CertificateState::Failed, Some(at), host.last_error),
        Need::Impossible(reason) => (CertificateState::Failed, None, Some(reason)),
    };
    CertificateView {
        app: name_of(&host.host.app),
        source: host.certificate.as_ref().map(|it| it.source),
        expires: host.certificate.as_ref().map(|it| it.not_after),
        names: host.certificate.map(|it| it.names).unwrap_or_default(),
        name: host.host.name,
        state,
        next_attempt: next,
        reason,
    }
}

fn of_certificate(certificate: &Certificate) -> CertificateView {
    CertificateView {
        name: certificate.name.clone(),
        app: None,
        source: Some(certificate.source),
        names: certificate.names.clone(),
        expires: Some(certificate.not_after),
        state: CertificateState::Unused,
        next_attempt: None,
        reason: None,
    }
}
