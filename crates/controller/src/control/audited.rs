//! What the changes of tokens, webhooks and logins have in common: a row in the audit trail, and a task of their own.

use store::records::{Change, TokenApp};

use super::{Control, Controller};
use crate::error::ControlError;
use crate::view::Caller;

impl Controller {
    /// Commits the changes together with the row of the request in the audit trail.
    pub(super) async fn commit_audited(&self, mut changes: Vec<Change>, caller: &Caller) -> Result<(), ControlError> {
        changes.extend(caller.audit.as_ref().map(|audit| audit.accepted()));
        self.0.shared.store.commit(changes).await?;
        caller.audit_is_written();
        Ok(())
    }

    /// The only app that a token or webhook is for, which the audit trail names. `None`: it is for all apps. Errors: there is
    /// no such app.
    pub(super) async fn only_app(
        &self,
        id_or_name: Option<&str>,
        caller: &Caller,
    ) -> Result<Option<TokenApp>, ControlError> {
        let Some(id_or_name) = id_or_name else { return Ok(None) };
        let app = self.find_app(id_or_name).await?;
        if let Some(audit) = &caller.audit {
            audit.set_app(&app.id, &app.name);
        }
        Ok(Some(TokenApp { id: app.id, name: app.name }))
    }
}

/// Runs the change of a `kind`, `token` or `webhook`, as a task, so that memory and records stay equal even if the caller
/// disconnects meanwhile.
pub(super) async fn in_a_task<T: Send + 'static>(
    kind: &str,
    change: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> Result<T, ControlError> {
    tokio::spawn(change).await.map_err(|error| ControlError::Internal {
        message: format!("the {kind} could not be changed. See: boatyard {kind}s list"),
        cause: error.into(),
    })?
}
