//! A text area for specs, with line numbers and the problems found in it.

use maud::{Markup, html};

use super::icon::Icon;

/// How many characters of a line are shown on each side of a problem. A line may be as long as the text.
const AROUND: usize = 200;

/// Most lines with a number. Longer texts are refused as specs, and a number takes many times the space of an empty line.
const NUMBERED: usize = 10_000;

/// A problem in the text.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Whether the text is refused because of it, rather than accepted with a warning.
    pub error: bool,
    /// What is wrong.
    pub message: &'a str,
    /// How to correct it, or empty.
    pub help: &'a str,
}

/// The editor. Each problem is shown below, under the line in which it was found. Its link selects that line.
pub fn editor(name: &str, label: &str, text: &str, problems: &[Problem<'_>]) -> Markup {
    html! { (text_area(name, label, text, problems)) (list(name, text, problems)) }
}

/// The text area alone, for a page that shows the [`list`] of problems elsewhere.
pub fn text_area(name: &str, label: &str, text: &str, problems: &[Problem<'_>]) -> Markup {
    let lines = text.lines().count();
    let (errors, described) = (problems.iter().any(|it| it.error), format!("{name}-problems"));
    html! {
        div class="editor" {
            label for=(name) { (label) }
            div class="text" {
                pre class="numbers" aria-hidden="true" { @for number in 1..=lines.clamp(1, NUMBERED) {
                    span class=[problems.iter().any(|it| it.line == number).then_some("marked")] { (number) "\n" }
                } }
                textarea id=(name) name=(name) wrap="off" rows=(lines.clamp(12, 36)) spellcheck="false" autocomplete="off"
                    autocapitalize="none" data-editor aria-invalid=[errors.then_some("true")]
                    aria-describedby=(described) { "\n" (text) }
            }
        }
    }
}

/// The problems, each under its line of `text`. The script marks their lines in the text area of that name.
pub fn list(name: &str, text: &str, problems: &[Problem<'_>]) -> Markup {
    let lines: Vec<&str> = text.lines().collect();
    html! {
        ol class="problems" id={ (name) "-problems" } data-of=(name) { @for it in problems { (problem(name, it, &lines)) } }
    }
}

fn problem(name: &str, it: &Problem<'_>, lines: &[&str]) -> Markup {
    let text = lines.get(it.line.wrapping_sub(1)).copied().unwrap_or_default();
    let (text, caret) = around(text, it.column.saturating_sub(1));
    let (class, icon, word) =
        if it.error { ("bad", Icon::Failed, "Error") } else { ("warning", Icon::Warning, "Warning") };
    html! {
        li class=(class) {
            a href={ "#" (name) } data-line=(it.line) { "Line " (it.line) }
            pre { (text) "\n" (caret) }
            p { (icon.markup()) strong { (word) ": " } (it.message) @if !it.help.is_empty() { "; " span { (it.help) } } }
        }
    }
}

/// The characters of a line around this column, from 0, and the line below them with a caret at the column.
fn around(line: &str, column: usize) -> (String, String) {
    let left_out = column.saturating_sub(AROUND);
    let mut shown: String = if left_out > 0 { "…".into() } else { String::new() };
    let before = line.chars().take(column).skip(left_out);
    shown.extend(before);
    let caret = format!("{}^", " ".repeat(shown.chars().count()));
    let mut rest = line.chars().skip(column);
    shown.extend(rest.by_ref().take(AROUND));
    shown.extend(rest.next().map(|_| '…'));
    (shown, caret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_shown_around_the_problem() {
        let long = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let (before, after) = ("a".repeat(AROUND), "b".repeat(AROUND));
        for (line, column, shown, caret) in [
            ("", 0, String::new(), 0),
            ("name: [", 6, "name: [".into(), 6),
            ("é: 1", 9, "é: 1".into(), 4),
            (&long, 500, format!("…{before}X{}…", &after[1..]), AROUND + 1),
            (&long, 0, format!("{before}…"), 0),
            (&long, 1001, format!("…{after}"), AROUND + 1),
        ] {
            let expected = (shown, format!("{}^", " ".repeat(caret)));
            assert_eq!(around(line, column), expected, "{column} of {line}");
        }
    }
}
