//! Rollbacks that a person asks for: an app returns to a deployment that served earlier, and stays pinned to it until
//! the rollback is committed or reverted. How a deployment that failed rolls back is in [`crate::rollback`].

use crate::deployment::Stage;
use crate::ids::{ComponentName, DeploymentId};
use crate::queue::{Build, Request};

/// A deployment that a person asks to return to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackTarget {
    /// 1, 2, 3 … within the app.
    pub number: u64,
    /// Where it stands.
    pub stage: Stage,
    /// It became active, even if a newer deployment is active now.
    pub has_served: bool,
    /// The app runs its spec and its images now.
    pub serves: bool,
    /// This version of Boatyard can read its spec.
    pub is_readable: bool,
    /// The databases in its spec.
    pub databases: Vec<DatabaseConfig>,
    /// Services and workers with a prebuilt image that no registry is known to have.
    pub without_digest: Vec<ComponentName>,
}

/// What a spec says about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// Its name.
    pub name: ComponentName,
    /// App Platform's word for the engine: `PG`.
    pub engine: String,
    /// `None`: the spec accepts any version.
    pub version: Option<String>,
}

/// A database of the app, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingDatabase {
    /// Its name.
    pub name: ComponentName,
    /// App Platform's word for the engine: `PG`.
    pub engine: String,
    /// The version of its files.
    pub version: String,
    /// It runs. Otherwise the app's spec no longer contains it, and only its volume is kept.
    pub is_wanted: bool,
}

/// The app to roll back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppNow {
    /// Its name.
    pub name: String,
    /// Number of the deployment that it is pinned to.
    pub pinned: Option<u64>,
    /// Numbers of the deployments that wait or are under way, oldest first, except restarts and those that a person
    /// canceled. If they succeed, what serves now no longer serves.
    pub under_way: Vec<u64>,
    /// The databases in the spec that serves.
    pub declared: Vec<DatabaseConfig>,
    /// The databases that exist.
    pub existing: Vec<ExistingDatabase>,
}

/// Whether an app can be rolled back to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollbackCheck {
    /// Why not.
    pub error: Option<Condition>,
    /// What a person should know before.
    pub warnings: Vec<Condition>,
}

/// One finding of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// For programs.
    pub code: ConditionCode,
    /// For people: what is wrong, and what to do.
    pub message: String,
    /// The components that it concerns.
    pub components: Vec<ComponentName>,
}

/// App Platform's codes, as far as Boatyard can meet their conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionCode {
    /// The deployment is under way, or serves already.
    IncompatiblePhase,
    /// The deployment never served, or its spec cannot be read.
    IncompatibleResult,
    /// The deployment is not on record.
    ExceededRevisionLimit,
    /// An earlier rollback waits for a commit or a revert.
    AppPinned,
    /// The deployment's databases are not those of today.
    DatabaseConfigConflict,
    /// A warning: if the engine no longer has the image, only its tag can be pulled.
    ImageSourceMissingDigest,
}

impl ConditionCode {
    /// The code in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IncompatiblePhase => "incompatible_phase",
            Self::IncompatibleResult => "incompatible_result",
            Self::ExceededRevisionLimit => "exceeded_revision_limit",
            Self::AppPinned => "app_pinned",
            Self::DatabaseConfigConflict => "database_config_conflict",
            Self::ImageSourceMissingDigest => "image_source_missing_digest",
        }
    }
}

/// Decides whether an app can be rolled back. `to`: the deployment with this ID; `None` if it is not on record.
pub fn check(app: &AppNow, id: &DeploymentId, to: Option<&RollbackTarget>) -> RollbackCheck {
    let without_digest = to.map(|it| it.without_digest.clone()).unwrap_or_default();
    let warning = (!without_digest.is_empty()).then(|| Condition {
        code: ConditionCode::ImageSourceMissingDigest,
        message: format!(
            "no registry is known to have the image of {}. If the engine no longer has it, its tag is pulled, which may \
             name another image by now",
            listed(&without_digest)
        ),
        components: without_digest,
    });
    RollbackCheck { error: refusal(app, id, to), warnings: warning.into_iter().collect() }
}

