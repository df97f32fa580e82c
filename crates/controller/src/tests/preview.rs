//! Previews: what a request would do, in words and without doing it.

use app_spec::{AppSpec, EnvKind, EnvValue, EnvVar, SecretText};
use engine_fake::{Call, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::view::{DeployOptions, Preview, UpdateOptions};

fn with_secret(value: &str) -> AppSpec {
    with_value(EnvValue::Secret(SecretText::new(value)))
}

fn with_value(value: EnvValue) -> AppSpec {
    let mut spec = spec("1");
    let token = EnvVar { key: "TOKEN".into(), value, kind: Some(EnvKind::Secret), ..EnvVar::default() };
    spec.services[0].common.envs.push(token);
    spec
}

/// Each component whose instances change, with how many are created and removed.
fn counts(plan: &Preview) -> Vec<(String, usize, usize)> {
    plan.instances.iter().map(|it| (it.component.to_string(), it.created, it.removed)).collect()
}

#[test]
fn a_preview_counts_the_instances_that_change_in_their_order() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let controller = cluster.controller();
        let restart =
            async |components: &[String]| counts(&controller.preview_restart(&app, components).await.unwrap());
        assert_eq!(restart(&[]).await, [("web".to_owned(), 2, 2), ("mill".to_owned(), 1, 1)]);
        assert_eq!(restart(&["mill".into()]).await, [("mill".to_owned(), 1, 1)]);
        let nothing = controller.preview_deploy(&app, DeployOptions::default()).await.unwrap();
        assert_eq!(counts(&nothing), []);
        let mut other = spec("1");
        other.services[0].common.instance_count = Some(1);
        other.workers.clear();
        let plan = controller.preview_update(Some(&app), other, UpdateOptions::default()).await.unwrap();
        assert_eq!(counts(&plan), [("web".to_owned(), 0, 1), ("mill".to_owned(), 0, 1)]);
    });
}

#[test]
fn the_preview_of_a_new_app_lists_every_step_from_images_to_routes() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let since = cluster.engine.calls().len();
        let plan = cluster.controller().preview_update(None, spec("1"), UpdateOptions::default()).await.unwrap();
        let wanted = [
            "use image test/web:1 for web",
            "use image test/mill:1 for mill",
            "use image test/migrate:1 for migrate",
            "create database db",
            "run job migrate",
            "create web.0",
            "start web.0 and wait until it is ready",
            "create web.1",
            "start web.1 and wait until it is ready",
            "route web to web.0 and web.1",
            "create mill.0",
            "start mill.0 and wait until it is ready",
        ];
        assert_eq!(plan.steps, wanted);
        assert_eq!(counts(&plan), [("web".to_owned(), 2, 0), ("mill".to_owned(), 1, 0)]);
        assert_eq!(plan.changes, [""; 0]);
        assert_eq!(cluster.engine.calls()[since..].iter().filter(|call| call.verb.changes()).count(), 0);
    });
}

#[test]
fn the_preview_of_an_update_shows_each_field_and_each_step() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let (since, before) = (cluster.engine.calls().len(), cluster.state(&app).await);
        let plan = cluster.controller().preview_update(Some(&app), spec("2"), UpdateOptions::default()).await.unwrap();
        assert_eq!(plan.changes, ["~ services.web.image.tag: 1 → 2"]);
        assert_eq!(counts(&plan), [("web".to_owned(), 2, 2)]);
        let wanted = [
            "use image test/web:2 for web",
            "keep image test/mill:1 for mill",
            "keep image test/migrate:1 for migrate",
            "run job migrate",
            "create web.0",
            "start web.0 and wait until it is ready",
            "create web.1",
            "start web.1 and wait until it is ready",
            "route web to the old web.0, the old web.1 and web.0",
            "drain the old web.0",
            "route web to the old web.1 and web.0",
            "route web to the old web.1, web.0 and web.1",
            "stop the old web.0",
            "remove the old web.0",
            "drain the old web.1",
            "route web to web.0 and web.1",
            "stop the old web.1",
            "remove the old web.1",
        ];
        assert_eq!(plan.steps, wanted);
        assert_eq!(cluster.engine.calls()[since..].iter().filter(|call| call.verb.changes()).count(), 0);
        let after = cluster.state(&app).await;
        assert_eq!(
            (after.deployments.len(), after.instances.len()),
            (before.deployments.len(), before.instances.len())
        );
    });
}

