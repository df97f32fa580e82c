//! What is printed where: results on standard output, everything else on standard error. Colours only on a terminal.

use std::io::{IsTerminal, Write};

use app_spec::is_deceptive;

/// Prints a result. A reader that has left ends the program quietly, as it does for other tools.
pub fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Says something beside the result.
pub fn note(text: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says what went wrong.
pub fn error(text: &str) {
    note(&format!("{} {}", red("error:"), plain(text)));
}

/// Whether colours may be used on standard error.
pub fn coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

fn red(text: &str) -> String {
    if coloured() { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
}

/// The text with characters made visible that steer or deceive: nothing that comes from elsewhere steers the terminal.
pub fn plain(text: &str) -> String {
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
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\r\u{9b}c\u{202e}d\ne"), "a\\u{1b}[31mb\\u{d}\\u{9b}c\\u{202e}d\ne");
        assert_eq!(plain("a\u{61c}b\u{2028}c\u{e0041}"), "a\\u{61c}b\\u{2028}c\\u{e0041}");
    }
}
