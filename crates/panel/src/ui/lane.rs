//! A component's lane: one mark per instance.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::icon::Icon;
use super::{Tone, time};

/// What an instance has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are shown")]
pub enum Mark {
    Created,
    Starting,
    Ready,
    Routed,
    Draining,
    Gone,
    Failed,
}

/// An instance in a lane.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// `web.2`.
    pub name: &'a str,
    /// Whether the deployment replaces it, rather than having created it.
    pub old: bool,
    /// What it has reached.
    pub mark: Mark,
    /// When it reached that.
    pub since: Option<DateTime<Utc>>,
}

/// A component's lane.
#[derive(Debug, Clone, Copy)]
pub struct Lane<'a> {
    /// Name of the component.
    pub component: &'a str,
    /// `service`, `worker`, `job`, `database`.
    pub kind: &'a str,
    /// How far it is: "1 of 2 replaced".
    pub summary: &'a str,
    /// What it waits for, or empty.
    pub waiting: &'a str,
    /// Its instances in order, new ones first.
    pub instances: &'a [Instance<'a>],
}

impl Mark {
    fn look(self) -> (Icon, Tone, &'static str) {
        match self {
            Mark::Created => (Icon::Pending, Tone::Plain, "created"),
            Mark::Starting => (Icon::Running, Tone::Busy, "starting"),
            Mark::Ready => (Icon::Ready, Tone::Busy, "ready"),
            Mark::Routed => (Icon::Routed, Tone::Good, "routed"),
            Mark::Draining => (Icon::Draining, Tone::Warning, "draining"),
            Mark::Gone => (Icon::Stopped, Tone::Plain, "gone"),
            Mark::Failed => (Icon::Failed, Tone::Bad, "failed"),
        }
    }

    /// How many of the four steps from created to routed are behind it.
    fn steps(self) -> usize {
        match self {
            Mark::Created => 1,
            Mark::Starting => 2,
            Mark::Ready => 3,
            Mark::Routed | Mark::Draining => 4,
            Mark::Gone | Mark::Failed => 0,
        }
    }
}

/// The lanes of a deployment, in the order of the rollout.
pub fn lanes(lanes: &[Lane<'_>]) -> Markup {
    html! { div class="lanes" { @for it in lanes { (lane(it)) } } }
}

fn lane(it: &Lane<'_>) -> Markup {
    html! {
        section class="lane" aria-label={ (it.component) ", " (it.kind) } {
            header { strong { (it.component) } " " small { (it.kind) } p { (it.summary) } }
            ul { @for it in it.instances { (instance(it)) } }
            @if !it.waiting.is_empty() { p class="waiting" { (Icon::Pending.markup()) (it.waiting) } }
        }
    }
}

fn instance(it: &Instance<'_>) -> Markup {
    let (icon, tone, word) = it.mark.look();
    let class = format!("mark {} {word}{}", tone.class(), if it.old { " old" } else { "" });
    html! {
        li class=(class) {
            (icon.markup())
            div {
                strong { (it.name) } " " small { (if it.old { "old" } else { "new" }) }
                p { (word) @if let Some(since) = it.since { " " (time::since(since)) } }
            }
            span class="track" aria-hidden="true" { @for step in 0..4 { i class=[(step < it.mark.steps()).then_some("on")] {} } }
        }
    }
}
