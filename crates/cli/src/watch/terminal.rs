//! Progress on standard error: redrawn in place on a terminal, line by line in a pipe.

use std::io::{IsTerminal, Write, stderr};

use crate::say;
use chrono::Utc;
use present::Deployment;
use present::news::{changes, frame};

/// What is on the screen, or was said.
pub enum Screen {
    /// How many lines the last frame has.
    Live {
        drawn: usize,
    },
    Lines {
        before: Option<Box<Deployment>>,
    },
}

impl Screen {
    pub fn new() -> Self {
        if stderr().is_terminal() { Self::Live { drawn: 0 } } else { Self::Lines { before: None } }
    }

    pub fn show(&mut self, now: &Deployment) {
        match self {
            Self::Live { drawn } => {
                let (height, width) = size();
                let lines = frame(now, Utc::now(), height);
                let mut out = String::new();
                if *drawn > 0 {
                    // Up to the first line of the last frame, and clear from there.
                    out.push_str(&format!("\x1b[{drawn}A\r\x1b[J"));
                }
                for line in &lines {
                    // A wrapped line would make the frame longer than we count.
                    out.extend(say::plain(line).chars().take(width.saturating_sub(1)));
                    out.push('\n');
                }
                *drawn = lines.len();
                let _ = stderr().lock().write_all(out.as_bytes());
            }
            Self::Lines { before } => {
                for line in changes(before.as_deref(), now) {
                    say::note(&say::plain(&line));
                }
                *before = Some(Box::new(now.clone()));
            }
        }
    }

    /// Says something below what is drawn, which then stays.
    pub fn say(&mut self, line: &str) {
        if let Self::Live { drawn } = self {
            *drawn = 0;
        }
        say::note(line);
    }
}

/// Lines and columns; 24 by 80 where the terminal does not tell.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(stderr()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}
