//! Git's transport for http(s), in place of libgit2's: it connects only to addresses that were checked, verifies
//! certificates as all TLS of Boatyard does, and decides which server gets the token.
//!
//! libgit2's transport resolves names by itself. With a proxy in front, it writes to freed memory when a certificate is not
//! valid (libgit2 1.9.7, `http_client_connect`: it closes the proxy's stream before the TLS stream that uses it).

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::addresses::{self, bare, unreachable};
use crate::credentials::{Endpoint, Token};
use crate::error::SourceError;
use crate::protocol::{Request, sanitize};
use crate::repo_url::RepoUrl;

/// GitHub and others answer only clients whose name begins with `git/`.
const CLIENT: &str = "git/2.0 (Boatyard)";
/// Redirects that are followed.
const REDIRECTS: u32 = 5;
/// Longest request. A request lists commits of the mirror, and libgit2 sends at most a few hundred.
const REQUEST: usize = 4 * 1024 * 1024;
const REFS: &str = "/info/refs?service=git-upload-pack";

/// The connections to the server of one repository.
pub(super) struct Http {
    repo: RepoUrl,
    addresses: Vec<SocketAddr>,
    token: Option<Token>,
    tls: TlsConnector,
    stall: Duration,
    runtime: Runtime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where redirects led.
    base: Option<Base>,
    /// The server asked for a login. It gets the token with every further request.
    asked_for_login: bool,
    /// Why the last request failed. git2 only reports that it did.
    failure: Option<SourceError>,
}

/// The address of a repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    endpoint: Endpoint,
    path: String,
}

