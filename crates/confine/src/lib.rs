//! Drops capabilities and installs a system call filter, for processes that read input from the network or from
//! repositories.
//!
//! The filter lists what is refused, not what is allowed. The allowed calls differ between C libraries, their versions and
//! architectures, and a call missing from such a list would be an outage.

use std::collections::BTreeMap;

use rustix::net::AddressFamily;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Why a process still has rights that it tried to give up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The kernel refused to drop capabilities or to forbid gaining privileges.
    #[error("cannot drop capabilities")]
    Capabilities(#[from] rustix::io::Errno),
    /// A bug in the list of system calls.
    #[error("cannot build the system call filter")]
    Filter(#[from] seccompiler::BackendError),
    /// This kernel or architecture has no system call filters.
    #[error("cannot install the system call filter: {0}")]
    NoFilter(String),
}

/// System calls that neither a proxy nor a git client makes, and that known attacks use.
const REFUSED: &[i64] = &[
    // Running other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Inspecting and controlling other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    // Kernel interfaces with a history of vulnerabilities.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    // The kernel, its clock and its name.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Gives up every capability except `keep`, the ability to gain privileges, and the system calls in the list above. Only
/// sockets of `families` can be created afterwards; an empty list allows all families.
///
/// This applies to the calling thread and to threads that it starts later, so call it before starting others. The filter
/// is installed even if a capability cannot be dropped.
///
/// # Errors
/// The first step that failed. The process can continue with its remaining rights.
pub fn confine(keep: CapabilitySet, families: &[AddressFamily]) -> Result<(), ConfineError> {
    let dropped = set_no_new_privs(true).and_then(|()| drop_capabilities(keep));
    let architecture =
        TargetArch::try_from(std::env::consts::ARCH).map_err(|error| ConfineError::NoFilter(error.to_string()))?;
    let program = filter(families, architecture)?;
    seccompiler::apply_filter(&program).map_err(|error| ConfineError::NoFilter(error.to_string()))?;
    Ok(dropped?)
}

fn drop_capabilities(keep: CapabilitySet) -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().difference(keep).iter() {
        // Fails if the process has no CAP_SETPCAP or the kernel does not know the capability. "No new privileges" covers both.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let kept = capabilities(None)?.permitted & keep;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })
}

fn filter(families: &[AddressFamily], architecture: TargetArch) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let is_other = |family: &AddressFamily| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.as_raw()))
    };
    let other_family = families.iter().map(is_other).collect::<Result<Vec<_>, _>>()?;
    if !other_family.is_empty() {
        rules.insert(libc::SYS_socket, vec![SeccompRule::new(other_family)?]);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?.try_into()
}
