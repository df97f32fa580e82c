//! The blocks of a page: its heading, cards, and what stands in for an empty list.

use maud::{Markup, html};

use crate::assets;

/// The heading of a page: title, badges or facts beside it, and buttons at the end of the line.
pub fn heading(title: &str, beside: Markup, actions: Markup) -> Markup {
    html! {
        header class="heading" {
            h1 { (title) }
            div class="beside" { (beside) }
            div class="actions" { (actions) }
        }
    }
}

/// A card with a title. `actions` are buttons at the end of the title's line, or empty. Live pages send the card as a
/// fragment by its id.
pub fn card(id: &str, title: &str, actions: Markup, content: Markup) -> Markup {
    html! {
        section class="card" id=(id) aria-labelledby={ (id) "-title" } {
            header { h2 id={ (id) "-title" } { (title) } div class="actions" { (actions) } }
            (content)
        }
    }
}

/// The only block of a page without navigation, such as the one for sign-in.
pub fn alone(title: &str, content: Markup) -> Markup {
    html! {
        section class="card alone" {
            img src=(assets::ICON.path()) alt="Boatyard" width="40" height="40";
            h1 { (title) }
            (content)
        }
    }
}

/// Instead of a list without rows: what would be here, and the button that adds the first.
pub fn empty(title: &str, text: &str, action: Markup) -> Markup {
    html! { div class="empty" { strong { (title) } p { (text) } (action) } }
}

/// In place of a part of a live page that has nothing to show.
pub fn nothing(id: &str) -> Markup {
    html! { div id=(id) hidden {} }
}
