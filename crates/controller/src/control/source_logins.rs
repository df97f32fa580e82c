//! Adds, lists and removes logins for git servers.

use source::{Fingerprint, SourceError};
use store::records::{Change, HostLogin, LoginKind};

use super::Controller;
use crate::clock;
use crate::error::{ControlError, closest};
use crate::source_logins::{check_private_key, check_token, check_user, host_name, published_keys, view};
use crate::view::{Caller, HostKeyView, NewSourceLogin, SourceLoginView, SourceProtocol, SourceSecret};

impl Controller {
    pub(super) async fn all_source_logins(&self) -> Result<Vec<SourceLoginView>, ControlError> {
        Ok(self.0.shared.store.host_logins().await?.iter().filter_map(view).collect())
    }

    pub(super) async fn put_source_login(
        &self,
        wanted: NewSourceLogin,
        caller: &Caller,
    ) -> Result<SourceLoginView, ControlError> {
        self.in_charge()?;
        let login = match wanted.secret {
            SourceSecret::Token { user, token } => {
                user.as_deref().map(check_user).transpose()?;
                HostLogin {
                    kind: LoginKind::GitHttps,
                    host: host_name(&wanted.host, SourceProtocol::Https)?,
                    user,
                    secret: check_token(&token)?,
                    host_keys: Vec::new(),
                    added: clock::now(),
                }
            }
            SourceSecret::SshKey { private_key, host_keys } => {
                let host = host_name(&wanted.host, SourceProtocol::Ssh)?;
                let secret = check_private_key(&private_key)?;
                let host_keys = self.keys_to_pin(&host, host_keys).await?;
                HostLogin { kind: LoginKind::GitSsh, host, user: None, secret, host_keys, added: clock::now() }
            }
            SourceSecret::HostKeys(host_keys) => {
                let host = host_name(&wanted.host, SourceProtocol::Ssh)?;
                let host_keys = fingerprints(&host_keys)?;
                if host_keys.is_empty() {
                    return Err(ControlError::Invalid(
                        "give a token, an ssh key, or the fingerprints of host keys".into(),
                    ));
                }
                let known = self.0.shared.store.host_login(LoginKind::GitSsh, &host).await?;
                let known = known.ok_or_else(|| {
                    ControlError::NotFound(format!(
                        "there is no ssh key for {host} yet. Add one: boatyard sources add {host} --ssh-key FILE"
                    ))
                })?;
                HostLogin { host_keys, ..known }
            }
        };
        self.commit_login(&login.host, vec![Change::HostLogin(login.clone())], caller).await?;
        Ok(view(&login).expect("its kind is one of those for git"))
    }

    pub(super) async fn delete_source_login(
        &self,
        host: &str,
        caller: &Caller,
    ) -> Result<Vec<SourceLoginView>, ControlError> {
        self.in_charge()?;
        let all = self.all_source_logins().await?;
        let is_named = |it: &SourceLoginView| host_name(host, it.protocol).is_ok_and(|name| name == it.host);
        let found: Vec<SourceLoginView> = all.iter().filter(|it| is_named(it)).cloned().collect();
        if found.is_empty() {
            let names: Vec<String> = all.into_iter().map(|it| it.host).collect();
            // What is before the sign may be a login.
            let shown = host.rsplit_once('@').map_or(host, |(_, host)| host);
            return Err(ControlError::NotFound(format!("no login for {shown:?}.{}", closest(shown, &names))));
        }
        let forget = |login: &SourceLoginView| {
            let kind = match login.protocol {
                SourceProtocol::Https => LoginKind::GitHttps,
                SourceProtocol::Ssh => LoginKind::GitSsh,
            };
            Change::ForgetHostLogin(kind, login.host.clone())
        };
        self.commit_login(&found[0].host, found.iter().map(forget).collect(), caller).await?;
        Ok(found)
    }

    pub(super) async fn presented_host_key(&self, host: &str) -> Result<HostKeyView, ControlError> {
        let host = host_name(host, SourceProtocol::Ssh)?;
        let fingerprint = self.0.shared.image_builder.host_key(&host).await.map_err(unreachable)?;
        Ok(HostKeyView { host, fingerprint: fingerprint.to_string() })
    }

    /// The given keys, else those that the host publishes. Errors: there are none; the message names the key that the host
    /// presents.
    async fn keys_to_pin(&self, host: &str, given: Vec<String>) -> Result<Vec<String>, ControlError> {
        let given = fingerprints(&given)?;
        if !given.is_empty() {
            return Ok(given);
        }
        let published = published_keys(host);
        if !published.is_empty() {
            return Ok(published.iter().map(ToString::to_string).collect());
        }
        let presented = self.0.shared.image_builder.host_key(host).await.map_err(unreachable)?;
        Err(ControlError::Conflict(format!(
            "the ssh host key of {host} is not known; nothing was saved. It presents {presented}. Compare this with the key that \
             its operator publishes, then: boatyard sources add {host} --ssh-key FILE --fingerprint {presented}"
        )))
    }

    /// Commits the changes together with the row of the request in the audit trail, which names the host.
    async fn commit_login(&self, host: &str, changes: Vec<Change>, caller: &Caller) -> Result<(), ControlError> {
        if let Some(audit) = &caller.audit {
            audit.set_subject(host);
        }
        self.commit_audited(changes, caller).await
    }
}

/// Checks fingerprints, and removes repeated ones.
fn fingerprints(given: &[String]) -> Result<Vec<String>, ControlError> {
    let parsed: Result<std::collections::BTreeSet<_>, _> =
        given.iter().map(|it| Fingerprint::parse(it.trim())).collect();
    let parsed = parsed.map_err(|error| ControlError::Invalid(error.to_string()))?;
    Ok(parsed.iter().map(ToString::to_string).collect())
}

fn unreachable(error: SourceError) -> ControlError {
    ControlError::Conflict(format!("{error}; nothing was saved"))
}
