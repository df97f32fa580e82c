//! Adds, lists and removes logins for registries.

use engine::RegistryLogin;
use store::records::{Change, HostLogin, LoginKind};

use super::Controller;
use crate::clock;
use crate::error::{ControlError, closest};
use crate::registries::parse_host;
use crate::view::{Caller, RegistryLoginView};

impl Controller {
    pub(super) async fn list_registry_logins(&self) -> Result<Vec<RegistryLoginView>, ControlError> {
        let all = self.0.shared.store.host_logins().await?;
        Ok(all.into_iter().filter(|it| it.kind == LoginKind::Registry).map(view).collect())
    }

    pub(super) async fn put_registry_login(
        &self,
        host: &str,
        login: RegistryLogin,
        caller: &Caller,
    ) -> Result<RegistryLoginView, ControlError> {
        self.in_charge()?;
        let host = parse_host(host).map_err(ControlError::Invalid)?;
        let password = login.password.expose();
        if login.username.is_empty() || password.is_empty() || password.contains(['\n', '\r']) {
            let message = "a login for a registry needs a user name, and a password or token of one line";
            return Err(ControlError::Invalid(message.to_owned()));
        }
        let login = HostLogin {
            kind: LoginKind::Registry,
            host,
            user: Some(login.username),
            secret: password.to_owned(),
            host_keys: Vec::new(),
            added: clock::now(),
        };
        if let Some(audit) = &caller.audit {
            audit.set_subject(&login.host);
        }
        let added = view(login.clone());
        self.commit_audited(vec![Change::HostLogin(login)], caller).await?;
        Ok(added)
    }

    pub(super) async fn delete_registry_login(
        &self,
        host: &str,
        caller: &Caller,
    ) -> Result<RegistryLoginView, ControlError> {
        self.in_charge()?;
        let host = parse_host(host).map_err(ControlError::Invalid)?;
        let all = self.list_registry_logins().await?;
        let Some(found) = all.iter().find(|it| it.host == host).cloned() else {
            let hosts: Vec<_> = all.into_iter().map(|it| it.host).collect();
            return Err(ControlError::NotFound(format!(
                "there is no login for the registry {host}.{} See: boatyard registries list",
                closest(&host, &hosts)
            )));
        };
        if let Some(audit) = &caller.audit {
            audit.set_subject(&host);
        }
        self.commit_audited(vec![Change::ForgetHostLogin(LoginKind::Registry, host)], caller).await?;
        Ok(found)
    }
}

fn view(login: HostLogin) -> RegistryLoginView {
    RegistryLoginView { host: login.host, username: login.user.unwrap_or_default(), added: login.added }
}
