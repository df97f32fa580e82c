//! What a deployment does next: a function from its stage and the facts about its parts to one move.

use std::collections::BTreeMap;

use super::{Event, Failure, Stage};
use crate::ids::ComponentName;
use crate::job::JobOutcome;
use crate::plan::RolloutStatus;

/// What the controller knows about a deployment's parts. Input for the next move.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Images by component. A build lists all services, workers and jobs. A restart lists the components that it
    /// replaces, until it creates its first container.
    pub images: BTreeMap<ComponentName, Part>,
    /// Databases.
    pub databases: BTreeMap<ComponentName, Part>,
    /// PRE_DEPLOY jobs in their order.
    pub pre_deploy: Vec<(ComponentName, JobOutcome)>,
    /// POST_DEPLOY jobs in their order.
    pub post_deploy: Vec<(ComponentName, JobOutcome)>,
    /// Another deployment of the app is rolling.
    pub rollout_taken: bool,
    /// Progress of the instances towards the targets in force.
    pub rollout_status: Option<RolloutStatus>,
    /// The controller gave up a new instance; the failure says which one and why.
    pub given_up: Option<Failure>,
    /// During a rollback: the controller gave up an instance of the previous targets; the sentence says which one and
    /// why.
    pub restore_failed: Option<String>,
    /// During a rollback: a newer deployment waits for it to end.
    pub newer_waits: bool,
    /// The deployment is a restart.
    pub is_restart: bool,
    /// The deployment is a restart that is rolling and has not created a container yet: there is nothing to roll back.
    pub is_untouched: bool,
    /// A person asked to cancel the deployment.
    pub cancel_requested: bool,
    /// The deadline of its stage has passed. Every stage ends by its deadline: see [`crate::limits`].
    pub overdue: bool,
}

/// One image or database that a deployment needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Part {
    /// Work on it has not started.
    #[default]
    Missing,
    /// Work on it is in progress.
    UnderWay,
    /// It is available.
    Ready,
    /// It cannot be provided; the sentence says why.
    Failed(String),
}

/// The next action for a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Record this event.
    Go(Event),
    /// Record this failure and its event.
    Fail(Failure),
    /// Record this failure and end the deployment: there is nothing to roll back.
    Refuse(Failure),
    /// End the rollback without restoring the previous targets. The sentence says why.
    /// [`crate::rollback::keep_serving`] decides what each component runs from then on.
    Abandon(String),
    /// Provide the image of this component; for a restart, check that the engine has it.
    Build(ComponentName),
    /// Start this database.
    Database(ComponentName),
    /// Carry out the next step of this job.
    Job(ComponentName),
    /// Wait.
    Wait,
}

/// The next move of a deployment at `stage`. `parallel_builds` limits how many images are in progress at once.
pub fn next_move(stage: Stage, facts: &Facts, parallel_builds: usize) -> Move {
    if facts.is_untouched
        && let Some(next) = untouched_move(facts)
    {
        return next;
    }
    if facts.cancel_requested && stage != Stage::RollingBack && stage.next(Event::CancelAsked).is_ok() {
        return Move::Go(Event::CancelAsked);
    }
    if facts.overdue && stage.next(Event::Broke).is_ok() {
        return Move::Fail(deadline_exceeded());
    }
    let is_before_roll = stage < Stage::Rolling;
    match stage {
        _ if is_before_roll && facts.is_restart && facts.rollout_taken => Move::Wait,
        _ if is_before_roll && facts.is_restart => Move::Go(Event::RestartBegun),
        Stage::Pending => Move::Go(Event::Begun),
        Stage::Building => {
            parts(&facts.images, parallel_builds, "BuildFailed", Move::Build).unwrap_or(Move::Go(Event::ImagesReady))
        }
        Stage::Built if facts.rollout_taken => Move::Wait,
        Stage::Built => Move::Go(Event::RolloutFree),
        Stage::Preparing => parts(&facts.databases, usize::MAX, "DatabaseFailed", Move::Database)
            .or_else(|| jobs(&facts.pre_deploy, "PreDeployJobFailed"))
            .unwrap_or(Move::Go(Event::Prepared)),
        Stage::Rolling => match (&facts.given_up, &facts.rollout_status) {
            (Some(failure), _) => Move::Fail(failure.clone()),
            (None, Some(RolloutStatus::Failed(instance))) => {
                Move::Fail(failure(None, "InstanceLost", format!("{instance} was ready and stopped answering")))
            }
            (None, Some(RolloutStatus::Complete)) => Move::Go(Event::Rolled),
            (None, _) => Move::Wait,
        },
        Stage::Finishing => jobs(&facts.post_deploy, "PostDeployJobFailed").unwrap_or(Move::Go(Event::Succeeded)),
        Stage::RollingBack => rollback_move(facts),
        Stage::Active | Stage::Superseded | Stage::Failed | Stage::Canceled => Move::Wait,
    }
}

