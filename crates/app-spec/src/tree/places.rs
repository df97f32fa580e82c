//! Converts the parser's positions, which count characters, to bytes, lines and columns.

use saphyr_parser::{ScalarStyle, Span};

use crate::diagnostic::Place;

/// The positions of one text.
pub(super) struct TextPlaces<'t> {
    body: &'t str,
    /// The number of bytes before `body`: a byte order mark.
    skipped: usize,
    /// The offset of each character, and the end of the text.
    bytes: Vec<u32>,
    /// The first character of each line. Lines end with `\n`, `\r\n` or `\r`.
    lines: Vec<usize>,
}

impl<'t> TextPlaces<'t> {
    pub fn new(body: &'t str, skipped: usize) -> TextPlaces<'t> {
        let mut bytes: Vec<u32> = Vec::with_capacity(body.len() + 1);
        let mut lines = vec![0];
        let mut characters = body.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            bytes.push(to_u32(at));
            if c == '\n' || c == '\r' && characters.peek().is_none_or(|(_, next)| *next != '\n') {
                lines.push(bytes.len());
            }
        }
        bytes.push(to_u32(body.len()));
        TextPlaces { body, skipped, bytes, lines }
    }

    pub fn of(&self, span: &Span) -> Place {
        self.of_characters(span.start.index(), span.end.index())
    }

    /// The place between two characters.
    pub fn of_characters(&self, start: usize, end: usize) -> Place {
        let last = self.bytes.len() - 1;
        let (start, end) = (start.min(last), end.clamp(start.min(last), last));
        let line = self.lines.partition_point(|line_start| *line_start <= start);
        let byte = |character: usize| self.bytes[character] as usize + self.skipped;
        let column = start - self.lines[line - 1] + 1;
        Place { line: to_u32(line), column: to_u32(column), start: byte(start), end: byte(end) }
    }

    /// The place of a byte range of the body.
    pub fn of_bytes(&self, bytes: std::ops::Range<usize>) -> Place {
        let character = |byte: usize| self.bytes.partition_point(|at| (*at as usize) < byte);
        self.of_characters(character(bytes.start), character(bytes.end))
    }

    /// The text at a place.
    pub fn text(&self, place: Place) -> &'t str {
        &self.body[place.start - self.skipped..place.end - self.skipped]
    }

    /// The text from a character on.
    pub fn text_from(&self, character: usize) -> &'t str {
        &self.body[self.bytes[character.min(self.bytes.len() - 1)] as usize..]
    }

    pub fn last_line(&self) -> &'t str {
        self.body.rsplit(['\n', '\r']).next().unwrap_or_default()
    }

    /// The offset in the body of a character.
    pub fn byte(&self, character: usize) -> usize {
        self.bytes[character.min(self.bytes.len() - 1)] as usize
    }

    /// The place of a scalar, without what the parser includes: a comment after quotes, or empty lines after a block.
    pub fn of_scalar(&self, place: Place, style: ScalarStyle) -> Place {
        let text = self.text(place);
        let length = match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                text.chars().next().and_then(|quote| quoted_length(text, quote))
            }
            ScalarStyle::Literal | ScalarStyle::Folded => Some(text.trim_end().len()),
            ScalarStyle::Plain => None,
        };
        Place { end: length.map_or(place.end, |length| place.start + length), ..place }
    }
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The length of a quoted text with its quotes. In single quotes, a doubled quote stands for one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_ends_at_its_quote() {
        let cases = [
            ("'a' # b'", '\'', Some(3)),
            ("'it''s' # '", '\'', Some(7)),
            (r#""a\\" # ""#, '"', Some(5)),
            (r#""a\" b""#, '"', Some(7)),
            ("'open", '\'', None),
        ];
        for (text, quote, length) in cases {
            assert_eq!(quoted_length(text, quote), length, "{text}");
        }
    }
}
