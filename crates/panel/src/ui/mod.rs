//! The layout and the components that every page uses. Each is a function from plain data to markup.
//!
//! A live page sends elements again that changed. Each has an id, which is unique in the page, and is a block: the script
//! cannot replace a single table row. Ids on links and buttons in it keep the focus there.
//!
//! All text goes through maud's escaping. No component writes a `style` or `on…` attribute, because the
//! Content-Security-Policy forbids them. State is never shown by colour alone.
//!
//! In reading order:
//! - [`page`]: the layout with navigation, banners and the element that is kept up to date;
//! - [`card`]: the blocks of a page; [`table`]: tables and facts; [`notice`]: what happened and what to do next;
//! - [`button`]: buttons, menus and tabs; [`link`]: links out of the panel and between pages; [`form`]: fields; [`editor`]: the text area for specs; [`dialog`];
//! - [`status`]: badges; [`lane`] and [`steps`]: a deployment; [`chart`]: small pictures of numbers;
//! - [`log`]: log lines and the screen of a console; [`time`]: times that keep themselves right; [`icon`]: the shapes.

pub mod button;
pub mod card;
pub mod chart;
pub mod dialog;
pub mod editor;
pub mod form;
pub mod icon;
pub mod lane;
pub mod link;
pub mod log;
pub mod notice;
pub mod page;
pub mod status;
pub mod steps;
pub mod table;
pub mod time;

#[cfg(test)]
mod tests;

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