#[test]
fn a_changed_secret_is_listed_without_either_value() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.controller().create_app(with_secret("hunter2"), &caller()).await.unwrap().id;
        cluster.settle(&app, Stage::Active).await;
        let plan = cluster
            .controller()
            .preview_update(Some(&app), with_secret("hunter3"), UpdateOptions::default())
            .await
            .unwrap();
        assert_eq!(plan.changes, ["~ services.web.envs.TOKEN.value: (secret) → (another secret)"]);
        assert!(plan.steps.iter().any(|step| step.starts_with("drain the old web.0")), "{:#?}", plan.steps);
        let same = cluster
            .controller()
            .preview_update(Some(&app), with_secret("hunter2"), UpdateOptions::default())
            .await
            .unwrap();
        assert_eq!((same.changes.len(), &same.steps[..]), (0, &["nothing: this spec serves already".to_owned()][..]));
    });
}

/// A request that the test previews and then makes.
enum Asked {
    Put(Box<AppSpec>),
    Restart(Vec<String>),
    Deploy(DeployOptions),
}

/// Checks that the request does what its preview says: it creates, starts, stops and removes the same containers and
/// runs the same jobs. The order may differ where steps wait for each other.
async fn holds(cluster: &TestCluster, app: &AppId, asked: Asked) -> Vec<String> {
    let controller = cluster.controller();
    let since = cluster.engine.calls().len();
    let plan = match &asked {
        Asked::Put(spec) => controller.preview_update(Some(app), *spec.clone(), UpdateOptions::default()).await,
        Asked::Restart(components) => controller.preview_restart(app, components).await,
        Asked::Deploy(options) => controller.preview_deploy(app, *options).await,
    };
    let steps = plan.unwrap().steps;
    assert_eq!(cluster.engine.calls()[since..].iter().filter(|call| call.verb.changes()).count(), 0);
    match asked {
        Asked::Put(spec) => drop(controller.update_app(app, *spec, UpdateOptions::default(), &caller()).await.unwrap()),
        Asked::Restart(components) => drop(controller.restart(app, &components, &caller()).await.unwrap()),
        Asked::Deploy(options) => drop(controller.deploy(app, options, &caller()).await.unwrap()),
    }
    let newest = cluster.newest(app).await.id;
    cluster.reach(&newest, Stage::Active).await;
    cluster.until(async || cluster.is_quiet(app).await).await;
    let mut done: Vec<_> = cluster.engine.calls()[since..].iter().filter_map(done_line).collect();
    let mut previewed: Vec<_> = steps.iter().filter_map(|it| visible_call(it)).collect();
    done.sort();
    previewed.sort();
    assert_eq!(previewed, done, "{steps:#?}");
    steps
}

/// Describes a call as a preview does: `Create(by-…-shop-web-0-7)` becomes `create web.0`.
fn done_line(call: &Call) -> Option<String> {
    let mut from_behind = call.what.rsplit('-');
    let (last, slot, name) = (from_behind.next()?, from_behind.next()?, from_behind.next()?);
    let verb = match call.verb {
        Verb::Create => "create",
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Remove => "remove",
        _ => return None,
    };
    match (slot, last) {
        ("run", _) => (verb == "create").then(|| format!("run job {name}")),
        (database, "db") => match verb {
            "create" | "remove" => Some(format!("{verb} database {database}")),
            _ => None,
        },
        _ => Some(format!("{verb} {name}.{slot}")),
    }
}

/// The part of a preview's step that the engine sees as a call.
fn visible_call(step: &str) -> Option<String> {
    let step = step.replace("the old ", "").replace("stop and remove database", "remove database");
    let step = step.split([';', ',']).next().unwrap_or_default().trim_end_matches(" and wait until it is ready");
    let is_call = ["create ", "start ", "stop ", "remove ", "run job "].iter().any(|verb| step.starts_with(verb));
    is_call.then(|| step.to_owned())
}

