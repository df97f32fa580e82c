//! The files of a static site: taken out of a tar stream into a directory, and found again by their paths.
//!
//! A file is stored under the SHA-256 hash of its bytes, and the index of the directory maps paths to hashes. So the path of
//! a request never becomes a path of the file system: it is a key of the index. Links are resolved when the files are
//! stored, so the directory contains none.
//!
//! In reading order:
//! - [`index`]: which files a site has; [`stored`]: opens a directory and its files;
//! - [`unpack`]: from a tar stream to a directory; [`links`]: resolves its symbolic links.
#![warn(missing_docs)]

mod index;
mod links;
mod stored;
mod unpack;

pub use index::{Entry, FileHash, Index};
pub use stored::{ReadError, StoredSite, remove};
pub use unpack::{Limits, UnpackError, Unpacked, unpack};

#[cfg(test)]
mod tests;
