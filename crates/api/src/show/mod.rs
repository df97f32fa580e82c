//! Records as the JSON that App Platform's clients parse. Everything here is a pure function of what the controller said.
//!
//! Clients crash on some absent objects and on wrong types, so `spec` and `progress` are always there, times are RFC 3339
//! or absent, and what is not known is left out, never null or empty.

mod app;
mod catalog;
mod deployment;
mod fields;
mod page;
mod progress;
mod proof;
mod status;

pub(crate) use app::{Pending, app, proposal};
pub(crate) use catalog::{account, instance_size, instance_sizes, region, regions, tier, tiers, token_info};
pub(crate) use deployment::deployment;
pub(crate) use page::paged;
pub(crate) use status::{instances, status};
