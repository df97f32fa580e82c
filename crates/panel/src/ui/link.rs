//! Links that lead out of the panel, and between the pages of a list.

use maud::{Markup, html};

use super::icon::Icon;

/// The address of an app, which opens in a new tab. Any address that is not one of HTTP is shown as text, because a browser
/// would run some of them as a script.
pub fn external(address: &str) -> Markup {
    html! {
        @match without_scheme(address) {
            Some(shown) => a class="external" href=(address) target="_blank" rel="noopener noreferrer" { (shown) " " (Icon::External.markup()) },
            None => { (address) }
        }
    }
}

/// The same as the main button of a page.
pub fn external_button(label: &str, address: &str) -> Markup {
    html! {
        @if without_scheme(address).is_some() {
            a class="button primary" href=(address) target="_blank" rel="noopener noreferrer" { (label) " " (Icon::External.markup()) }
        }
    }
}

/// `None` for an address that is not one of HTTP.
fn without_scheme(address: &str) -> Option<&str> {
    ["https://", "http://"].into_iter().find_map(|scheme| address.strip_prefix(scheme))
}

/// Leads to the pages before and after this one of a list, which begins at `path`. Empty if the list has one page. Its id is
/// `pages`, so that live pages can send it as a fragment.
pub fn pages(path: &str, page: u64, per_page: u64, total: u64) -> Markup {
    let last = total.div_ceil(per_page).max(1);
    let to = |page: u64, label: &str| html! { a class="button" href={ (path) "?page=" (page) } { (label) } };
    html! {
        nav id="pages" class="row" aria-label="Pages" hidden[last == 1 && page == 1] {
            @if page > 1 { (to(last.min(page - 1), "Previous")) }
            span { "Page " (page) " of " (last) }
            @if page < last { (to(page + 1, "Next")) }
        }
    }
}
