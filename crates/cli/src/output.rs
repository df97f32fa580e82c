//! Prints results on standard output and everything else on standard error. Colors only on a terminal.

use std::io::{IsTerminal, Write};

use app_spec::is_deceptive;

/// Prints a result as it is. If the reader has closed the pipe, exits quietly, as other tools do.
pub fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line of progress or advice, escaped.
pub fn note(text: &str) {
    line(&printable(text));
}

/// Prints an error, escaped.
pub fn error(text: &str) {
    line(&format!("{} {}", red("error:"), printable(text)));
}

fn line(text: &str) {
    // If standard error is closed, there is nowhere to report that.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether to use colors on standard error.
pub fn colored() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

fn red(text: &str) -> String {
    if colored() { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
}

/// Escapes control and invisible characters, so that text from elsewhere cannot control or mislead the terminal.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\n' | '\t' => out.push(c),
            c if is_deceptive(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\x1b[31mb\r\u{9b}c\u{202e}d\ne"), "a\\u{1b}[31mb\\u{d}\\u{9b}c\\u{202e}d\ne");
        assert_eq!(printable("a\u{61c}b\u{2028}c\u{e0041}"), "a\\u{61c}b\\u{2028}c\\u{e0041}");
    }
}
