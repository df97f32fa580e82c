//! Renders the controller's answers as the JSON that App Platform's clients parse. All functions are pure.
//!
//! Clients crash on some absent objects and on wrong types. Therefore `spec` and `progress` are always present, times are
//! RFC 3339, and an unknown value is left out instead of null or empty.

mod alert;
mod app;
mod audit;
mod catalog;
mod certificate;
mod deployment;
mod detected;
mod job_invocation;
mod metrics;
mod object;
mod page;
mod project;
mod registry_login;
mod rollback;
mod source_login;
mod status;
mod timing;
mod token;
mod webhook;

pub(crate) use alert::alert;
pub(crate) use app::{PendingDeployment, app, listed_app, proposal};
pub(crate) use audit::audit_entry;
pub(crate) use catalog::{account, instance_size, instance_sizes, owner_id, region, regions, tier, tiers, token_info};
pub(crate) use certificate::certificate;
pub(crate) use deployment::{TYPES as DEPLOYMENT_TYPES, deployment, type_of};
pub(crate) use detected::detected;
pub(crate) use job_invocation::job_invocation;
pub(crate) use metrics::metrics;
pub(crate) use page::paged;
pub(crate) use project::{project, project_id, resource};
pub(crate) use registry_login::registry_login;
pub(crate) use rollback::rollback_check;
pub(crate) use source_login::source_login;
pub(crate) use status::{instances, status};
pub(crate) use token::token;
pub(crate) use webhook::webhook;
