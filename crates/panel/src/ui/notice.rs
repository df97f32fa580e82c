//! Notices: what happened, where it happened, and what to do next.

use std::borrow::Cow;

use maud::{Markup, html};

use super::Tone;
use super::icon::Icon;

/// Longest line of a log that is shown. The page Logs has the whole line.
const LINE: usize = 2000;

#[derive(Debug, Clone, Copy, Default)]
pub struct Notice<'a> {
    /// `Bad` for errors, `Warning`, `Good` for results, `Plain` for information.
    pub tone: Tone,
    /// What happened, in a few words: "Deployment 42 failed".
    pub title: &'a str,
    /// The sentence with the reason, and the next step. May have several lines.
    pub text: &'a str,
    /// The last log lines of what failed, or empty.
    pub log_tail: &'a [String],
}

impl Notice<'_> {
    /// The notice, with links or buttons for the next step, or nothing. A screen reader reads errors at once.
    pub fn markup(&self, next: Markup) -> Markup {
        let (icon, role) = match self.tone {
            Tone::Bad => (Icon::Failed, "alert"),
            Tone::Warning => (Icon::Warning, "status"),
            Tone::Good => (Icon::Done, "status"),
            Tone::Plain | Tone::Busy => (Icon::Info, "status"),
        };
        html! {
            div class={ "notice " (self.tone.class()) } role=(role) {
                (icon.markup())
                div {
                    strong { (self.title) }
                    @if !self.text.is_empty() { p { (self.text) } }
                    @if !self.log_tail.is_empty() {
                        pre class="tail" tabindex="0" aria-label="Last log lines" {
                            @for line in self.log_tail { (cut(line)) "\n" }
                        }
                    }
                    div class="next" { (next) }
                }
            }
        }
    }
}

/// Something to know before the next step.
pub fn warning(title: &str, text: &str) -> Markup {
    Notice { tone: Tone::Warning, title, text, log_tail: &[] }.markup(html! {})
}

/// The beginning of a line that is too long.
fn cut(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}…", &line[..end]).into(),
        None => line.into(),
    }
}

/// An error: `error("web.2 was not healthy after 30 s", "web.1 still serves. …")`.
pub fn error(title: &str, text: &str) -> Markup {
    Notice { tone: Tone::Bad, title, text, log_tail: &[] }.markup(html! {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_a_log_is_cut() {
        let tail = ["é".repeat(LINE), "é".repeat(LINE + 1)];
        let html = Notice { log_tail: &tail, ..Notice::default() }.markup(html! {}).into_string();
        assert!(html.contains(&format!("{0}\n{0}…\n", tail[0])), "{html}");
    }
}
