//! A connection to a git server: which credentials it may receive, which host key or certificate it must present, and
//! how much it may send.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine;
use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, Error, ProxyOptions, RemoteCallbacks};

use super::errors;
use super::relay::Transport;
use crate::credentials::{Credentials, Endpoint, KnownHost};
use crate::error::SourceError;
use crate::protocol::{FetchProgress, FrameKind, Request, sanitize, write_frame};
use crate::repo_url::{RepoLocation, RepoUrl};

/// Minimum interval between two progress frames.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Credentials for the server, and the host keys it must present.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) known_hosts: &'a [KnownHost],
}

/// One session with one server. git2's callbacks can only abort; the reason is kept here.
pub(super) struct Session<'a, W> {
    repo: &'a RepoUrl,
    login: Login<'a>,
    request: &'a Request,
    transport: OnceCell<Transport>,
    out: RefCell<&'a mut W>,
    last_progress: Cell<Option<Instant>>,
    login_offered: Cell<bool>,
    stopped: RefCell<Option<SourceError>>,
}

impl<'a, W: Write> Session<'a, W> {
    pub(super) fn new(repo: &'a RepoUrl, login: Login<'a>, request: &'a Request, out: &'a mut W) -> Self {
        Self {
            repo,
            login,
            request,
            transport: OnceCell::new(),
            out: RefCell::new(out),
            last_progress: Cell::new(None),
            login_offered: Cell::new(false),
            stopped: RefCell::new(None),
        }
    }

    /// The address that git2 should connect to, or request from the proxy. Errors: the host is not allowed.
    pub(super) fn connect_address(&self) -> Result<&str, SourceError> {
        if self.transport.get().is_none() {
            // Cannot fail: the cell is empty.
            let _ = self.transport.set(Transport::to(self.repo, self.request)?);
        }
        Ok(match self.transport.get() {
            Some(Transport::Address(address)) => address,
            Some(Transport::Proxy { .. }) | None => self.repo.as_str(),
        })
    }

    /// The relay, as proxy options.
    pub(super) fn proxy(&self) -> ProxyOptions<'_> {
        let mut options = ProxyOptions::new();
        if let Some(Transport::Proxy { url, .. }) = self.transport.get() {
            options.url(url);
        }
        options
    }

    /// Callbacks that refer to this session. Each git2 call needs a separate set.
    pub(super) fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|url, user, allowed| self.credentials(url, user, allowed));
        callbacks.certificate_check(|cert, _host| self.certificate(cert));
        callbacks.transfer_progress(|stats| {
            let received = stats.received_bytes() as u64;
            let most = self.request.limits.fetch_bytes;
            if received > most {
                let what = format!("what {} sends", self.repo);
                self.stop(SourceError::TooLarge { what, limit: format!("{most} bytes") });
                return false;
            }
            let (objects, total) = (stats.received_objects() as u64, stats.total_objects() as u64);
            self.report_progress(&FetchProgress::Receiving { objects, total, bytes: received })
        });
        callbacks.sideband_progress(|text| {
            let text = String::from_utf8_lossy(text);
            self.report_progress(&FetchProgress::Remote(sanitize(text.rsplit('\r').next().unwrap_or_default(), 200)))
        });
        callbacks
    }

    /// Converts the error of a git2 call in this session.
    pub(super) fn failure(&self, error: &Error) -> SourceError {
        let stopped = self.stopped.borrow_mut().take();
        let stopped = stopped.or_else(|| self.transport.get()?.failure(self.repo));
        stopped.unwrap_or_else(|| errors::session_error(error, self.repo, self.login_offered.get()))
    }

    /// Writes progress at limited frequency. Returns false if the parent has exited.
    pub(super) fn report_progress(&self, progress: &FetchProgress) -> bool {
        if self.last_progress.get().is_some_and(|last| last.elapsed() < PROGRESS_INTERVAL) {
            return true;
        }
        self.last_progress.set(Some(Instant::now()));
        let json = serde_json::to_vec(progress).unwrap_or_default();
        write_frame(&mut **self.out.borrow_mut(), FrameKind::Progress, &json).is_ok()
    }

    fn stop(&self, why: SourceError) -> Error {
        *self.stopped.borrow_mut() = Some(why);
        Error::from_str("stopped")
    }

    /// git2 calls this once, and again after a refusal. A second answer would loop forever.
    fn credentials(&self, url: &str, user_in_url: Option<&str>, allowed: CredentialType) -> Result<Cred, Error> {
        let none = || Error::new(git2::ErrorCode::Auth, git2::ErrorClass::None, "no login for this server");
        // libssh2 asks for the user name alone before it asks for the key.
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user_in_url.unwrap_or("git"));
        }
        let Some(credentials) = self.login.credentials else { return Err(none()) };
        if self.login_offered.replace(true) {
            return Err(self.stop(SourceError::LoginRefused { repo: self.repo.to_string() }));
        }
        match credentials {
            Credentials::Token { user, token } if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) => {
                // `url` is the current address, which a redirect may have changed.
                if Endpoint::of_text(url).is_none() || Endpoint::of_text(url) != Endpoint::of_repo(self.repo) {
                    self.login_offered.set(false);
                    return Err(none());
                }
                Cred::userpass_plaintext(user, token.reveal())
            }
            Credentials::SshKey { private_key } if allowed.contains(CredentialType::SSH_MEMORY) => {
                Cred::ssh_key_from_memory(user_in_url.unwrap_or("git"), None, private_key.reveal(), None)
            }
            Credentials::Token { .. } | Credentials::SshKey { .. } => {
                self.login_offered.set(false);
                Err(none())
            }
        }
    }

    /// The system's authorities verify TLS certificates; ssh host keys must be known.
    fn certificate(&self, cert: &Cert<'_>) -> Result<CertificateCheckStatus, Error> {
        let RepoLocation::Ssh { host, port, .. } = self.repo.location() else {
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let Some(hash) = cert.as_hostkey().and_then(|key| key.hash_sha256()) else {
            return Err(self.stop(SourceError::Unreachable {
                repo: self.repo.to_string(),
                why: "the server presents no ssh host key".to_owned(),
            }));
        };
        match check_host_key(hash, host, *port, self.login.known_hosts) {
            Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
            Err(why) => Err(self.stop(why)),
        }
    }
}

