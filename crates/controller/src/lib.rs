//! The shell around the pure core: for each app it observes, plans, executes one step, records it, and observes again.
//!
//! The API and the CLI call [`Controller`]. One task per app ([`app`]) makes all changes to that app; other code sends
//! it requests or wakes it up. The rules are in `rollout`; this crate only carries them out.
//!
//! Modules in reading order:
//! - [`config`], [`caller`], [`view`], [`error`]: inputs, answers and errors;
//! - [`names`], [`derived_id`], [`network`], [`process`]: pure: names, ids, addresses, and what a container runs;
//! - [`reach`], [`ports`]: how this host connects to instances, and the ports that they publish for that;
//!   [`connect_check`]: whether containers can connect to this host; [`public_network`]: at which address they reach
//!   public host names;
//! - [`engine_watch`], [`ingress_client`], [`probe`], [`image_builder`]: access to the engine, the ingress, instances
//!   and sources;
//! - [`supervise`]: tasks that survive a panic; [`tokens`]: tokens that were created beside the admin token;
//!   [`sessions`] and [`sign_in_links`]: sessions of the panel, and links that start one;
//! - [`webhooks`]: what hosts of repositories report, verified and read;
//! - [`app`]: the task that owns an app;
//! - [`console`]: shells in running instances; [`deployment_numbers`]: which instances belong to a deployment;
//! - [`unknown`]: objects that no record explains; [`mirrors`]: removing unused mirrors; [`bandwidth`]: counting what the
//!   ingress sends; [`traffic`], [`usage`]: requests of apps, and CPU and memory of instances, over the last hour;
//! - [`control`], [`start`], [`fence`], [`logs`], [`redact`]: operations, startup, which controller may act, reading
//!   logs, and hiding secrets in them.
#![warn(missing_docs)]

mod app;
mod bandwidth;
mod build_hints;
mod caller;
pub mod certificates;
mod clock;
pub mod config;
mod connect_check;
pub mod console;
mod control;
mod deployment_numbers;
mod derived_id;
mod domains;
mod engine_watch;
pub mod error;
mod fence;
mod image_builder;
mod ingress_client;
mod logbook;
mod logs;
mod metrics;
mod mirrors;
mod names;
mod network;
mod ports;
mod probe;
mod process;
mod public_network;
mod reach;
mod redact;
mod registries;
mod sessions;
mod sign_in_links;
mod source_logins;
mod specs;
mod start;
mod supervise;
#[cfg(test)]
mod tests;
mod tokens;
mod traffic;
pub mod unknown;
mod usage;
pub mod view;
mod webhooks;

pub use config::{
    AcmeChallenge, AcmeSettings, Config, NetworkPool, Reach, ReachChoice, SpecialNetwork, WebhookSettings,
};
pub use control::{Control, Controller, LogLines};
pub use derived_id::derived_id;
pub use error::{ControlError, StartError};
pub use start::uninstall;
