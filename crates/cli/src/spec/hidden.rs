//! A line from the terminal that nobody sees while it is typed.

use std::io::{BufRead, Error, Result, stdin};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

use crate::say;

const CTRL_C: u8 = 3;

/// Asks, and reads a line. `None`: Ctrl-C, or the end of input. The terminal is left as it was found.
///
/// Ctrl-C must not end the program while nothing is shown, so it ends the line instead.
pub fn line(ask: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
    let terminal = stdin();
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    hidden.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    // What was typed ahead is an answer too.
    tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
    let read = ask().and_then(|()| one_read(&mut terminal.lock()));
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    // Enter was not shown either.
    say::note("");
    let line = read?;
    if line.is_empty() || line.contains(&CTRL_C) {
        return Ok(None);
    }
    String::from_utf8(line).map(Some).map_err(Error::other)
}

/// A terminal hands out one line at a time, whatever it ends with.
fn one_read(input: &mut impl BufRead) -> Result<Vec<u8>> {
    let line = input.fill_buf()?.to_vec();
    input.consume(line.len());
    Ok(line)
}
