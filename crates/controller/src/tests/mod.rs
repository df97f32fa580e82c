//! The whole controller on an engine and an ingress in memory, with a store on disk. A failure between any two calls
//! leads to the same end state as no failure. Time is paused: the seconds of a rollout pass at once, and in order.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod builds;
mod by_hand;
mod cluster;
mod counting;
mod crashes;
mod down;
mod drift;
mod faults;
mod fence;
mod history;
mod image_builder;
mod ingress;
mod ingress_client;
mod jobs;
mod logs;
mod messages;
mod outages;
mod preview;
mod queue;
mod restart;
mod restored;
mod rollback;
mod simulation;
mod stopping;
mod unreadable;
mod upgrade;
