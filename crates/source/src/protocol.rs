//! The protocol between parent and worker: one JSON line in, frames out.
//!
//! A frame is a kind (1 byte), a length (4 bytes, big-endian) and a payload. Every answer ends with `Report`, `End` or
//! `Failed`. A pipe that closes earlier is an error, so a truncated stream never counts as complete.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::credentials::Login;
use crate::git_ref::{CommitId, GitRef};
use crate::identity::Selection;
use crate::limits::Limits;
use crate::repo_url::UrlRules;

/// Maximum length of the request line.
pub(crate) const MAX_REQUEST: u64 = 4 * 1024 * 1024;
/// Maximum payload of a frame: a Dockerfile of 1 MiB with JSON escapes fits.
pub(crate) const MAX_PAYLOAD: u32 = 16 * 1024 * 1024;
/// Bytes of tar per frame.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The only request that a worker handles. Not `Debug`, because it may contain a token.
#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    /// The address. The worker parses it again by the same rules.
    pub(crate) repo: String,
    pub(crate) rules: UrlRules,
    /// The directory of mirrors.
    pub(crate) mirrors: PathBuf,
    /// Certificates of authorities to trust besides the system's.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) action: Action,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Action {
    /// Answers with `Report(Resolved)`. `address`: where to fetch from, if not from the address of the repository.
    Fetch { git_ref: GitRef, address: Option<String>, login: Option<Login> },
    /// Answers with `Report(Fingerprint)`: the key that an ssh server presents.
    HostKey,
    /// Answers with `Report(Identity)`.
    Identity { commit: CommitId, selection: Selection },
    /// Answers with `Report(Directory)`.
    Directory { commit: CommitId, path: crate::ContextPath },
    /// Answers with `Opened`, then `Note` and `Tar` frames, then `End`.
    Context { commit: CommitId, selection: Selection },
}

/// The first answer to [`Action::Context`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) dockerfile_in_context: String,
}

/// Progress of a fetch. Sent at most ten times a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchProgress {
    /// Another fetch of the same repository is running; this one starts after it.
    Waiting,
    /// The server responded.
    Connected,
    /// Objects are being received.
    Receiving {
        /// Objects received so far.
        objects: u64,
        /// Objects in total.
        total: u64,
        /// Bytes received so far.
        bytes: u64,
    },
    /// A status line of the server, without control characters.
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
    /// The end of a tar: the number of its bytes, 8 bytes big-endian.
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

/// Parses the 5 leading bytes of a frame. `None`: not a frame of this protocol.
pub(crate) fn parse_head(head: [u8; 5]) -> Option<(FrameKind, u32)> {
    let [kind, a, b, c, d] = head;
    let len = u32::from_be_bytes([a, b, c, d]);
    FrameKind::of(kind).filter(|_| len <= MAX_PAYLOAD).map(|kind| (kind, len))
}

/// Makes text from a repository or server safe to display: removes control characters and characters that change the
/// text direction, and keeps at most `max` characters.
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
    fn a_written_frame_can_be_read_again() {
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
    fn a_message_cannot_control_a_terminal() {
        assert_eq!(sanitize("\u{1b}[31mred\u{202e}\r", 200), "[31mred");
        assert_eq!(sanitize(&"x".repeat(500), 200).len(), 200);
    }
}