/// Before it creates its first container, a restart asks the engine for every image it needs. `None`: the engine has
/// all of them.
fn untouched_move(facts: &Facts) -> Option<Move> {
    if facts.cancel_requested {
        return Some(Move::Go(Event::Withdrawn));
    }
    if facts.overdue {
        return Some(Move::Refuse(deadline_exceeded()));
    }
    match parts(&facts.images, usize::MAX, "ImageNotFound", Move::Build)? {
        Move::Fail(failure) => Some(Move::Refuse(failure)),
        next => Some(next),
    }
}

/// A rollback ends when the previous targets serve again. It is abandoned when its deadline passes, or when a restored
/// instance stops answering. It is abandoned earlier if an instance could not be restored and a person cancels or a newer
/// deployment waits: the newer deployment should not wait for more attempts of what just failed, and the instances that
/// serve stay.
fn rollback_move(facts: &Facts) -> Move {
    match (&facts.rollout_status, &facts.restore_failed) {
        (Some(RolloutStatus::Complete), _) => Move::Go(Event::RolledBack),
        (Some(RolloutStatus::Failed(instance)), _) => {
            Move::Abandon(format!("{instance} was restored and stopped answering"))
        }
        (_, Some(why)) if facts.cancel_requested || facts.newer_waits || facts.overdue => Move::Abandon(why.clone()),
        _ if facts.overdue => {
            Move::Abandon("the previous version did not serve again before the deadline of the rollback".into())
        }
        _ => Move::Wait,
    }
}

/// The next move for parts that do not depend on each other; `None` when all of them are ready.
fn parts(
    parts: &BTreeMap<ComponentName, Part>,
    at_once: usize,
    code: &str,
    work: impl Fn(ComponentName) -> Move,
) -> Option<Move> {
    if let Some((name, Part::Failed(why))) = parts.iter().find(|(_, part)| matches!(part, Part::Failed(_))) {
        return Some(Move::Fail(failure(Some(name.clone()), code, format!("{name}: {why}"))));
    }
    let under_way = parts.values().filter(|part| **part == Part::UnderWay).count();
    let missing = parts.iter().find(|(_, part)| **part == Part::Missing).map(|(name, _)| name.clone());
    match missing {
        Some(name) if under_way < at_once => Some(work(name)),
        None if under_way == 0 => None,
        _ => Some(Move::Wait),
    }
}

/// Jobs run one after the other, in the order of the spec.
fn jobs(jobs: &[(ComponentName, JobOutcome)], code: &str) -> Option<Move> {
    let (name, outcome) = jobs.iter().find(|(_, outcome)| *outcome != JobOutcome::Succeeded)?;
    Some(match outcome {
        JobOutcome::Open => Move::Job(name.clone()),
        JobOutcome::UnderWay | JobOutcome::Succeeded => Move::Wait,
        JobOutcome::Failed(why) => Move::Fail(failure(Some(name.clone()), code, format!("job {name}: {why}"))),
    })
}

fn deadline_exceeded() -> Failure {
    failure(None, "DeadlineExceeded", "it did not end in the time an operation has".into())
}

