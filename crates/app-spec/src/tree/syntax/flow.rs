//! What goes wrong between braces and brackets, and in JSON.

use super::lines::{Line, Lines, key};
use super::{Explained, Stop};

/// A comment in a text that is JSON otherwise.
fn comment_in_json(body: &str) -> Option<Explained> {
    let is_json = body.trim_start().starts_with(['{', '[']);
    let mut is_text = false;
    let mut before = '\n';
    for (at, c) in body.char_indices().take_while(|_| is_json) {
        let begins = !is_text && (before.is_whitespace() || "{[,".contains(before));
        if begins && (body[at..].starts_with("//") || body[at..].starts_with("/*")) {
            let comment = Explained::new(at..at + 2, "JSON has no comments, and here one begins");
            return Some(comment.help("leave the comments out, or begin each with `#`"));
        }
        is_text ^= c == '"' && before != '\\';
        before = c;
    }
    None
}

/// The parser stopped between braces or brackets.
pub(super) fn explain(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    let comment = comment_in_json(stop.body).filter(|comment| comment.at.start <= stop.at);
    comment.or_else(|| bracket(stop, lines, stop.bracket?)).or_else(|| missing_comma(stop, lines))
}

fn bracket(stop: &Stop<'_>, lines: &Lines<'_>, opened: usize) -> Option<Explained> {
    let (open, close) = if stop.body[opened..].starts_with('{') { ('{', '}') } else { ('[', ']') };
    match stop.body[stop.at..].chars().next() {
        Some(wrong @ ('}' | ']')) if wrong != close => {
            let message = format!("a `{close}` is missing before this `{wrong}`");
            Some(Explained { opened: Some(opened), ..Explained::new(stop.at..stop.at + 1, message) })
        }
        None | Some('\n') => Some(unclosed(opened, open)),
        // What follows looks like the next field of a block.
        Some(_) => {
            let line = field(lines).filter(|line| line.start > opened && !line.text.ends_with([',', close]))?;
            (line.text.ends_with(['{', '[']) || !is_closed(&stop.body[opened..])).then(|| unclosed(opened, open))
        }
    }
}

fn unclosed(opened: usize, open: char) -> Explained {
    Explained::new(opened..opened + 1, format!("this `{open}` is not closed"))
}

/// The line where the parser stopped, if it is a field.
fn field<'t>(lines: &Lines<'t>) -> Option<Line<'t>> {
    lines.at().filter(|line| {
        let content = line.content().text;
        key(content).is_some_and(|key| content[key.len() + 1..].starts_with(' '))
    })
}

/// Whether the bracket that a text begins with is closed in it.
fn is_closed(text: &str) -> bool {
    let (mut depth, mut quote, mut before) = (0_usize, None, ' ');
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open && before != '\\' => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if before.is_whitespace() || "[{,:".contains(before) => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') if depth == 1 => return true,
            (None, '}' | ']') => depth -= 1,
            (None, _) => {}
        }
        before = c;
    }
    false
}

/// Two fields or items with no `,` between them.
fn missing_comma(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    let first =
        field(lines).map(|line| line.content().start).filter(|start| stop.bracket.is_some_and(|it| it < *start));
    let at = first.or_else(|| next_item(stop))?;
    let above = without_comment(stop.body[..at].trim_end());
    let is_missing = !above.ends_with([',', '{', '[', ':']);
    is_missing.then(|| Explained::new(at..at + 1, "a `,` is missing before this"))
}

/// Where a field or an item begins in the line in which the parser looked for a `,`.
fn next_item(stop: &Stop<'_>) -> Option<usize> {
    let Stop { body, at, info, .. } = *stop;
    let looks_for_comma = info.contains("expected ','") || info.contains("trailing content");
    let key = body[..at].len() - body[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    let start = if body[at..].starts_with(": ") { at - key } else { at };
    let begins = body[start..].starts_with(|c: char| c.is_alphanumeric() || "\"'{[".contains(c));
    (looks_for_comma && begins && body[..start].ends_with(char::is_whitespace)).then_some(start)
}

/// The text without the comment that it ends with.
fn without_comment(text: &str) -> &str {
    let line = text.rfind('\n').map_or(0, |newline| newline + 1);
    let comment = text[line..].find(" #").map_or(text.len(), |at| line + at);
    text[..comment].trim_end()
}
