//! A component's lane: one mark per instance.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use present::Transition;

use super::icon::Icon;
use super::{status, time};

#[derive(Debug, Clone)]
pub struct Instance {
    /// `web.2`.
    pub name: String,
    /// What created it: "new", "deployment 41".
    pub origin: String,
    /// Whether the deployment replaces it.
    pub old: bool,
    /// The last thing that happened to it.
    pub latest: Transition,
    /// When that was.
    pub when: When,
    /// All that happened to it, for a tooltip.
    pub history: String,
}

/// When something happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// It is not known, or was before the deployment.
    Unknown,
    /// The time, for a deployment in progress. The page shows how long ago it was.
    Since(DateTime<Utc>),
    /// How long after the beginning of the rollout, for a deployment that has ended: "2.1 s".
    After(String),
}

#[derive(Debug, Clone)]
pub struct Lane {
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

/// How many of the four steps from created to routed an instance has behind it.
fn steps(transition: Transition) -> usize {
    match transition {
        Transition::Intended | Transition::Stopped | Transition::Gone | Transition::Unknown => 0,
        Transition::Created => 1,
        Transition::Starting | Transition::Unready | Transition::Stopping => 2,
        Transition::Ready => 3,
        Transition::Existed | Transition::Routed | Transition::Draining => 4,
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
    let (tone, icon) = status::instance_look(it.latest);
    let is_gone = matches!(it.latest, Transition::Stopped | Transition::Gone);
    let more = [(is_gone, " gone"), (it.old, " old")].into_iter().filter(|(on, _)| *on).map(|(_, class)| class);
    let class = format!("mark {}{}", tone.class(), more.collect::<String>());
    html! {
        li class=(class) title=[Some(&it.history).filter(|it| !it.is_empty())] {
            (icon.markup())
            div {
                strong { (it.name) } " " small { (it.origin) }
                p { (it.latest.word()) @match &it.when {
                    When::Unknown => {}
                    When::Since(since) => { " " (time::since(*since)) }
                    When::After(time) => { " " small { "after " (time) } }
                } }
            }
            span class="track" aria-hidden="true" { @for step in 0..4 { i class=[(step < steps(it.latest)).then_some("on")] {} } }
        }
    }
}
