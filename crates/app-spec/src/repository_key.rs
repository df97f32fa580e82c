//! Compares addresses of repositories: one repository has many addresses.

use crate::address::split_port;

/// Hosts on which the case of a path does not matter.
const CASE_INSENSITIVE: [&str; 3] = ["github.com", "gitlab.com", "bitbucket.org"];

/// What the addresses of one repository have in common: the host and the path. Scheme, user, port, trailing slashes and the
/// ending `.git` do not count, because a host offers a repository under several of them. Addresses of repositories on this
/// host have only a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryKey(String);

impl RepositoryKey {
    /// The key of `https://host/path`, `http://host/path`, `ssh://user@host/path`, `user@host:path`, `file:///path` or
    /// `/path`. `None`: the text has none of these forms. The address is not checked any further, so a key says only which
    /// addresses are equal, not that one of them may be used.
    pub fn of(address: &str) -> Option<Self> {
        let (authority, path) = match address.split_once("://") {
            Some(("file", path)) => ("", path),
            Some(("https" | "http" | "ssh" | "git", rest)) => rest.split_once('/')?,
            Some(_) => return None,
            None if address.starts_with('/') => ("", address),
            None => address.split_once(':').filter(|(authority, _)| !authority.contains('/'))?,
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = split_port(host)?.0.to_ascii_lowercase();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        if path.is_empty() || host.is_empty() && !address.contains('/') {
            return None;
        }
        Some(Self(match CASE_INSENSITIVE.contains(&&*host) {
            true => format!("{host}/{}", path.to_ascii_lowercase()),
            false => format!("{host}/{path}"),
        }))
    }

    /// `host/path`, or `/path` on this host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RepositoryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Option<String> {
        RepositoryKey::of(address).map(|it| it.0)
    }

    #[test]
    fn all_addresses_of_a_repository_have_one_key() {
        let same: [(&str, &[&str]); 4] = [
            (
                "github.com/acme/shop",
                &[
                    "https://github.com/acme/shop.git",
                    "https://github.com/Acme/Shop",
                    "https://GitHub.com/acme/shop/",
                    "https://github.com/acme/shop.git/",
                    "git@github.com:acme/shop.git",
                    "ssh://git@github.com/acme/shop.git",
                    "ssh://git@github.com:22/acme/shop",
                    "git://github.com/acme/shop.git",
                ],
            ),
            (
                "git.example.com/group/sub/shop",
                &[
                    "https://git.example.com:3000/group/sub/shop.git",
                    "http://git.example.com/group/sub/shop",
                    "ssh://git@Git.Example.Com:2222/group/sub/shop.git",
                    "git@git.example.com:group/sub/shop.git",
                    "git@git.example.com:/group/sub/shop.git",
                ],
            ),
            ("[::1]/shop", &["https://[::1]:3000/shop.git", "ssh://git@[::1]/shop"]),
            ("/srv/git/shop", &["/srv/git/shop", "/srv/git/shop.git", "file:///srv/git/shop/"]),
        ];
        for (expected, addresses) in same {
            for address in addresses {
                assert_eq!(key(address).as_deref(), Some(expected), "{address}");
            }
        }
    }

    #[test]
    fn other_repositories_have_other_keys() {
        let keys: Vec<_> = [
            "https://github.com/acme/shop",
            "https://github.com/acme/shop2",
            "https://github.com/other/shop",
            "https://gitlab.com/acme/shop",
            "https://github.com.example.com/acme/shop",
            "https://example.com/github.com/acme/shop",
            "https://example.com/Acme/shop",
            "https://example.com/acme/shop",
            "/github.com/acme/shop",
        ]
        .map(key)
        .into();
        for (at, one) in keys.iter().enumerate() {
            assert!(one.is_some() && keys[at + 1..].iter().all(|other| other != one), "{one:?}");
        }
    }

    #[test]
    fn other_texts_have_no_key() {
        for text in
            ["", "/", "acme/shop", "ftp://example.com/shop", "https://example.com", "https://example.com/", ":", "a:"]
        {
            assert_eq!(key(text), None, "{text:?}");
        }
    }
}
