//! The API through its front door: a real listener, real connections, a controller that only remembers.

mod access;
mod bodies;
mod client;
mod double;
mod lists;
mod logs;
mod recorded;
mod samples;
mod server;
mod specs;
