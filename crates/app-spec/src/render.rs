//! Drawing problems for people: the line, a caret under the spot, and what to write instead.
//!
//! Plain text without colours. The bytes of secrets are masked, so that a terminal log holds none.

use std::fmt::Write;
use std::ops::Range;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::suggest::drawable;

/// Characters of a line that are shown around the spot.
const WIDTH: usize = 110;

impl Diagnostics {
    /// All problems with their lines from `text`, which must be the text that was read, and a count at the end.
    /// `file` is how the text is called, for example `app.yaml`.
    pub fn render(&self, file: &str, text: &str) -> String {
        let mut out = String::new();
        for diagnostic in self {
            draw(&mut out, diagnostic, file, text, &self.hidden);
            out.push('\n');
        }
        let errors = self.iter().filter(|d| d.is_error()).count();
        out.push_str(&summary(errors, self.len() - errors, self.omitted()));
        out
    }
}

fn summary(errors: usize, warnings: usize, omitted: usize) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut text = format!("{}, {}", count(errors, "error"), count(warnings, "warning"));
    if omitted > 0 {
        text.push_str(&format!(", {omitted} more not shown"));
    }
    text.push('\n');
    text
}

fn draw(out: &mut String, diagnostic: &Diagnostic, file: &str, text: &str, hidden: &[Range<usize>]) {
    let path = if diagnostic.path.is_empty() { String::new() } else { format!("{}: ", diagnostic.path) };
    let severity = diagnostic.severity.as_str();
    push_line(out, format_args!("{severity}[{}]: {path}{}", diagnostic.code, diagnostic.message));
    let number_width = diagnostic.line().map_or(1, |line| line.to_string().len());
    let gutter = " ".repeat(number_width);
    match diagnostic.place {
        None => push_line(out, format_args!("{gutter}--> {file}")),
        Some(place) => {
            push_line(out, format_args!("{gutter}--> {file}:{}:{}", place.line, place.column));
            let (line, caret) = spot(text, place, hidden);
            push_line(out, format_args!("{gutter} |"));
            push_line(out, format_args!("{} | {line}", place.line));
            push_line(out, format_args!("{gutter} | {caret}"));
        }
    }
    if let Some(related) = &diagnostic.related
        && let Some(place) = related.place
    {
        push_line(out, format_args!("{gutter} = note: {} ({file}:{}:{})", related.message, place.line, place.column));
    }
    if let Some(help) = &diagnostic.help {
        push_line(out, format_args!("{gutter} = help: {help}"));
    }
}

fn push_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    let start = out.len();
    out.write_fmt(line).expect("writing to a String cannot fail");
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

/// The line of the place, masked and cut to width, and the carets under it.
fn spot(text: &str, place: Place, hidden: &[Range<usize>]) -> (String, String) {
    let at = floor_boundary(text, place.start);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let start = if text[start..at].starts_with(BYTE_ORDER_MARK) { start + BYTE_ORDER_MARK.len_utf8() } else { start };
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let visible = |(i, c): (usize, char)| if is_inside(hidden, start + i) { '*' } else { drawable(c) };
    let line = || text[start..end].char_indices().map(visible);
    let column = text[start..at].chars().count();
    let length = text[at..floor_boundary(text, place.end.clamp(at, end))].trim_end().chars().count().max(1);

    let first = if column + length.min(WIDTH / 2) <= WIDTH { 0 } else { column - WIDTH / 4 };
    let shown: String = line().skip(first).take(WIDTH).collect();
    let (before, after) =
        (if first > 0 { "…" } else { "" }, if line().nth(first + WIDTH).is_some() { "…" } else { "" });
    let marked = length.min((first + WIDTH).saturating_sub(column).max(1));
    let columns = |skipped: usize, taken: usize| -> usize { line().skip(skipped).take(taken).map(columns_of).sum() };
    let indent = before.chars().count() + columns(first, column - first);
    let carets = columns(column, marked).max(1);
    (format!("{before}{}{after}", shown.trim_end()), format!("{}{}", " ".repeat(indent), "^".repeat(carets)))
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Ranges of characters that take two columns: East Asian scripts and pictures.
const WIDE: [(char, char); 14] = [
    ('\u{1100}', '\u{115f}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{4dbf}'),
    ('\u{4e00}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f900}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

/// How many columns of a terminal a character takes.
fn columns_of(c: char) -> usize {
    let combines = matches!(c, '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}');
    match WIDE.iter().any(|(first, last)| (*first..=*last).contains(&c)) {
        true => 2,
        false => usize::from(!combines),
    }
}

/// Whether a byte is in one of `ranges`, which are in order and do not overlap.
fn is_inside(ranges: &[Range<usize>], at: usize) -> bool {
    let next = ranges.partition_point(|range| range.end <= at);
    ranges.get(next).is_some_and(|range| range.contains(&at))
}

/// The nearest character border at or before `at`: a place from another text must not panic.
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
