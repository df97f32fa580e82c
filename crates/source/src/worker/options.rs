//! The process-wide options of git2. The only unsafe calls of the whole workspace are here, because git2 has no safe form
//! of them: they are unsafe for being process-wide and unsynchronised, not for touching memory.
#![allow(unsafe_code)]

use git2::{ConfigLevel, Error, opts};

use crate::error::SourceError;
use crate::limits::Limits;

/// Packs are read through windows mapped into memory. Small ones keep a worker at tens of megabytes, whatever the
/// size of the repository.
const WINDOW: usize = 4 * 1024 * 1024;
const WINDOWS_MAPPED: usize = 32 * 1024 * 1024;
/// Trees and small blobs that git2 keeps for another look; a walk looks once.
const CACHE: isize = 8 * 1024 * 1024;

/// Cuts git2 off from the machine's configuration and bounds its waits and its memory.
pub(super) fn harden(limits: &Limits) -> Result<(), SourceError> {
    set(limits)
        .map_err(|error| SourceError::Worker { why: format!("git's options cannot be set: {}", error.message()) })
}

fn set(limits: &Limits) -> Result<(), Error> {
    let stall = i32::try_from(limits.stall.as_millis()).unwrap_or(i32::MAX);
    opts::strict_hash_verification(true);
    // SAFETY: these set plain values that git2 reads without a lock. The worker has made no other call to git2 yet, and
    // the threads it has started (see `limits`) make none.
    unsafe {
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            // No insteadOf, no proxies, no credential helpers of the host.
            opts::set_search_path(level, "")?;
        }
        opts::set_server_connect_timeout_in_milliseconds(stall)?;
        opts::set_server_timeout_in_milliseconds(stall)?;
        opts::set_mwindow_size(WINDOW)?;
        opts::set_mwindow_mapped_limit(WINDOWS_MAPPED)?;
        opts::set_mwindow_file_limit(128)?;
        opts::set_cache_max_size(CACHE)?;
        // Ownership guards against running hooks and filters from a stranger's configuration. git2 runs neither, and the
        // operator has named the directories that local repositories may lie in.
        opts::set_verify_owner_validation(false)?;
    }
    Ok(())
}
