//! Repository addresses, checked by the rules of this installation: https, ssh, http only if the operator allows it,
//! and local directories only inside those that the operator named. [`RepoAddress`] parses the form. Every other
//! address is refused before a worker starts.

use std::fmt;
use std::path::{Path, PathBuf};

use app_spec::{AddressError, RepoAddress};
use serde::{Deserialize, Serialize};

use crate::egress::SpecialNetwork;

/// Which addresses are allowed beyond https and ssh.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UrlRules {
    /// Allow plain `http://`. Default: no, because anyone on the network path could change the source.
    pub allow_http: bool,
    /// Directories that local repositories may be in. Default: none.
    pub local_sources: Vec<PathBuf>,
    /// Special networks to fetch from. Default: none.
    #[serde(default)]
    pub allow_from: Vec<SpecialNetwork>,
}

/// An allowed address. `Display` prints it as written; it never contains a password or token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoUrl {
    text: String,
    location: RepoLocation,
}

/// The host of a repository, with a port if it is not the usual one of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    /// For fetches by https; `None` if the repository is named by ssh.
    pub https: Option<String>,
    /// For fetches by ssh. If the repository is named by https: the host without a port.
    pub ssh: String,
}

impl HostNames {
    /// The name that the address of the repository contains.
    pub(crate) fn named(&self) -> &str {
        self.https.as_deref().unwrap_or(&self.ssh)
    }
}

/// The usual port for ssh.
const SSH_PORT: u16 = 22;
/// The user of almost every git server.
pub(crate) const SSH_USER: &str = "git";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RepoLocation {
    Http { secure: bool, host: String, port: Option<u16> },
    Ssh { user: Option<String>, host: String, port: u16 },
    Local { path: PathBuf },
}

/// Why an address was refused. The messages repeat only parts that cannot be a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepoUrlError {
    /// Not the address of a repository, or it contains a login.
    #[error("{0}{help}", help = .0.help().map(|it| format!("; {it}")).unwrap_or_default())]
    Form(#[from] AddressError),
    /// Plain http without permission.
    #[error("http:// is refused because anyone on the network path could change the source; use https://{host}/…")]
    PlainHttp {
        /// The host that was named.
        host: String,
    },
    /// A local path that is in none of the allowed directories.
    #[error(
        "{path} is not inside a directory for local sources; the operator can allow one: boatyard serve \
         --local-sources DIR"
    )]
    OutsideLocalSources {
        /// The path with all links resolved.
        path: String,
    },
    /// A local path that does not exist or cannot be read.
    #[error("{path} cannot be opened: {why}")]
    Unreadable {
        /// The path as written.
        path: String,
        /// The system's reason.
        why: String,
    },
}

impl RepoUrl {
    /// Parses an address and checks it by the rules. A local path is resolved in the file system, links included,
    /// before it is compared with the allowed directories.
    pub fn parse(text: &str, rules: &UrlRules) -> Result<Self, RepoUrlError> {
        let location = match RepoAddress::parse(text)? {
            RepoAddress::Http { secure: false, host, .. } if !rules.allow_http => {
                return Err(RepoUrlError::PlainHttp { host });
            }
            RepoAddress::Http { secure, host, port } => RepoLocation::Http { secure, host, port },
            RepoAddress::Ssh { user, host, port } => RepoLocation::Ssh { user, host, port },
            RepoAddress::Local { path } => return local(&path, rules),
        };
        Ok(Self { text: text.to_owned(), location })
    }

