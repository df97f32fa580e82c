//! Badges: a state as shape, text and colour.

use maud::{Markup, html};
use present::{InstanceCounts, Transition};

use super::Tone;
use super::icon::Icon;

/// A badge: `badge(Tone::Good, Icon::Done, "Active")`.
pub fn badge(tone: Tone, icon: Icon, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (icon.markup()) (text) } }
}

/// The badge for a deployment's phase, under App Platform's name for it (`BUILDING`). An unknown phase is shown as it is.
pub fn phase(phase: &str) -> Markup {
    let (tone, icon, text) = look(phase);
    badge(tone, icon, text)
}

/// The words of a phase's badge.
pub fn phase_name(phase: &str) -> &str {
    look(phase).2
}

fn look(phase: &str) -> (Tone, Icon, &str) {
    match phase {
        "PENDING_BUILD" => (Tone::Plain, Icon::Pending, "Waiting to build"),
        "BUILDING" => (Tone::Busy, Icon::Running, "Building"),
        "PENDING_DEPLOY" => (Tone::Plain, Icon::Pending, "Waiting to deploy"),
        "DEPLOYING" => (Tone::Busy, Icon::Running, "Deploying"),
        "ACTIVE" => (Tone::Good, Icon::Done, "Active"),
        "SUPERSEDED" => (Tone::Plain, Icon::Past, "Superseded"),
        "ERROR" => (Tone::Bad, Icon::Failed, "Failed"),
        "CANCELED" => (Tone::Plain, Icon::Stopped, "Canceled"),
        "" => (Tone::Plain, Icon::Past, "Not deployed"),
        other => (Tone::Plain, Icon::Info, other),
    }
}

/// The status of an app: the phase, and how many instances serve if some are missing.
pub fn app(it: &present::App) -> Markup {
    let InstanceCounts { ready, wanted } = it.boatyard.instances;
    let name = match it.phase() {
        "NOT DEPLOYED" => "",
        name => name,
    };
    html! {
        span class="row" {
            (phase(name))
            @if name == "ACTIVE" && ready < wanted {
                @match ready {
                    0 => (badge(Tone::Bad, Icon::Failed, "no instance serves")),
                    _ => (badge(Tone::Warning, Icon::Warning, &format!("{ready} of {wanted} instances serve"))),
                }
            }
        }
    }
}

/// The phase of an instance: `ready`.
pub fn instance(phase: &str) -> Markup {
    let transition = Transition::named(phase);
    let (tone, icon) = instance_look(transition);
    badge(tone, icon, transition.word())
}

/// How an instance looks after a transition. The word beside it is [`Transition::word`].
pub fn instance_look(transition: Transition) -> (Tone, Icon) {
    match transition {
        Transition::Existed => (Tone::Plain, Icon::Past),
        Transition::Intended => (Tone::Plain, Icon::Pending),
        Transition::Created => (Tone::Busy, Icon::Pending),
        Transition::Starting => (Tone::Busy, Icon::Running),
        Transition::Ready => (Tone::Good, Icon::Ready),
        Transition::Routed => (Tone::Good, Icon::Routed),
        Transition::Unready => (Tone::Bad, Icon::Failed),
        Transition::Draining => (Tone::Warning, Icon::Draining),
        Transition::Stopping => (Tone::Plain, Icon::Draining),
        Transition::Stopped | Transition::Gone => (Tone::Plain, Icon::Stopped),
        Transition::Unknown => (Tone::Plain, Icon::Info),
    }
}
