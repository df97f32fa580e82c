//! What a text holds, found without the formatter: its scalars, its comments, its values.

use app_spec::{AppSpec, format_spec};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

/// Formats a text and asserts that nothing of it is lost, that it means the same, and that doing so again changes nothing.
/// `None`: it is refused.
pub fn formatted(text: &str) -> Option<String> {
    if let Err(problems) = format_spec(text) {
        // What only our parser reads may be refused at last.
        let is_refused_at_last = problems.to_string().contains("formatting would");
        assert!(!is_refused_at_last || value(text).is_none(), "{}", problems.render("text", text));
    }
    formatted_or_left_alone(text)
}

/// The same for a text that nobody would write, which may be left as it is.
pub fn formatted_or_left_alone(text: &str) -> Option<String> {
    let formatted = format_spec(text).ok()?;
    let shown = format!("from\n{text}\nto\n{formatted}");
    assert_eq!(format_spec(&formatted).as_deref(), Ok(formatted.as_str()), "formatted twice, {shown}");
    // Tabs behind a `:` only our reader takes.
    if Parser::new_from_str(text).all(|event| event.is_ok()) {
        assert_eq!(scalars(&formatted), scalars(text), "{shown}");
        assert_eq!(comments(&formatted), comments(text), "{shown}");
    }
    if let Some(value_before) = value(text) {
        assert_eq!(value(&formatted), Some(value_before), "another parser reads something else, {shown}");
    }
    let specs = [text, &formatted].map(|text| AppSpec::from_yaml(text).ok().map(|parsed| parsed.spec));
    assert_eq!(specs[0], specs[1], "{shown}");
    Some(formatted)
}

/// Where a scalar stands, with its style and what it says.
struct Scalar {
    start: usize,
    end: usize,
    style: ScalarStyle,
    says: String,
}

fn located(text: &str) -> Vec<Scalar> {
    let bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut scalars = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let (start, end) = (bytes[span.start.index()], bytes[span.end.index()]);
        let (style, says) = match event {
            Event::Scalar(says, style, ..) => (style, says.into_owned()),
            Event::Alias(_) => (ScalarStyle::Plain, text[start..end].to_owned()),
            _ => continue,
        };
        // The parser gives quoted scalars the blanks and the comment after them.
        let end = match style {
            // Nothing is written.
            ScalarStyle::Plain if !text[start..end].starts_with(says.as_str()) && says.len() < 2 => start,
            ScalarStyle::Literal | ScalarStyle::Folded if says.trim_end_matches('\n').is_empty() => start,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => start + quoted_length(&text[start..end]),
            _ => end,
        };
        scalars.push(Scalar { start, end, style, says });
    }
    scalars
}

fn quoted_length(text: &str) -> usize {
    let quote = &text[..1];
    let is_end = |end: &usize| {
        let inner = &text[1..*end];
        let escapes = inner.len() - inner.trim_end_matches('\\').len();
        let doubled = inner.matches('\'').count();
        if quote == "'" {
            doubled.is_multiple_of(2) && !text[end + 1..].starts_with('\'')
        } else {
            escapes.is_multiple_of(2)
        }
    };
    text.match_indices(quote).map(|(at, _)| at).skip(1).find(is_end).map_or(text.len(), |end| end + 1)
}

/// Every scalar with its style, in no order.
fn scalars(text: &str) -> Vec<(String, String)> {
    let lines = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut scalars: Vec<_> = located(&lines).into_iter().map(|s| (s.says, format!("{:?}", s.style))).collect();
    // What is not written is told of as `~` or as nothing.
    scalars.retain(|(says, style)| style != "Plain" || !(says == "~" || says.is_empty()));
    // At the end of a text the parser adds a line's end to a block scalar.
    let is_block = |style: &str| matches!(style, "Literal" | "Folded");
    scalars
        .iter_mut()
        .filter(|(_, style)| is_block(style))
        .for_each(|(says, _)| says.truncate(says.trim_end_matches('\n').len()));
    scalars.sort();
    scalars
}

/// Every comment, in no order.
pub fn comments(text: &str) -> Vec<String> {
    let mut comments: Vec<String> = commented(text).into_iter().map(|(comment, _)| comment).collect();
    comments.sort();
    comments
}

/// Every comment with the scalars that begin or end on its line.
pub fn commented(text: &str) -> Vec<(String, Vec<String>)> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let scalars = located(&text);
    let (mut comments, mut start) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let range = start..start + line.trim_end_matches('\n').len();
        let inside = |at: usize| scalars.iter().any(|s| s.start <= at && at < s.end);
        let hash = line.match_indices('#').map(|(at, _)| at).find(|at| {
            let after_blank = *at == 0 || line[..*at].ends_with([' ', '\t']);
            after_blank && !inside(start + at)
        });
        if let Some(at) = hash {
            let beside = scalars.iter().filter(|s| range.contains(&s.start) || range.contains(&(s.end.max(1) - 1)));
            let mut beside: Vec<String> = beside.filter(|s| s.start < start + at).map(|s| s.says.clone()).collect();
            beside.sort();
            comments.push((line[at..].trim_ascii_end().to_owned(), beside));
        }
        start += line.len();
    }
    comments.sort();
    comments
}

/// What another parser reads, aliases and merge keys applied. `None`: it does not read the text.
fn value(text: &str) -> Option<Value> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    value.apply_merge().ok()?;
    serde_json::to_value(value).ok()
}
