//! The caller of a request, and the row of the request in the audit trail.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use rollout::ids::{AppId, DeploymentId};
use store::records::{Actor, App, AuditEntry, Change};

use crate::clock;
use crate::supervise::lock;

/// The caller of a request. Equal requests of one caller are recognised by the token's hash and the idempotency key.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Hash of the caller's token.
    pub token_hash: String,
    /// The `Idempotency-Key` header, if sent.
    pub idempotency_key: Option<String>,
    /// The caller's token.
    pub actor: Actor,
    /// The row of this request in the audit trail; `None`: the request is not recorded there.
    pub audit: Option<AuditDraft>,
}

impl Caller {
    /// The row of an accepted request about an app, for the commit that makes the request effective. After the commit,
    /// call [`Caller::audit_is_written`].
    pub(crate) fn accepted(&self, app: &App, deployment: &DeploymentId) -> Option<Change> {
        let audit = self.audit.as_ref()?;
        audit.set_app(&app.id, &app.name);
        audit.set_deployment(deployment);
        Some(audit.accepted())
    }

    pub(crate) fn audit_is_written(&self) {
        if let Some(audit) = &self.audit {
            audit.dismiss();
        }
    }
}

/// A row of the audit trail that is not complete yet. Its clones are the same row.
#[derive(Debug, Clone)]
pub struct AuditDraft(Arc<Mutex<Draft>>);

#[derive(Debug)]
struct Draft {
    entry: AuditEntry,
    /// Nothing is left to write: a commit contained the row, or the request changed nothing.
    is_done: bool,
}

impl AuditDraft {
    /// A request of this token from this address, at this moment.
    pub fn new(actor: Actor, action: &str, source: Option<IpAddr>) -> Self {
        let entry = AuditEntry {
            at: clock::now(),
            actor,
            action: action.to_owned(),
            app: None,
            app_name: None,
            deployment: None,
            subject: None,
            status: None,
            source,
        };
        Self(Arc::new(Mutex::new(Draft { entry, is_done: false })))
    }

    /// Sets the app that the request concerns.
    pub fn set_app(&self, id: &AppId, name: &str) {
        let entry = &mut lock(&self.0).entry;
        entry.app = Some(id.clone());
        entry.app_name = Some(name.to_owned());
    }

    /// Sets the text by which the request names an app, until the app is looked up.
    pub fn set_app_name(&self, text: &str) {
        lock(&self.0).entry.app_name = Some(text.to_owned());
    }

    /// Sets the deployment that the request concerns or starts.
    pub fn set_deployment(&self, id: &DeploymentId) {
        lock(&self.0).entry.deployment = Some(id.clone());
    }

    /// Sets what the request concerns besides the app.
    pub fn set_subject(&self, subject: &str) {
        lock(&self.0).entry.subject = Some(subject.to_owned());
    }

    /// The request changed nothing, or its row is on disk: [`AuditDraft::finish`] will return nothing.
    pub fn dismiss(&self) {
        lock(&self.0).is_done = true;
    }

    /// The row, if it still has to be written. `status`: see [`AuditEntry::status`].
    pub fn finish(&self, status: Option<u16>) -> Option<AuditEntry> {
        let mut draft = lock(&self.0);
        let is_done = std::mem::replace(&mut draft.is_done, true);
        (!is_done).then(|| AuditEntry { status, ..draft.entry.clone() })
    }

    /// The row of the accepted request, for the commit that makes the request effective.
    pub(crate) fn accepted(&self) -> Change {
        Change::Audit(Box::new(AuditEntry { status: Some(200), ..lock(&self.0).entry.clone() }))
    }
}
