//! The Docker engine behind the port, against a real one. Without an engine these tests fail: they prove nothing then.

#![allow(clippy::unwrap_used)]

mod builds;
mod by_hand;
mod images;
mod lifecycle;
mod networks;
mod output;
mod ownership;
mod support;
