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
            assert!(message.contains("--local-sources") && !message.contains("hunter2"), "{message}");
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
