//! A connection to a git server: how it is reached, which login and which host key it needs, and how much it may send.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, Error, RemoteCallbacks};

use super::http::Http;
use super::{addresses, errors, options};
use crate::credentials::{Fingerprint, Login};
use crate::error::SourceError;
use crate::protocol::{FetchProgress, FrameKind, Request, sanitize, write_frame};
use crate::repo_url::{RepoLocation, RepoUrl, SSH_USER};

/// Minimum interval between two progress frames.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How git2 reaches the server.
enum Transport {
    Http(Arc<Http>),
    /// The repository's address with the server's address in place of its name.
    Ssh(String),
}

/// One session with one server. git2's callbacks can only abort; the reason is kept here.
pub(super) struct Session<'a, W> {
    /// Where to connect to.
    repo: &'a RepoUrl,
    login: Option<&'a Login>,
    request: &'a Request,
    transport: OnceCell<Transport>,
    out: RefCell<&'a mut W>,
    last_progress: Cell<Option<Instant>>,
    login_offered: Cell<bool>,
    stopped: RefCell<Option<SourceError>>,
}

impl<'a, W: Write> Session<'a, W> {
    pub(super) fn new(repo: &'a RepoUrl, login: Option<&'a Login>, request: &'a Request, out: &'a mut W) -> Self {
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

    /// The address that git2 should connect to. Errors: the host is not allowed.
    pub(super) fn connect_address(&self) -> Result<&str, SourceError> {
        if self.transport.get().is_none() {
            // Cannot fail: the cell is empty.
            let _ = self.transport.set(self.connect()?);
        }
        Ok(match self.transport.get() {
            Some(Transport::Ssh(address)) => address,
            Some(Transport::Http(_)) | None => self.repo.as_str(),
        })
    }

    fn connect(&self) -> Result<Transport, SourceError> {
        let RepoLocation::Http { secure, .. } = self.repo.location() else {
            return addresses::for_ssh(self.repo, self.request).map(Transport::Ssh);
        };
        let token = match self.login {
            Some(Login::Token(token)) => Some(token.clone()),
            Some(Login::SshKey(_)) | None => None,
        };
        let http = Http::to(self.repo, self.request, token)?;
        options::register_transport(if *secure { "https" } else { "http" }, http.factory())?;
        Ok(Transport::Http(http))
    }

    /// Callbacks that refer to this session. Each git2 call needs a separate set.
    pub(super) fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|_url, user, allowed| self.credentials(user, allowed));
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
        let stopped = stopped.or_else(|| match self.transport.get()? {
            Transport::Http(http) => http.failure(),
            Transport::Ssh(_) => None,
        });
        stopped.unwrap_or_else(|| errors::session_error(error, self.repo))
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

    /// Answers an ssh server that asks for a login. git2 calls this again after a refusal, and a second answer would loop
    /// forever.
    fn credentials(&self, user: Option<&str>, allowed: CredentialType) -> Result<Cred, Error> {
        let user = user.unwrap_or(SSH_USER);
        // libssh2 asks for the user name alone before it asks for the key.
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        match self.login {
            Some(Login::SshKey(key)) if allowed.contains(CredentialType::SSH_MEMORY) => {
                if self.login_offered.replace(true) {
                    return Err(self.stop(SourceError::KeyRefused { repo: self.repo.to_string(), host: self.host() }));
                }
                Cred::ssh_key_from_memory(user, None, key.private_key.reveal(), None)
            }
            Some(_) | None => {
                Err(Error::new(git2::ErrorCode::Auth, git2::ErrorClass::None, "no login for this server"))
            }
        }
    }

    /// The name of the host under which its logins are kept.
    fn host(&self) -> String {
        self.repo.host_names().map(|names| names.named().to_owned()).unwrap_or_default()
    }

    /// Checks the key of an ssh server.
    fn certificate(&self, cert: &Cert<'_>) -> Result<CertificateCheckStatus, Error> {
        let Some(hash) = cert.as_hostkey().and_then(|key| key.hash_sha256()) else {
            return Err(self.stop(SourceError::Unreachable {
                repo: self.repo.to_string(),
                why: "the server presents no ssh host key".to_owned(),
            }));
        };
        let pinned = match self.login {
            Some(Login::SshKey(key)) => key.host_keys.as_slice(),
            Some(Login::Token(_)) | None => &[],
        };
        match check_host_key(Fingerprint::of_hash(hash), pinned, self.host()) {
            Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
            Err(why) => Err(self.stop(why)),
        }
    }
}

/// Checks the key that a host presents against its pinned keys.
fn check_host_key(fingerprint: Fingerprint, pinned: &[Fingerprint], host: String) -> Result<(), SourceError> {
    match pinned.contains(&fingerprint) {
        true => Ok(()),
        false => Err(SourceError::HostKeyChanged { host, pinned: pinned.to_vec(), fingerprint }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_pinned_key_is_accepted_and_both_keys_are_named() {
        let [pinned, other] = [[0; 32], [1; 32]].map(|hash| Fingerprint::of_hash(&hash));
        let check = |presented: &Fingerprint, pinned: &[Fingerprint]| {
            check_host_key(presented.clone(), pinned, "git.example.com:2222".to_owned())
        };
        assert_eq!(check(&pinned, &[other.clone(), pinned.clone()]), Ok(()));
        let message = check(&other, std::slice::from_ref(&pinned)).unwrap_err().to_string();
        let command = format!("boatyard sources add git.example.com:2222 --fingerprint {other}");
        assert!(message.contains(pinned.as_str()) && message.ends_with(&command), "{message}");
        assert!(check(&pinned, &[]).is_err());
    }
}
