//! This process's terminal.

use std::io::{IsTerminal, Read, Write, stdin, stdout};

use bytes::Bytes;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Bytes that are read from the terminal at once: pasted text.
const PIECE: usize = 4096;
/// Pieces that wait until the connection takes them.
const PIECES: usize = 16;

/// Whether a person can use a shell here.
pub fn is_one() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Width and height of the window. `None` if the terminal does not report them.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdout()).ok().filter(|it| it.ws_col > 0 && it.ws_row > 0)?;
    Some((size.ws_col, size.ws_row))
}

/// The terminal in raw mode: each key is read at once and not shown, and none sends a signal. Dropping it restores the
/// terminal, also during a panic.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    pub fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // `Now` keeps what was typed before.
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // If it fails, the terminal has closed.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Shows text as it is, with its escape sequences. A terminal that takes no output does not block other tasks.
pub async fn print(text: String) -> std::io::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        let mut screen = stdout().lock();
        screen.write_all(text.as_bytes())?;
        screen.flush()
    });
    written.await.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)))
}

/// What is typed, until the terminal closes. A separate thread reads it, because a read cannot be cancelled; it ends with the
/// process.
pub fn keys() -> mpsc::Receiver<Bytes> {
    let (sender, keys) = mpsc::channel(PIECES);
    std::thread::spawn(move || {
        let mut piece = [0; PIECE];
        while let Ok(length @ 1..) = stdin().lock().read(&mut piece) {
            if sender.blocking_send(Bytes::copy_from_slice(&piece[..length])).is_err() {
                return;
            }
        }
    });
    keys
}