/// Checks a host key, given by its SHA-256 hash, against the known keys of this host and port.
fn check_host_key(hash: &[u8; 32], host: &str, port: u16, known: &[KnownHost]) -> Result<(), SourceError> {
    let fingerprint = format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash));
    let mut here = known.iter().filter(|known| known.host.eq_ignore_ascii_case(host) && known.port == port).peekable();
    let host = if port == 22 { host.to_owned() } else { format!("{host}:{port}") };
    if here.peek().is_none() {
        return Err(SourceError::HostKeyUnknown { host, fingerprint });
    }
    if here.any(|known| known.fingerprint == fingerprint) {
        return Ok(());
    }
    Err(SourceError::HostKeyChanged { host, fingerprint })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_known_key_of_this_host_and_port_is_accepted() {
        let known = [KnownHost {
            host: "git.example.com".into(),
            port: 22,
            fingerprint: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        }];
        assert_eq!(check_host_key(&[0; 32], "git.example.com", 22, &known), Ok(()));
        assert!(matches!(
            check_host_key(&[1; 32], "git.example.com", 22, &known),
            Err(SourceError::HostKeyChanged { .. })
        ));
        assert!(matches!(
            check_host_key(&[0; 32], "git.example.com", 2222, &known),
            Err(SourceError::HostKeyUnknown { .. })
        ));
        assert!(matches!(
            check_host_key(&[0; 32], "other.example.com", 22, &known),
            Err(SourceError::HostKeyUnknown { .. })
        ));
    }

    fn session_with(repo: &str, check: impl FnOnce(&Session<'_, Vec<u8>>)) {
        let repo = RepoUrl::parse(repo, &crate::UrlRules::default()).unwrap();
        let credentials = Credentials::Token { user: "x".into(), token: crate::Secret::new("t") };
        let login = Login { credentials: Some(&credentials), known_hosts: &[] };
        let request = Request {
            repo: repo.to_string(),
            rules: crate::UrlRules::default(),
            mirrors: "/nonexistent".into(),
            limits: crate::Limits::default(),
            action: crate::protocol::Action::Fetch {
                git_ref: crate::GitRef::DefaultBranch,
                credentials: None,
                known_hosts: Vec::new(),
            },
        };
        let mut out = Vec::new();
        check(&Session::new(&repo, login, &request, &mut out));
    }

    #[test]
    fn a_token_is_offered_once() {
        session_with("https://git.example.com/a", |session| {
            let ask = || session.credentials("https://git.example.com/", None, CredentialType::USER_PASS_PLAINTEXT);
            assert!(ask().is_ok());
            let error = ask().err().unwrap();
            assert!(matches!(session.failure(&error), SourceError::LoginRefused { .. }));
        });
    }

    #[test]
    fn a_token_is_not_offered_to_another_host_port_or_scheme() {
        session_with("https://git.example.com/a", |session| {
            for url in ["https://evil.example.com/a", "https://git.example.com:8443/a", "http://git.example.com/a", ""]
            {
                assert!(session.credentials(url, None, CredentialType::USER_PASS_PLAINTEXT).is_err(), "{url}");
            }
            assert!(
                session.credentials("https://git.example.com/a", None, CredentialType::USER_PASS_PLAINTEXT).is_ok()
            );
        });
    }
}
