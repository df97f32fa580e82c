//! Explains syntax errors by the mistakes that people make. A message never quotes the text, because any word may be a
//! secret.

use saphyr_parser::ScanError;

use super::builder::Builder;
use crate::diagnostic::{Code, Diagnostic};

/// The position where the parser stopped.
struct Stop<'t> {
    body: &'t str,
    /// The offset of the byte.
    at: usize,
    /// The byte range of its line.
    line: std::ops::Range<usize>,
    /// The parser's message.
    info: &'t str,
}

/// The byte range, the message and the advice.
type Explained = (std::ops::Range<usize>, String, &'static str);

pub(super) fn explain(error: &ScanError, body: &str, builder: &Builder<'_>) -> Diagnostic {
    let at = builder.places.byte(error.marker().index());
    let start = body[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = body[at..].find('\n').map_or(body.len(), |newline| at + newline);
    let stop = Stop { body, at, line: start..end, info: error.info() };
    let explained = merge_conflict(body).or_else(|| in_line(&stop)).or_else(|| in_value(&stop));
    let (bytes, message, help) = explained.unwrap_or_else(|| {
        let help = if stop.info.contains("block") { "check the indentation here and of the lines above" } else { "" };
        (at..at + 1, format!("this is not valid YAML: {}", stop.info), help)
    });
    let problem = Diagnostic::error(Code::Syntax, "", message).at(Some(builder.places.of_bytes(bytes)));
    let problem = if help.is_empty() { problem } else { problem.help(help) };
    match builder.bracket() {
        Some(bracket) => problem.related("", Some(bracket), "this bracket is open here"),
        None => problem,
    }
}

fn merge_conflict(body: &str) -> Option<Explained> {
    let mark = ["<<<<<<< ", ">>>>>>> "].iter().find_map(|mark| {
        let inside = body.find(&format!("\n{mark}")).map(|at| at + 1);
        inside.or_else(|| body.starts_with(mark).then_some(0))
    })?;
    let help = "keep one side, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`";
    Some((mark..mark + 7, "a merge conflict is not resolved".to_owned(), help))
}

/// Looks for a mistake in the line where the parser stopped and in the line above.
fn in_line(stop: &Stop<'_>) -> Option<Explained> {
    let above = stop.body[..stop.line.start].trim_end().rfind('\n').map_or(0, |newline| newline + 1);
    for start in [stop.line.start, above] {
        let line = stop.body[start..].lines().next().unwrap_or_default();
        let content = start + line.len() - line.trim_start().len();
        let found = |message: &str, help| Some((content..content + 1, message.to_owned(), help));
        if line[..content - start].contains('\t') {
            return Some((start..content, "a tab indents this line".to_owned(), "indent with spaces"));
        }
        if line.contains("{{") || line.contains("{%") {
            return found(
                "this line holds a template that nothing has replaced",
                "render the template before the spec is applied",
            );
        }
        if line.trim_start().starts_with(": ") || line.trim() == ":" {
            return found("the name of a field is missing before this `:`", "a field is written `name: value`");
        }
    }
    None
}

fn in_value(stop: &Stop<'_>) -> Option<Explained> {
    let Stop { body, at, line, info } = stop;
    let (at, here) = (*at, *at..*at + 1);
    let found = |message: &str, help| Some((here.clone(), message.to_owned(), help));
    let is_first_colon = !body[line.start..at].contains(':');
    match *info {
        _ if body[at..].starts_with(['"', '\''])
            && (info.contains("end of stream") || info.contains("indentation in quoted")) =>
        {
            found("this quote is not closed", "")
        }
        _ if info.contains("mapping values are not allowed") && !is_first_colon => {
            found("a second `: ` stands in this line", "quote text that holds `: `")
        }
        _ if info.contains("mapping values are not allowed") => {
            let start = line.end - body[line.clone()].trim_start().len();
            let message = "this line is indented further than the line above allows, or a `:` is missing above";
            Some((start..start + 1, message.to_owned(), "put it below the first letter of the field beside it"))
        }
        _ if info.contains("simple key expect") => {
            found("above this, a line is neither a field nor an item of a list", "a field is written `name: value`")
        }
        _ if info.contains("whitespace") && body[at..].starts_with('\t') => {
            found("a tab follows a `:`", "write a space in its place")
        }
        _ if info.contains("escape c") || info.contains("hexadecimal") => found(
            "in this text a `\\` begins an escape, and there is none of that form",
            "in double quotes write `\\` twice, or use single quotes",
        ),
        _ if info.contains("tab") => found("a tab stands where a space belongs", "indent with spaces"),
        _ if info.contains("trailing content") => found(
            "more text stands behind the quote that ends this value",
            "inside double quotes write `\\\"` for each `\"`, inside single quotes `''` for each `'`",
        ),
        _ if info.contains("block scalar") => {
            found("behind this mark, text begins in the next line", "quote text that begins with `|` or `>`")
        }
        _ if info.contains("unknown anchor") => {
            found("`*` names an anchor, and there is none of that name", "quote text that begins with `*`")
        }
        _ if info.contains("unexpected character") => {
            found("no text begins with this character", "put the text in quotes")
        }
        _ if info.contains("flow") => found(
            "a `,` or a closing bracket is missing before this",
            "inside braces and brackets, quote text that holds `{`, `}`, `[`, `]` or `,`, such as `${NAME}`",
        ),
        _ => None,
    }
}
