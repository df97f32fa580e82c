//! Generates `docs/deployments.md`: every stage of a deployment, everything in it that may never end, and what ends it.
//! [`next_move`] computes each outcome, so the table cannot differ from the code.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rollout::deployment::{Event, Facts, Failure, Move, Part, Stage, next_move};
use rollout::ids::ComponentName;
use rollout::job::JobOutcome;
use rollout::limits;
use rollout::plan::RolloutStatus;
use rollout::queue::{Admission, Request, Restart, admit};

/// Something that may never end without a limit.
struct Obstacle {
    stage: Stage,
    what: &'static str,
    /// What ends it at the latest.
    ended_by: String,
    /// The facts at that moment.
    facts: Facts,
}

fn obstacles() -> Vec<Obstacle> {
    use Stage as S;
    let none = Facts::default;
    let overdue = || Facts { overdue: true, ..none() };
    let status = |status| Facts { rollout_status: Some(status), ..none() };
    let web = || ComponentName::from("web");
    let failed = || BTreeMap::from([(web(), Part::Failed("not to be had".into()))]);
    let under_way = || BTreeMap::from([(web(), Part::UnderWay)]);
    let failed_job = || vec![(web(), JobOutcome::Failed("ended after its time".into()))];
    let open_job = || vec![(web(), JobOutcome::Open)];
    let given_up = || {
        let failure = Failure { component: Some(web()), code: "GivenUp".into(), message: "it ended".into() };
        Facts { given_up: Some(failure), ..status(RolloutStatus::Progressing) }
    };
    let lost = || status(RolloutStatus::Failed("web-0".into()));
    let no_answer = || Facts { overdue: true, ..status(RolloutStatus::Progressing) };
    let in_vain = || Facts { restore_failed: Some("web.0 ended".into()), ..no_answer() };

    let at_once = || "at once".to_owned();
    let after = |limit, what: &str| format!("{} after {what}", words(limit));
    let whole = || after(limits::DEPLOYMENT, "the deployment began");
    let job = || after(limits::JOB, "the job's start");
    let start_up = || "the start-up time of the instance (`health_check`; 30 s at least), or its exit".to_owned();
    let in_line = || "the deadline of that one's stage".to_owned();
    let rollback = || "the rollback's deadline".to_owned();
    let rollback_or_asked =
        || "the rollback's deadline; at once if a newer deployment waits or a person cancels".to_owned();

    let rows = [
        (S::Pending, "the deployment before it", in_line(), none()),
        (
            S::Building,
            "a fetch hangs, or other builds stay before it in the queue",
            whole(),
            Facts { images: under_way(), ..overdue() },
        ),
        (S::Building, "a build hangs", after(limits::BUILD, "it began to run"), Facts { images: failed(), ..none() }),
        (S::Building, "a source or a registry refuses", at_once(), Facts { images: failed(), ..none() }),
        (S::Building, NO_ENGINE, whole(), Facts { images: under_way(), ..overdue() }),
        (S::Built, "another deployment of the app rolls", in_line(), none()),
        (
            S::Preparing,
            "a database never takes connections",
            after(limits::DATABASE, "its start"),
            Facts { databases: failed(), ..none() },
        ),
        (S::Preparing, "a PRE_DEPLOY job hangs", job(), Facts { pre_deploy: failed_job(), ..none() }),
        (S::Preparing, "the engine refuses a job", at_once(), Facts { pre_deploy: failed_job(), ..none() }),
        (S::Preparing, NO_ENGINE, whole(), Facts { pre_deploy: open_job(), ..overdue() }),
        (
            S::Rolling,
            "an image that a restart needs is gone",
            at_once(),
            Facts { images: failed(), is_restart: true, is_untouched: true, ..status(RolloutStatus::Progressing) },
        ),
        (S::Rolling, "the new version cannot start", start_up(), given_up()),
        (S::Rolling, "its image is gone, or the engine refuses the container", at_once(), given_up()),
        (S::Rolling, "it serves, then stops answering", start_up(), lost()),
        (
            S::Rolling,
            "a replaced instance does not end",
            "its grace and 30 s; it is left behind and named".into(),
            status(RolloutStatus::Complete),
        ),
        (S::Rolling, NO_ENGINE, whole(), no_answer()),
        (S::Rolling, "the ingress does not answer", whole(), no_answer()),
        (S::Finishing, "a POST_DEPLOY job hangs", job(), Facts { post_deploy: failed_job(), ..none() }),
        (S::Finishing, NO_ENGINE, whole(), Facts { post_deploy: open_job(), ..overdue() }),
        (S::RollingBack, "the previous version cannot start", rollback_or_asked(), in_vain()),
        (S::RollingBack, "its image is gone, or the engine refuses the container", rollback_or_asked(), in_vain()),
        (S::RollingBack, "it serves again, then stops answering", start_up(), lost()),
        (S::RollingBack, NO_ENGINE, rollback(), no_answer()),
        (S::RollingBack, "the ingress does not answer", rollback(), no_answer()),
    ];
    rows.into_iter().map(|(stage, what, ended_by, facts)| Obstacle { stage, what, ended_by, facts }).collect()
}