    /// The address as it was written, or the resolved path of a local repository.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is a directory on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.location, RepoLocation::Local { .. })
    }

    /// The names under which logins for this repository are kept. `None` for a local one.
    pub fn host_names(&self) -> Option<HostNames> {
        let with_port = |host: &str, port: u16, usual: u16| match port == usual {
            true => host.to_owned(),
            false => format!("{host}:{port}"),
        };
        match &self.location {
            RepoLocation::Http { secure, host, port } => {
                let usual = if *secure { 443 } else { 80 };
                let https = Some(with_port(host, port.unwrap_or(usual), usual));
                Some(HostNames { https, ssh: host.clone() })
            }
            RepoLocation::Ssh { host, port, .. } => {
                Some(HostNames { https: None, ssh: with_port(host, *port, SSH_PORT) })
            }
            RepoLocation::Local { .. } => None,
        }
    }

    /// The address by which the usual port for ssh serves this repository, if it is named by https.
    pub(crate) fn ssh_address(&self) -> Option<String> {
        let RepoLocation::Http { secure: true, host, .. } = &self.location else { return None };
        let (_, path) = self.text.split_once("://")?.1.split_once('/')?;
        Some(format!("ssh://{SSH_USER}@{host}/{path}"))
    }

    pub(crate) fn location(&self) -> &RepoLocation {
        &self.location
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn local(path: &str, rules: &UrlRules) -> Result<RepoUrl, RepoUrlError> {
    let unreadable = |why: String| RepoUrlError::Unreadable { path: path.to_owned(), why };
    let resolved = Path::new(path).canonicalize().map_err(|error| unreadable(io_reason(&error)))?;
    if !is_inside(&resolved, &rules.local_sources) {
        return Err(RepoUrlError::OutsideLocalSources { path: resolved.display().to_string() });
    }
    let text = resolved.to_str().ok_or_else(|| unreadable("its name is not UTF-8".to_owned()))?.to_owned();
    Ok(RepoUrl { text, location: RepoLocation::Local { path: resolved } })
}

/// Whether a resolved path is in one of `directories`, which are resolved here.
pub(crate) fn is_inside(resolved: &Path, directories: &[PathBuf]) -> bool {
    directories.iter().filter_map(|it| it.canonicalize().ok()).any(|it| resolved.starts_with(it))
}

/// The cause of a failed file operation, in plain words.
pub(crate) fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<RepoUrl, RepoUrlError> {
        RepoUrl::parse(text, &UrlRules::default())
    }

    #[test]
    fn the_addresses_people_copy_from_their_git_host_are_accepted() {
        for url in [
            "https://github.com/owner/name.git",
            "https://github.com/owner/name",
            "HTTPS://git.example.com:8443/group/sub/name.git/",
            "https://[::1]:3000/owner/name",
            "https://dev.azure.com/org/my%20project/_git/name",
            "ssh://git@github.com/owner/name.git",
            "ssh://git@git.example.com:2222/owner/name.git",
            "git@github.com:owner/name.git",
            "git@gitlab.example.com:~user/name",
        ] {
            assert_eq!(parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn addresses_of_another_form_or_location_are_refused() {
        for url in
            ["", "git://github.com/owner/name", "http://example.com/owner/name", "file:///etc", "/etc", "../repo"]
        {
            assert!(parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn an_address_with_a_login_is_refused_with_advice_and_without_printing_the_login() {
        for url in ["https://user:hunter2@example.com/a", "https:/user:hunter2@example.com/a", "https://h/a?t=hunter2"]
        {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains("boatyard sources add") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_host_has_a_port_in_its_name_unless_it_is_the_usual_one() {
        for (address, https, ssh) in [
            ("https://GitHub.com/owner/name.git", Some("github.com"), "github.com"),
            ("https://github.com:443/owner/name", Some("github.com"), "github.com"),
            ("https://git.example.com:8443/a", Some("git.example.com:8443"), "git.example.com"),
            ("https://[::1]:3000/a", Some("[::1]:3000"), "[::1]"),
            ("git@github.com:owner/name.git", None, "github.com"),
            ("ssh://git@git.example.com:22/a", None, "git.example.com"),
            ("ssh://git@git.example.com:2222/a", None, "git.example.com:2222"),
        ] {
            let names = HostNames { https: https.map(str::to_owned), ssh: ssh.to_owned() };
            assert_eq!(parse(address).unwrap().host_names(), Some(names), "{address}");
        }
    }

    #[test]
    fn the_address_for_ssh_has_the_same_path() {
        for (address, ssh) in [
            ("https://github.com/owner/name.git", Some("ssh://git@github.com/owner/name.git")),
            ("https://git.example.com:8443/group/sub/name", Some("ssh://git@git.example.com/group/sub/name")),
            ("git@github.com:owner/name.git", None),
        ] {
            let found = parse(address).unwrap().ssh_address();
            assert_eq!(found.as_deref(), ssh, "{address}");
            assert!(found.is_none_or(|it| parse(&it).is_ok()));
        }
    }

    #[test]
    fn plain_http_needs_a_setting() {
        let rules = UrlRules { allow_http: true, ..UrlRules::default() };
        assert!(RepoUrl::parse("http://localhost:3000/a/b", &rules).is_ok());
    }

    #[test]
    fn local_paths_are_allowed_only_inside_named_directories() {
        let home = tempfile::tempdir().unwrap();
        let allowed = home.path().join("allowed");
        let twin = home.path().join("allowed-too");
        std::fs::create_dir_all(allowed.join("repo")).unwrap();
        std::fs::create_dir_all(twin.join("repo")).unwrap();
        std::os::unix::fs::symlink(&twin, allowed.join("way-out")).unwrap();
        let rules = UrlRules { local_sources: vec![allowed.clone()], ..UrlRules::default() };
        let parse = |path: PathBuf| RepoUrl::parse(path.to_str().unwrap(), &rules);

        assert!(parse(allowed.join("repo")).unwrap().is_local());
        assert!(RepoUrl::parse(&format!("file://{}", allowed.join("repo").display()), &rules).is_ok());
        for outside in [twin.join("repo"), allowed.join("../allowed-too/repo"), allowed.join("way-out/repo")] {
            let error = parse(outside).unwrap_err();
            assert!(matches!(&error, RepoUrlError::OutsideLocalSources { .. }), "{error}");
            assert!(error.to_string().contains("--local-sources"), "{error}");
        }
        assert!(matches!(parse(allowed.join("missing")), Err(RepoUrlError::Unreadable { .. })));
    }
}