impl Http {
    /// Resolves the repository's host. `token`: the login for exactly this scheme, host and port. Errors: `Unreachable`,
    /// `AddressRefused`, `Disk` if the authorities cannot be read.
    pub(super) fn to(repo: &RepoUrl, request: &Request, token: Option<Token>) -> Result<Arc<Self>, SourceError> {
        let addresses = addresses::of_server(repo, request)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| SourceError::Worker { why: format!("it cannot use sockets: {error}") })?;
        Ok(Arc::new(Self {
            repo: repo.clone(),
            addresses,
            token,
            tls: tls(request.authorities.as_deref())?,
            stall: request.limits.stall,
            runtime,
            state: Mutex::default(),
        }))
    }

    /// A factory of git2's transports that use these connections.
    pub(super) fn factory(
        self: &Arc<Self>,
    ) -> impl Fn(&git2::Remote<'_>) -> Result<Transport, git2::Error> + Send + Sync + 'static {
        let http = Arc::clone(self);
        move |remote| Transport::smart(remote, true, Subtransport(Arc::clone(&http)))
    }

    /// Why the last request failed.
    pub(super) fn failure(&self) -> Option<SourceError> {
        self.state().failure.take()
    }

    /// Sends a request, again with the token if the server asks for a login, and to where the server redirects it.
    async fn send(&self, service: Service, url: &str, body: &Bytes) -> Result<Response<Incoming>, SourceError> {
        let known = self.state().base.clone();
        let mut base = match known {
            Some(base) => base,
            None => Base::parse(url).ok_or_else(|| unreachable(&self.repo, "its address cannot be used"))?,
        };
        let mut with_login = self.state().asked_for_login;
        for _ in 0..=REDIRECTS + 1 {
            // Elsewhere, nothing is sent.
            let token = self.token.as_ref().filter(|_| Endpoint::of_repo(&self.repo).as_ref() == Some(&base.endpoint));
            let login = token.filter(|_| with_login);
            let answer = self.request(service, &base, body, login).await?;
            let status = answer.status();
            if status == StatusCode::OK {
                let mut state = self.state();
                (state.base, state.asked_for_login) = (Some(base), with_login);
                return self.is_git(service, answer);
            }
            if status == StatusCode::UNAUTHORIZED && token.is_some() && login.is_none() {
                with_login = true;
                continue;
            }
            if !status.is_redirection() {
                return Err(self.refusal(status, login.is_some()));
            }
            let location = answer.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
            base = match service {
                Service::UploadPackLs => base.redirected(location).ok_or_else(|| self.redirect(location))?,
                Service::UploadPack | Service::ReceivePackLs | Service::ReceivePack => {
                    return Err(self.redirect(location));
                }
            };
        }
        Err(unreachable(&self.repo, "the server redirects again and again"))
    }

    /// Sends one request on a new connection.
    async fn request(
        &self,
        service: Service,
        base: &Base,
        body: &Bytes,
        login: Option<&Token>,
    ) -> Result<Response<Incoming>, SourceError> {
        let failed = |error: &dyn std::error::Error| unreachable(&self.repo, &error.to_string());
        let (method, path) = match service {
            Service::UploadPackLs => (Method::GET, format!("{}{REFS}", base.path)),
            Service::UploadPack | Service::ReceivePackLs | Service::ReceivePack => {
                (Method::POST, format!("{}/git-upload-pack", base.path))
            }
        };
        let mut request = hyper::Request::builder().method(method).uri(path);
        request = request.header(HOST, base.endpoint.authority()).header(USER_AGENT, CLIENT);
        request = match service {
            Service::UploadPackLs => request.header(ACCEPT, "*/*"),
            Service::UploadPack | Service::ReceivePackLs | Service::ReceivePack => request
                .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
                .header(ACCEPT, content_type(service)),
        };
        if let Some(token) = login {
            let pair = format!("{}:{}", token.user, token.secret.reveal());
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header(AUTHORIZATION, format!("Basic {pair}"));
        }
        let request = request.body(Full::new(body.clone())).map_err(|error| failed(&error))?;
        let stream = TokioIo::new(self.connect(&base.endpoint).await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|error| failed(&error))?;
        // Ends with the answer. Its error is also the answer's.
        drop(tokio::spawn(connection));
        match timeout(self.stall, sender.send_request(request)).await {
            Ok(answer) => answer.map_err(|error| self.broken(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, SourceError> {
        let mut why = "it has no address".to_owned();
        for address in &self.addresses {
            let address = SocketAddr::new(address.ip(), endpoint.port);
            let stream = match timeout(self.stall, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    why = format!("failed to connect to {address}: {error}");
                    continue;
                }
                Err(_) => {
                    why = format!("failed to connect to {address}: it does not answer");
                    continue;
                }
            };
            return if endpoint.secure { self.secure(endpoint, stream).await } else { Ok(Box::new(stream)) };
        }
        Err(unreachable(&self.repo, &why))
    }

    async fn secure(&self, endpoint: &Endpoint, stream: TcpStream) -> Result<Box<dyn Stream>, SourceError> {
        let name = ServerName::try_from(bare(&endpoint.host).to_owned());
        let name = name.map_err(|_| unreachable(&self.repo, "its host is not a name for TLS"))?;
        match timeout(self.stall, self.tls.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(match error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(why)) => {
                    SourceError::Certificate { repo: self.repo.to_string(), why: sanitize(&why.to_string(), 300) }
                }
                Some(_) | None => unreachable(&self.repo, &format!("TLS failed: {error}")),
            }),
            Err(_) => Err(self.silent()),
        }
    }

    /// Checks that an answer is one of a git server.
    fn is_git(&self, service: Service, answer: Response<Incoming>) -> Result<Response<Incoming>, SourceError> {
        match answer.headers().get(CONTENT_TYPE).is_some_and(|it| it == content_type(service)) {
            true => Ok(answer),
            false => Err(unreachable(&self.repo, "the server is not a git server")),
        }
    }

    fn refusal(&self, status: StatusCode, login_sent: bool) -> SourceError {
        let host = self.repo.host_names().map(|names| names.named().to_owned()).unwrap_or_default();
        let repo = self.repo.to_string();
        match (status, login_sent) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, true) => SourceError::TokenRefused { repo, host },
            (StatusCode::NOT_FOUND | StatusCode::GONE, true) => {
                SourceError::NotFoundWithLogin { repo, host, why: String::new() }
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE, false) => {
                SourceError::NotFoundOrLogin { repo, host }
            }
            (status, _) => unreachable(&self.repo, &format!("the server answered with status {status}")),
        }
    }

    /// Names only scheme and host of the other address: its path may contain a login.
    fn redirect(&self, location: &str) -> SourceError {
        let to = match Endpoint::of_text(location) {
            Some(to) => format!("{}://{}", if to.secure { "https" } else { "http" }, to.authority()),
            None => "another page".to_owned(),
        };
        SourceError::Redirect { repo: self.repo.to_string(), to: sanitize(&to, 300) }
    }

    fn broken(&self, error: &hyper::Error) -> SourceError {
        match error.is_incomplete_message() || error.is_closed() {
            true => unreachable(&self.repo, "the server closed the connection early"),
            false => unreachable(&self.repo, &error.to_string()),
        }
    }

    fn silent(&self) -> SourceError {
        unreachable(&self.repo, "the server does not answer")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Base {
    fn parse(url: &str) -> Option<Self> {
        let endpoint = Endpoint::of_text(url)?;
        let (_, rest) = url.split_once("://")?;
        let path = rest.find('/').map_or("", |slash| &rest[slash..]);
        Some(Self { endpoint, path: path.trim_end_matches('/').to_owned() })
    }

    /// The repository that a redirect of the list of references leads to. `None`: to another host, from https to http, or
    /// to something else than a list of references.
    fn redirected(&self, location: &str) -> Option<Self> {
        let base = location.strip_suffix(REFS)?;
        if base.starts_with('/') && !base.starts_with("//") {
            return Some(Self { endpoint: self.endpoint.clone(), path: base.to_owned() });
        }
        let to = Self::parse(base)?;
        let is_allowed = to.endpoint.host == self.endpoint.host && (to.endpoint.secure || !self.endpoint.secure);
        is_allowed.then_some(to)
    }
}

fn content_type(service: Service) -> &'static str {
    match service {
        Service::UploadPackLs => "application/x-git-upload-pack-advertisement",
        Service::UploadPack | Service::ReceivePackLs | Service::ReceivePack => "application/x-git-upload-pack-result",
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Subtransport(Arc<Http>);

impl SmartSubtransport for Subtransport {
    fn action(&self, url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let http = Arc::clone(&self.0);
        let url = url.to_owned();
        Ok(Box::new(Exchange { http, service, url, request: Vec::new(), answer: None, chunk: Bytes::new() }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// A request, which is sent when its answer is read.
struct Exchange {
    http: Arc<Http>,
    service: Service,
    url: String,
    request: Vec<u8>,
    answer: Option<Incoming>,
    /// What was received and not read yet.
    chunk: Bytes,
}

impl Exchange {
    /// The next bytes of the answer; none at its end.
    async fn next(&mut self) -> Result<Bytes, SourceError> {
        let http = Arc::clone(&self.http);
        let answer = match &mut self.answer {
            Some(answer) => answer,
            none => {
                let request = Bytes::from(std::mem::take(&mut self.request));
                none.insert(http.send(self.service, &self.url, &request).await?.into_body())
            }
        };
        loop {
            let frame = match timeout(http.stall, answer.frame()).await {
                Ok(Some(frame)) => frame.map_err(|error| http.broken(&error))?,
                Ok(None) => return Ok(Bytes::new()),
                Err(_) => return Err(http.silent()),
            };
            match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(data),
                // Trailers, or nothing.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            let http = Arc::clone(&self.http);
            self.chunk = http.runtime.block_on(self.next()).map_err(|failure| {
                http.state().failure = Some(failure);
                io::Error::other("the request failed")
            })?;
        }
        let read = self.chunk.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.chunk.split_to(read));
        Ok(read)
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.request.len() + bytes.len() > REQUEST {
            return Err(io::Error::other("the request is too long"));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Trusts the authorities of the system, and those in a PEM file.
fn tls(authorities: Option<&Path>) -> Result<TlsConnector, SourceError> {
    let mut roots = RootCertStore::empty();
    // Systems list certificates that rustls cannot parse. They certify nothing here.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = authorities {
        let failed =
            |why: String| SourceError::Disk { doing: format!("use the authorities in {}", file.display()), why };
        let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for certificate in all.map_err(|error| failed(error.to_string()))? {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SourceError::Worker { why: format!("it cannot use TLS: {error}") })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn base(url: &str) -> Base {
        Base::parse(url).unwrap()
    }

    #[test]
    fn a_redirect_may_lead_to_another_path_or_port_of_the_host_and_to_tls() {
        let from = base("https://git.example.com/old/name.git/");
        for (location, to) in [
            ("https://git.example.com/new/name.git", Some("https://git.example.com/new/name.git")),
            ("https://git.example.com:8443/a", Some("https://git.example.com:8443/a")),
            ("/new/name.git", Some("https://git.example.com/new/name.git")),
            ("https://evil.example.com/old/name.git", None),
            ("http://git.example.com/old/name.git", None),
            ("//evil.example.com/a", None),
            ("https://git.example.com@evil.example.com/a", None),
        ] {
            assert_eq!(from.redirected(&format!("{location}{REFS}")), to.map(base), "{location}");
        }
        assert_eq!(from.redirected("https://git.example.com/login"), None);
        assert_eq!(from.redirected(""), None);
        let plain = base("http://git.example.com/a");
        assert_eq!(
            plain.redirected(&format!("https://git.example.com/a{REFS}")),
            Some(base("https://git.example.com/a"))
        );
    }
}
