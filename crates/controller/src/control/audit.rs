//! Writes and reads the audit trail.

use store::records::{AuditEntry, Change};

use super::Controller;
use super::operations::bounds;
use crate::error::ControlError;
use crate::view::{Page, PageQuery};

impl Controller {
    pub(super) async fn write_audit(&self, entry: AuditEntry) {
        let (action, token_name) = (entry.action.clone(), entry.actor.name.clone());
        if let Err(error) = self.0.shared.store.commit(vec![Change::Audit(Box::new(entry))]).await {
            tracing::error!(%error, action, token_name, "a request is missing in the audit trail");
        }
    }

    pub(super) async fn audit_page(
        &self,
        app: Option<&str>,
        page: PageQuery,
    ) -> Result<Page<AuditEntry>, ControlError> {
        let (skip, take) = bounds(page);
        let (items, total) = self.0.shared.store.audit(app, skip, take).await?;
        Ok(Page { items, total })
    }
}
