//! The database is older than the running containers: it was restored from a backup, or lost. What serves keeps
//! serving, nothing newer is removed, and the next deployment replaces it.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::Engine as _;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use tempfile::TempDir;
use tokio::time::sleep;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::unknown::KeptVolume;

/// A cluster whose database was restored: since the backup, `shop` was updated and restarted, and `other` was created.
/// Also returns the containers and the upstreams from before the restore.
async fn put_back() -> (TestCluster, AppId, AppId, BTreeSet<String>, Vec<String>) {
    let (mut cluster, shop) = TestCluster::with_app().await;
    cluster.crash().await;
    let backup: TempDir = cluster.back_up();
    cluster.open().await;
    cluster.update(&shop, "2").await;
    cluster.end(&shop, Stage::Active).await;
    cluster.restart(&shop).await;
    cluster.end(&shop, Stage::Active).await;
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
    cluster.crash().await;
    let (ran, routed) = (containers(&cluster), cluster.ingress.upstreams("web"));
    cluster.put_back(&backup);
    cluster.open().await;
    (cluster, shop, other, ran, routed)
}

fn containers(cluster: &TestCluster) -> BTreeSet<String> {
    cluster.engine.containers().into_iter().map(|it| it.name).collect()
}

#[test]
fn containers_newer_than_the_database_keep_serving_and_are_listed() {
    simulate(async {
        let (cluster, shop, other, ran, routed) = put_back().await;
        sleep(Duration::from_secs(600)).await;
        assert_eq!((containers(&cluster), cluster.ingress.upstreams("web")), (ran, routed));
        assert!(cluster.ingress.taken().iter().map(|it| it.table.version).is_sorted_by(|a, b| a < b));

        let unknown = cluster.controller().unknown().await.unwrap();
        assert!(unknown.notices[0].contains("older"), "{:?}", unknown.notices);
        let of = |app: &AppId| unknown.apps.iter().find(|it| it.app == *app).unwrap();
        assert_eq!((of(&shop).name.as_deref(), of(&other).hosts[0].as_str()), (Some("shop"), "other.localhost"));
        let (of_shop, of_other) = (&of(&shop).containers, &of(&other).containers);
        assert_eq!((of_shop.len(), of_shop.iter().filter(|it| it.routed).count()), (3, 2), "{of_shop:#?}");
        assert!(of_other.iter().any(|it| it.role == "database" && it.running), "{of_other:#?}");
    });
}

#[test]
fn a_restart_replaces_newer_containers_and_the_app_stays_routed_throughout() {
    simulate(async {
        let (mut cluster, shop, other, ran, _) = put_back().await;
        sleep(Duration::from_secs(60)).await;
        // The names survive a crash, too.
        cluster.crash().await;
        cluster.open().await;
        sleep(Duration::from_secs(60)).await;
        let (since, of_shop) = (cluster.engine.calls().len(), cluster.controller().unknown().await.unwrap());
        let newer: Vec<_> = of_shop.apps.into_iter().filter(|it| it.app == shop).flat_map(|it| it.containers).collect();
        cluster.restart(&shop).await;
        cluster
            .until(async || match cluster.newest(&shop).await.stage {
                Stage::Active => Ok(()),
                stage => Err(format!("{stage:?}")),
            })
            .await;
        sleep(Duration::from_secs(180)).await;
        cluster.check_capacity(since);
        let now = containers(&cluster);
        assert!(newer.iter().all(|it| !now.contains(&it.name)), "{now:?}");
        let left = cluster.controller().unknown().await.unwrap().apps;
        assert_eq!(left.iter().map(|it| &it.app).collect::<Vec<_>>(), [&other]);
        let of_other = |names: &BTreeSet<String>| names.iter().filter(|it| it.contains("other")).count();
        assert_eq!(of_other(&now), of_other(&ran));
    });
}

#[test]
fn a_command_removes_an_unknown_app_but_no_unknown_part_that_serves() {
    simulate(async {
        let (cluster, shop, other, _, _) = put_back().await;
        sleep(Duration::from_secs(60)).await;
        let refused = cluster.controller().delete_unknown(&shop).await.unwrap_err();
        assert!(
            matches!(&refused, ControlError::Conflict(why) if why.contains("boatyard apps restart shop")),
            "{refused}"
        );
        let deleted = cluster.controller().delete_unknown(&other).await.unwrap();
        assert_eq!((deleted.networks.len(), deleted.volumes.len()), (1, 1));
        assert!(containers(&cluster).iter().all(|it| !it.contains("other")));
        assert!(cluster.ingress.taken().pop().unwrap().table.apps.iter().all(|it| it.app != other.as_str()));
        let left = cluster.controller().unknown().await.unwrap().apps;
        assert!(left.iter().all(|it| it.app != other), "{left:?}");
    });
}

#[test]
fn the_volume_of_a_deleted_apps_database_is_listed_until_it_is_removed() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let database = cluster.state(&app).await.databases[0].clone();
        assert_eq!(cluster.controller().unknown().await.unwrap().volumes, []);
        cluster.controller().delete_app(&app).await.unwrap();
        cluster.gone(&app).await;
        let kept = || async { cluster.controller().unknown().await.unwrap().volumes };
        let component = database.name.to_string();
        assert_eq!(kept().await, [KeptVolume { volume: database.volume.clone(), app: app.clone(), component }]);
        cluster.engine.remove_volume(&database.volume).await.unwrap();
        assert_eq!(kept().await, []);
    });
}
