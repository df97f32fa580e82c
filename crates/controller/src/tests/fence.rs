//! A controller that another one has replaced lets go: it steers nothing and writes nothing.

use std::time::Duration;

use engine::Engine;
use tokio::time::sleep;

use super::house::{House, caller, spec};
use super::simulation::simulate;
use crate::fence::identity;

/// Another controller of the installation takes over, as far as the engine can tell.
async fn take_over(house: &House) {
    let name = house.controller().0.shared.names.fence(99);
    house.engine.ensure_volume(&name, &identity(99)).await.unwrap();
}

#[test]
fn a_fenced_controller_steers_no_ingress_repairs_nothing_and_writes_nothing() {
    simulate(async {
        let (house, app) = House::with_app().await;
        take_over(&house).await;
        house.controller().fenced().await;
        let (before, tables, opened) = (house.state(&app).await, house.ingress.taken().len(), house.ingress.opened());
        let since = house.engine.calls().len();

        house.ingress.die();
        house.ingress.recover();
        house.engine.remove_behind_our_back(&house.names(&app, "web").await.pop_first().unwrap());
        let mut other = spec("1");
        other.name = "other".into();
        for refused in [
            house.controller().restart(&app, &[], &caller()).await.err(),
            house.controller().create_app(other, &caller()).await.err(),
        ] {
            assert!(refused.is_some_and(|it| it.to_string().contains("has taken over")));
        }
        sleep(Duration::from_secs(60)).await;

        assert_eq!((house.ingress.taken().len(), house.ingress.opened()), (tables, opened));
        let calls = house.engine.calls().split_off(since);
        assert!(!calls.iter().any(|it| it.verb.changes()), "{calls:?}");
        assert_eq!(house.store().app_ids().await.unwrap().len(), 1);
        let after = house.state(&app).await;
        assert_eq!((after.app, after.deployments, after.instances), (before.app, before.deployments, before.instances));
    });
}

#[test]
fn an_ingress_that_listens_to_somebody_newer_is_not_taken_back() {
    simulate(async {
        let (house, _) = House::with_app().await;
        let opened = house.ingress.opened();
        take_over(&house).await;
        // As its refusal of our next table would.
        house.ingress.die();
        house.ingress.recover();
        house.controller().fenced().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(house.ingress.opened(), opened);
    });
}
