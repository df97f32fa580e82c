//! What the end-to-end stories and the demo share.

pub mod browser;
pub mod by_hand;
pub mod demo;
pub mod engine;
pub mod http;
pub mod installation;
pub mod load;
pub mod panel;
pub mod process;
pub mod repo;
pub mod site;
pub mod small_disk;
