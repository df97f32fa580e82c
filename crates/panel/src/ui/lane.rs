//! A component's lane: one mark per instance.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::icon::Icon;
use super::{Tone, time};

/// What an instance has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are shown")]
pub enum Mark {
    /// It existed before the deployment, and nothing has happened to it.
    Running,
    Planned,
    Created,
    Starting,
    Ready,
    Routed,
    /// It fails its health check, or its process has ended.
    NotReady,
    Draining,
    Stopping,
    Gone,
}

/// An instance in a lane.
#[derive(Debug, Clone)]
pub struct Instance {
    /// `web.2`.
    pub name: String,
    /// What created it: "new", "deployment 41".
    pub origin: String,
    /// Whether the deployment replaces it.
    pub old: bool,
    /// What it has reached.
    pub mark: Mark,
    /// When it reached that.
    pub when: When,
    /// All that happened to it, for a tooltip.
    pub history: String,
}

/// When an instance reached its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// It is not known, or not of interest.
    Untold,
    /// A time, for a deployment in progress. Shows how long ago it was.
    Since(DateTime<Utc>),
    /// Words, for one that has ended: "after 2.1 s".
    Told(String),
}

/// A component's lane.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Name of the component.
    pub component: String,
    /// `service`, `worker`, `job`, `database`.
    pub kind: String,
    /// How far it is: "1 of 2 replaced".
    pub summary: String,
    /// What it waits for, one sentence each.
    pub waiting: Vec<String>,
    /// Its instances by index.
    pub instances: Vec<Instance>,
}

impl Mark {
    fn look(self) -> (Icon, Tone, &'static str) {
        match self {
            Mark::Running => (Icon::Past, Tone::Plain, "running"),
            Mark::Planned => (Icon::Pending, Tone::Plain, "planned"),
            Mark::Created => (Icon::Pending, Tone::Busy, "created"),
            Mark::Starting => (Icon::Running, Tone::Busy, "starting"),
            Mark::Ready => (Icon::Ready, Tone::Good, "ready"),
            Mark::Routed => (Icon::Routed, Tone::Good, "routed"),
            Mark::NotReady => (Icon::Failed, Tone::Bad, "not ready"),
            Mark::Draining => (Icon::Draining, Tone::Warning, "draining"),
            Mark::Stopping => (Icon::Draining, Tone::Plain, "stopping"),
            Mark::Gone => (Icon::Stopped, Tone::Plain, "gone"),
        }
    }

    /// How many of the four steps from created to routed are behind it.
    fn steps(self) -> usize {
        match self {
            Mark::Planned | Mark::Gone => 0,
            Mark::Created => 1,
            Mark::Starting | Mark::NotReady => 2,
            Mark::Ready => 3,
            Mark::Running | Mark::Routed | Mark::Draining => 4,
            Mark::Stopping => 2,
        }
    }
}

/// The lanes of a deployment, in the order of the rollout.
pub fn lanes(lanes: &[Lane]) -> Markup {
    html! { div class="lanes" { @for it in lanes { (lane(it)) } } }
}

fn lane(it: &Lane) -> Markup {
    html! {
        section class="lane" aria-label={ (it.component) ", " (it.kind) } {
            header { strong { (it.component) } " " small { (it.kind) } p { (it.summary) } }
            div {
                (row(it, false))
                (row(it, true))
                @for wait in &it.waiting { p class="waiting" { (Icon::Pending.markup()) (wait) } }
            }
        }
    }
}

/// The new instances, or below them the old ones, so that those of one index are in one column.
fn row(lane: &Lane, old: bool) -> Markup {
    let mut instances = lane.instances.iter().filter(|it| it.old == old).peekable();
    html! { @if instances.peek().is_some() { ul { @for it in instances { (instance(it)) } } } }
}

fn instance(it: &Instance) -> Markup {
    let (icon, tone, word) = it.mark.look();
    let class = format!(
        "mark {}{}{}",
        tone.class(),
        if it.mark == Mark::Gone { " gone" } else { "" },
        if it.old { " old" } else { "" }
    );
    html! {
        li class=(class) title=[Some(&it.history).filter(|it| !it.is_empty())] {
            (icon.markup())
            div {
                strong { (it.name) } " " small { (it.origin) }
                p { (word) @match &it.when {
                    When::Untold => {}
                    When::Since(since) => { " " (time::since(*since)) }
                    When::Told(words) => { " " small { (words) } }
                } }
            }
            span class="track" aria-hidden="true" { @for step in 0..4 { i class=[(step < it.mark.steps()).then_some("on")] {} } }
        }
    }
}
