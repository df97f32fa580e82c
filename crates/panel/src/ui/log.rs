//! Log lines, and the screen of a console.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// A log line. The text must not contain control characters: escape sequences are removed before.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub at: Option<DateTime<Utc>>,
    /// The instance that wrote it, or empty.
    pub from: &'a str,
    pub text: &'a str,
}

/// A box of lines that scrolls. It stays at the end while the reader is there, and elsewhere keeps its place.
pub fn log(id: &str, label: &str, lines: &[Line<'_>]) -> Markup {
    html! { pre class="log" id=(id) tabindex="0" role="region" aria-label=(label) data-follow { @for it in lines { (line(it)) } } }
}

/// One line, for a stream that adds lines to a [`log`].
pub fn line(line: &Line<'_>) -> Markup {
    let hue = line.from.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 6;
    html! {
        span {
            @if let Some(at) = line.at { time datetime=(present::rfc3339(at)) { (at.format("%H:%M:%S%.3f")) } " " }
            @if !line.from.is_empty() { b class={ "hue-" (hue) } { (line.from) } " " }
            (line.text) "\n"
        }
    }
}

/// Characters of a console that look the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub text: String,
    /// One of the terminal's 16 colours for the characters.
    pub foreground: Option<u8>,
    /// One of the terminal's 16 colours behind them.
    pub background: Option<u8>,
    pub bold: bool,
    /// Less bright.
    pub dim: bool,
    pub italic: bool,
    pub underlined: bool,
    /// The colours are exchanged.
    pub inverse: bool,
    /// One character that is two columns wide.
    pub wide: bool,
    /// The cursor is here.
    pub cursor: bool,
}

/// A row of a console's screen. Its id is `row-0`, `row-1` and so on.
pub fn row(index: usize, runs: &[Run]) -> Markup {
    html! {
        div id={ "row-" (index) } { @for run in runs {
            @let class = run.class();
            @if class.is_empty() { (run.text) } @else { span class=(class) { (run.text) } }
        } }
    }
}

/// A console's screen. `label` names the field into which the script takes what is typed, and `hint` is the id of the text
/// that says how to leave it with the keyboard. The script puts rows that have left the screen above it.
pub fn terminal(label: &str, hint: &str, rows: &[Vec<Run>]) -> Markup {
    html! {
        div class="terminal" id="terminal" tabindex="-1" {
            div id="history" hidden {}
            div id="screen" { @for (index, runs) in rows.iter().enumerate() { (row(index, runs)) } }
            textarea id="keys" rows="1" aria-label=(label) aria-describedby=(hint) autocomplete="off" autocapitalize="none"
                autocorrect="off" spellcheck="false" {}
        }
    }
}

impl Run {
    /// Whether both look the same, apart from their characters.
    pub fn looks_like(&self, other: &Run) -> bool {
        let look = |run: &Run| {
            let flags = [run.bold, run.dim, run.italic, run.underlined, run.inverse, run.wide, run.cursor];
            (run.foreground, run.background, flags)
        };
        look(self) == look(other)
    }

    /// The classes in the style sheet.
    pub fn class(&self) -> String {
        let color = |prefix, color: Option<u8>| color.filter(|it| *it < 16).map(|it| format!("{prefix}{it}"));
        let flags = [
            (self.bold, "bold"),
            (self.dim, "dim"),
            (self.italic, "italic"),
            (self.underlined, "underlined"),
            (self.inverse, "inverse"),
            (self.wide, "wide"),
            (self.cursor, "cursor"),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, class)| class.to_owned());
        let colors = color("fg-", self.foreground).into_iter().chain(color("bg-", self.background));
        flags.chain(colors).collect::<Vec<_>>().join(" ")
    }
}
