//! Everything comes down in order: first the front door, then what is behind it.

use std::time::Duration;

use engine::ContainerState;
use engine_fake::Verb;
use ingress::protocol::Open;
use tokio::time::sleep;

use super::house::House;
use super::simulation::simulate;

#[test]
fn no_container_is_stopped_before_the_front_door_has_drained() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let upstream = house.names(&app, "web").await.pop_first().unwrap();
        let open = |requests| house.ingress.set_open(&upstream, Open { requests, upgraded: 0 });
        open(1);
        let since = house.engine.calls().len();
        let stopped = || house.engine.calls()[since..].iter().filter(|it| it.verb == Verb::Stop).count();
        let controller = house.controller().clone();
        let down = tokio::spawn(async move { controller.down(true).await });
        sleep(Duration::from_secs(30)).await;
        assert_eq!(stopped(), 0, "a request is open");
        open(0);
        down.await.unwrap().unwrap();
        assert!(house.engine.containers().iter().all(|it| it.state != ContainerState::Running));
        sleep(Duration::from_secs(60)).await;
        assert!(house.engine.containers().iter().all(|it| it.state != ContainerState::Running), "none is brought back");
    });
}

/// One that the engine cannot stop is named, and keeps no other from being stopped.
#[test]
fn what_cannot_be_stopped_is_named_and_everything_else_stops() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let stuck = house.names(&app, "web").await.pop_first().unwrap();
        house.engine.wedge(&stuck);
        let error = house.controller().down(true).await.unwrap_err().to_string();
        assert!(error.contains(&stuck) && error.contains("boatyard serve"), "{error}");
        let running = house.engine.containers().into_iter().filter(|it| it.state == ContainerState::Running);
        assert_eq!(running.map(|it| it.name).collect::<Vec<_>>(), [stuck]);
    });
}

/// It died a moment ago: what the keeper starts again is stopped like any other.
#[test]
fn a_front_door_that_is_just_being_started_again_is_stopped_too() {
    simulate(async {
        let (house, _) = House::with_app().await;
        house.ingress.die();
        house.ingress.recover();
        let (controller, opened) = (house.controller().clone(), house.ingress.opened());
        sleep(Duration::from_millis(1)).await;
        controller.down(true).await.unwrap();
        assert_eq!(house.ingress.opened(), opened + 1);
        assert!(house.engine.containers().iter().all(|it| it.state != ContainerState::Running));
    });
}
