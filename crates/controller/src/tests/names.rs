//! The name of a deleted app is free at once, while the containers of the app still end.

use std::collections::BTreeSet;

use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::view::{DeployOptions, PageQuery, UpdateOptions};

const HOST: &str = "shop.localhost";
const PAGE: PageQuery = PageQuery { page: 1, per_page: 20 };

/// The apps that had the host name in one of the tables, in order. Fails if two apps had it in one table.
fn owners(cluster: &TestCluster) -> Vec<String> {
    let mut owners: Vec<String> = Vec::new();
    for taken in cluster.ingress.taken() {
        let apps = taken.table.apps.into_iter().filter(|it| it.hosts.iter().any(|host| host == HOST));
        let apps: Vec<_> = apps.map(|it| it.app).collect();
        assert!(apps.len() <= 1, "{apps:?} have the same host");
        if let Some(owner) = apps.into_iter().next().filter(|it| owners.last() != Some(it)) {
            owners.push(owner);
        }
    }
    owners
}

async fn until_forgotten(cluster: &TestCluster, apps: &[AppId]) {
    for app in apps {
        cluster
            .until(async || match cluster.store().app(app).await.unwrap() {
                None => Ok(()),
                Some(_) => Err(format!("{app} is on record")),
            })
            .await;
    }
}

#[test]
fn an_app_can_be_deleted_and_created_again_at_once_ten_times() {
    simulate(async {
        let (cluster, first) = TestCluster::with_app().await;
        let mut all = vec![first];
        for _ in 0..10 {
            cluster.controller().delete_app(all.last().unwrap()).await.unwrap();
            let app = cluster.create("1").await;
            assert_eq!(cluster.controller().find_app("shop").await.unwrap().id, app);
            assert_eq!(cluster.controller().apps(PAGE).await.unwrap().total, 1);
            all.push(app);
        }
        let (last, deleted) = all.split_last().unwrap();
        let first_deployment = cluster.newest(last).await.id;
        cluster.reach(&first_deployment, Stage::Active).await;
        until_forgotten(&cluster, deleted).await;
        cluster.settle(last, Stage::Active).await;
        let ids: Vec<_> = all.iter().map(ToString::to_string).collect();
        let order: Vec<_> = owners(&cluster).iter().map(|it| ids.iter().position(|id| id == it)).collect();
        assert!(order.is_sorted() && order.last() == Some(&Some(10)), "{order:?}");
    });
}

#[test]
fn a_new_app_gets_an_empty_database_of_its_own() {
    simulate(async {
        let (cluster, old) = TestCluster::with_app().await;
        let before = cluster.state(&old).await.databases[0].clone();
        cluster.controller().delete_app(&old).await.unwrap();
        let new = cluster.create("1").await;
        cluster.reach(&cluster.newest(&new).await.id, Stage::Active).await;
        let after = cluster.state(&new).await.databases[0].clone();
        assert!(before.volume != after.volume && before.container != after.container);
        assert_ne!(before.password, after.password);
        until_forgotten(&cluster, &[old]).await;
    });
}

/// The engine cannot remove the old app's network for a long time.
#[test]
fn a_deleted_app_is_found_nowhere_while_it_is_still_being_removed() {
    simulate(async {
        let (cluster, old) = TestCluster::with_app().await;
        (1..=12).for_each(|nth| cluster.engine.fail(Verb::RemoveNetwork, nth));
        let deployment = cluster.newest(&old).await.id;
        cluster.controller().delete_app(&old).await.unwrap();
        let new = cluster.create("1").await;
        cluster.reach(&cluster.newest(&new).await.id, Stage::Active).await;
        assert!(cluster.store().app(&old).await.unwrap().is_some(), "it is still being removed");

        let controller = cluster.controller();
        let refusals = [
            controller.find_app(old.as_str()).await.err(),
            controller.delete_app(&old).await.err(),
            controller.update_app(&old, spec("2"), UpdateOptions::default(), &caller()).await.err(),
            controller.restart(&old, &[], &caller()).await.err(),
            controller.deploy(&old, DeployOptions::default(), &caller()).await.err(),
            controller.deployments(&old, PAGE).await.err(),
            controller.cancel(&old, &deployment).await.err(),
            controller.instances(&old).await.err(),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, Some(ControlError::NotFound(_))), "{refusal:?}");
        }
        assert!(controller.status(old.as_str()).await.unwrap().0.deleting);
        assert!(!controller.status("shop").await.unwrap().0.deleting);
        let waits: BTreeSet<_> = controller.find_app("shop").await.unwrap().waiting.into_iter().collect();
        assert_eq!(waits, BTreeSet::new(), "the new app does not wait for the old one");
        until_forgotten(&cluster, &[old]).await;
    });
}

/// The controller ends after it recorded the deletion and before the ingress has a table without the host name.
#[test]
fn a_host_name_is_free_after_a_crash_too() {
    simulate(async {
        let (mut cluster, old) = TestCluster::with_app().await;
        cluster.crash().await;
        cluster.tamper(&old, |state| vec![deleting(state.app)]).await;
        cluster.open().await;
        let new = cluster.create("1").await;
        cluster.reach(&cluster.newest(&new).await.id, Stage::Active).await;
        until_forgotten(&cluster, std::slice::from_ref(&old)).await;
        assert_eq!(owners(&cluster), [old.to_string(), new.to_string()]);
    });
}

fn deleting(app: store::records::App) -> store::records::Change {
    store::records::Change::App(store::records::App { deleting: true, ..app })
}
