//! Rolling restarts against the engine's floor: create, start and first answer by raw API calls with the same image.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use boatyard_tests::engine;
use boatyard_tests::installation::{Installation, served_after, text};
use boatyard_tests::repo::Repo;
use serde_json::json;

use crate::Line;

const IMAGE: &str = "{registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}";
/// The number of rounds. Their median is printed.
const ROUNDS: usize = 5;

/// Restarts a service of `instances` instances again and again.
pub async fn against_the_floor(at: &Installation, instances: usize) -> Result<[Line; 2]> {
    let name = format!("roll-{instances}");
    let spec = format!(
        "name: {name}\nservices:\n- name: web\n  image: {IMAGE}\n  instance_count: {instances}\n  health_check: {{http_path: /health}}\n"
    );
    at.create(&spec).await?;
    let app = app_id(at, &name).await?;
    let (mut served, mut ended, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(engine::floor("boatyard-local/testapp:1", &[], 8080, 1).await? * u32::try_from(instances)?);
        let (asked, began) = (SystemTime::now(), Instant::now());
        let deployment = at.restart(&app, &[]).await?;
        let deployment = at.wait_active(&app, &deployment).await?;
        ended.push(began.elapsed());
        served.push(served_after(asked, &deployment).context("the new instances serve")?);
    }
    at.delete(&app).await?;
    let floor = median(floors);
    let line = |until: &str, time: Duration, goal| Line {
        what: format!("restart of {instances} instance(s) against engine floor, {until}"),
        boatyard: millis(time),
        against: millis(floor),
        ratio: Some(time.as_secs_f64() / floor.as_secs_f64()),
        goal,
    };
    // The floor includes no stop.
    Ok([
        line("until the new serve alone", median(served), "1.10 or less"),
        line("until the old are gone, too", median(ended), "-"),
    ])
}

/// Measures a deployment that has nothing to do.
pub async fn unchanged_tree(at: &Installation) -> Result<Line> {
    let repo = Repo::init(at.sources().join("bench"))?;
    repo.write("Dockerfile", "FROM boatyard-local/testapp:1\n")?;
    repo.commit("all there is")?;
    at.create(&format!(
        "name: same\nservices:\n- name: web\n  git: {{repo_clone_url: '{}', branch: main}}\n",
        repo.url()
    ))
    .await?;
    let app = app_id(at, "same").await?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let deployment = at.deploy(&app, json!({})).await?;
        at.wait_active(&app, &deployment).await?;
        times.push(began.elapsed());
    }
    at.delete(&app).await?;
    Ok(Line {
        what: "deploy of an unchanged tree, asked every 25 ms".into(),
        boatyard: millis(median(times)),
        against: "-".into(),
        ratio: None,
        goal: "no build, 50 ms before the roll",
    })
}

async fn app_id(at: &Installation, name: &str) -> Result<String> {
    let app = at.ok("GET", &format!("/v2/apps/{name}"), None).await?;
    text(&app, "/app/id").context("an app has an id")
}

pub fn median<T: Ord + Copy>(mut all: Vec<T>) -> T {
    all.sort_unstable();
    all[all.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