const NO_ENGINE: &str = "the engine does not answer";

/// What the deployment does then, in the words of the documentation.
fn outcome(stage: Stage, facts: &Facts) -> &'static str {
    let (event, kept) = match next_move(stage, facts, 2) {
        Move::Go(event) => (event, false),
        Move::Fail(_) => (Event::Broke, false),
        Move::Refuse(_) => (Event::Refused, false),
        Move::Abandon(_) if facts.cancel_requested => (Event::CancelAsked, true),
        Move::Abandon(_) => (Event::Abandoned, true),
        other => panic!("{stage:?} would wait for ever: {other:?} with {facts:?}"),
    };
    match (stage.next(event).unwrap(), kept) {
        (Stage::RollingBack, _) => "rolls back",
        (Stage::Failed, false) => "ends as ERROR; what served before keeps serving",
        (Stage::Canceled, false) => "ends as CANCELED; what served before keeps serving",
        (Stage::Failed, true) => "ends as ERROR; what serves is kept",
        (Stage::Canceled, true) => "ends as CANCELED; what serves is kept",
        (Stage::Building | Stage::Preparing | Stage::Finishing, _) => "continues",
        (other, _) => panic!("{stage:?} goes to {other:?}"),
    }
}

/// How a cancel affects a deployment at this stage.
fn cancel(stage: Stage) -> String {
    let facts = Facts { cancel_requested: true, rollout_status: Some(RolloutStatus::Progressing), ..Facts::default() };
    if next_move(stage, &facts, 2) != Move::Wait {
        return outcome(stage, &facts).into();
    }
    let failed = Facts { restore_failed: Some("web.0 ended".into()), ..facts };
    format!("continues; after the first instance that cannot be restored: {}", outcome(stage, &failed))
}

