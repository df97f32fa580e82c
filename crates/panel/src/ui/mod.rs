//! The layout and the components that every page uses. Each is a function from plain data to markup.
//!
//! All text goes through maud's escaping. No component writes a `style` or `on…` attribute, because the
//! Content-Security-Policy forbids them. State is never shown by colour alone.
//!
//! In reading order:
//! - [`page`]: the layout with navigation, banners and the element that is kept up to date;
//! - [`icon`]: the shapes.

pub mod icon;
pub mod page;

/// The meaning of a colour. The text beside it says the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to notice.
    #[default]
    Plain,
    /// In progress.
    Busy,
    /// As wanted.
    Good,
    /// Needs a look.
    Warning,
    /// Failed.
    Bad,
}

impl Tone {
    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Busy => "busy",
            Tone::Good => "good",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
        }
    }
}
