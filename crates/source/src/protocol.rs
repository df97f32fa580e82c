//! What parent and worker say to each other: one JSON line in, frames out.
//!
//! A frame is a kind (1 byte), a length (4 bytes, big-endian) and a payload. Every answer ends with a frame that says so
//! (`Report`, `End` or `Failed`); a pipe that closes before it is an error, so a cut stream never passes as complete.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::credentials::{Credentials, KnownHost};
use crate::git_ref::{CommitId, GitRef};
use crate::identity::Selection;
use crate::limits::Limits;
use crate::repo_url::UrlRules;

/// The longest request line a worker reads.
pub(crate) const MAX_REQUEST: u64 = 4 * 1024 * 1024;
/// The longest payload a parent reads: a Dockerfile of 1 MiB, escaped, with room.
pub(crate) const MAX_PAYLOAD: u32 = 16 * 1024 * 1024;
/// Bytes of tar in one frame.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The one request of a worker's life. No `Debug`: it may hold a token.
#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    /// The address, parsed again by the worker under the same rules.
    pub(crate) repo: String,
    pub(crate) rules: UrlRules,
    /// Where the mirrors are.
    pub(crate) mirrors: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) action: Action,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Action {
    /// Answers with `Report(Resolved)`.
    Fetch { git_ref: GitRef, credentials: Option<Credentials>, known_hosts: Vec<KnownHost> },
    /// Answers with `Report(Identity)`.
    Identity { commit: CommitId, selection: Selection },
    /// Answers with `Report(Directory)`.
    Directory { commit: CommitId, path: crate::ContextPath, wanted: Vec<String> },
    /// Answers with `Opened`, then `Note` and `Tar` frames, then `End`.
    Context { commit: CommitId, selection: Selection },
}

/// The first answer to [`Action::Context`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) dockerfile_in_context: String,
}

/// How far a fetch is. Sent at most ten times a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchProgress {
    /// Another fetch of the same repository is running; this one begins when it ends.
    Waiting,
    /// The server answered.
    Connected,
    /// Objects are coming in.
    Receiving {
        /// Objects received so far.
        objects: u64,
        /// Objects there will be.
        total: u64,
        /// Bytes received so far.
        bytes: u64,
    },
    /// What the server says while it prepares, one line without control characters.
    Remote(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    Progress = b'P',
    Note = b'N',
    Opened = b'O',
    Tar = b'T',
    Report = b'R',
    /// The end of a tar: the count of its bytes, 8 bytes big-endian.
    End = b'E',
    Failed = b'F',
}

impl FrameKind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Progress, Self::Note, Self::Opened, Self::Tar, Self::Report, Self::End, Self::Failed];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Writes one frame and flushes it.
pub(crate) fn write_frame(out: &mut impl Write, kind: FrameKind, payload: &[u8]) -> io::Result<()> {
    let len = u32::try_from(payload.len()).ok().filter(|len| *len <= MAX_PAYLOAD);
    let len = len.ok_or_else(|| io::Error::other("the answer is too long for one frame"))?;
    out.write_all(&[kind as u8])?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(payload)?;
    out.flush()
}

/// Reads a frame's 5 leading bytes. None: not ours.
pub(crate) fn parse_head(head: [u8; 5]) -> Option<(FrameKind, u32)> {
    let [kind, a, b, c, d] = head;
    let len = u32::from_be_bytes([a, b, c, d]);
    FrameKind::of(kind).filter(|_| len <= MAX_PAYLOAD).map(|kind| (kind, len))
}

/// Text from a repository or server, for people: no control or direction-changing characters, at most `max` characters.
pub(crate) fn sanitize(text: &str, max: usize) -> String {
    let direction =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    text.trim().chars().filter(|c| !c.is_control() && !direction(*c)).take(max).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        let mut out = Vec::new();
        write_frame(&mut out, FrameKind::Tar, b"abc").unwrap();
        assert_eq!(parse_head(out[..5].try_into().unwrap()), Some((FrameKind::Tar, 3)));
        assert_eq!(&out[5..], b"abc");
    }

    #[test]
    fn foreign_bytes_are_not_a_frame() {
        assert_eq!(parse_head(*b"hello"), None);
        assert_eq!(parse_head([b'T', 0xff, 0, 0, 0]), None);
    }

    #[test]
    fn a_message_cannot_steer_a_terminal() {
        assert_eq!(sanitize("\u{1b}[31mred\u{202e}\r", 200), "[31mred");
        assert_eq!(sanitize(&"x".repeat(500), 200).len(), 200);
    }
}
