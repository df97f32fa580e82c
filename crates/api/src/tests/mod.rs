//! Tests of the API over real connections, with a fake controller that records its calls.

mod access;
mod alerts;
mod bodies;
mod client;
mod events;
mod fake_control;
mod lists;
mod logs;
mod outside_url;
mod progress;
mod projects;
mod recorded;
mod rollback;
mod samples;
mod server;
mod specs;
mod tls;
