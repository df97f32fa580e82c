//! Literal and folded scalars as they stand in a text, and the lines of those that go over several.

use std::borrow::Cow;

use super::gap::{Gap, is_blank};
use super::syntax::BlockScalar;

/// The scalar whose header begins at `start`, and where the lines after it begin. The parser says where its first line of
/// content begins and where it had read on to. `is_ended`: its last line had an end in the text as it came.
pub(super) fn block_scalar(
    text: &str,
    start: usize,
    content: (usize, usize),
    is_ended: bool,
) -> Option<(BlockScalar<'_>, usize)> {
    let header = text[start..].split([' ', '\t', '\n']).next()?;
    let gap = Gap::at(text, start + header.len());
    let line_end = start + text[start..].find('\n')?;
    let end = line_start(text, content.1).max(line_end + 1);
    let has_content = (line_end..end).contains(&content.0);
    let indent = if has_content { content.0 - line_start(text, content.0) } else { usize::MAX };
    let lines = &text[line_end + 1..end];
    let last = lines.split_inclusive('\n').next_back().filter(|_| !is_ended).unwrap_or_default();
    let is_last_empty = is_empty(last, indent);
    let lines = match header.contains('+') {
        true if is_last_empty => &lines[..lines.len() - last.len()],
        true => lines,
        false => without_empty_end(lines, indent),
    };
    let is_open = has_content && !is_last_empty;
    Some((BlockScalar { header, is_open, beside: gap.beside, lines, indent }, line_end + 1 + lines.len()))
}

/// Where the line begins that holds a byte.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Without the lines at the end that are no content.
fn without_empty_end(lines: &str, indent: usize) -> &str {
    let empty = lines.split_inclusive('\n').rev().take_while(|line| is_empty(line, indent));
    &lines[..lines.len() - empty.map(str::len).sum::<usize>()]
}

fn is_empty(line: &str, indent: usize) -> bool {
    line.trim_end_matches('\n').len() <= indent && is_blank(line)
}

impl BlockScalar<'_> {
    /// Its lines without their indentation.
    pub fn content(&self) -> impl Iterator<Item = &str> {
        self.lines.lines().map(|line| line.get(self.indent..).unwrap_or_default())
    }

    /// How far the content is from what holds it, where the header says so.
    pub fn indicated(&self) -> Option<usize> {
        self.header.chars().find_map(|c| c.to_digit(10)).map(|digit| digit as usize)
    }

    /// Whether empty lines after it would be read as its own.
    pub fn keeps_empty_lines(&self) -> bool {
        self.header.contains('+') && !self.is_open
    }

    /// The header, which says that the last line's end is not meant where there was none.
    pub fn header(&self) -> Cow<'_, str> {
        match self.is_open {
            true => Cow::Owned(format!("{}-", self.header.replace(['+', '-'], ""))),
            false => Cow::Borrowed(self.header),
        }
    }
}

/// The lines of a scalar or of brackets that go over several, the first as it is, the others moved together so that the
/// leftmost has `indent` spaces.
pub(super) fn hanging(text: &str, indent: usize) -> impl Iterator<Item = (usize, &str)> {
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let others = text.lines().skip(1).filter(|line| !is_blank(line));
    let leftmost = others.map(spaces).min().unwrap_or(0);
    text.lines().enumerate().map(move |(i, line)| match i {
        0 => (0, line),
        _ if is_blank(line) => (0, ""),
        _ => (indent + spaces(line) - leftmost, line.trim_start_matches(' ')),
    })
}
