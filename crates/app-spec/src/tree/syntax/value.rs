//! What goes wrong in a value: quotes, escapes, marks that begin something else than text.

use super::{Explained, Stop};

/// A quote that nothing closes.
pub(super) fn quote(stop: &Stop<'_>) -> Option<Explained> {
    let is_open = ["invalid indentation in quoted scalar", "unexpected end of stream", "unexpected document indicator"]
        .iter()
        .any(|words| stop.info.contains(words));
    let begins = stop.body[stop.at..].starts_with(['"', '\'']);
    (is_open && begins).then(|| Explained::new(stop.at..stop.at + 1, "this quote is not closed"))
}

/// The parser stopped at a mark in a value.
pub(super) fn explain(stop: &Stop<'_>) -> Option<Explained> {
    let Stop { at, info, .. } = *stop;
    let says = |message: &str, help| Some(Explained::new(at..at + 1, message).help(help));
    match info {
        _ if info.contains("trailing content") => behind_a_quote(stop),
        _ if info.contains("escape character") || info.contains("hexadecimal") => says(
            "in this text a `\\` begins an escape, and there is none of that form",
            "in double quotes write `\\` twice, or use single quotes",
        ),
        _ if info.contains("unknown anchor") => {
            says("`*` names an anchor, and there is none of that name", "quote text that begins with `*`")
        }
        _ if info.contains("unexpected character") => {
            let mark = stop.body[at..].chars().next().filter(|c| matches!(c, '@' | '`' | '%'))?;
            let mark = if mark == '`' { "a backtick".to_owned() } else { format!("`{mark}`") };
            says(&format!("no text begins with {mark}"), "put the text in quotes")
        }
        _ if info.contains("block sequence entries are not allowed") => says(
            "a list does not begin in the line of its field",
            "put the item in the next line, or quote text that begins with `- `",
        ),
        _ if info.contains("block scalar") && info.contains("expected comment or line break") => {
            says("behind this mark, text begins in the next line", "quote text that begins with `|` or `>`")
        }
        _ => None,
    }
}

/// `'it's'`, `"a",`: more stands behind the quote that ends a value.
fn behind_a_quote(stop: &Stop<'_>) -> Option<Explained> {
    let Stop { body, at, .. } = *stop;
    if body[at..].starts_with(',') {
        return Some(Explained::new(at..at + 1, "a `,` stands behind this value").help("leave it out"));
    }
    let is_double = body[..at].trim_end().ends_with('"');
    let help = match is_double {
        true => "inside double quotes write `\\\"` for each `\"`",
        false => "inside single quotes write `''` for each `'`",
    };
    Some(Explained::new(at..at + 1, "more text stands behind the quote that ends this value").help(help))
}
