//! From YAML text to a tree. A broken text ends at its first error, because nothing after it can be trusted.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScanError, Span};

use super::ahead::{Bound, is_dense};
use super::builder::Builder;
use super::offsets::Offsets;
use super::{Node, limits};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::veil;

/// Parses `text`. The problems beside the tree refuse a strict reading. Errors: syntax and limits.
pub(crate) fn parse(text: &str) -> Result<(Node, Diagnostics), Diagnostics> {
    limits::check_bytes(text.len())?;
    read(text).map_err(|problems| without_unparsed(problems, text))
}

/// Hides the lines of the problems: without a tree nobody knows which values are secrets.
fn without_unparsed(mut problems: Diagnostics, text: &str) -> Diagnostics {
    let mut starts: Vec<usize> = problems.iter().filter_map(|d| Some(d.place?.start)).collect();
    starts.sort_unstable();
    let mut seen = None;
    for start in starts {
        // A line may be long, and hold many problems.
        if seen.is_none_or(|end| start > end) {
            let line = veil::unparsed(text, start);
            seen = Some(line.end);
            problems.hidden.push(line);
        }
    }
    problems.sort();
    problems
}

fn read(text: &str) -> Result<(Node, Diagnostics), Diagnostics> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - body.len();
    if let Some(at) = body.find(is_control) {
        let message = format!("the text holds the control character U+{:04X}", u32::from(body.as_bytes()[at]));
        let place = Offsets::new(body, skipped).place_of_bytes(at..at + 1);
        let problem = Diagnostic::error(Code::Syntax, "", message).at(Some(place));
        return Err(problem.help("in double quotes it can be written as an escape, such as `\\x1b`").into());
    }
    build(&with_spaces_behind_colons(body), skipped)
}

/// Bytes that are read to find tabs behind a `:`. A text that needs more than this is refused at the next tab.
const BYTES_FOR_TABS: usize = 256 * 1024;

/// The text with spaces in place of the tabs between `key:` and its value, byte for byte.
fn with_spaces_behind_colons(body: &str) -> Cow<'_, str> {
    let mut body = Cow::Borrowed(body);
    if !body.contains(":\t") || is_dense(&body) {
        return body;
    }
    let mut read = 0;
    while read < BYTES_FOR_TABS
        && let Some(tabs) = tab_behind_colon(&body)
    {
        read += tabs.end;
        body.to_mut().replace_range(tabs.clone(), &" ".repeat(tabs.len()));
    }
    body
}

/// The tabs between `key:` and its value where the parser stops at them, which YAML allows.
fn tab_behind_colon(body: &str) -> Option<Range<usize>> {
    if !body.contains(":\t") {
        return None;
    }
    let error = Parser::new_from_str(body).find_map(Result::err)?;
    if !error.info().contains("':' must be followed by a valid YAML whitespace") {
        return None;
    }
    let at = body.char_indices().nth(error.marker().index()).map_or(body.len(), |(at, _)| at);
    let before = body[..at].trim_end_matches('\t').len();
    (before < at).then_some(before..at)
}

fn build(body: &str, skipped: usize) -> Result<(Node, Diagnostics), Diagnostics> {
    if is_dense(body) {
        return build_with_bound(body, skipped);
    }
    let mut builder = Builder::new(body, skipped);
    for event in Parser::new_from_str(body) {
        if let Some(fatal) = taken(&mut builder, event) {
            return Err(builder.refuse(fatal));
        }
    }
    builder.finish()
}

fn build_with_bound(body: &str, skipped: usize) -> Result<(Node, Diagnostics), Diagnostics> {
    let bound = Bound::default();
    let mut builder = Builder::new(body, skipped);
    for event in Parser::new_from_iter(bound.chars(body)) {
        let read = event.as_ref().map_or(0, |(_, span)| span.end.index());
        let fatal = match bound.is_reached() {
            true => Some(limits::looked_too_far_ahead(builder.here())),
            false => taken(&mut builder, event),
        };
        if let Some(fatal) = fatal {
            return Err(builder.refuse(fatal));
        }
        bound.event(read, builder.rest(), !builder.is_in_brackets());
    }
    builder.finish()
}

/// What ends the parse.
fn taken(builder: &mut Builder<'_>, event: Result<(Event<'_>, Span), ScanError>) -> Option<Diagnostic> {
    match event {
        Ok((event, span)) => builder.take(event, &span).err(),
        Err(error) => builder.not_yaml(&error),
    }
}

/// The parser takes NUL for the end of the text; YAML and JSON allow none of them.
fn is_control(c: char) -> bool {
    c < ' ' && !matches!(c, '\t' | '\n' | '\r')
}
