//! Formatting: fields in the order of the reference, two spaces, one blank line at most.
//!
//! It works on what is written, never on what it means: [`syntax`] holds every scalar, comment, anchor and tag as the
//! text has it, `read` makes it from the text, `order` sorts it and `write` lays it out. So nothing can be lost, and a
//! spec that is wrong is formatted like any other. At last the new text is read again; if it did not mean the same, it
//! would be thrown away.

mod flow;
mod gap;
mod json;
mod order;
mod piece;
mod proof;
mod read;
mod scalar;
mod syntax;
mod write;

use serde_json::Value;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::spec::AppSpec;
use crate::tree;
use crate::wire::Wire;

/// Formats a spec, YAML or JSON, right or wrong: whatever can be parsed within the limits of a spec. JSON stays JSON, and
/// lines end as the first one does. A byte order mark is dropped. Formatting twice is formatting once.
///
/// A YAML text that is no block of lines (brackets around everything, a single scalar), or that has a collection over
/// several lines for a key, is returned as it is.
///
/// Errors: the text cannot be parsed or breaks a limit.
pub fn format_spec(text: &str) -> Result<String, Diagnostics> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = with_line_feeds(body);
    let formatted = match json_value(&lines) {
        Some(value) => json(&lines, &value)?,
        None => yaml(text, &lines)?,
    };
    let Some(formatted) = formatted else { return Ok(body.to_owned()) };
    Ok(if ends_lines_as_windows_does(body) { formatted.replace('\n', "\r\n") } else { formatted })
}

/// `None`: the text is to stay as it is. Problems have their places in `original`, of which `text` has the lines.
fn yaml(original: &str, text: &str) -> Result<Option<String>, Diagnostics> {
    let (meant, _) = tree::parse(original)?;
    let text = &*tree::with_spaces_behind_colons(text);
    let is_ended = original.ends_with(['\n', '\r']);
    // An order that changes what is meant is not worth it: of two equal keys the last one counts, however they are written.
    for is_arranged in [true, false] {
        let mut document = match read::read(text, is_ended) {
            Ok(document) => document,
            Err(read::NotRead::NoBlock) => return Ok(None),
            Err(read::NotRead::Unlike) => break,
        };
        if is_arranged {
            order::arrange(&mut document, &AppSpec::shape());
        }
        let formatted = write::write(&document);
        tree::check_bytes(formatted.len())?;
        if is_same(text, &meant, &formatted) {
            return Ok(Some(formatted));
        }
    }
    Err(left_alone())
}

fn is_same(text: &str, meant: &tree::Node, formatted: &str) -> bool {
    let written = tree::parse(formatted);
    proof::holds_the_same(text, formatted) && written.is_ok_and(|(written, _)| proof::means_the_same(meant, &written))
}

fn json(text: &str, meant: &Value) -> Result<Option<String>, Diagnostics> {
    tree::check_bytes(text.len())?;
    tree::from_json(meant)?;
    let formatted = json::format(text, &AppSpec::shape());
    let same = formatted.as_ref().and_then(|formatted| json_value(formatted)).as_ref() == Some(meant);
    if same { Ok(formatted) } else { Err(left_alone()) }
}

/// A text in braces or brackets that is JSON.
fn json_value(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn left_alone() -> Diagnostics {
    let message = "formatting would change what this text means, so it was left as it is";
    Diagnostic::error(Code::Syntax, "", message).help("this is a fault of the formatter; please report it").into()
}

/// YAML takes `\r\n` and `\r` for a line's end wherever they stand, and reads them as `\n`.
fn with_line_feeds(text: &str) -> String {
    let mut lines = text.replace("\r\n", "\n").replace('\r', "\n");
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    lines
}

fn ends_lines_as_windows_does(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'))
}
