//! Others change what is ours: it is put right, and what is not on record goes.

use std::time::Duration;

use engine::fake::Verb;
use engine::{Engine, RestartPolicy};
use rollout::deployment::Stage;
use rollout::ids::AppId;
use tokio::time::sleep;

use super::house::House;
use super::simulation::simulate;

async fn one_web(house: &House, app: &AppId) -> String {
    house.names(app, "web").await.pop_first().unwrap()
}

#[test]
fn an_instance_removed_behind_our_back_is_replaced() {
    simulate(async {
        let (house, app) = House::with_app().await;
        for component in ["web", "mill"] {
            let gone = house.names(&app, component).await.pop_first().unwrap();
            house.engine.remove_behind_our_back(&gone);
            house
                .until(async || match house.names(&app, component).await.contains(&gone) {
                    true => Err(format!("{gone} is still on record")),
                    false => Ok(()),
                })
                .await;
            house.end(&app, Stage::Active).await;
        }
    });
}

#[test]
fn an_instance_stopped_or_disconnected_by_hand_is_brought_back() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let name = one_web(&house, &app).await;
        let since = house.engine.calls().len();
        house.engine.set_restart_policy(&name, RestartPolicy::No).await.unwrap();
        house.engine.stop(&name, Duration::ZERO).await.unwrap();
        house.called(since, Verb::Start, &name).await;
        house.end(&app, Stage::Active).await;
        house.engine.disconnect_behind_our_back(&name);
        house.called(since, Verb::Connect, &name).await;
        house.end(&app, Stage::Active).await;
        assert!(house.names(&app, "web").await.contains(&name), "it was brought back, not replaced");
    });
}

#[test]
fn a_crash_of_an_instance_is_the_engines_to_repair() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let names = house.names(&app, "web").await;
        for name in &names {
            house.engine.exit(name, 1);
        }
        house.end(&app, Stage::Active).await;
        assert_eq!(house.names(&app, "web").await, names);
        assert!(names.iter().all(|name| house.starts_of(name) == 2), "each was started once more, by the engine");
    });
}

#[test]
fn a_database_that_somebody_removed_comes_back_on_its_volume() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let database = house.state(&app).await.databases.remove(0);
        let name = database.container.to_string();
        let since = house.engine.calls().len();
        house.engine.remove_behind_our_back(&name);
        house.called(since, Verb::Start, &name).await;
        house.end(&app, Stage::Active).await;
        assert_eq!(house.engine.spec(&name).unwrap().volume.unwrap().volume, database.volume);
        let details = house.until(async || Ok(house.engine.inspect(&name).await.unwrap().unwrap())).await;
        assert_eq!(details.restart_policy, RestartPolicy::Always);
    });
}

#[test]
fn a_container_that_carries_our_mark_and_is_on_no_record_is_removed() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let mut spec = house.engine.spec(&one_web(&house, &app).await).unwrap();
        spec.name.push_str("-left-over");
        spec.network = None;
        house.engine.create(&spec).await.unwrap();
        house.engine.start(&spec.name).await.unwrap();
        house.end(&app, Stage::Active).await;
        assert!(house.engine.spec(&spec.name).is_none());
    });
}

#[test]
fn containers_and_networks_of_a_deleted_app_are_removed_and_those_of_one_that_was_never_heard_of_stay() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let mut spec = house.engine.spec(&one_web(&house, &app).await).unwrap();
        spec.name.push_str("-of-another");
        spec.network = None;
        spec.identity.app = "00000000-0000-0000-0000-000000000000".into();
        house.engine.create(&spec).await.unwrap();
        let mut network = house.engine.network_specs().remove(0);
        network.name.push_str("-of-another");
        network.subnet = "10.255.0.0/24".into();
        network.identity.app = spec.identity.app.clone();
        house.engine.ensure_network(&network).await.unwrap();
        sleep(Duration::from_secs(120)).await;
        assert!(house.engine.containers().iter().any(|it| it.name == spec.name), "the database may be older");
        assert_eq!(house.engine.network_specs().len(), 2);
        house.store().remember_deleted(&spec.identity.app.as_str().into()).await.unwrap();
        house.end(&app, Stage::Active).await;
    });
}
