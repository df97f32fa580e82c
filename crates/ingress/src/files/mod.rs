//! Static sites: answers a request from files.
//!
//! In reading order:
//! - [`contents`]: the directories of files that tables name; [`lookup`]: from a path to a file;
//! - [`negotiation`]: what a client has, and which bytes and which encoding it wants;
//! - [`answer`]: the response; [`file_body`]: its body; [`small_files`]: contents that are kept in memory.

mod answer;
mod contents;
mod file_body;
mod lookup;
mod negotiation;
mod small_files;

pub(crate) use answer::{find, respond};
pub(crate) use contents::{OpenSites, Site, open};
pub(crate) use file_body::FileBody;

#[cfg(test)]
pub(crate) mod tests;
