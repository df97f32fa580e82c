//! The steps of a deployment, with times and reasons.

use maud::{Markup, html};
use present::text::duration;
use present::{Leaf, Status};

use super::icon::Icon;
use super::{Tone, time};

/// The steps in order. A running step shows the time since its start, an ended one how long it took.
pub fn steps(leaves: &[Leaf]) -> Markup {
    html! { ol class="steps" { @for leaf in leaves { (step(leaf)) } } }
}

fn step(leaf: &Leaf) -> Markup {
    let (icon, tone, word) = match leaf.status {
        Status::Pending => (Icon::Pending, Tone::Plain, "pending"),
        Status::Running => (Icon::Running, Tone::Busy, "running"),
        Status::Success => (Icon::Done, Tone::Good, "done"),
        Status::Error => (Icon::Failed, Tone::Bad, "failed"),
    };
    html! {
        li class=(tone.class()) {
            (icon.markup())
            span class="unseen" { (word) ": " }
            span class="title" { (leaf.title) }
            @match (leaf.started, leaf.ended) {
                (Some(from), Some(until)) => span class="took" { (duration((until - from).num_milliseconds().max(0))) },
                (Some(from), None) => span class="took" { (time::since(from)) },
                (None, _) => {},
            }
            @if let Some(reason) = &leaf.reason { p { (reason) } }
        }
    }
}
