//! Tests of the API over real connections, with a fake controller that records its calls.

mod access;
mod alerts;
mod audit;
mod bodies;
mod certificates;
mod client;
mod console;
mod detect;
mod events;
mod held_polls;
mod lists;
mod logs;
mod metrics;
mod outside_url;
mod progress;
mod projects;
mod recorded;
mod rollback;
mod scopes;
mod server;
mod sources;
mod specs;
mod tls;
mod tokens;
mod webhooks;

use controller_fake::{self as fake_control, samples};
