//! Connects git2 to a server, only at addresses that were resolved and checked here.
//!
//! git2 resolves names and connects by itself, so an address that was checked could differ from the one it connects to.
//! For http, git2 therefore uses a proxy in this process, the relay, which connects to the checked addresses and to
//! nothing else. TLS stays end to end between git2 and the server. For ssh, the address replaces the host name; host
//! keys are still looked up by the name. A redirect may lead to another port of the same host, which git2 permits, and
//! to no other host.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::egress::SpecialNetwork;
use crate::error::SourceError;
use crate::protocol::{Request, sanitize};
use crate::repo_url::{RepoLocation, RepoUrl};

/// Maximum request head that the relay reads. git2's has a few hundred bytes.
const HEAD: usize = 64 * 1024;
/// The relay's threads only copy data.
const STACK: usize = 128 * 1024;

/// How git2 connects to one server.
pub(super) enum Transport {
    /// Through the relay at this address, as an HTTP proxy.
    Proxy { url: String, failed: Failed },
    /// Directly, at this address instead of the repository's address.
    Address(String),
}

/// Why the relay could not connect. It replaces git2's error.
type Failed = Arc<Mutex<Option<String>>>;

impl Transport {
    /// Resolves the repository's host and prepares the connection. Errors: `Unreachable`, `AddressRefused`.
    pub(super) fn to(repo: &RepoUrl, request: &Request) -> Result<Self, SourceError> {
        let (host, port, secure) = match repo.location() {
            RepoLocation::Http { secure, host, port } => {
                (host, port.unwrap_or(if *secure { 443 } else { 80 }), Some(*secure))
            }
            RepoLocation::Ssh { host, port, .. } => (host, *port, None),
            RepoLocation::Local { .. } => {
                return Err(SourceError::Worker { why: "a local repository has no host".to_owned() });
            }
        };
        let bare_host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = resolve(repo, bare_host, port, &request.rules.allow_from)?;
        let timeout = request.limits.stall;
        let transport = match secure {
            Some(secure) => Relay::start(bare_host, secure, addresses, timeout),
            None => {
                let connected = connect(&addresses, timeout).map_err(|why| unreachable(repo, &why))?;
                connected.peer_addr().map(|address| Self::Address(with_address(repo.as_str(), address)))
            }
        };
        transport
            .map_err(|error| SourceError::Worker { why: format!("cannot prepare a connection to the server: {error}") })
    }

    /// Why the relay could not connect, if that was the cause.
    pub(super) fn failure(&self, repo: &RepoUrl) -> Option<SourceError> {
        let Self::Proxy { failed, .. } = self else { return None };
        let why = failed.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(unreachable(repo, &why))
    }
}

fn unreachable(repo: &RepoUrl, why: &str) -> SourceError {
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

/// Connects to the first address that accepts. Errors: the last failure.
fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, String> {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("failed to connect to {address}: {error}"),
        }
    }
    Err(why)
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

/// The relay of one host.
struct Relay {
    /// Without brackets.
    host: String,
    /// Relay only TLS.
    secure: bool,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    failed: Failed,
}

impl Relay {
    fn start(host: &str, secure: bool, addresses: Vec<SocketAddr>, timeout: Duration) -> io::Result<Transport> {
        let failed = Failed::default();
        let relay = Arc::new(Self { host: host.to_owned(), secure, addresses, timeout, failed: failed.clone() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}", listener.local_addr()?);
        spawn(move || {
            for client in listener.incoming().flatten() {
                let relay = relay.clone();
                // If the system cannot start a thread, git2 gets no answer and reports that.
                let _ = spawn(move || relay.serve(client));
            }
        })?;
        Ok(Transport::Proxy { url, failed })
    }

    /// Relays one connection, always to the one host.
    fn serve(&self, mut client: TcpStream) {
        let Ok((head, rest)) = read_head(&mut client) else { return };
        let Some(target) = self.target(&head) else {
            let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        };
        let at_port = |address: &SocketAddr| SocketAddr::new(address.ip(), target.port);
        let addresses: Vec<_> = self.addresses.iter().map(at_port).collect();
        let server = match connect(&addresses, self.timeout) {
            Ok(server) => server,
            Err(why) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                return;
            }
        };
        let _ = forward(client, server, &target, &head, &rest);
    }

    /// The target of a request: `CONNECT host:port`, or `GET http://host:port/…` if TLS is not required. `None`:
    /// another host.
    fn target(&self, head: &[u8]) -> Option<Target> {
        let line = String::from_utf8_lossy(head);
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?, words.next()?);
        let is_tunnel = method == "CONNECT";
        let authority = match target.strip_prefix("http://") {
            None if is_tunnel => target,
            Some(rest) if !is_tunnel && !self.secure => rest.split('/').next()?,
            None | Some(_) => return None,
        };
        let (host, port) = app_spec::split_port(authority)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.unwrap_or(if is_tunnel { 443 } else { 80 });
        host.eq_ignore_ascii_case(&self.host).then_some(Target { port, is_tunnel })
    }
}

/// The target of a request on the one host.
#[derive(Debug, PartialEq)]
struct Target {
    port: u16,
    /// The bytes that follow are opaque to the relay.
    is_tunnel: bool,
}

fn forward(mut client: TcpStream, mut server: TcpStream, target: &Target, head: &[u8], rest: &[u8]) -> io::Result<()> {
    match target.is_tunnel {
        // libgit2 waits for the end of the answer's body unless its length is given.
        true => client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
        false => server.write_all(head)?,
    }
    server.write_all(rest)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    })?;
    let copied = io::copy(&mut server, &mut client);
    client.shutdown(Shutdown::Both)?;
    copied.map(drop)
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}

/// Reads the head of a request with its empty line, and returns the bytes received after it separately.
fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((read, rest));
        }
        match client.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n if read.len() + n > HEAD => return Err(io::Error::other("the head is too long")),
            n => read.extend_from_slice(&chunk[..n]),
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

    #[test]
    fn the_relay_connects_to_one_host_only_and_requires_tls_for_https() {
        let relay = |secure| Relay {
            host: "git.example.com".to_owned(),
            secure,
            addresses: Vec::new(),
            timeout: Duration::ZERO,
            failed: Failed::default(),
        };
        let target = |secure, line: &str| relay(secure).target(format!("{line} HTTP/1.1\r\n\r\n").as_bytes());
        let tunnel = |port| Some(Target { port, is_tunnel: true });
        assert_eq!(target(true, "CONNECT git.example.com:443"), tunnel(443));
        assert_eq!(target(true, "CONNECT GIT.example.com:8443"), tunnel(8443));
        let refused =
            ["CONNECT localhost:443", "GET http://git.example.com/", "GET https://git.example.com/", "GET /", ""];
        for line in refused {
            assert_eq!(target(true, line), None, "{line}");
        }
        let plain = |port| Some(Target { port, is_tunnel: false });
        assert_eq!(target(false, "GET http://git.example.com:3000/a/info/refs?service=git-upload-pack"), plain(3000));
        assert_eq!(target(false, "GET http://git.example.com/a"), plain(80));
        assert_eq!(target(false, "CONNECT git.example.com:443"), tunnel(443), "a redirect to TLS");
        assert_eq!(target(false, "GET http://169.254.169.254/latest"), None);
    }
}
