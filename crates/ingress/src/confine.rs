//! Rights that the ingress gives up before it reads the first byte from a client.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub use confine::ConfineError;
use rustix::net::AddressFamily;
use rustix::thread::CapabilitySet;

/// Keeps one capability, to bind ports below 1024 later as well. Call it while the process has a single thread.
///
/// # Errors
/// Which rights could not be dropped. The ingress works anyway.
pub fn confine(data_dir: &Path) -> Result<(), ConfineError> {
    let mut keep = CapabilitySet::NET_BIND_SERVICE;
    if !is_own(data_dir) {
        // Root serves from a directory of another user, and has no other right to its files.
        keep |= CapabilitySet::DAC_OVERRIDE;
    }
    confine::confine(keep, &[AddressFamily::UNIX, AddressFamily::INET, AddressFamily::INET6])
}

fn is_own(data_dir: &Path) -> bool {
    let owner =
        [data_dir.join("ingress"), data_dir.to_owned()].iter().find_map(|it| it.metadata().ok()).map(|it| it.uid());
    owner.is_none_or(|owner| owner == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_confined_thread_keeps_at_most_one_capability_and_cannot_start_programs_but_can_open_sockets() {
        let folder = tempfile::tempdir().unwrap();
        // Capabilities and filters apply to a thread: the other tests keep their rights.
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
