//! Converts errors of git2 and the system. git2 distinguishes many causes only by their text.

use std::io;

use git2::{Error, ErrorClass, ErrorCode};

use crate::error::SourceError;
use crate::protocol::sanitize;
use crate::repo_url::RepoUrl;

/// Converts an error of a connection to a server. [`super::http`] has the errors of http(s).
pub(super) fn session_error(error: &Error, repo: &RepoUrl) -> SourceError {
    let host = repo.host_names().map(|names| names.named().to_owned()).unwrap_or_default();
    let repo = repo.to_string();
    let text = sanitize(error.message(), 300);
    match (error.code(), error.class()) {
        (ErrorCode::Timeout, _) => SourceError::Unreachable { repo, why: "the server does not answer".to_owned() },
        (ErrorCode::Auth, _) => SourceError::KeyRefused { repo, host },
        // libssh2 finds out only when it is about to log in.
        (_, ErrorClass::Ssh) if text.contains("private key") => SourceError::KeyUnusable { host, why: text },
        // After the login, the server runs a program. Its message is the only answer if it does not serve the repository.
        (ErrorCode::Eof, ErrorClass::Ssh) => SourceError::NotFoundWithLogin { repo, host, why: text },
        (ErrorCode::Eof, _) => {
            SourceError::Unreachable { repo, why: "the server closed the connection early".to_owned() }
        }
        // Objects of the mirror that the negotiation needs are missing.
        (_, ErrorClass::Odb | ErrorClass::Object) => SourceError::Damaged { repo, why: text },
        (_, ErrorClass::Os) if text.starts_with("failed to connect") => SourceError::Unreachable { repo, why: text },
        (_, ErrorClass::Os) => SourceError::Disk { doing: format!("fetch {repo}"), why: text },
        _ => SourceError::Unreachable { repo, why: text },
    }
}

/// Objects that should exist cannot be read.
pub(super) fn damaged(error: &Error, repo: &RepoUrl) -> SourceError {
    if repo.is_local() {
        return SourceError::LocalUnreadable { path: repo.to_string(), why: sanitize(error.message(), 300) };
    }
    SourceError::Damaged { repo: repo.to_string(), why: sanitize(error.message(), 300) }
}

/// A failed file operation.
pub(super) fn disk(doing: impl Into<String>, error: &io::Error) -> SourceError {
    SourceError::Disk { doing: doing.into(), why: error.to_string() }
}

/// A failed git2 operation on the mirror.
pub(super) fn git_disk(doing: impl Into<String>, error: &Error) -> SourceError {
    SourceError::Disk { doing: doing.into(), why: sanitize(error.message(), 300) }
}

/// The parent stopped reading.
pub(super) fn pipe(error: &io::Error) -> SourceError {
    SourceError::Worker { why: format!("its answer cannot be written: {error}") }
}
