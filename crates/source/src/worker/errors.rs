//! Converts errors of git2 and the system. git2 distinguishes many causes only by their text.

use std::io;

use git2::{Error, ErrorClass, ErrorCode};

use crate::error::SourceError;
use crate::protocol::sanitize;
use crate::repo_url::RepoUrl;

/// Converts an error of a connection to a server. `login_given` distinguishes "needs a login" from "refused this
/// login".
pub(super) fn session_error(error: &Error, repo: &RepoUrl, login_given: bool) -> SourceError {
    let repo = repo.to_string();
    let text = sanitize(error.message(), 300);
    let status = text.strip_prefix("unexpected http status code: ");
    match (error.code(), error.class()) {
        (ErrorCode::Timeout, _) => SourceError::Unreachable { repo, why: "the server does not answer".to_owned() },
        (ErrorCode::Certificate, _) => SourceError::Certificate { repo, why: text },
        (ErrorCode::Auth, _) if login_given => SourceError::LoginRefused { repo },
        (ErrorCode::Auth, _) => SourceError::NotFoundOrLogin { repo },
        _ if text.starts_with("cannot redirect") => SourceError::Redirect { repo, why: text },
        _ if matches!(status, Some("401" | "403")) && login_given => SourceError::LoginRefused { repo },
        _ if matches!(status, Some("401" | "403" | "404" | "410")) => SourceError::NotFoundOrLogin { repo },
        _ if text.contains("content-type") => {
            SourceError::Unreachable { repo, why: "the server is not a git server".to_owned() }
        }
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
