//! Buttons, links that look like buttons, menus and tabs.

use maud::{Markup, html};

use super::icon::Icon;

/// How much a button stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The one thing that most people want here.
    Primary,
    /// Everything else.
    Plain,
    /// Deletes or stops something.
    Danger,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Look::Primary => "button primary",
            Look::Plain => "button",
            Look::Danger => "button danger",
        }
    }
}

/// Sends the form around it.
pub fn submit(look: Look, label: &str) -> Markup {
    html! { button class=(look.class()) { (label) } }
}

/// Sends the form with another value of `name`, for a form with two buttons.
pub fn submit_as(look: Look, label: &str, name: &str, value: &str) -> Markup {
    html! { button class=(look.class()) name=(name) value=(value) { (label) } }
}

/// Leads to another page.
pub fn link(look: Look, label: &str, href: &str) -> Markup {
    html! { a class=(look.class()) href=(href) { (label) } }
}

/// Opens the dialogue at `href`, such as `?action=restart`. Without JavaScript it is a link to a page with the dialogue.
/// The id keeps the focus when a live update replaces the link.
pub fn open(look: Look, label: &str, href: &str, id: &str) -> Markup {
    html! { a class=(look.class()) id=(id) href=(href) data-dialog { (label) } }
}

/// Copies `text`. Hidden without JavaScript.
pub fn copy(text: &str, what: &str) -> Markup {
    html! {
        button class="copy with-script" type="button" data-copy=(text) aria-label={ "Copy " (what) } title={ "Copy " (what) } {
            (Icon::Copy.markup())
        }
    }
}

/// An entry of a menu or of tabs.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub label: &'a str,
    pub href: &'a str,
    /// Whether a script opens the dialogue at `href`.
    pub dialog: bool,
    /// The tab that is shown, or a menu entry that deletes something, stand out.
    pub marked: bool,
}

/// A button that opens a list of links: the Actions menu.
pub fn menu(id: &str, label: &str, entries: &[Entry<'_>]) -> Markup {
    html! {
        details class="menu" id=(id) {
            summary class="button" { (label) (Icon::Down.markup()) }
            ul {
                @for it in entries {
                    li { a class=[it.marked.then_some("danger")] href=(it.href) data-dialog[it.dialog] { (it.label) } }
                }
            }
        }
    }
}

/// Views of the same thing beside each other. Each is a link, so that it can be shared. Arrow keys move between them.
pub fn tabs(label: &str, entries: &[Entry<'_>]) -> Markup {
    html! {
        nav class="tabs" aria-label=(label) {
            @for it in entries {
                a href=(it.href) data-dialog[it.dialog] aria-current=[it.marked.then_some("page")] { (it.label) }
            }
        }
    }
}