/// How a deployment at this stage affects a newer request.
fn newer(stage: Stage) -> String {
    let waits = |request: &Request| match admit(&[stage], None, request) {
        Admission::BeginBeside => "begins at once",
        Admission::Wait => "waits",
        other => panic!("{other:?} while {stage:?}"),
    };
    let (restart, other) = (waits(&Request::restart(Restart::All)), waits(&Request::deploy()));
    if stage != Stage::RollingBack {
        return format!("a restart {restart}, anything else {other}");
    }
    let failed = Facts { restore_failed: Some("web.0 ended".into()), newer_waits: true, ..Facts::default() };
    assert_eq!((restart, other, outcome(stage, &failed)), ("waits", "waits", "ends as ERROR; what serves is kept"));
    "waits; begins after the first instance that cannot be restored".into()
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn open_stages() -> impl Iterator<Item = Stage> {
    Stage::ALL.into_iter().filter(|it| !it.is_ended())
}

fn document() -> String {
    let rows = obstacles()
        .into_iter()
        .map(|it| format!("| {:?} | {} | {} | {} |\n", it.stage, it.what, it.ended_by, outcome(it.stage, &it.facts)));
    let rows: String = rows.collect();
    let asked: String = open_stages().map(|it| format!("| {it:?} | {} | {} |\n", cancel(it), newer(it))).collect();
    let least = words(limits::ROLLBACK_AT_LEAST);
    format!(
        "# How deployments end

Written by `crates/rollout/tests/stage_table.rs` from the code that decides; do not edit by hand.

A deployment goes through the stages Pending, Building, Built, Preparing (databases, then PRE_DEPLOY jobs), Rolling (instances are
replaced) and Finishing (POST_DEPLOY jobs), and is Active then. A restart goes from Pending to Rolling at once: it builds and
prepares nothing, and first checks only that its images exist. If something fails after instances were replaced, it rolls back
first: instances of the previous version are started, probed and routed before those that failed are drained.

## What may never end by itself

| stage | obstacle | ended, at the latest, by | then the deployment |
|---|---|---|---|
{rows}
The rollback's deadline is the sum of the start-up times of all instances to be restored, plus the longest drain and grace of one
instance, plus {least}.

**What serves is kept** when a rollback is abandoned: each component keeps the version that more of its ready instances
run, which may be that of the failed deployment. Repairs use it and a later restart copies it, until a deployment succeeds. The
notes of the failed deployment name these components.

While the disk of the data directory is full, the controller cannot record stages, so none ends. Instances keep running, and the
deployment continues when there is space again.

## Cancel, and newer deployments

| stage | a person cancels: the deployment | a user requests a newer deployment: it |
|---|---|---|
{asked}
{APP_ROLLBACK}"
    )
}

/// The tables in `app_rollback` and `queue` test what this part says.
const APP_ROLLBACK: &str = "## Rollback of an app

`boatyard apps rollback APP --deployment NUMBER`, or `POST /v2/apps/APP/rollback`, returns an app to a deployment that served
earlier. The rollback is a new deployment, with the stages, deadlines and cancelation above.

| part of the app | in the rollback |
|---|---|
| spec, routing rules, variables with secret values | those of the earlier deployment |
| images | the same, without fetch or build, while the engine has them |
| an image that is gone, from a git source | is built again from the recorded commit |
| a prebuilt image that is gone | is pulled by its recorded digest; without one by its tag, which is a warning of the check |
| an image that can be neither built nor pulled | the rollback fails before it changes anything |
| jobs | do not run |
| databases | stay as they are: data is never rolled back, and a database that was added since keeps running |
| a database of the earlier spec that was removed since | the rollback is refused |
| a database that has another engine or version than the earlier spec asks for | the rollback is refused, unless the spec that serves asks for the same |

The engine keeps the images of the newest five versions that served. An app keeps its newest 100 deployments on record.

**A rollback pins its app**, unless it has `skip_pin`. A pinned app takes no new deployments except restarts. An update with an equal
spec changes nothing and is not refused.

| what happens | the app | its newest spec |
|---|---|---|
| the rollback is accepted | is pinned | is that of the earlier deployment |
| commit | takes new deployments; an update keeps the commits that the rollback brought back | stays |
| revert, after the rollback has served | takes new deployments; a new deployment deploys the newest spec from before the rollback, even if that one had failed | is the one from before the rollback |
| revert, while the rollback is under way | takes new deployments; the rollback is canceled, and a new deployment deploys the newest spec from before the rollback, even if that one had failed | is the one from before the rollback |
| revert, before the rollback has begun | takes new deployments; the rollback is canceled, and what serves stays | is the one from before the rollback |
| the rollback fails or is canceled | takes new deployments; what served before serves, or what is kept if that cannot be restored | is the one from before the rollback |
| the revert fails | takes new deployments; the rollback's version serves | is the one from before the rollback |
| a restart merges with a rollback that waits | is pinned to the merged deployment | stays |
| a rollback is requested while an update or a rebuild waits | is pinned to the rollback, which replaces what waits | is that of the earlier deployment |

The jobs of a revert do not run if the newest spec served, together with exactly the versions that the revert brings back. They run if that
spec never served, or if some components served in the version of a failed deployment, whose own rollback had been abandoned. Like those of a
rollback, the versions of a revert come from the records: nothing newer is fetched where the source is the same.

A rollback to a deployment whose spec and images serve already is refused. If a newer deployment is under way, the refusal names the command
that cancels it.
";

#[test]
fn the_documented_table_matches_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deployments.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == wanted, "docs/deployments.md is old: UPDATE_DOCS=1 cargo test -p rollout --test stage_table");
}

#[test]
fn every_stage_has_an_obstacle_and_each_that_needs_the_engine_ends_without_it() {
    let rows = obstacles();
    for stage in open_stages() {
        assert!(rows.iter().any(|it| it.stage == stage), "{stage:?}");
        let needs_engine = !matches!(stage, Stage::Pending | Stage::Built);
        assert_eq!(rows.iter().any(|it| it.stage == stage && it.what == NO_ENGINE), needs_engine, "{stage:?}");
    }
}
