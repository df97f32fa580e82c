//! Limits on git operations, with defaults and their reasons.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Limits on one git operation. Exceeding one is an error that names it; nothing is truncated silently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of file content in one build context. Default 2 GiB.
    pub context_bytes: u64,
    /// Entries (files, links, directories) in one build context. Default 200,000.
    pub context_files: u64,
    /// Directory levels below the build context. Default 64.
    pub depth: u32,
    /// Bytes of a single file, which is held in memory while it is sent. Default 512 MiB.
    pub file_bytes: u64,
    /// Bytes of a Dockerfile, of a `.dockerignore`, and of any other file read as text. Default 1 MiB.
    pub text_bytes: u64,
    /// Bytes received from a server in one fetch, and the largest file a worker may write. Default 4 GiB.
    pub fetch_bytes: u64,
    /// Address space of a worker. One file with its delta base and mapped packs fit into it. Default 4 GiB.
    pub memory_bytes: u64,
    /// A worker that reports nothing for this long is killed. Default 30 s.
    pub stall: Duration,
    /// Time limit of any operation, whatever it reports. Default 10 minutes.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            context_bytes: 2 * GIB,
            context_files: 200_000,
            depth: 64,
            file_bytes: 512 * MIB,
            text_bytes: MIB,
            fetch_bytes: 4 * GIB,
            memory_bytes: 4 * GIB,
            stall: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}
