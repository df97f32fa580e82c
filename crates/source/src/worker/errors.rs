//! What git2 and the system report, in our words. git2 tells many causes apart only by their text.

use std::io;

use git2::{Error, ErrorClass, ErrorCode};

use crate::error::SourceError;
use crate::protocol::sanitize;
use crate::repo_url::RepoUrl;

/// The error of a conversation with a server. `login_given` tells "needs one" from "refused this one".
pub(super) fn session_error(error: &Error, repo: &RepoUrl, login_given: bool) -> SourceError {
    let repo = repo.to_string();
    let text = sanitize(error.message(), 300);
    let status = text.strip_prefix("unexpected http status code: ");
    match (error.code(), error.class()) {
        (ErrorCode::Timeout, _) => SourceError::Unreachable { repo, why: "it does not answer".to_owned() },
        (ErrorCode::Certificate, _) => SourceError::Certificate { repo, why: text },
        (ErrorCode::Auth, _) if login_given => SourceError::LoginRefused { repo },
        (ErrorCode::Auth, _) => SourceError::NotFoundOrLogin { repo },
        _ if text.starts_with("cannot redirect") => SourceError::Redirect { repo, why: text },
        _ if matches!(status, Some("401" | "403")) && login_given => SourceError::LoginRefused { repo },
        _ if matches!(status, Some("401" | "403" | "404" | "410")) => SourceError::NotFoundOrLogin { repo },
        _ if text.contains("content-type") => {
            SourceError::Unreachable { repo, why: "the answer does not come from a git server".to_owned() }
        }
        (ErrorCode::Eof, _) => {
            SourceError::Unreachable { repo, why: "the server ended the conversation in the middle".to_owned() }
        }
        // Objects of ours that the conversation needed, to say what we have, are not there.
        (_, ErrorClass::Odb | ErrorClass::Object) => SourceError::Damaged { repo, why: text },
        (_, ErrorClass::Os) if text.starts_with("failed to connect") => SourceError::Unreachable { repo, why: text },
        (_, ErrorClass::Os) => SourceError::Disk { doing: format!("fetch {repo}"), why: text },
        _ => SourceError::Unreachable { repo, why: text },
    }
}

/// Objects that should be there cannot be read.
pub(super) fn damaged(error: &Error, repo: &RepoUrl) -> SourceError {
    if repo.is_local() {
        return SourceError::LocalUnreadable { path: repo.to_string(), why: sanitize(error.message(), 300) };
    }
    SourceError::Damaged { repo: repo.to_string(), why: sanitize(error.message(), 300) }
}

/// A failing file operation of ours.
pub(super) fn disk(doing: impl Into<String>, error: &io::Error) -> SourceError {
    SourceError::Disk { doing: doing.into(), why: error.to_string() }
}

/// A failing operation of git2 on the mirror.
pub(super) fn git_disk(doing: impl Into<String>, error: &Error) -> SourceError {
    SourceError::Disk { doing: doing.into(), why: sanitize(error.message(), 300) }
}

/// The parent reads no more.
pub(super) fn pipe(error: &io::Error) -> SourceError {
    SourceError::Worker { why: format!("its answer cannot be written: {error}") }
}
