//! The tables of records: their names, their key columns, and the columns beside the body.

use rusqlite::types::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::records::{
    AcmeAccount, AlertDestinations, App, BuiltImage, Certificate, CertificateAttempts, Database, Deployment, HostLogin,
    Instance, JobRun, Revision, Session, Token, Webhook,
};

/// A record with a table. A row has the key columns, further columns that queries need, and the record as JSON in `body`.
pub(crate) trait Table: Serialize + DeserializeOwned {
    const NAME: &'static str;
    /// The columns of the primary key.
    const KEY: &'static [&'static str];
    /// Whether the body is sealed.
    const SEALED: bool;

    /// The values of the key columns.
    fn key_values(&self) -> Vec<&str>;

    /// The further columns.
    fn columns(&self) -> Vec<(&'static str, Value)>;

    /// The key as one string.
    fn key(&self) -> String {
        self.key_values().join("/")
    }

    /// The context that a sealed body is bound to, so that the body does not open in another row.
    fn seal_context(key: &str) -> String {
        format!("{}/{key}", Self::NAME)
    }
}

macro_rules! table {
    ($record:ident, $name:literal, $key:expr, sealed: $sealed:literal, $key_values:expr, $columns:expr) => {
        impl Table for $record {
            const NAME: &'static str = $name;
            const KEY: &'static [&'static str] = &$key;
            const SEALED: bool = $sealed;

            fn key_values(&self) -> Vec<&str> {
                let values: fn(&Self) -> Vec<&str> = $key_values;
                values(self)
            }

            fn columns(&self) -> Vec<(&'static str, Value)> {
                let columns: fn(&Self) -> Vec<(&'static str, Value)> = $columns;
                columns(self)
            }
        }
    };
}

table!(App, "apps", ["id"], sealed: false,
    |it| vec![it.id.as_str()],
    |it| vec![("name", it.name.clone().into()), ("deleting", it.deleting.into()), ("network", it.network.into())]);
table!(Deployment, "deployments", ["id"], sealed: false,
    |it| vec![it.id.as_str()],
    |it| vec![text("app", &it.app), ("number", (it.number as i64).into()), ("ended", it.stage.is_ended().into())]);
table!(Instance, "instances", ["name"], sealed: false,
    |it| vec![it.name.as_str()],
    |it| vec![text("app", &it.app)]);
table!(Revision, "revisions", ["app", "id"], sealed: true,
    |it| vec![it.app.as_str(), it.id.as_str()],
    |_| vec![]);
table!(JobRun, "job_runs", ["deployment", "job"], sealed: false,
    |it| vec![it.deployment.as_str(), it.job.as_str()],
    |it| vec![text("app", &it.app), ("collected", it.collected.into())]);
table!(Database, "databases", ["app", "name"], sealed: true,
    |it| vec![it.app.as_str(), it.name.as_str()],
    |_| vec![]);
table!(BuiltImage, "built_images", ["identity"], sealed: false,
    |it| vec![it.identity.as_str()],
    |it| vec![text("app", &it.app)]);
table!(AlertDestinations, "alert_destinations", ["app", "alert"], sealed: true,
    |it| vec![it.app.as_str(), it.alert.as_str()],
    |_| vec![]);
table!(Token, "tokens", ["id"], sealed: false,
    |it| vec![&it.id],
    |it| vec![text("name", &it.name), text("hash", &it.hash)]);
table!(Session, "sessions", ["id"], sealed: false,
    |it| vec![&it.id],
    |it| vec![text("hash", &it.hash)]);
table!(HostLogin, "host_logins", ["kind", "host"], sealed: true,
    |it| vec![it.kind.as_str(), &it.host],
    |_| vec![]);
table!(Certificate, "certificates", ["name"], sealed: true,
    |it| vec![&it.name],
    |_| vec![]);
table!(CertificateAttempts, "certificate_attempts", ["name"], sealed: true,
    |it| vec![&it.name],
    |_| vec![]);
table!(AcmeAccount, "acme_accounts", ["directory"], sealed: true,
    |it| vec![&it.directory],
    |_| vec![]);
table!(Webhook, "webhooks", ["name"], sealed: true,
    |it| vec![&it.name],
    |_| vec![]);

fn text(column: &'static str, value: &impl ToString) -> (&'static str, Value) {
    (column, value.to_string().into())
}
