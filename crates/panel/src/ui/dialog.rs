//! Dialogues.
//!
//! A dialogue has an address: that of the page on which it opens, with `?action=…`. A GET for it answers with that page,
//! and the dialogue before the page's content. Without JavaScript the dialogue then is the first section of the page.
//! With JavaScript it opens above the page: the script fetches the address and takes the `dialog` element out of the
//! answer, so an answer with nothing else is enough (see [`is_wanted_alone`]). A form in it is sent by the script. If the
//! answer is a redirect (303), the browser goes there; otherwise the `dialog` in the answer replaces the open one.

use axum::http::HeaderMap;
use maud::{Markup, html};

use super::icon::Icon;

#[derive(Debug, Clone, Copy)]
pub struct Dialog<'a> {
    pub title: &'a str,
    /// Address of the page on which it opens, without `?action=…`. Closing leads there.
    pub page: &'a str,
}

impl Dialog<'_> {
    /// The dialogue around `content`, which usually is a [`super::form::Form`].
    pub fn markup(&self, content: Markup) -> Markup {
        html! {
            dialog open aria-labelledby="dialog-title" {
                header {
                    h2 id="dialog-title" { (self.title) }
                    a class="close" href=(self.page) data-close aria-label="Close" { (Icon::Close.markup()) }
                }
                (content)
            }
        }
    }
}

/// The buttons at the end of a dialogue's form. `Cancel` is added, and leads to `page`.
pub fn buttons(page: &str, buttons: Markup) -> Markup {
    html! { footer class="buttons" { (buttons) a class="button" href=(page) data-close { "Cancel" } } }
}

/// Whether the panel's script asks for a dialogue, and needs no page around it.
pub fn is_wanted_alone(headers: &HeaderMap) -> bool {
    headers.get("x-part").is_some_and(|part| part == "dialog")
}
