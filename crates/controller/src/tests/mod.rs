//! The whole controller on an engine and an ingress in memory, with a store on disk. A failure between any two calls
//! leads to the same end state as no failure. Time is paused: the seconds of a rollout pass at once, and in order.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod alerts;
mod app_rollback;
mod builds;
mod by_hand;
mod calls;
mod cluster;
mod console;
mod counting;
mod crashes;
mod deployment_end;
mod down;
mod drift;
mod faults;
mod fence;
mod history;
mod image_builder;
mod ingress;
mod ingress_client;
mod job_invocations;
mod jobs;
mod live;
mod logs;
mod measurements;
mod messages;
mod names;
mod outages;
mod preview;
mod published;
mod pushes;
mod queue;
mod restart;
mod restored;
mod rollback;
pub(crate) mod samples;
mod sessions;
mod simulation;
mod source_heads;
mod source_logins;
mod sources;
mod static_sites;
mod stopping;
mod timeline;
mod tokens;
mod unreadable;
mod upgrade;
