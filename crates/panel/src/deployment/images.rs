//! The image of each component, and what a restart left unchanged.

use maud::{Markup, html};
use present::{Image, Unchanged};

use super::facts::Facts;
use crate::ui::{card, table};

pub(super) fn markup(facts: &Facts) -> Markup {
    let details = &facts.it.boatyard;
    let unchanged = &details.record.unchanged;
    if details.images.is_empty() && unchanged.is_empty() {
        return card::nothing("images");
    }
    let same: Vec<_> = unchanged.iter().map(|it| (it.component.as_str(), same(it))).collect();
    let images: Vec<_> = details.images.iter().map(|(name, it)| (name.as_str(), image(it))).collect();
    let (title, facts) = if same.is_empty() { ("Images", images) } else { ("What stayed the same", same) };
    card::card("images", title, html! {}, table::facts(&facts))
}

fn image(it: &Image) -> Markup {
    html! {
        @match &it.commit {
            Some(commit) => { "commit " code title=(commit) { (short(commit)) } }
            None => code { (it.reference) }
        }
        @if !it.note.is_empty() { br; small { (it.note) } }
    }
}

fn same(it: &Unchanged) -> Markup {
    html! {
        "image " code { (short(&it.image)) } br;
        "environment " code { (short(&it.environment_hash)) } br;
        "revision " code { (short(&it.revision)) }
    }
}

fn short(hash: &str) -> String {
    hash.trim_start_matches("sha256:").chars().take(12).collect()
}
