//! Tests of the API over real connections, with a fake controller that records its calls.

mod access;
mod alerts;
mod audit;
mod bodies;
mod client;
mod console;
mod events;
mod fake_console;
mod fake_control;
mod held_polls;
mod lists;
mod logs;
mod metrics;
mod outside_url;
mod progress;
mod projects;
mod recorded;
mod rollback;
mod samples;
mod scopes;
mod server;
mod specs;
mod tls;
mod tokens;