/// The test spec, with `from` replaced by `to`.
fn edited(from: &str, to: &str) -> AppSpec {
    let text = super::cluster::SPEC.replace("{tag}", "1");
    assert!(text.contains(from), "{from}");
    AppSpec::from_yaml(&text.replace(from, to)).unwrap().spec
}

/// One test per edit of the spec: the old text, the new text, and how many instances the edit creates.
macro_rules! an_update_does_what_its_preview_shows {
    ($($name:ident: $from:literal => $to:literal, $made:literal;)*) => {
        mod an_update_does_what_its_preview_shows {
            $(#[test]
            fn $name() {
                super::simulate(super::edit_holds($from, $to, $made));
            })*
        }
    };
}

async fn edit_holds(from: &'static str, to: &'static str, made: usize) {
    let (cluster, app) = TestCluster::with_app().await;
    let steps = holds(&cluster, &app, Asked::Put(edited(from, to).into())).await;
    let is_instance = |it: &&String| it.starts_with("create web.") || it.starts_with("create mill.");
    assert_eq!(steps.iter().filter(is_instance).count(), made, "{steps:#?}");
}

an_update_does_what_its_preview_shows! {
    with_another_image: "repository: web, tag: '1'" => "repository: web, tag: '2'", 2;
    with_an_instance_more: "instance_count: 2" => "instance_count: 3", 1;
    with_an_instance_less: "instance_count: 2" => "instance_count: 1", 0;
    with_a_variable_for_all: "name: shop" => "name: shop\nenvs: [{key: A, value: b}]", 3;
    with_a_variable_for_one: "  http_port" => "  envs: [{key: A, value: '${db.DATABASE_URL}'}]\n  http_port", 2;
    with_another_probe: "period_seconds: 5" => "period_seconds: 6", 2;
    with_longer_drains: "  http_port" => "  termination: {drain_seconds: 70}\n  http_port", 0;
    without_the_database: "databases: [{name: db, engine: PG, version: '17'}]" => "", 0;
    with_one_database_more: "version: '17'}" => "version: '17'}, {name: more, engine: PG, version: '17'}", 0;
    with_another_version_of_the_database: "version: '17'}" => "version: '16'}", 0;
    with_another_path: "name: shop" => "name: shop\ningress: {rules: [{match: {path: {prefix: /a}}, component: {name: web}}]}", 0;
    with_an_alert: "name: shop" => "name: shop\nalerts: [{rule: DEPLOYMENT_FAILED}]", 0;
    with_its_job_later: "kind: PRE_DEPLOY" => "kind: POST_DEPLOY", 0;
}

#[test]
fn a_component_is_replaced_when_it_refers_to_a_changed_port() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let asks = |port: &str| {
            let mill = "repository: mill, tag: '1'}\n  envs: [{key: PORT_OF_WEB, value: '${web.PRIVATE_PORT}'}]";
            let text = super::cluster::SPEC.replace("{tag}", "1").replace("repository: mill, tag: '1'}", mill);
            AppSpec::from_yaml(&text.replace("http_port: 8080", &format!("http_port: {port}"))).unwrap().spec
        };
        holds(&cluster, &app, Asked::Put(asks("8080").into())).await;
        let steps = holds(&cluster, &app, Asked::Put(asks("8081").into())).await;
        assert!(steps.iter().any(|it| it == "drain the old mill.0" || it == "stop the old mill.0"), "{steps:#?}");
    });
}

#[test]
fn a_restart_and_a_rebuild_take_the_steps_of_their_previews() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        holds(&cluster, &app, Asked::Restart(vec!["web".into()])).await;
        holds(&cluster, &app, Asked::Restart(vec![])).await;
        let steps = holds(&cluster, &app, Asked::Deploy(DeployOptions::default())).await;
        assert_eq!(steps.last().unwrap(), "nothing more: no component changed");
        holds(&cluster, &app, Asked::Deploy(DeployOptions { force_build: true, clear_cache: false })).await;
    });
}

