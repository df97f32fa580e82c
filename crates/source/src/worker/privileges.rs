//! Privileges that the worker gives up before it reads untrusted bytes: all capabilities, the ability to gain
//! privileges, and system calls that git never makes. [`restrict_files`] then restricts the file system.
//!
//! These apply to the calling thread and to threads that it starts later, so the worker calls them while it has a
//! single thread.

use std::path::{Path, PathBuf};

use confine::ConfineError;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};
use rustix::thread::CapabilitySet;

use crate::error::SourceError;
use crate::protocol::Request;
use crate::repo_url::RepoUrl;

/// Files that name resolution and TLS read on common systems. Missing ones are skipped.
const SYSTEM_FILES: [&str; 22] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/openssl",
    "/etc/certs",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/nscd",
    "/var/lib/ca-certificates",
    "/usr",
    "/lib",
    "/lib64",
    "/dev",
];

/// Gives up all capabilities, the ability to gain privileges, and system calls that git does not make. Errors: the
/// kernel refuses to drop capabilities; the worker must not read anything then.
pub(super) fn drop_privileges() -> Result<(), SourceError> {
    match confine::confine(CapabilitySet::empty(), &[]) {
        // Without system call filters in the kernel the worker continues: it has no capabilities any more.
        Ok(()) | Err(ConfineError::NoFilter(_)) => Ok(()),
        Err(error) => Err(SourceError::Worker { why: format!("it cannot give up its privileges: {}", chain(&error)) }),
    }
}

/// The error with its sources. `SourceError` crosses a pipe as text.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Restricts file access to mirrors, directories for local sources, and files that name resolution and TLS read.
/// Kernels older than 5.13 do not support this; there only the checks in [`super::local`] apply.
pub(super) fn restrict_files(request: &Request, repo: &RepoUrl) -> Result<(), SourceError> {
    if !repo.is_local() {
        // The rule needs an existing directory, and the first fetch creates it.
        super::mirror::create_directory(&request.mirrors)?;
    }
    let read: Vec<&PathBuf> = request.rules.local_sources.iter().chain(&request.authorities).collect();
    restrict(&request.mirrors, &read)
        .map_err(|error| SourceError::Worker { why: format!("it cannot restrict its file access: {error}") })
}

fn restrict(mirrors: &Path, readable: &[&PathBuf]) -> Result<(), RulesetError> {
    let abi = ABI::V3;
    let read = AccessFs::from_read(abi) & !AccessFs::Execute;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM_FILES, read))?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules([mirrors], AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()
        .map(drop)
}
