//! Which instances the ingress should route, and whether it does.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Observed, Routes};
use crate::step::{Step, Waiting};
use crate::target::ComponentKind;

/// Asks for the routes that should be, when the acknowledged ones differ.
pub(super) fn align(view: &View<'_>, plan: &mut Plan) {
    let wanted = wanted(view.observed);
    match &view.observed.routes {
        Some(routes) if *routes == wanted => {}
        // Before the ingress was heard of, it serves its own snapshot; sending a table is how to hear of it.
        _ => plan.steps.push(Step::Route { routes: wanted }),
    }
    if view.observed.routes.is_none() {
        plan.waiting.push(Waiting::ForIngress);
    }
}

/// The routes that should be: of every service its ready instances; if none is ready, those that served last, since a
/// failing probe is no reason to turn everybody away.
pub fn wanted(observed: &Observed) -> Routes {
    let mut ready = Routes::new();
    let mut last = Routes::new();
    for instance in observed.instances.iter().filter(|instance| instance.kind == ComponentKind::Service) {
        let routes = match instance.phase {
            InstancePhase::Ready => &mut ready,
            // What is gone cannot come back to life behind its address.
            InstancePhase::Unready if instance.container != ContainerSeen::Missing => &mut last,
            _ => continue,
        };
        routes.entry(instance.component.clone()).or_default().insert(instance.name.clone());
    }
    for (component, instances) in last {
        ready.entry(component).or_insert(instances);
    }
    ready
}
