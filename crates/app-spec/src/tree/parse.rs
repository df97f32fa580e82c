//! Parses YAML text into a tree. Parsing stops at the first syntax error, because the text after it is unreliable.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::builder::Builder;
use super::lookahead::Lookahead;
use super::places::TextPlaces;
use super::{Node, limits, syntax};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};

/// Parses `text`. Any problem returned with the tree also refuses the spec. Errors: syntax errors and exceeded limits.
pub(crate) fn parse(text: &str) -> Result<(Node, Diagnostics), Diagnostics> {
    limits::check_bytes(text.len())?;
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - body.len();
    if let Some(at) = body.find(|c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r')) {
        let message = format!("the text contains the control character U+{:04X}", body.as_bytes()[at]);
        let problem = Diagnostic::error(Code::Syntax, "", message);
        let problem = problem.at(Some(TextPlaces::new(body, skipped).of_bytes(at..at + 1)));
        return Err(problem.help("remove it, or write it in double quotes as an escape, such as `\\x1b`").into());
    }
    let mut builder = Builder::new(body, skipped);
    let lookahead = Lookahead::default();
    let mut read = 0;
    for event in Parser::new_from_iter(lookahead.chars(body)) {
        let fatal = match event {
            _ if lookahead.is_reached() => {
                Some(limits::looked_too_far_ahead(builder.places.of_characters(read, read + 1)))
            }
            Ok((event, span)) => {
                read = span.end.index();
                builder.take(without_added_line(event, &span, &builder.places), &span).err()
            }
            Err(error) => Some(syntax::explain(&error, body, &builder)),
        };
        if let Some(fatal) = fatal {
            return Err(builder.refuse(fatal));
        }
        lookahead.after_event(read, builder.places.text_from(read), builder.bracket().is_some());
    }
    builder.finish()
}

/// Removes the line end that the parser adds to a block scalar at the end of the text. The platform's client does not
/// add one.
fn without_added_line<'e>(event: Event<'e>, span: &Span, places: &TextPlaces<'_>) -> Event<'e> {
    let is_added = places.text_from(span.end.index()).is_empty() && places.last_line().len() >= span.start.col().max(1);
    match event {
        Event::Scalar(text, style @ (ScalarStyle::Literal | ScalarStyle::Folded), anchor, tag) if is_added => {
            let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
            Event::Scalar(text.into(), style, anchor, tag)
        }
        event => event,
    }
}
