//! The timeline of a deployment: every transition once and in order, whenever the controller dies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollout::deployment::Stage;
use rollout::ids::{AppId, InstanceName};
use store::records::Transition::{self, *};
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::view::InstanceTransition;

/// The life of a new service instance that serves.
const NEW: [Transition; 5] = [Intended, Created, Starting, Ready, Routed];
/// The end of an instance that is replaced. If the controller dies while it stops the instance, the next controller finds
/// the end of the process, and does not record it.
const OLD: [Transition; 4] = [Existed, Draining, Stopping, Gone];

async fn newest_timeline(cluster: &TestCluster, app: &AppId) -> Vec<InstanceTransition> {
    let id = cluster.newest(app).await.id;
    cluster.controller().timeline(app, &id).await.unwrap()
}

/// The transitions of each instance.
fn lives(timeline: &[InstanceTransition]) -> BTreeMap<InstanceName, Vec<&InstanceTransition>> {
    let mut lives: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for it in timeline {
        lives.entry(it.instance_name.clone()).or_default().push(it);
    }
    lives
}

/// Checks that the newest deployment, which has ended, has a timeline without gaps and duplicates.
pub async fn check(cluster: &TestCluster, app: &AppId) {
    let timeline = newest_timeline(cluster, app).await;
    assert!(timeline.is_sorted_by_key(|it| it.at), "{timeline:#?}");
    let left: BTreeSet<_> = cluster.state(app).await.instances.into_iter().map(|it| it.name).collect();
    for (name, life) in lives(&timeline) {
        let (first, marks) = (life[0], life.iter().map(|it| it.transition).collect::<Vec<_>>());
        let reached = |it| marks.contains(&it);
        assert_eq!(first.transition, if first.existed_before { Existed } else { Intended }, "{name}: {marks:?}");
        assert!(marks.is_sorted_by(|one, next| (*one as u8) < (*next as u8)), "{name}: {marks:?}");
        assert_eq!(reached(Gone), !left.contains(&name), "{name}: {marks:?}");
        if !first.existed_before {
            assert!(reached(Created) || !reached(Starting), "{name}: {marks:?}");
            assert!(reached(Starting) || !reached(Ready), "{name}: {marks:?}");
            assert_eq!(reached(Routed), reached(Ready) && first.component_type == "SERVICE", "{name}: {marks:?}");
        }
    }
    assert!(left.iter().all(|it| timeline.iter().any(|row| row.instance_name == *it)), "each instance is in it");
}

/// Checks the timeline of a restart: in each slot the old instance was replaced, and was stopped only after the ingress
/// had routed the new one.
pub async fn check_restart(cluster: &TestCluster, app: &AppId) {
    check(cluster, app).await;
    let timeline = newest_timeline(cluster, app).await;
    let lives = lives(&timeline);
    let number = cluster.newest(app).await.number;
    for alias in ["web-0", "web-1", "mill-0"] {
        let of = |existed: bool| {
            let life = lives.values().find(|it| it[0].instance_alias == alias && it[0].existed_before == existed);
            life.unwrap_or_else(|| panic!("{alias} {existed}: {timeline:#?}"))
        };
        let (old, new) = (of(true), of(false));
        let marks = |life: &[&InstanceTransition]| {
            life.iter().map(|it| it.transition).filter(|it| *it != Stopped).collect::<Vec<_>>()
        };
        let is_service = alias != "mill-0";
        assert_eq!((marks(old), marks(new)), (OLD.to_vec(), NEW[..if is_service { 5 } else { 4 }].to_vec()), "{alias}");
        assert!(new[0].generation > old[0].generation && new[0].revision == old[0].revision);
        assert!(new[0].deployment_number == Some(number) && old[0].deployment_number < Some(number));
        if is_service {
            assert!(new[4].at <= old[2].at, "{alias}: {timeline:#?}");
        }
    }
    assert_eq!(lives.len(), 6);
}

#[test]
fn a_restart_has_a_timeline_of_every_instance() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        check(&cluster, &app).await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        check_restart(&cluster, &app).await;
    });
}

#[test]
fn a_deployment_that_fails_shows_what_became_of_its_instances() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "stuck").await;
        cluster.settle(&app, Stage::Failed).await;
        check(&cluster, &app).await;
        let timeline = newest_timeline(&cluster, &app).await;
        let is_new = |it: &&InstanceTransition| !it.existed_before && it.transition == Starting;
        let failed = timeline.iter().find(is_new).expect("an instance started").instance_name.clone();
        let marks: Vec<_> = lives(&timeline)[&failed].iter().map(|it| it.transition).collect();
        assert_eq!(marks, [Intended, Created, Starting, Stopping, Stopped, Gone]);
    });
}

#[test]
fn a_repair_belongs_to_no_deployment() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let (before, names) = (newest_timeline(&cluster, &app).await, cluster.names(&app, "web").await);
        let lost = names.first().unwrap();
        cluster.engine.remove_by_hand(lost);
        cluster
            .until(async || match cluster.names(&app, "web").await {
                now if now.contains(lost) || now.len() < 2 => Err(format!("{now:?}")),
                _ => Ok(()),
            })
            .await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(newest_timeline(&cluster, &app).await, before);
    });
}

#[test]
fn another_apps_deployment_has_no_timeline() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let id = cluster.newest(&app).await.id;
        let error = cluster.controller().timeline(&"other".into(), &id).await.unwrap_err();
        assert!(matches!(error, crate::error::ControlError::NotFound(_)), "{error}");
    });
}
