//! Where things stand: from the parser's character positions to bytes, lines and columns.

use std::ops::Range;

use saphyr_parser::{ScalarStyle, Span};

use super::block;
use super::syntax::{Explained, Stop, explain};
use crate::diagnostic::{Code, Diagnostic, Place};

/// Turns the parser's character positions into byte positions, remembering where it was: places come in order, or
/// nearly, and a text may be long.
pub(crate) struct Offsets<'t> {
    body: &'t str,
    /// Bytes before `body`: a byte order mark.
    skipped: usize,
    /// The first byte of each line.
    line_starts: Vec<usize>,
    chars: usize,
    bytes: usize,
}

impl<'t> Offsets<'t> {
    pub fn new(body: &'t str, skipped: usize) -> Offsets<'t> {
        Offsets { body, skipped, line_starts: line_starts(body), chars: 0, bytes: 0 }
    }

    /// The place of the next byte.
    pub fn place_at(&self, at: usize) -> Place {
        let at = at.saturating_sub(self.skipped).min(self.body.len());
        self.place_of_bytes(at..at + 1)
    }

    /// What stands behind a byte.
    pub fn behind(&self, at: usize) -> &'t str {
        self.body.get(at.saturating_sub(self.skipped)..).unwrap_or_default()
    }

    /// What stands at a place.
    pub fn text(&self, place: Place) -> &'t str {
        self.body.get(place.start - self.skipped..place.end - self.skipped).unwrap_or_default()
    }

    /// Why the text is no YAML, where the parser stopped at a byte. `bracket`: the innermost one that is open there.
    pub fn not_yaml(&self, at: usize, info: &str, bracket: Option<Place>) -> Diagnostic {
        let bracket = bracket.map(|place| place.start - self.skipped);
        self.problem(explain(&Stop { body: self.body, at: at - self.skipped, info, bracket }))
    }

    /// The problem at its place.
    pub fn problem(&self, explained: Explained) -> Diagnostic {
        let problem = Diagnostic::error(Code::Syntax, "", explained.message);
        let problem = problem.at(Some(self.place_of_bytes(explained.at)));
        let problem = explained.help.into_iter().fold(problem, Diagnostic::help);
        match explained.opened {
            Some(at) => problem.related("", Some(self.place_of_bytes(at..at + 1)), "opened here"),
            None => problem,
        }
    }

    /// Whether nothing but blanks stands before a place in its line.
    pub fn begins_line(&self, place: Place) -> bool {
        let before = &self.body[..place.start - self.skipped];
        before.trim_end_matches(' ').ends_with('\n')
    }

    /// The place of some bytes.
    pub fn place_of_bytes(&self, bytes: Range<usize>) -> Place {
        let at = bytes.start;
        let line = self.line_starts.partition_point(|line_start| *line_start <= at);
        let column = self.body[self.line_starts[line - 1]..at].chars().count();
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut end = bytes.end.min(self.body.len());
        while !self.body.is_char_boundary(end) {
            end += 1;
        }
        Place { line: clamp(line), column: clamp(column + 1), start: at + self.skipped, end: end + self.skipped }
    }

    /// What a scalar says where the text may end in it; see [`block`].
    pub fn as_it_ends<'s>(&self, says: &'s str, style: ScalarStyle, place: Place) -> &'s str {
        let place = Place { start: place.start - self.skipped, end: place.end - self.skipped, ..place };
        block::as_it_ends(says, style, place, self.body)
    }

    /// The parser ends a text only before the next token: behind a quoted one that takes in a comment beside it, behind a
    /// block the indentation of the next line.
    pub fn of_scalar_alone(&self, place: Place, style: ScalarStyle) -> Place {
        let text = self.text(place);
        let length = match style {
            ScalarStyle::SingleQuoted => quoted_length(text, '\''),
            ScalarStyle::DoubleQuoted => quoted_length(text, '"'),
            ScalarStyle::Literal | ScalarStyle::Folded => Some(text.trim_end().len()),
            ScalarStyle::Plain => None,
        };
        Place { end: length.map_or(place.end, |length| place.start + length), ..place }
    }

    /// The tag or anchor that a mark begins between two places: comments there may hold the mark too.
    pub fn mark_between(&self, mark: char, before: usize, after: usize) -> Option<Place> {
        let start = before.saturating_sub(self.skipped);
        let between = self.body.get(start..after.saturating_sub(self.skipped))?;
        let code = |line: &'t str| line.split(" #").next().filter(|code| !code.starts_with('#')).unwrap_or_default();
        let at = between.split_inclusive('\n').scan(start, |at, line| {
            let line_start = std::mem::replace(at, *at + line.len());
            Some(code(line).find(mark).map(|found| line_start + found))
        });
        let at = at.flatten().next()?;
        let length = self.body[at..].find(|c: char| c.is_whitespace() || ",]}".contains(c));
        Some(self.place_of_bytes(at..length.map_or(self.body.len(), |length| at + length)))
    }

    pub fn place(&mut self, span: &Span) -> Place {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index());
        // The parser counts one line too many at the end of a text without a final newline.
        let line = self.line_starts.partition_point(|line_start| *line_start <= start);
        let column = match line == span.start.line() {
            true => span.start.col(),
            false => self.body[self.line_starts[line - 1]..start].chars().count(),
        };
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            line: clamp(line),
            column: clamp(column + 1),
            start: start + self.skipped,
            end: end.max(start) + self.skipped,
        }
    }

    fn byte(&mut self, char_index: usize) -> usize {
        while self.chars > char_index {
            self.chars -= 1;
            self.bytes -= 1;
            while !self.body.is_char_boundary(self.bytes) {
                self.bytes -= 1;
            }
        }
        while self.chars < char_index && self.bytes < self.body.len() {
            self.chars += 1;
            self.bytes += 1;
            while !self.body.is_char_boundary(self.bytes) {
                self.bytes += 1;
            }
        }
        self.bytes
    }
}

/// How long a quoted text is, quotes included. In single quotes two of them stand for one.
pub(super) fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut rest = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        let is_doubled = quote == '\'' && rest.peek().is_some_and(|(_, next)| *next == quote);
        match c {
            '\\' if quote == '"' => _ = rest.next(),
            c if c == quote && is_doubled => _ = rest.next(),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Lines end with `\n`, `\r\n` or `\r`.
fn line_starts(body: &str) -> Vec<usize> {
    let bytes = body.as_bytes();
    let ends = |i: &usize| bytes[*i] == b'\n' || (bytes[*i] == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
    std::iter::once(0).chain((0..bytes.len()).filter(ends).map(|i| i + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_ends_at_its_quote() {
        let cases = [
            ("'a' # b'", '\'', Some(3)),
            ("'it''s' # '", '\'', Some(7)),
            ("''", '\'', Some(2)),
            (r#""a\\" # ""#, '"', Some(5)),
            (r#""a\" b""#, '"', Some(7)),
            ("'open", '\'', None),
        ];
        for (text, quote, length) in cases {
            assert_eq!(quoted_length(text, quote), length, "{text}");
        }
    }
}
