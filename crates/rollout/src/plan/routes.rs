//! Which instances the ingress should route, and whether it has acknowledged them.

use super::{Plan, RolloutStatus, View};
use crate::deployment::Stage;
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Observed, Routes};
use crate::step::{Step, Waiting};
use crate::target::ComponentKind;

/// Plans an update of the routes if the acknowledged ones differ.
pub(super) fn align(view: &View<'_>, plan: &mut Plan) {
    let wanted = wanted(view.observed);
    match &view.observed.routes {
        Some(routes) if *routes == wanted => {}
        // Until the ingress answers, it serves its own snapshot. Its acknowledgement of this update is its first
        // answer.
        _ => plan.steps.push(Step::Route { routes: wanted }),
    }
    if view.observed.routes.is_none() {
        plan.waiting.push(Waiting::ForIngress);
    }
}

/// The wanted routes: the ready instances of every service. If none is ready, the instances that served last stay
/// routed, because a failing probe is no reason to reject every request.
pub fn wanted(observed: &Observed) -> Routes {
    let mut ready = Routes::new();
    let mut last = Routes::new();
    for instance in observed.instances.iter().filter(|instance| instance.kind == ComponentKind::Service) {
        let routes = match instance.phase {
            InstancePhase::Ready => &mut ready,
            // A container that no longer exists cannot recover at its address.
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

/// Whether the ingress uses the routing rules of the rolling deployment rather than those of the active one. It uses
/// the new rules once the new instances serve; before that they would route to instances that are not there yet. If a
/// deployment that served (`has_served`) rolls back, the new rules stay until the previous version serves again.
/// `is_first`: no deployment of the app was ever active.
pub fn new_rules_count(stage: Stage, status: &RolloutStatus, has_served: bool, is_first: bool) -> bool {
    match (stage, status) {
        (Stage::Finishing, _) => true,
        (Stage::Rolling, RolloutStatus::Complete | RolloutStatus::Draining) => true,
        // The new instances may be waiting for the very rule that routes them.
        (Stage::Rolling, RolloutStatus::Progressing) => is_first,
        (Stage::RollingBack, RolloutStatus::Progressing) => has_served,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_rules_apply_from_when_the_new_instances_serve_until_the_old_ones_serve_again() {
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
