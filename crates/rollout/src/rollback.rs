//! What an app runs after an abandoned rollback: the instances that serve stay.

use crate::ids::ComponentName;
use crate::instance::InstancePhase;
use crate::observed::Observed;
use crate::target::Target;

/// What one component runs after an abandoned rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The target from now on.
    pub target: Target,
    /// The target comes from the failed deployment, because its instances serve.
    pub is_failed: bool,
    /// How many ready instances match the target.
    pub ready: usize,
}

/// The targets after an abandoned rollback from `failed` to `previous`. Each component keeps the target that more of
/// its ready instances match. With equal numbers it keeps the failed deployment's target, because the previous one
/// could not be restored. A component that only the failed deployment has stays if one of its instances is ready.
pub fn keep_serving(previous: &[Target], failed: &[Target], observed: &Observed) -> Vec<Kept> {
    let ready = |target: &Target| {
        let of = observed.instances.iter().filter(|it| it.component == target.component);
        of.filter(|it| it.phase == InstancePhase::Ready && target.wants(&it.revision, it.generation)).count()
    };
    let in_failed = |component: &ComponentName| failed.iter().find(|it| it.component == *component);
    let keep = |target: &Target, is_failed| Kept { target: target.clone(), is_failed, ready: ready(target) };
    let kept = previous.iter().map(|target| match in_failed(&target.component) {
        // Unchanged or only restarted: the instances of the failed deployment match the previous target.
        Some(new) if target.wants(&new.revision, new.generation) => keep(target, false),
        Some(new) if ready(target) < target.count as usize && ready(new) > 0 && ready(new) >= ready(target) => {
            keep(new, true)
        }
        _ => keep(target, false),
    });
    let is_new = |target: &&Target| previous.iter().all(|it| it.component != target.component);
    let added = failed.iter().filter(is_new).filter(|it| ready(it) > 0).map(|it| keep(it, true));
    kept.chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstancePhase::{Draining, Ready, Starting, Unready};
    use crate::plan::tests::{instance, there, wants};

    #[test]
    fn each_component_keeps_the_version_that_most_of_its_ready_instances_run() {
        let target = |component, count, revision: &str| Target { revision: revision.into(), ..wants(component, count) };
        let (old, new) = (target("web", 2, "old"), target("web", 2, "new"));
        let web = |slot, revision, phase| instance("web", slot, revision, phase);
        let cases = [
            ("restored", vec![web(0, "old", Ready), web(1, "old", Ready)], "old"),
            (
                "restored, the failed one still drains",
                vec![web(0, "old", Ready), web(1, "old", Ready), web(1, "new", Draining)],
                "old",
            ),
            (
                "nothing could be restored",
                vec![web(0, "new", Ready), web(1, "new", Ready), web(0, "old", Starting)],
                "new",
            ),
            ("one of two could be restored", vec![web(0, "old", Ready), web(1, "new", Ready)], "new"),
            ("the failed one does not serve", vec![web(0, "new", Unready), web(1, "old", Ready)], "old"),
            ("nothing serves", vec![web(0, "new", Unready)], "old"),
            ("nothing is there", vec![], "old"),
        ];
        for (name, instances, expected) in cases {
            let kept = keep_serving(std::slice::from_ref(&old), std::slice::from_ref(&new), &there(instances));
            let revisions: Vec<_> = kept.iter().map(|it| it.target.revision.as_str()).collect();
            assert_eq!(revisions, [expected], "{name}");
        }
    }

    #[test]
    fn a_restart_that_could_not_be_rolled_back_keeps_the_previous_target() {
        let before = wants("web", 1);
        let restarted = Target { generation: 2, min_generation: 2, ..before.clone() };
        let mut new = instance("web", 0, "new", Ready);
        new.generation = 2;
        let kept = keep_serving(std::slice::from_ref(&before), &[restarted], &there(vec![new]));
        assert_eq!(
            kept,
            [Kept { target: before, is_failed: false, ready: 1 }],
            "it wants the old revision of any generation: nothing is replaced"
        );
    }

    #[test]
    fn a_component_that_only_the_failed_deployment_has_stays_while_it_serves() {
        let (web, mail, cache) = (wants("web", 1), wants("mail", 1), wants("cache", 1));
        let observed = there(vec![instance("web", 0, "new", Ready), instance("mail", 0, "new", Ready)]);
        let kept = keep_serving(std::slice::from_ref(&web), &[web.clone(), mail.clone(), cache], &observed);
        let kept: Vec<_> = kept.into_iter().map(|it| (it.target, it.is_failed)).collect();
        assert_eq!(kept, [(web, false), (mail, true)]);
    }
}
