//! The addresses of a server. They are resolved and checked here, once, and every connection of a fetch goes to one of
//! them: a second look-up of the name could lead elsewhere.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};

use crate::egress::SpecialNetwork;
use crate::error::SourceError;
use crate::protocol::{Request, sanitize};
use crate::repo_url::{RepoLocation, RepoUrl};

/// The addresses of the repository's server that may be fetched from. Errors: `Unreachable`, `AddressRefused`.
pub(super) fn of_server(repo: &RepoUrl, request: &Request) -> Result<Vec<SocketAddr>, SourceError> {
    let (host, port) = match repo.location() {
        RepoLocation::Http { secure, host, port } => (host, port.unwrap_or(if *secure { 443 } else { 80 })),
        RepoLocation::Ssh { host, port, .. } => (host, *port),
        RepoLocation::Local { .. } => {
            return Err(SourceError::Worker { why: "a local repository has no host".to_owned() });
        }
    };
    resolve(repo, bare(host), port, &request.rules.allow_from)
}

/// A host name without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The address of a repository by ssh, with an address that accepts connections in place of the host name. Host keys are
/// still looked up by the name. Errors: those of [`of_server`].
pub(super) fn for_ssh(repo: &RepoUrl, request: &Request) -> Result<String, SourceError> {
    let addresses = of_server(repo, request)?;
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, request.limits.stall) {
            Ok(_) => return Ok(with_address(repo.as_str(), address)),
            Err(error) => why = format!("failed to connect to {address}: {error}"),
        }
    }
    Err(unreachable(repo, &why))
}

/// The error for a server that cannot be reached. The reason may be text of the server.
pub(super) fn unreachable(repo: &RepoUrl, why: &str) -> SourceError {
    SourceError::Unreachable { repo: repo.to_string(), why: sanitize(why, 300) }
}

/// The addresses of a host that may be fetched from. Errors: there are none, or all are refused.
fn resolve(repo: &RepoUrl, host: &str, port: u16, allow: &[SpecialNetwork]) -> Result<Vec<SocketAddr>, SourceError> {
    let found = (host, port).to_socket_addrs().map_err(|error| {
        unreachable(
            repo,
            &format!("{host} has no address: {error}").replace("failed to lookup address information: ", ""),
        )
    })?;
    let (allowed, refused): (Vec<_>, Vec<_>) =
        found.partition(|address| SpecialNetwork::of(address.ip()).is_none_or(|network| allow.contains(&network)));
    match refused.first() {
        Some(address) if allowed.is_empty() => Err(refuse(repo, address.ip())),
        None if allowed.is_empty() => Err(unreachable(repo, &format!("{host} has no address"))),
        _ => Ok(allowed),
    }
}

fn refuse(repo: &RepoUrl, address: IpAddr) -> SourceError {
    let network = SpecialNetwork::of(address).map(|it| it.to_string()).unwrap_or_default();
    SourceError::AddressRefused { repo: repo.to_string(), address: address.to_string(), network }
}

/// The ssh address with its host replaced.
fn with_address(text: &str, address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let user_of = |authority: &str| authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            format!("{scheme}://{}{host}:{}{path}", user_of(authority), address.port())
        }
        None => {
            let (authority, path) = text.split_once(':').unwrap_or((text, ""));
            format!("{}{host}:{path}", user_of(authority))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::UrlRules;

    fn repo(text: &str) -> RepoUrl {
        RepoUrl::parse(text, &UrlRules::default()).unwrap()
    }

    #[test]
    fn every_spelling_of_this_host_needs_permission() {
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0", "::1", "::ffff:127.0.0.1"] {
            let repo = repo("https://git.example.com/a");
            let error = resolve(&repo, host, 443, &[]).unwrap_err();
            assert!(
                matches!(&error, SourceError::AddressRefused { network, .. } if network == "loopback"),
                "{host}: {error}"
            );
            assert!(error.to_string().contains("--allow-sources-from loopback"), "{error}");
            assert!(resolve(&repo, host, 443, &[SpecialNetwork::LinkLocal]).is_err(), "{host}");
            assert!(resolve(&repo, host, 443, &[SpecialNetwork::Loopback]).is_ok(), "{host}");
        }
        let metadata = resolve(&repo("https://git.example.com/a"), "169.254.169.254", 80, &[]).unwrap_err();
        assert!(metadata.to_string().contains("--allow-sources-from link-local"), "{metadata}");
        assert!(resolve(&repo("https://git.example.com/a"), "192.0.2.1", 443, &[]).is_ok());
    }

    #[test]
    fn an_ssh_address_keeps_its_form_when_its_host_is_replaced() {
        let v4: SocketAddr = "192.0.2.7:2222".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::7]:22".parse().unwrap();
        for (text, address, expected) in [
            ("ssh://git@git.example.com:2222/a/b.git", v4, "ssh://git@192.0.2.7:2222/a/b.git"),
            ("ssh://git.example.com/~a/b", v6, "ssh://[2001:db8::7]:22/~a/b"),
            ("git@git.example.com:a/b.git", v6, "git@[2001:db8::7]:a/b.git"),
        ] {
            assert_eq!(with_address(text, address), expected);
        }
    }
}
