//! Rights that the process gives up before it reads its first byte from anybody.
//!
//! It keeps one capability, to bind ports below 1024 also later, and loses every way to gain others. System calls that a
//! proxy never makes are refused: a list of what is refused, rather than of what is allowed, since the allowed ones differ
//! between C libraries, their versions and architectures, and a forgotten one would be an outage at the worst moment.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Why some rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("capabilities could not be dropped")]
    Capabilities(#[from] CapsError),
    #[error("system calls could not be filtered")]
    SystemCalls(#[from] seccompiler::Error),
    #[error("the filter of system calls is wrong")]
    Filter(#[from] seccompiler::BackendError),
}

/// Never made by a proxy, and each a step of a known attack.
const REFUSED: &[i64] = &[
    // Running other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Reading and steering other processes.
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
    // Parts of the kernel that many of its holes were found in.
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
    // The kernel itself, its clock and its name.
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

/// Kinds of sockets that may be made; all others are refused.
const SOCKETS: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Gives up rights for this thread and those that it starts: to be called before there are others.
///
/// # Errors
/// What could not be given up; the process works all the same.
pub fn confine(data_dir: &Path) -> Result<(), ConfineError> {
    let mut kept = CapsHashSet::from_iter([Capability::CAP_NET_BIND_SERVICE]);
    if !is_ours(data_dir) {
        // Root serves from a directory of another user, and has no other right to its files.
        kept.insert(Capability::CAP_DAC_OVERRIDE);
    }
    let dropped = drop_capabilities(&kept);
    // Also sets "no new privileges", which no program run later could undo.
    seccompiler::apply_filter(&filter()?)?;
    Ok(dropped?)
}

fn is_ours(data_dir: &Path) -> bool {
    let owner =
        [data_dir.join("ingress"), data_dir.to_owned()].iter().find_map(|it| it.metadata().ok()).map(|it| it.uid());
    owner.is_none_or(|owner| owner == rustix::process::geteuid().as_raw())
}

fn drop_capabilities(kept: &CapsHashSet) -> Result<(), CapsError> {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::all().into_iter().filter(|it| !kept.contains(it)) {
            // A kernel that does not know this one has nothing to drop.
            if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    let had = caps::read(None, CapSet::Permitted)?;
    let kept = had.intersection(kept).copied().collect();
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

fn filter() -> Result<BpfProgram, ConfineError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let is_not =
        |kind: i32| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(kind.unsigned_abs()));
    let none_of_these = SOCKETS.into_iter().map(is_not).collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(none_of_these)?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_confined_thread_has_one_capability_at_most_and_can_start_no_program_but_open_sockets() {
        let folder = tempfile::tempdir().unwrap();
        // Rights belong to threads: the other tests keep theirs.
        std::thread::spawn(move || {
            confine(folder.path()).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let field = |name: &str| status.lines().find_map(|it| it.strip_prefix(name)).unwrap().trim().to_owned();
            let bits = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
            let bind = 1 << 10;
            assert!(bits("CapEff:") | bits("CapPrm:") | bind == bind, "{status}");
            assert_eq!((bits("CapInh:"), field("NoNewPrivs:"), field("Seccomp:")), (0, "1".into(), "2".into()));
            std::process::Command::new("/bin/true").spawn().unwrap_err();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
            let netlink = rustix::net::socket(rustix::net::AddressFamily::NETLINK, rustix::net::SocketType::RAW, None);
            assert_eq!(netlink.unwrap_err(), rustix::io::Errno::PERM);
        })
        .join()
        .unwrap();
    }
}