fn failure(component: Option<ComponentName>, code: &str, message: String) -> Failure {
    Failure { component, code: code.into(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[(&str, Part)]) -> BTreeMap<ComponentName, Part> {
        parts.iter().map(|(name, part)| ((*name).into(), part.clone())).collect()
    }

    #[test]
    fn a_few_images_are_built_at_a_time_and_the_first_failure_ends_the_deployment() {
        let building = |images: &[(&str, Part)]| {
            next_move(Stage::Building, &Facts { images: parts(images), ..Facts::default() }, 2)
        };
        use Part::{Failed, Missing, Ready, UnderWay};
        assert_eq!(building(&[("a", Missing), ("b", Missing)]), Move::Build("a".into()));
        assert_eq!(building(&[("a", UnderWay), ("b", Missing)]), Move::Build("b".into()));
        assert_eq!(building(&[("a", UnderWay), ("b", UnderWay), ("c", Missing)]), Move::Wait);
        assert_eq!(building(&[("a", Ready), ("b", UnderWay)]), Move::Wait);
        assert_eq!(building(&[("a", Ready), ("b", Ready)]), Move::Go(Event::ImagesReady));
        assert!(
            matches!(building(&[("a", UnderWay), ("b", Failed("no".into()))]), Move::Fail(it) if it.code == "BuildFailed")
        );
    }

    #[test]
    fn a_restart_rolls_immediately_if_no_other_deployment_rolls() {
        let restart = Facts { is_restart: true, ..Facts::default() };
        for stage in [Stage::Pending, Stage::Building, Stage::Built, Stage::Preparing] {
            assert_eq!(next_move(stage, &restart, 2), Move::Go(Event::RestartBegun), "{stage:?}");
            assert_eq!(stage.next(Event::RestartBegun), Ok(Stage::Rolling), "{stage:?}");
            let taken = Facts { rollout_taken: true, ..restart.clone() };
            assert_eq!(next_move(stage, &taken, 2), Move::Wait, "{stage:?}");
        }
    }

    #[test]
    fn a_restart_checks_its_images_before_the_first_container_and_has_nothing_to_roll_back_until_then() {
        use Part::{Failed, Missing, Ready, UnderWay};
        let untouched = |images: &[(&str, Part)]| Facts {
            is_restart: true,
            is_untouched: true,
            images: parts(images),
            rollout_status: Some(RolloutStatus::Progressing),
            ..Facts::default()
        };
        let rolling = |facts: &Facts| next_move(Stage::Rolling, facts, 1);
        assert_eq!(rolling(&untouched(&[("a", UnderWay), ("b", Missing)])), Move::Build("b".into()), "all at once");
        assert_eq!(rolling(&untouched(&[("a", UnderWay), ("b", Ready)])), Move::Wait);
        assert_eq!(rolling(&untouched(&[("a", Ready), ("b", Ready)])), Move::Wait, "its instances are starting");
        let gone = rolling(&untouched(&[("a", Ready), ("b", Failed("gone".into()))]));
        assert!(matches!(gone, Move::Refuse(it) if it.code == "ImageNotFound"));
        let waits = untouched(&[("a", UnderWay)]);
        let late = rolling(&Facts { overdue: true, ..waits.clone() });
        assert!(matches!(late, Move::Refuse(it) if it.code == "DeadlineExceeded"));
        assert_eq!(rolling(&Facts { cancel_requested: true, ..waits.clone() }), Move::Go(Event::Withdrawn));
        let touched = Facts { is_untouched: false, cancel_requested: true, ..waits };
        assert_eq!(rolling(&touched), Move::Go(Event::CancelAsked), "what was replaced is rolled back");
        assert_eq!(Stage::Rolling.next(Event::Refused), Ok(Stage::Failed));
        assert_eq!(Stage::Rolling.next(Event::Withdrawn), Ok(Stage::Canceled));
    }

    #[test]
    fn databases_come_before_jobs_and_jobs_run_one_after_the_other() {
        let db = |part| parts(&[("db", part)]);
        let preparing = |databases, pre_deploy: Vec<(ComponentName, JobOutcome)>| {
            next_move(Stage::Preparing, &Facts { databases, pre_deploy, ..Facts::default() }, 2)
        };
        use JobOutcome::{Failed, Open, Succeeded, UnderWay};
        let (a, b) = (ComponentName::from("a"), ComponentName::from("b"));
        let jobs = |one, two| vec![(a.clone(), one), (b.clone(), two)];
        assert_eq!(preparing(db(Part::Missing), jobs(Open, Open)), Move::Database("db".into()));
        assert_eq!(preparing(db(Part::UnderWay), jobs(Open, Open)), Move::Wait);
        assert_eq!(preparing(db(Part::Ready), jobs(Open, Open)), Move::Job(a.clone()));
        assert_eq!(preparing(db(Part::Ready), jobs(UnderWay, Open)), Move::Wait);
        assert_eq!(preparing(db(Part::Ready), jobs(Succeeded, Open)), Move::Job(b.clone()));
        assert_eq!(preparing(db(Part::Ready), jobs(Succeeded, Succeeded)), Move::Go(Event::Prepared));
        let failed = preparing(db(Part::Ready), jobs(Failed("exit 3".into()), Open));
        assert!(matches!(failed, Move::Fail(it) if it.component == Some(a.clone()) && it.code == "PreDeployJobFailed"));
    }

    #[test]
    fn a_rollout_ends_when_it_is_complete_or_an_instance_was_given_up() {
        let rolling = |rollout_status, given_up| {
            next_move(Stage::Rolling, &Facts { rollout_status: Some(rollout_status), given_up, ..Facts::default() }, 2)
        };
        let why = Failure { component: Some("api".into()), code: "X".into(), message: "api.0 did not start".into() };
        assert_eq!(rolling(RolloutStatus::Progressing, None), Move::Wait);
        assert_eq!(rolling(RolloutStatus::Draining, None), Move::Wait, "replaced ones are still on their way out");
        assert_eq!(rolling(RolloutStatus::Complete, None), Move::Go(Event::Rolled));
        assert_eq!(rolling(RolloutStatus::Complete, Some(why.clone())), Move::Fail(why));
        assert!(
            matches!(rolling(RolloutStatus::Failed("web-0".into()), None), Move::Fail(it) if it.code == "InstanceLost")
        );
    }

    #[test]
    fn every_operation_ends_by_its_deadline() {
        let overdue = Facts { overdue: true, rollout_taken: true, ..Facts::default() };
        for stage in Stage::ALL.into_iter().filter(|it| !it.is_ended()) {
            let ends = match next_move(stage, &overdue, 2) {
                Move::Fail(failure) => failure.code == "DeadlineExceeded",
                Move::Abandon(_) => stage == Stage::RollingBack,
                _ => false,
            };
            assert!(ends, "{stage:?} would wait for ever");
        }
    }

    #[test]
    fn a_cancel_ends_a_deployment_that_changed_nothing_and_rolls_back_others_once() {
        let asked =
            Facts { cancel_requested: true, rollout_status: Some(RolloutStatus::Progressing), ..Facts::default() };
        for stage in Stage::ALL.into_iter().filter(|it| !it.is_ended() && *it != Stage::RollingBack) {
            assert_eq!(next_move(stage, &asked, 2), Move::Go(Event::CancelAsked), "{stage:?}");
        }
        assert_eq!(next_move(Stage::RollingBack, &asked, 2), Move::Wait, "as long as it can still succeed");
    }

    #[test]
    fn a_rollback_that_cannot_succeed_ends_on_a_cancel_a_newer_deployment_or_its_deadline() {
        let failed = Some("web.0 ended with exit code 3".to_owned());
        let coming = Facts { rollout_status: Some(RolloutStatus::Progressing), ..Facts::default() };
        let trying_again = Facts { restore_failed: failed.clone(), ..coming.clone() };
        let cases = [
            ("nothing waits, nothing failed", coming.clone(), None),
            ("nothing waits, more tries are made", trying_again.clone(), None),
            ("a newer one waits, nothing failed", Facts { newer_waits: true, ..coming.clone() }, None),
            ("canceled, nothing failed", Facts { cancel_requested: true, ..coming.clone() }, None),
            ("a newer one waits", Facts { newer_waits: true, ..trying_again.clone() }, failed.clone()),
            ("canceled", Facts { cancel_requested: true, ..trying_again.clone() }, failed.clone()),
            ("overdue after a failed try", Facts { overdue: true, ..trying_again }, failed),
        ];
        for (name, facts, abandoned) in cases {
            let expected = abandoned.map_or(Move::Wait, Move::Abandon);
            assert_eq!(next_move(Stage::RollingBack, &facts, 2), expected, "{name}");
        }
        let silent = Facts { overdue: true, ..coming };
        assert!(matches!(next_move(Stage::RollingBack, &silent, 2), Move::Abandon(_)), "no engine, no ingress");
        let lost = Facts { rollout_status: Some(RolloutStatus::Failed("web-0".into())), ..Facts::default() };
        assert!(matches!(next_move(Stage::RollingBack, &lost, 2), Move::Abandon(_)), "restored, then lost");
        let done = Facts {
            rollout_status: Some(RolloutStatus::Complete),
            overdue: true,
            cancel_requested: true,
            ..Facts::default()
        };
        assert_eq!(next_move(Stage::RollingBack, &done, 2), Move::Go(Event::RolledBack), "restored after all");
    }
}
