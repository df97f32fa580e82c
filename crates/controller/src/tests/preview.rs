//! What would be done, told before it is done: in words, and without doing any of it.

use app_spec::{AppSpec, EnvKind, EnvValue, EnvVar, SecretText};
use rollout::deployment::Stage;

use super::house::{House, caller, spec};
use super::simulation::simulate;

fn with_secret(value: &str) -> AppSpec {
    let mut spec = spec("1");
    let token = EnvVar {
        key: "TOKEN".into(),
        value: EnvValue::Secret(SecretText::new(value)),
        kind: Some(EnvKind::Secret),
        ..EnvVar::default()
    };
    spec.services[0].common.envs.push(token);
    spec
}

#[test]
fn a_new_app_is_told_from_its_images_to_its_routes() {
    simulate(async {
        let house = House::new().await;
        let since = house.engine.calls().len();
        let plan = house.controller().preview_update(None, spec("1")).await.unwrap();
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
        assert_eq!(plan.changes, [""; 0]);
        assert_eq!(house.engine.calls()[since..].iter().filter(|call| call.verb.changes()).count(), 0);
    });
}

#[test]
fn an_update_is_told_field_by_field_and_step_by_step() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let (since, before) = (house.engine.calls().len(), house.state(&app).await);
        let plan = house.controller().preview_update(Some(&app), spec("2")).await.unwrap();
        assert_eq!(plan.changes, ["~ services.web.image.tag: 1 → 2"]);
        let wanted = [
            "use image test/web:2 for web",
            "use image test/mill:1 for mill",
            "use image test/migrate:1 for migrate",
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
        assert_eq!(house.engine.calls()[since..].iter().filter(|call| call.verb.changes()).count(), 0);
        let after = house.state(&app).await;
        assert_eq!(
            (after.deployments.len(), after.instances.len()),
            (before.deployments.len(), before.instances.len())
        );
    });
}

#[test]
fn another_secret_is_a_change_that_shows_neither() {
    simulate(async {
        let house = House::new().await;
        let app = house.controller().create_app(with_secret("hunter2"), &caller()).await.unwrap().app.id;
        house.settle(&app, Stage::Active).await;
        let plan = house.controller().preview_update(Some(&app), with_secret("hunter3")).await.unwrap();
        assert_eq!(plan.changes, ["~ services.web.envs.TOKEN.value: (secret) → (another secret)"]);
        assert!(plan.steps.iter().any(|step| step.starts_with("drain the old web.0")), "{:#?}", plan.steps);
        let same = house.controller().preview_update(Some(&app), with_secret("hunter2")).await.unwrap();
        assert_eq!((same.changes.len(), &same.steps[..]), (0, &["nothing: this spec serves already".to_owned()][..]));
    });
}
