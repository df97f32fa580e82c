//! Which instances the ingress should route, and whether it does.

use super::{Plan, RolloutStatus, View};
use crate::deployment::Stage;
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

/// Whether the routing rules of a deployment that rolls count, rather than those of the active one. They count once the new
/// instances serve: before that they would lead to what is not there yet. When a deployment that got so far (`has_served`)
/// is rolled back, they count until what served before it does again. `is_first`: no deployment of the app was ever active.
pub fn new_rules_count(stage: Stage, status: &RolloutStatus, has_served: bool, is_first: bool) -> bool {
    match (stage, status) {
        (Stage::Finishing, _) => true,
        (Stage::Rolling, RolloutStatus::Complete | RolloutStatus::Draining) => true,
        // All that is missing may be the very rule that routes the new instances.
        (Stage::Rolling, RolloutStatus::Progressing) => is_first,
        (Stage::RollingBack, RolloutStatus::Progressing) => has_served,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_rules_count_from_the_moment_the_new_instances_serve_until_the_old_ones_do_again() {
        use RolloutStatus::{Complete, Draining, Failed, Progressing};
        use Stage::{Building, Finishing, Preparing, Rolling, RollingBack};
        let cases = [
            (Building, Complete, false),
            (Preparing, Complete, false),
            (Rolling, Progressing, false),
            (Rolling, Draining, true),
            (Rolling, Complete, true),
            (Rolling, Failed("web-0".into()), false),
            (Finishing, Complete, true),
            (RollingBack, Progressing, false),
            (RollingBack, Draining, false),
        ];
        for (stage, status, expected) in cases {
            assert_eq!(new_rules_count(stage, &status, false, false), expected, "{stage:?} {status:?}");
        }
        assert!(new_rules_count(Rolling, &Progressing, false, true), "nothing is routed yet");
        assert!(new_rules_count(RollingBack, &Progressing, true, false), "the old instances do not serve yet");
        assert!(!new_rules_count(RollingBack, &Draining, true, false), "they do");
    }
}
