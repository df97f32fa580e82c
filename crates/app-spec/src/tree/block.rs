//! Block scalars that a text ends in. Our parser reads them as if a line's end followed. libyaml and its ports, which read
//! specs elsewhere, take the text as it is: without a last line's end there is none in the value.

use saphyr_parser::ScalarStyle;

use crate::diagnostic::Place;

/// What a scalar says to libyaml, of what it says to our parser. `place`: in `body`, of the content, or of the header where
/// there is no content.
pub(super) fn as_it_ends<'s>(says: &'s str, style: ScalarStyle, place: Place, body: &str) -> &'s str {
    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    match is_block && place.end == body.len() {
        false => says,
        true if says.bytes().all(|byte| byte == b'\n') => without_content(says, &body[place.start..]),
        true => with_content(says, place, body),
    }
}

/// Only `+` keeps empty lines, and the line of the header is none of them.
fn without_content<'s>(says: &'s str, written: &str) -> &'s str {
    let is_kept = written.split_ascii_whitespace().next().is_some_and(|header| header.contains('+'));
    let lines = written.replace("\r\n", "\n").matches(['\n', '\r']).count();
    &says[..if is_kept { lines.saturating_sub(1).min(says.len()) } else { 0 }]
}

/// The parser has added a line's end where the last line is as long as the indentation, unless `-` forbids it.
fn with_content<'s>(says: &'s str, place: Place, body: &str) -> &'s str {
    let indentation = place.column as usize - 1;
    let last_line = body.rsplit(['\n', '\r']).next().unwrap_or_default();
    let is_added = last_line.len() >= indentation.max(1);
    says.strip_suffix('\n').filter(|_| is_added).unwrap_or(says)
}