fn refusal(app: &AppNow, id: &DeploymentId, to: Option<&RollbackTarget>) -> Option<Condition> {
    use ConditionCode as Code;
    let refuse = |code, message| Some(Condition { code, message, components: Vec::new() });
    let name = &app.name;
    let others = format!("Those that served: boatyard apps list-deployments {name}");
    if let Some(pinned) = app.pinned {
        return refuse(Code::AppPinned, pinned_message(name, pinned));
    }
    let Some(to) = to else {
        return refuse(
            Code::ExceededRevisionLimit,
            format!("app {name} has no deployment {id} on record; old ones are removed. {others}"),
        );
    };
    let number = to.number;
    if !to.stage.is_ended() {
        let message =
            format!("deployment {number} of {name} is {}, so it has not served yet. {others}", to.stage.phase());
        return refuse(Code::IncompatiblePhase, message);
    }
    if !to.has_served {
        let message = format!("deployment {number} of {name} ended as {} and never served. {others}", to.stage.phase());
        return refuse(Code::IncompatibleResult, message);
    }
    if !to.is_readable {
        let message = format!("the spec of deployment {number} of {name} cannot be read by this version. {others}");
        return refuse(Code::IncompatibleResult, message);
    }
    if to.serves {
        return refuse(Code::IncompatiblePhase, serves_message(app, number));
    }
    database_conflict(app, to)
}

/// Explains why an app does not return to a deployment that serves.
fn serves_message(app: &AppNow, number: u64) -> String {
    let (name, serves) =
        (&app.name, format!("{} already serves the spec and the images of deployment {number}", app.name));
    let cancels: Vec<_> =
        app.under_way.iter().map(|it| format!("boatyard apps cancel-deployment {name} {it}")).collect();
    match &app.under_way[..] {
        [] => format!("nothing to do: {serves}"),
        [one] => format!("{serves}, and deployment {one} is under way. To cancel it: {}", cancels.concat()),
        all => {
            let all: Vec<_> = all.iter().map(u64::to_string).collect();
            format!(
                "{serves}, and deployments {} are under way. To cancel them: {}",
                all.join(" and "),
                cancels.join("; ")
            )
        }
    }
}

/// Data is never rolled back, so a rollback needs the databases of its spec as they are. A configuration that the spec
/// has today as well is no conflict, even if the database differs from it.
pub fn database_conflict(app: &AppNow, to: &RollbackTarget) -> Option<Condition> {
    let conflict = |config: &DatabaseConfig| {
        let name = &config.name;
        let same_now = app.declared.iter().any(|it| it == config);
        let Some(existing) = app.existing.iter().find(|it| it.name == *name && it.is_wanted) else {
            return Some((name.clone(), format!("{name} was removed from the app since")));
        };
        let version = config.version.as_deref().unwrap_or(&existing.version);
        let is_it = existing.engine == config.engine && existing.version == version;
        let differs = format!(
            "{name} is {} {}, and that spec asks for {} {version}",
            existing.engine, existing.version, config.engine
        );
        (!is_it && !same_now).then(|| (name.clone(), differs))
    };
    let (components, reasons): (Vec<_>, Vec<_>) = to.databases.iter().filter_map(conflict).unzip();
    let (app, number) = (&app.name, to.number);
    (!components.is_empty()).then(|| Condition {
        code: ConditionCode::DatabaseConfigConflict,
        message: format!(
            "the databases of {app} are not those of deployment {number}, and a rollback leaves databases alone: {}. \
             Deploy a spec with the databases of today: boatyard apps update {app} --spec FILE",
            reasons.join("; ")
        ),
        components,
    })
}

/// Explains why a pinned app takes no new deployment.
pub fn pinned_message(app: &str, deployment: u64) -> String {
    format!(
        "app {app} is pinned to deployment {deployment}, a rollback: new deployments are refused until it is committed or \
         reverted. To keep it: boatyard apps rollback commit {app}. To undo it: boatyard apps rollback revert {app}"
    )
}

/// What the end of a rollback means for its app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppAfter {
    /// The app takes new deployments again.
    pub unpin: bool,
    /// The app's spec is again the one from before the rollback.
    pub restore_spec: bool,
}

/// What becomes of the app when its rollback ends at `stage`. Only one that failed or was canceled changes it. Then the
/// app gets its previous spec back, unless a newer deployment is open.
pub fn after_end(stage: Stage, is_pinned_to_it: bool, is_its_spec: bool, newer_deploys: bool) -> AppAfter {
    let is_undone = matches!(stage, Stage::Failed | Stage::Canceled);
    AppAfter { unpin: is_undone && is_pinned_to_it, restore_spec: is_undone && is_its_spec && !newer_deploys }
}

/// What a request keeps of a rollback that waits, when it absorbs the rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherited {
    /// Nothing: the request fetches the newest sources, or is a rollback of its own.
    Nothing,
    /// The versions that the rollback would have brought. The spec is newer, so its jobs run, and the rollback cannot be
    /// reverted.
    Versions,
    /// The whole rollback, because the request only replaces instances.
    Rollback,
}

