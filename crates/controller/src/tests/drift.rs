//! x
use super::house::House;
use super::simulation::simulate;
use rollout::deployment::Stage;

#[test]
fn smoke() {
    simulate(async {
        let t = std::time::Instant::now();
        let (house, app) = House::with_app().await;
        eprintln!("up {:?} calls {}", t.elapsed(), house.engine.calls().len());
        let since = house.engine.calls().len();
        house.restart(&app).await;
        house.settle(&app, Stage::Active).await;
        house.check_capacity(since);
        eprintln!("restarted {:?} {}", t.elapsed(), house.engine.calls().len());
    });
}