#[test]
fn the_active_spec_changes_nothing_even_after_a_failed_deployment() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "stuck").await;
        cluster.settle(&app, Stage::Failed).await;
        let plan = cluster.controller().preview_update(Some(&app), spec("1"), UpdateOptions::default()).await.unwrap();
        assert_eq!(plan.changes, [""; 0], "nothing differs from what serves");
        holds(&cluster, &app, Asked::Put(spec("1").into())).await;
        let plan = cluster.controller().preview_update(Some(&app), spec("1"), UpdateOptions::default()).await.unwrap();
        assert_eq!(plan.steps, ["nothing: this spec serves already"]);
    });
}

#[test]
fn a_preview_shows_the_deployment_in_progress_first() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "slow").await;
        let number = cluster.newest(&app).await.number;
        let same =
            cluster.controller().preview_update(Some(&app), spec("slow"), UpdateOptions::default()).await.unwrap();
        assert_eq!(same.steps, [format!("nothing: deployment {number}, which is under way, brings this spec")]);
        assert_eq!(same.changes, ["~ services.web.image.tag: 1 → slow"], "it does not serve yet");
        let other = cluster.controller().preview_update(Some(&app), spec("2"), UpdateOptions::default()).await.unwrap();
        assert!(other.steps[0].starts_with(&format!("wait for deployment {number} to end")), "{:#?}", other.steps);
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_preview_includes_the_pending_deployment() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "slow").await;
        let rolling = cluster.newest(&app).await;
        cluster.reach(&rolling.id, Stage::Rolling).await;
        cluster.update(&app, "2").await;
        let steps = cluster.controller().preview_restart(&app, &["mill".into()]).await.unwrap().steps;
        let waits = [
            format!("do what deployment {}, which waits, was to do as well", rolling.number + 1),
            format!("wait for deployment {} to end; the steps below begin with what is there now", rolling.number),
        ];
        assert_eq!(steps[..2], waits);
        for step in ["use image test/web:2 for web", "run job migrate", "stop the old mill.0"] {
            assert!(steps.iter().any(|it| it == step), "{step}: {steps:#?}");
        }
        let merged = cluster.restart(&app).await;
        assert_eq!(cluster.deployment(&merged.id).await.request.build, rollout::queue::Build::KeepSources);
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_preview_is_refused_when_the_request_would_be() {
    simulate(async {
        let (cluster, _) = TestCluster::with_app().await;
        let controller = cluster.controller();
        let taken = controller.preview_update(None, spec("1"), UpdateOptions::default()).await.unwrap_err();
        assert!(matches!(taken, ControlError::Conflict(_)), "{taken}");
        let open = AppSpec { name: "other".into(), ..with_value(EnvValue::Missing) };
        let refused =
            controller.preview_update(None, open.clone(), UpdateOptions::default()).await.unwrap_err().to_string();
        assert!(refused.contains("TOKEN of web"), "{refused}");
        assert_eq!(controller.create_app(open.clone(), &caller()).await.unwrap_err().to_string(), refused);
        let proposed = controller.propose(None, open).await.unwrap();
        assert_eq!(proposed.needs_values, ["TOKEN of web (services[0].envs[0].value)"]);
        assert!(proposed.steps.iter().any(|it| it == "create web.0"), "{:#?}", proposed.steps);
    });
}

#[test]
fn a_deleted_app_has_no_preview() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let controller = cluster.controller();
        controller.delete_app(&app).await.unwrap();
        let plans = [
            controller.preview_update(Some(&app), spec("2"), UpdateOptions::default()).await,
            controller.preview_restart(&app, &[]).await,
            controller.preview_deploy(&app, DeployOptions::default()).await,
        ];
        for plan in plans {
            assert!(matches!(plan.unwrap_err(), ControlError::NotFound(_)));
        }
    });
}

#[test]
fn a_very_long_preview_is_cut_and_ends_with_a_note() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let many = edited("instance_count: 2", "instance_count: 250");
        let steps = cluster.controller().preview_update(None, many, UpdateOptions::default()).await.unwrap().steps;
        assert_eq!(steps.last().unwrap(), "and so on, instance by instance");
    });
}
