//! OpenSSH's files of known hosts, as `ssh-keyscan` writes them (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

use base64::Engine as _;
use sha2::{Digest, Sha256};

use crate::credentials::Fingerprint;

/// Why a file of known hosts has no key for a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKnownHost {
    /// No line names the host.
    #[error("it has no key for {name}")]
    Absent {
        /// The host as such files write it.
        name: String,
    },
    /// No line names the host, but some lines have hashes instead of names.
    #[error(
        "it has no key for {name}, unless in a line with a hashed name, which is not read. Write the lines that `ssh-keygen -F \
         {name}` finds to another file, with {name} in place of the hash"
    )]
    Hashed {
        /// The host as such files write it.
        name: String,
    },
}

/// The fingerprints of the keys that the file has for `host`, which has a port if it is not 22. Errors: there are none.
pub fn known_host_keys(file: &str, host: &str) -> Result<Vec<Fingerprint>, NoKnownHost> {
    let name = match app_spec::split_port(host) {
        Some((host, Some(port))) if port != 22 => format!("[{}]:{port}", host.trim_matches(['[', ']'])),
        Some((host, _)) => host.trim_matches(['[', ']']).to_owned(),
        None => host.to_owned(),
    };
    let mut keys: Vec<Fingerprint> = file.lines().filter_map(|line| key_of(line, &name)).collect();
    keys.sort();
    keys.dedup();
    if !keys.is_empty() {
        return Ok(keys);
    }
    match file.lines().any(|line| line.starts_with('|')) {
        true => Err(NoKnownHost::Hashed { name }),
        false => Err(NoKnownHost::Absent { name }),
    }
}

/// The key of a line that names the host. Lines with a marker (`@revoked`, `@cert-authority`) name no key to pin.
fn key_of(line: &str, name: &str) -> Option<Fingerprint> {
    let mut fields = line.split_whitespace();
    let names = fields.next().filter(|it| !it.starts_with(['#', '@', '|']))?;
    let key = fields.nth(1)?;
    names.split(',').find(|it| it.eq_ignore_ascii_case(name))?;
    let key = base64::engine::general_purpose::STANDARD.decode(key).ok()?;
    Some(Fingerprint::of_hash(&Sha256::digest(key).into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// GitHub's key for Ed25519, under several names.
    const FILE: &str = "\
# github.com:22 SSH-2.0-babeld
github.com,192.0.2.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl comment
[git.example.com]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO
@revoked old.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO
broken.example.com ssh-ed25519
";

    #[test]
    fn the_keys_of_a_host_are_found_by_its_name_and_port() {
        let keys =
            |host: &str| known_host_keys(FILE, host).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let github = ["SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU".to_owned()];
        for host in ["github.com", "GitHub.com", "github.com:22", "192.0.2.1"] {
            assert_eq!(keys(host).unwrap(), github, "{host}");
        }
        assert_eq!(keys("git.example.com:2222").unwrap(), ["SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM"]);
        for host in ["git.example.com", "github.com:2222", "old.example.com", "broken.example.com"] {
            assert!(matches!(known_host_keys(FILE, host), Err(NoKnownHost::Absent { .. })), "{host}");
        }
    }

    #[test]
    fn hashed_names_are_reported() {
        let file = "|1|c2FsdA==|aGFzaA== ssh-ed25519 AAAA\n";
        let error = known_host_keys(file, "git.example.com:2222").unwrap_err();
        assert!(error.to_string().contains("ssh-keygen -F [git.example.com]:2222"), "{error}");
    }
}
