//! End-to-end tests of the real binary on a real engine. Each test creates a separate installation and removes it
//! again.
//!
//! They need what `scripts/setup` creates: an engine that answers, and the local images.
#![allow(clippy::unwrap_used)]

mod app_rollback;
mod between_components;
mod build_queue;
mod build_secrets;
mod builds;
mod by_hand;
mod clients;
mod command_line;
mod console;
mod crash;
mod detected;
mod dev;
mod domains;
mod engine_restart;
mod frozen;
mod full_disk;
mod held_polls;
mod http2;
mod jobs;
mod login;
mod logs;
mod many;
mod names;
mod operating;
mod panel;
mod private_sources;
mod pushes;
mod recorded;
mod refusals;
mod registries;
mod restart;
mod restored;
mod rollback;
mod routing;
mod sign_in;
mod signals;
mod sources;
mod specs;
mod static_sites;
mod support;
mod terminal;
mod terraform;
mod tls;
mod tokens;
mod two_installations;
mod upgrade;
