//! Interactive shells inside containers.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::io::AsyncWrite;

use crate::error::EngineError;

/// A running shell with a terminal. Dropping it closes the connection, and the shell keeps running until
/// [`crate::Engine::end_shell`].
pub struct Shell {
    /// The engine's id, for [`crate::Engine::resize_shell`].
    pub id: String,
    /// What the shell and its programs write to the terminal, in pieces of at most 64 KiB.
    pub output: ShellOutput,
    /// What a person types.
    pub input: ShellInput,
}

pub type ShellInput = Pin<Box<dyn AsyncWrite + Send>>;

/// The output of a shell. The last item of a stream without an error is [`ShellEvent::Exited`].
pub type ShellOutput = BoxStream<'static, Result<ShellEvent, EngineError>>;

/// What a shell reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellEvent {
    /// Bytes that it wrote. A character may be split between two pieces.
    Output(Bytes),
    /// The shell has ended, with its exit code. `None` if its container has stopped as well.
    Exited { code: Option<i64> },
}

/// Marks all processes of one shell, so that they can be found again by another process of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellMark(String);

impl ShellMark {
    pub fn random() -> ShellMark {
        ShellMark(uuid::Uuid::new_v4().simple().to_string())
    }

    /// A mark from a record. `None` if the text is not one.
    pub fn parse(text: &str) -> Option<ShellMark> {
        let is_mark = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_mark.then(|| ShellMark(text.to_owned()))
    }
}

impl fmt::Display for ShellMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The size of a terminal in characters, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    pub width: u16,
    pub height: u16,
}

impl Default for TerminalSize {
    /// The usual size of a terminal that does not report one.
    fn default() -> TerminalSize {
        TerminalSize { width: 80, height: 24 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_contains_nothing_but_digits_and_letters() {
        let mark = ShellMark::random();
        assert_eq!(ShellMark::parse(&mark.to_string()), Some(mark));
        for wrong in ["", "abc", "*", &"x".repeat(32)] {
            assert_eq!(ShellMark::parse(wrong), None, "{wrong}");
        }
    }
}
