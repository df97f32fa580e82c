//! Explains syntax errors by the mistakes that people make. A message never quotes the text, because any word may be a
//! secret.

use std::ops::Range;

use saphyr_parser::ScanError;

use super::builder::Builder;
use crate::diagnostic::{Code, Diagnostic};

/// The byte range, the message and the advice, which may be empty.
type Explanation = (Range<usize>, &'static str, &'static str);

pub(super) fn explain(error: &ScanError, body: &str, builder: &Builder<'_>) -> Diagnostic {
    let at = builder.places.byte(error.marker().index());
    let info = error.info();
    let explained = merge_conflict(body).or_else(|| in_line(body, at)).or_else(|| at_position(body, at, info));
    let (bytes, message, help) = match explained {
        Some((bytes, message, help)) => (bytes, message.to_owned(), help),
        None => {
            let help = if info.contains("block") { "check the indentation here and of the lines above" } else { "" };
            (at..at + 1, format!("this is not valid YAML: {info}"), help)
        }
    };
    let problem = Diagnostic::error(Code::Syntax, "", message).at(Some(builder.places.of_bytes(bytes)));
    let problem = if help.is_empty() { problem } else { problem.help(help) };
    match builder.bracket() {
        Some(bracket) => problem.related("", Some(bracket), "this bracket is open here"),
        None => problem,
    }
}

fn merge_conflict(body: &str) -> Option<Explanation> {
    let mark = ["<<<<<<< ", ">>>>>>> "].iter().find_map(|mark| {
        let inside = body.find(&format!("\n{mark}")).map(|at| at + 1);
        inside.or_else(|| body.starts_with(mark).then_some(0))
    })?;
    let help = "keep one side, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`";
    Some((mark..mark + 7, "a merge conflict is not resolved", help))
}

/// Looks for a mistake in the line where the parser stopped and in the line above.
fn in_line(body: &str, at: usize) -> Option<Explanation> {
    let here = line_start(body, at);
    let above = line_start(body, body[..here].trim_end().len());
    [here, above].into_iter().find_map(|start| {
        let line = body[start..].lines().next().unwrap_or_default();
        let content = start + line.len() - line.trim_start().len();
        if body[start..content].contains('\t') {
            return Some((start..content, "a tab indents this line", "indent with spaces"));
        }
        if line.contains("{{") || line.contains("{%") {
            let help = "render the template before the spec is applied";
            return Some((content..content + 1, "this line contains a template that nothing has replaced", help));
        }
        let is_nameless = line.trim_start().starts_with(": ") || line.trim() == ":";
        is_nameless.then_some((content..content + 1, "the name of a field is missing before this `:`", FIELD))
    })
}

fn line_start(body: &str, at: usize) -> usize {
    body[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

const FIELD: &str = "a field is written `name: value`";

/// Explanations by a part of the parser's message.
const BY_INFO: [(&str, &str, &str); 10] = [
    ("simple key expect", "a line above this one is neither a field nor an item of a list", FIELD),
    ("escape c", BAD_ESCAPE, ESCAPE),
    ("hexadecimal", BAD_ESCAPE, ESCAPE),
    ("tab", "a tab is used where a space is needed", "indent with spaces"),
    (
        "trailing content",
        "there is more text after the quote that ends this value",
        "inside double quotes write `\\\"` for each `\"`, inside single quotes `''` for each `'`",
    ),
    ("block scalar", "after this mark, the text must begin on the next line", "quote text that begins with `|` or `>`"),
    ("unknown anchor", "`*` refers to an anchor that does not exist", "quote text that begins with `*`"),
    ("unexpected character", "text cannot begin with this character", "put the text in quotes"),
    ("mapping values are not allowed", "this line contains a second `: `", "quote text that contains `: `"),
    (
        "flow",
        "a `,` or a closing bracket is missing before this",
        "inside braces and brackets, quote text that contains `{`, `}`, `[`, `]` or `,`, such as `${NAME}`",
    ),
];
const BAD_ESCAPE: &str = "`\\` begins an escape here, and this escape does not exist";
const ESCAPE: &str = "in double quotes write `\\` twice, or use single quotes";

fn at_position(body: &str, at: usize, info: &str) -> Option<Explanation> {
    let start = line_start(body, at);
    let is_unclosed = info.contains("end of stream") || info.contains("indentation in quoted");
    if is_unclosed && body[at..].starts_with(['"', '\'']) {
        return Some((at..at + 1, "this quote is not closed", ""));
    }
    if info.contains("whitespace") && body[at..].starts_with('\t') {
        return Some((at..at + 1, "there is a tab after the `:`", "write a space instead"));
    }
    if info.contains("mapping values are not allowed") && !body[start..at].contains(':') {
        let line = body[start..].split('\n').next().unwrap_or_default();
        let content = start + line.len() - line.trim_start().len();
        let message = "this line is indented further than the line above allows, or a `:` is missing above";
        return Some((content..content + 1, message, "align it with the first letter of the field beside it"));
    }
    let known = BY_INFO.iter().find(|(part, ..)| info.contains(part));
    known.map(|(_, message, help)| (at..at + 1, *message, *help))
}
