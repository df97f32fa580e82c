//! How long the parts of a deployment took, according to its progress.

use std::time::Duration;

use crate::ids::ComponentName;
use crate::progress::{Leaf, LeafKey, Progress, Status};
use crate::time::Timestamp;

/// How long the parts of a deployment took. `None`: the part has not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// From the request to the start of the build.
    pub pending: Option<Duration>,
    /// From the start of the first build to the end of the last one.
    pub building: Option<Duration>,
    /// The build of each component that has ended.
    pub components: Vec<(ComponentName, Duration)>,
    /// The start of the databases.
    pub databases: Option<Duration>,
    /// Jobs and instances, up to the end of the deployment.
    pub deploying: Option<Duration>,
}

impl Durations {
    /// The durations of a deployment that was accepted at `accepted`. `None` before its build starts.
    pub fn of(accepted: Timestamp, progress: &Progress) -> Option<Self> {
        let begun = progress.leaf(&LeafKey::BuildInitialize)?.started?;
        let deploy = progress.leaf(&LeafKey::DeployInitialize);
        let is_component = |it: &&Leaf| matches!(it.key, LeafKey::Deploy(_) | LeafKey::Wait(_));
        let first = progress.leaves.iter().filter(is_component).filter_map(|it| it.started).min();
        let deploy_started = deploy.and_then(|it| it.started);
        // Jobs run before the step ends.
        let databases_up = deploy.and_then(|it| it.ended).into_iter().chain(first).min();
        let databases_up = databases_up.filter(|_| deploy_started.is_some());
        let is_below_deploy = |it: &Leaf| is_component(&it) || it.key == LeafKey::Finalize;
        Some(Self {
            pending: Some(begun.since(accepted)),
            building: end_of(progress, |it| matches!(it.key, LeafKey::BuildInitialize | LeafKey::Build(_)))
                .map(|end| end.since(begun)),
            components: progress.leaves.iter().filter_map(build).collect(),
            databases: databases_up.zip(deploy_started).map(|(up, started)| up.since(started)),
            deploying: end_of(progress, is_below_deploy).zip(databases_up).map(|(end, up)| end.since(up)),
        })
    }
}

/// When the last of these steps ended. `None` while one is open, unless another one has failed.
fn end_of(progress: &Progress, is_part: impl Fn(&Leaf) -> bool) -> Option<Timestamp> {
    let parts = || progress.leaves.iter().filter(|it| is_part(it));
    let is_over = parts().all(|it| it.ended.is_some()) || parts().any(|it| it.status == Status::Error);
    parts().filter_map(|it| it.ended).max().filter(|_| is_over)
}

fn build(leaf: &Leaf) -> Option<(ComponentName, Duration)> {
    let LeafKey::Build(component) = &leaf.key else { return None };
    Some((component.clone(), leaf.ended?.since(leaf.started?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Reason, Shown};

    fn progress() -> Progress {
        let shown = |name: &str, noun, waits| Shown { component: name.into(), noun, waits };
        Progress::new(&[shown("web", "service", true), shown("migrate", "job", false)])
    }

    fn took(progress: &mut Progress, key: LeafKey, from: u64, to: u64) {
        progress.start(&key, Timestamp(from));
        progress.succeed(&key, None, Timestamp(to));
    }

    fn ms(duration: u64) -> Option<Duration> {
        Some(Duration::from_millis(duration))
    }

    #[test]
    fn each_part_has_its_duration_once_it_has_ended() {
        let mut progress = progress();
        let of = |progress: &Progress| Durations::of(Timestamp(1_000), progress);
        assert_eq!(of(&progress), None, "it waits");
        took(&mut progress, LeafKey::BuildInitialize, 1_500, 1_500);
        took(&mut progress, LeafKey::Build("web".into()), 1_500, 3_360);
        let building = Durations {
            pending: ms(500),
            components: vec![("web".into(), Duration::from_millis(1_860))],
            ..Durations::default()
        };
        assert_eq!(of(&progress), Some(building.clone()), "the job is still being built");
        took(&mut progress, LeafKey::Build("migrate".into()), 1_600, 4_000);
        let components =
            vec![("web".into(), Duration::from_millis(1_860)), ("migrate".into(), Duration::from_millis(2_400))];
        let built = Durations { building: ms(2_500), components, ..building };
        assert_eq!(of(&progress), Some(built.clone()));
        // The database takes until 5,000; then the job runs.
        progress.start(&LeafKey::DeployInitialize, Timestamp(4_000));
        assert_eq!(of(&progress), Some(built.clone()));
        took(&mut progress, LeafKey::Deploy("migrate".into()), 5_000, 6_000);
        progress.succeed(&LeafKey::DeployInitialize, None, Timestamp(6_000));
        assert_eq!(of(&progress), Some(Durations { databases: ms(1_000), ..built.clone() }));
        progress.succeed_all(Timestamp(9_000));
        assert_eq!(of(&progress), Some(Durations { databases: ms(1_000), deploying: ms(4_000), ..built }));
    }

    #[test]
    fn a_failed_build_has_a_duration_and_nothing_was_deployed() {
        let mut progress = progress();
        took(&mut progress, LeafKey::BuildInitialize, 1_000, 1_000);
        progress.start(&LeafKey::Build("web".into()), Timestamp(1_000));
        let reason = Reason { code: "BuildFailed".into(), message: "no Dockerfile".into() };
        progress.fail(&LeafKey::Build("web".into()), reason, Timestamp(2_000));
        let durations = Durations::of(Timestamp(1_000), &progress).expect("it began");
        assert_eq!((durations.building, durations.databases, durations.deploying), (ms(1_000), None, None));
    }
}
