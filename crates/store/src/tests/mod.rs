#![allow(clippy::unwrap_used)]

mod access;
mod bandwidth;
mod certificates;
mod damaged_rows;
mod directory;
mod durability;
mod host_logins;
mod migrations;
mod refused_changes;
mod round_trip;
mod samples;
mod secrets;
mod transitions;
mod webhooks;
