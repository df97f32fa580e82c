//! Reads a line from the terminal without echo.

use std::io::{BufRead, Error, Result, stdin};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

use crate::output;

const CTRL_C: u8 = 3;

/// Prompts and reads a line without echo. `None`: Ctrl-C, or the end of input. Restores the terminal.
///
/// Ctrl-C ends the line instead of the program, because the program would exit without restoring the echo.
pub fn read_line(prompt: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
    let terminal = stdin();
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    hidden.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    // `Now` keeps input that was typed before the prompt.
    tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
    let read = prompt().and_then(|()| read_once(&mut terminal.lock()));
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    // The line break was not echoed either.
    output::note("");
    let line = read?;
    if line.is_empty() || line.contains(&CTRL_C) {
        return Ok(None);
    }
    String::from_utf8(line).map(Some).map_err(Error::other)
}

/// One read from a terminal returns one line, with any end of line.
fn read_once(input: &mut impl BufRead) -> Result<Vec<u8>> {
    let line = input.fill_buf()?.to_vec();
    input.consume(line.len());
    Ok(line)
}