/// What `newer` keeps of a rollback that waits as `waiting`.
pub fn inherited(waiting: &Request, newer: &Request) -> Inherited {
    match waiting.merge(newer).build {
        Build::Recorded if newer.is_restart() => Inherited::Rollback,
        Build::Recorded if newer.build != Build::Recorded => Inherited::Versions,
        _ => Inherited::Nothing,
    }
}

fn listed(names: &[ComponentName]) -> String {
    names.iter().map(ComponentName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Restart;

    fn config(engine: &str, version: Option<&str>) -> DatabaseConfig {
        DatabaseConfig { name: "db".into(), engine: engine.into(), version: version.map(str::to_owned) }
    }

    fn target() -> RollbackTarget {
        RollbackTarget {
            number: 3,
            stage: Stage::Superseded,
            has_served: true,
            serves: false,
            is_readable: true,
            databases: vec![config("PG", Some("16"))],
            without_digest: Vec::new(),
        }
    }

    fn now() -> AppNow {
        let db = ExistingDatabase { name: "db".into(), engine: "PG".into(), version: "16".into(), is_wanted: true };
        AppNow {
            name: "shop".into(),
            pinned: None,
            under_way: Vec::new(),
            declared: vec![config("PG", None)],
            existing: vec![db],
        }
    }

    fn error(app: &AppNow, to: Option<&RollbackTarget>) -> Option<(&'static str, String)> {
        check(app, &"d-3".into(), to).error.map(|it| (it.code.as_str(), it.message))
    }

    #[test]
    fn only_a_deployment_that_served_and_does_not_serve_now_can_be_returned_to() {
        let with = |change: fn(&mut RollbackTarget)| {
            let mut it = target();
            change(&mut it);
            Some(it)
        };
        let cases = [
            ("it served", with(|_| ()), None, ""),
            ("it is not on record", None, Some("exceeded_revision_limit"), "no deployment d-3 on record"),
            ("it is under way", with(|it| it.stage = Stage::Rolling), Some("incompatible_phase"), "is DEPLOYING"),
            ("it waits", with(|it| it.stage = Stage::Pending), Some("incompatible_phase"), "is PENDING_BUILD"),
            (
                "it failed",
                with(|it| (it.stage, it.has_served) = (Stage::Failed, false)),
                Some("incompatible_result"),
                "ended as ERROR and never served",
            ),
            (
                "it was canceled",
                with(|it| (it.stage, it.has_served) = (Stage::Canceled, false)),
                Some("incompatible_result"),
                "ended as CANCELED",
            ),
            (
                "it was superseded while it waited",
                with(|it| it.has_served = false),
                Some("incompatible_result"),
                "ended as SUPERSEDED and never served",
            ),
            (
                "its spec is unreadable",
                with(|it| it.is_readable = false),
                Some("incompatible_result"),
                "cannot be read",
            ),
            (
                "it serves",
                with(|it| (it.stage, it.serves) = (Stage::Active, true)),
                Some("incompatible_phase"),
                "shop already serves the spec and the images of deployment 3",
            ),
            ("it is active, but other images serve", with(|it| it.stage = Stage::Active), None, ""),
            ("a copy of it serves", with(|it| it.serves = true), Some("incompatible_phase"), "nothing to do"),
        ];
        for (name, to, code, part) in cases {
            let found = error(&now(), to.as_ref());
            assert_eq!(found.as_ref().map(|it| it.0), code, "{name}");
            assert!(found.is_none_or(|(_, message)| message.contains(part)), "{name}");
        }
    }

    #[test]
    fn a_pinned_app_is_not_rolled_back_again_and_the_error_names_both_ways_out() {
        let pinned = AppNow { pinned: Some(5), ..now() };
        for to in [Some(target()), None] {
            let (code, message) = error(&pinned, to.as_ref()).expect("an error");
            assert_eq!(code, "app_pinned");
            for way in ["deployment 5", "boatyard apps rollback commit shop", "boatyard apps rollback revert shop"] {
                assert!(message.contains(way), "{message}");
            }
        }
    }

    #[test]
    fn what_serves_cannot_be_returned_to_and_the_error_names_what_is_under_way() {
        let serves = RollbackTarget { stage: Stage::Active, serves: true, ..target() };
        let message = |under_way: &[u64]| {
            let app = AppNow { under_way: under_way.to_vec(), ..now() };
            let (code, message) = error(&app, Some(&serves)).expect("an error");
            assert_eq!(code, "incompatible_phase");
            assert_eq!(error(&app, Some(&target())), None, "what does not serve can be returned to");
            message
        };
        let says = "shop already serves the spec and the images of deployment 3";
        assert_eq!(message(&[]), format!("nothing to do: {says}"));
        assert_eq!(
            message(&[4]),
            format!("{says}, and deployment 4 is under way. To cancel it: boatyard apps cancel-deployment shop 4")
        );
        assert_eq!(
            message(&[4, 6]),
            format!(
                "{says}, and deployments 4 and 6 are under way. To cancel them: boatyard apps cancel-deployment shop 4; \
                 boatyard apps cancel-deployment shop 6"
            )
        );
    }

    #[test]
    fn a_request_that_absorbs_a_rollback_keeps_what_it_does_not_replace() {
        let kept = |newer: &Request| inherited(&Request::recorded(), newer);
        assert_eq!(kept(&Request::restart(Restart::All)), Inherited::Rollback);
        assert_eq!(kept(&Request::update()), Inherited::Versions);
        for newer in [Request::recorded(), Request::deploy(), Request::rebuild(false)] {
            assert_eq!(kept(&newer), Inherited::Nothing, "{newer:?}");
        }
    }

    #[test]
    fn a_rollback_needs_the_databases_of_its_spec_as_they_are() {
        let pg = |version: &str| ExistingDatabase { version: version.into(), ..now().existing[0].clone() };
        let stopped = || ExistingDatabase { is_wanted: false, ..pg("16") };
        let mysql = || ExistingDatabase { engine: "MYSQL".into(), ..pg("16") };
        let declared_now = || vec![config("PG", Some("16"))];
        let cases = [
            ("the same", vec![], vec![pg("16")], Some("16"), None),
            ("any version", vec![], vec![pg("15")], None, None),
            ("another version", vec![], vec![pg("15")], Some("16"), Some("db is PG 15, and that spec asks for PG 16")),
            ("another version, which the spec asks for today too", declared_now(), vec![pg("15")], Some("16"), None),
            ("another engine", vec![], vec![mysql()], Some("16"), Some("db is MYSQL 16")),
            (
                "removed, and its volume is kept",
                vec![],
                vec![stopped()],
                Some("16"),
                Some("db was removed from the app"),
            ),
            ("never there", vec![], vec![], None, Some("db was removed from the app")),
        ];
        for (name, declared, existing, version, expected) in cases {
            let app = AppNow { declared, existing, ..now() };
            let to = RollbackTarget { databases: vec![config("PG", version)], ..target() };
            let found = check(&app, &"d-3".into(), Some(&to)).error;
            assert_eq!(found.is_some(), expected.is_some(), "{name}: {found:?}");
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_eq!(
                    (found.code.as_str(), &found.components[..]),
                    ("database_config_conflict", &["db".into()][..])
                );
                assert!(found.message.contains(expected), "{name}: {}", found.message);
            }
        }
        let without = RollbackTarget { databases: Vec::new(), ..target() };
        assert_eq!(error(&now(), Some(&without)), None, "a database that was added since stays");
    }

    #[test]
    fn an_image_without_a_digest_is_a_warning_and_refuses_nothing() {
        let to = RollbackTarget { without_digest: vec!["web".into(), "mill".into()], ..target() };
        let found = check(&now(), &"d-3".into(), Some(&to));
        assert_eq!(found.error, None);
        assert_eq!(found.warnings.len(), 1);
        assert_eq!(found.warnings[0].code.as_str(), "image_source_missing_digest");
        assert!(found.warnings[0].message.contains("the image of web, mill"), "{}", found.warnings[0].message);
        assert_eq!(check(&now(), &"d-3".into(), Some(&target())).warnings, []);
    }

    #[test]
    fn only_a_rollback_that_failed_or_was_canceled_changes_its_app_when_it_ends() {
        for stage in Stage::ALL {
            let is_undone = matches!(stage, Stage::Failed | Stage::Canceled);
            let after = |pinned, its_spec, newer| {
                let AppAfter { unpin, restore_spec } = after_end(stage, pinned, its_spec, newer);
                (unpin, restore_spec)
            };
            assert_eq!(after(true, true, false), (is_undone, is_undone), "{stage:?}");
            assert_eq!(after(false, true, false), (false, is_undone), "{stage:?} with skip_pin");
            assert_eq!(after(true, false, false), (is_undone, false), "{stage:?}: the spec is newer");
            assert_eq!(after(false, true, true), (false, false), "{stage:?}: a newer deployment has this spec");
        }
    }
}
