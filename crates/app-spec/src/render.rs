//! Draws problems for people: the line, a caret below the place, and what to write instead.
//!
//! The output is plain text without colours. Bytes of secrets are masked, and a line that could not be parsed is not
//! shown, so that a terminal log contains no secret.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place, Severity};
use crate::suggest::drawable;

/// The most columns of a drawn line.
const WIDTH: usize = 120;
/// How many bytes around the place are read. A line may be as long as the text.
const AROUND: usize = 4 * WIDTH;

impl Diagnostics {
    /// All problems with their lines from `text`, and a count at the end. `text` must be the text that was parsed.
    /// `file` is the name to show, for example `app.yaml`.
    pub fn render(&self, file: &str, text: &str) -> String {
        let drawn: String = self.iter().map(|diagnostic| draw(diagnostic, file, text, &self.hidden) + "\n").collect();
        let errors = self.iter().filter(|d| d.is_error()).count();
        drawn + &summary(errors, self.len() - errors, self.omitted())
    }
}

fn summary(errors: usize, warnings: usize, omitted: usize) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let more = if omitted > 0 { format!(", {omitted} more not shown") } else { String::new() };
    format!("{}, {}{more}\n", count(errors, "error"), count(warnings, "warning"))
}

fn draw(diagnostic: &Diagnostic, file: &str, text: &str, hidden: &[Range<usize>]) -> String {
    let level = if diagnostic.severity == Severity::Error { Level::ERROR } else { Level::WARNING };
    let path = if diagnostic.path.is_empty() { String::new() } else { format!("{}: ", diagnostic.path) };
    let title = format!("{path}{}", diagnostic.message);
    let group = Group::with_title(level.primary_title(&title).id(diagnostic.code.as_str()));
    let line = diagnostic.place.map(|place| Line::of(place, text, hidden));
    let origin = |place: Option<Place>| {
        let origin = Origin::path(file);
        match place {
            Some(place) => origin.line(place.line as usize).char_column(place.column as usize),
            None => origin,
        }
    };
    let mut group = match &line {
        Some(line) if !is_unreadable(diagnostic.code) => {
            let snippet = Snippet::source(&*line.shown).line_start(line.number).fold(false);
            let snippet = snippet.annotation(AnnotationKind::Primary.span(line.marked.clone()));
            group.element(origin(diagnostic.place)).element(snippet)
        }
        _ => group.element(origin(diagnostic.place)),
    };
    if let Some((related, place)) = diagnostic.related.as_ref().and_then(|it| Some((it, it.place?))) {
        let note = format!("{} ({file}:{}:{})", related.message, place.line, place.column);
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(&**help));
    }
    let drawn = Renderer::plain().term_width(WIDTH).render(&[group]);
    // The renderer treats the origin and the line as two places and draws a gap between them.
    let drawn = drawn.lines().filter(|line| line.trim() != ":::");
    drawn.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Whether the line was not parsed, so that any part of it may be a secret.
fn is_unreadable(code: Code) -> bool {
    matches!(code, Code::Syntax | Code::TagNotAllowed)
}

/// A line that is safe to show.
struct Line {
    number: usize,
    shown: String,
    /// The range in `shown` that the problem is about.
    marked: Range<usize>,
}

impl Line {
    fn of(place: Place, text: &str, hidden: &[Range<usize>]) -> Line {
        let at = floor_boundary(text, place.start);
        let start = text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let length = text[at..].find(['\n', '\r']).unwrap_or(text.len() - at);
        let mut line = Line { number: place.line as usize, shown: String::new(), marked: 0..0 };
        let start = floor_boundary(text, start.max(at.saturating_sub(AROUND)));
        let end = floor_boundary(text, (at + length).min(at + AROUND));
        // A comment in a line with a secret may contain an older secret.
        let mut in_comment = false;
        for (i, c) in text[start..end].char_indices() {
            if start + i == at {
                line.marked.start = line.shown.len();
            }
            in_comment |= c == '#' && line.shown.contains("*") && line.shown.ends_with([' ', '*']);
            match in_comment || is_inside(hidden, start + i) {
                true => line.shown.push('*'),
                false if c == '\u{feff}' => {}
                false => line.shown.push(drawable(c)),
            }
            if start + i < place.end {
                line.marked.end = line.shown.len();
            }
        }
        if length == 0 {
            line.marked.start = line.shown.len();
        }
        line.marked.end = line.marked.end.max(line.marked.start);
        line
    }
}

/// Whether a byte is in one of `ranges`, which are in order and do not overlap.
fn is_inside(ranges: &[Range<usize>], at: usize) -> bool {
    let next = ranges.partition_point(|range| range.end <= at);
    ranges.get(next).is_some_and(|range| range.contains(&at))
}

/// The nearest character boundary at or before `at`. Prevents a panic if the place belongs to a different text.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
