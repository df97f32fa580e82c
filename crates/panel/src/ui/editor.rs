//! A text area for specs, with line numbers and the problems found in it.

use maud::{Markup, html};

use super::icon::Icon;

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
                pre class="numbers" aria-hidden="true" { @for number in 1..=lines.max(1) {
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
    let caret = format!("{}^", " ".repeat(text.chars().take(it.column.saturating_sub(1)).count()));
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
