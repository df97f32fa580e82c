//! Shows progress on standard error: redrawn in place on a terminal, line by line in a pipe.

use std::io::{IsTerminal, Write, stderr};

use crate::output;
use chrono::Utc;
use present::Deployment;
use present::news::{changes, frame};

/// The display and what it last showed.
pub enum ProgressDisplay {
    /// The number of lines of the last frame.
    Live { drawn: usize },
    /// The deployment as it was last shown.
    Lines { before: Option<Box<Deployment>> },
}

impl ProgressDisplay {
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
                    // Moves to the first line of the last frame and clears from there.
                    out.push_str(&format!("\x1b[{drawn}A\r\x1b[J"));
                }
                for line in &lines {
                    // Cuts lines at the width, because a wrapped line would take more lines than `drawn` counts.
                    out.extend(output::printable(line).chars().take(width.saturating_sub(1)));
                    out.push('\n');
                }
                *drawn = lines.len();
                let _ = stderr().lock().write_all(out.as_bytes());
            }
            Self::Lines { before } => {
                for line in changes(before.as_deref(), now) {
                    output::note(&line);
                }
                *before = Some(Box::new(now.clone()));
            }
        }
    }

    /// Prints a line below the last frame, which stays on the screen.
    pub fn note(&mut self, line: &str) {
        if let Self::Live { drawn } = self {
            *drawn = 0;
        }
        output::note(line);
    }
}

/// Lines and columns of the terminal; 24 by 80 if unknown.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(stderr()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}
