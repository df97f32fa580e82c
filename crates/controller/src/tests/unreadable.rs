//! Records that this version cannot read: what serves keeps serving, and other apps are not affected.

use std::time::Duration;

use rollout::deployment::Stage;
use serde_json::{Value, json};
use store::records::{App, AppState, Change, Deployment};
use tokio::time::sleep;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;

#[test]
fn an_app_with_an_unreadable_deployment_stays_unchanged_while_others_change() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let (upstreams, containers) = (cluster.ingress.upstreams("web"), cluster.engine.containers());
        cluster.crash().await;
        let lost = |app: App| vec![Change::App(App { active: Some("not there".into()), ..app })];
        cluster.tamper(&app, |state| lost(state.app)).await;
        cluster.open().await;

        let mut other = spec("2");
        other.name = "other".into();
        let other = cluster.controller().create_app(other, &caller()).await.unwrap().id;
        cluster
            .until(async || match cluster.newest(&other).await.stage {
                Stage::Active => Ok(()),
                stage => Err(format!("{stage:?}")),
            })
            .await;
        sleep(Duration::from_secs(60)).await;

        let routed = cluster.ingress.upstreams("web");
        assert!(upstreams.iter().all(|it| routed.contains(it)) && routed.len() == 4, "{routed:?}");
        let now = cluster.engine.containers();
        assert!(containers.iter().all(|it| now.contains(it)), "{now:#?}");
    });
}

#[test]
fn with_an_unreadable_active_spec_the_current_rules_route_to_the_current_instances() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let ingress = cluster.ingress.clone();
        let rules = || ingress.taken().pop().unwrap().table.apps.remove(0).rules;
        let before = rules();
        cluster.crash().await;
        let unread = |it: Deployment| Change::Deployment(Box::new(Deployment { spec: 7.into(), ..it }));
        cluster.tamper(&app, |state| state.deployments.into_iter().map(unread).collect()).await;
        cluster.open().await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(rules(), before);

        let lost = before[0].upstreams()[0].id.clone();
        cluster.engine.remove_by_hand(&lost);
        cluster.end(&app, Stage::Active).await;
        let after = rules();
        assert_eq!((after.len(), after[0].upstreams().len()), (before.len(), 2));
        assert!(after[0].upstreams().iter().all(|it| it.id != lost), "the one that took its place is routed");
    });
}

#[test]
fn a_stored_spec_that_violates_a_newer_rule_still_runs() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        cluster.crash().await;
        let broken = |mut spec: Value| {
            spec["envs"] = json!([{"key": "9 lives", "value": "is no name of a variable"}]);
            spec
        };
        let of_before = |state: AppState| {
            let deployment = |it: Deployment| Deployment { spec: broken(it.spec.clone()), ..it };
            let deployments = state.deployments.into_iter().map(deployment);
            let deployments = deployments.map(|it| Change::Deployment(Box::new(it)));
            let app = Change::App(App { spec: broken(state.app.spec.clone()), ..state.app });
            deployments.chain([app]).collect()
        };
        cluster.tamper(&app, of_before).await;
        cluster.open().await;
        cluster.restart(&app).await;
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.spec["envs"][0]["key"], "9 lives");
    });
}
