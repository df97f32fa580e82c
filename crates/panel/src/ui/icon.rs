//! Small shapes beside text. Screen readers skip them, because the text says the same.

use maud::{Markup, html};

/// A shape of 16 by 16 pixels, in the colour of the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    /// Not begun: a dashed circle.
    Pending,
    /// In progress: an open circle, which turns unless the user wants less motion.
    Running,
    /// Done: a tick in a disc.
    Done,
    /// Succeeded, but not routed: a tick in a circle.
    Ready,
    /// Traffic goes there: a disc with an arrow.
    Routed,
    /// Traffic runs out: a half-filled circle.
    Draining,
    /// Failed: a cross in an octagon.
    Failed,
    /// Left alone, canceled: a circle with a bar.
    Stopped,
    /// Was there before: a small ring.
    Past,
    /// Needs a look: a triangle.
    Warning,
    /// Information: an i in a circle.
    Info,
    /// Close: a cross.
    Close,
    /// Opens a menu: an arrow downwards.
    Down,
    /// Copy: two sheets.
    Copy,
    /// Leads to another site: an arrow out of a box.
    External,
}

const CIRCLE: &str = "M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 1 1 0-12.5z";

impl Icon {
    /// What is drawn as a line, and what is filled.
    fn paths(self) -> (&'static str, &'static str) {
        match self {
            Icon::Pending | Icon::Running => (CIRCLE, ""),
            Icon::Done => (
                "",
                "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm3.8 5.2-4.4 5.1a.8.8 0 0 1-1.15.05L4.2 9.3l1.1-1.15 1.5 1.45 3.8-4.45z",
            ),
            Icon::Ready => ("M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 1 1 0-12.5zM5 8.25l2.1 2.1L11 5.9", ""),
            Icon::Routed => (
                "",
                "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm.4 3.5L12 8l-3.6 3.5-1.05-1.05 1.7-1.7H4.2v-1.5h4.85l-1.7-1.7z",
            ),
            Icon::Draining => (CIRCLE, "M3 8h10a5 5 0 0 1-10 0z"),
            Icon::Failed => (
                "",
                "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1zm.7 3.75L4.75 5.8 6.95 8l-2.2 2.2 1.05 1.05L8 9.05l2.2 2.2 1.05-1.05L9.05 8l2.2-2.2-1.05-1.05L8 6.95z",
            ),
            Icon::Stopped => ("M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 1 1 0-12.5zM4.75 8h6.5", ""),
            Icon::Past => ("M8 4.5a3.5 3.5 0 1 1 0 7a3.5 3.5 0 1 1 0-7z", ""),
            Icon::Warning => ("M8 2.2 14.3 13.5H1.7zM8 6.4v3.2M8 11.3v.9", ""),
            Icon::Info => ("M8 1.75a6.25 6.25 0 1 1 0 12.5a6.25 6.25 0 1 1 0-12.5zM8 7.3v4M8 4.6v1", ""),
            Icon::Close => ("M3.5 3.5l9 9M12.5 3.5l-9 9", ""),
            Icon::Down => ("M4 6.25 8 10.25l4-4", ""),
            Icon::Copy => ("M5.75 5.75h7.5v7.5h-7.5zM10.25 5.75v-3h-7.5v7.5h3", ""),
            Icon::External => ("M6.5 3.25h-3.25v9.5h9.5V9.5M9.5 3.25h3.25V6.5M12.5 3.5 7.5 8.5", ""),
        }
    }

    pub fn markup(self) -> Markup {
        let (line, filled) = self.paths();
        let class = match self {
            Icon::Pending => "icon dashed",
            Icon::Running => "icon turning",
            _ => "icon",
        };
        html! {
            svg class=(class) viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" {
                @if !line.is_empty() { path class="line" d=(line) {} }
                @if !filled.is_empty() { path class="fill" fill-rule="evenodd" d=(filled) {} }
            }
        }
    }
}
