//! Process-wide options of git2. git2 has no safe functions for them: the calls are unsafe because the options are
//! global and unsynchronized, not because they access memory.
#![allow(unsafe_code)]

use git2::transport::Transport;
use git2::{ConfigLevel, Error, Remote, opts};

use crate::error::SourceError;
use crate::limits::Limits;

/// git2 reads packs through memory-mapped windows. Small ones keep a worker at tens of megabytes for a repository of
/// any size.
const WINDOW: usize = 4 * 1024 * 1024;
const WINDOWS_MAPPED: usize = 32 * 1024 * 1024;
/// git2 caches trees and small blobs for repeated reads; a walk reads each once.
const CACHE: isize = 8 * 1024 * 1024;

/// Makes git2 ignore the machine's configuration, and bounds its waits and its memory.
///
/// `verify_hashes` makes git2 compute the hash of every object that it reads. That takes a third of the time of a build
/// context, and `git archive` does not do it either: git2 computed the hashes when the objects arrived in the mirror, and
/// zlib's checksum detects damage since then.
pub(super) fn harden(limits: &Limits, verify_hashes: bool) -> Result<(), SourceError> {
    set(limits, verify_hashes)
        .map_err(|error| SourceError::Worker { why: format!("git's options cannot be set: {}", error.message()) })
}

/// Makes git2 use this transport for addresses with this scheme, from now on and in the whole process.
pub(super) fn register_transport(
    scheme: &str,
    factory: impl Fn(&Remote<'_>) -> Result<Transport, Error> + Send + Sync + 'static,
) -> Result<(), SourceError> {
    // SAFETY: git2 keeps transports in a list without a lock. Only this thread uses git2.
    unsafe { git2::transport::register(scheme, factory) }
        .map_err(|error| SourceError::Worker { why: format!("git's transport cannot be set: {}", error.message()) })
}

fn set(limits: &Limits, verify_hashes: bool) -> Result<(), Error> {
    let stall = i32::try_from(limits.stall.as_millis()).unwrap_or(i32::MAX);
    opts::strict_hash_verification(verify_hashes);
    // SAFETY: these set plain values that git2 reads without a lock. The worker has not called git2 before, and the
    // threads it has started (see `resource_limits`) do not call it.
    unsafe {
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            // The host's insteadOf rules, proxies and credential helpers are ignored.
            opts::set_search_path(level, "")?;
        }
        opts::set_server_connect_timeout_in_milliseconds(stall)?;
        opts::set_server_timeout_in_milliseconds(stall)?;
        opts::set_mwindow_size(WINDOW)?;
        opts::set_mwindow_mapped_limit(WINDOWS_MAPPED)?;
        opts::set_mwindow_file_limit(128)?;
        opts::set_cache_max_size(CACHE)?;
        // The ownership check protects against hooks and filters in another user's configuration. git2 runs neither,
        // and the operator named the directories that local repositories may be in.
        opts::set_verify_owner_validation(false)?;
    }
    Ok(())
}
