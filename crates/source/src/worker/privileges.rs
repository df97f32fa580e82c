//! What the worker gives up before it reads a byte that others wrote: every capability, the means to gain privileges, and
//! system calls that reading git objects never needs. [`confine`] then takes away the rest of the file system.
//!
//! Each of these counts for the thread that calls and for those it starts, so the worker calls them while it has one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

use crate::error::SourceError;
use crate::protocol::Request;
use crate::repo_url::RepoUrl;

/// Programs, other processes, kernel interfaces with a history of holes. Nothing of it is git's business.
const REFUSED: [i64; 27] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_open_by_handle_at,
];

/// What name resolution and TLS read on common systems. What is not there is skipped.
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

/// Gives up all capabilities for good. Errors: the kernel refuses; then nothing should be read.
pub(super) fn drop_all() -> Result<(), SourceError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| SourceError::Worker {
        why: format!("it cannot give up {what}: {error}"),
    };
    set_no_new_privs(true).map_err(|error| failed("gaining privileges", &error))?;
    for capability in CapabilitySet::all().iter() {
        // Refused where this process has no capabilities to begin with, or the kernel does not know this one.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|error| failed("its capabilities", &error))?;
    filter_system_calls().map_err(|error| failed("system calls", &error))
}

/// Installs the filter. A kernel without filters is no reason to stop: the capabilities are gone already.
fn filter_system_calls() -> Result<(), seccompiler::BackendError> {
    let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(()) };
    let rules: BTreeMap<i64, Vec<_>> = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    let _ = seccompiler::apply_filter(&program);
    Ok(())
}

/// Leaves this process only the files that it needs: mirrors, the directories for local sources, what name resolution and
/// TLS read. A kernel older than 5.13 has no such means; there the checks in [`super::local`] stand alone.
pub(super) fn confine(request: &Request, repo: &RepoUrl) -> Result<(), SourceError> {
    if !repo.is_local() {
        // The rule needs a directory that exists, and the first fetch makes it.
        super::mirror::make_directory(&request.mirrors)?;
    }
    restrict(&request.mirrors, &request.rules.local_sources)
        .map_err(|error| SourceError::Worker { why: format!("it cannot give up the file system: {error}") })
}

fn restrict(mirrors: &Path, local_sources: &[PathBuf]) -> Result<(), RulesetError> {
    let abi = ABI::V3;
    let read = AccessFs::from_read(abi) & !AccessFs::Execute;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM_FILES, read))?
        .add_rules(path_beneath_rules(local_sources, read))?
        .add_rules(path_beneath_rules([mirrors], AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()
        .map(drop)
}
