//! Tests of the Docker implementation of the port on a real engine. Without an engine they fail, because they would
//! prove nothing.

#![allow(clippy::unwrap_used)]

mod builds;
mod by_hand;
mod files;
mod images;
mod lifecycle;
mod networks;
mod output;
mod ownership;
mod shells;
mod support;
