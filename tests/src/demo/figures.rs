//! The figures at the end: time, requests, memory.

use std::time::Duration;

use anyhow::{Context, Result};

use super::action::Action;
use crate::engine;
use crate::installation::Installation;
use crate::process::memory;

const TRIES: usize = 3;
/// A worker has no port to check, so Boatyard counts it as ready after it has run for this long. Its floor is create
/// and start, which the demo measures, plus this time, which it does not.
const WORKER_STAYS_UP: Duration = Duration::from_secs(1);

/// What the engine alone needs for the containers of `deployed`, a deployment of all services and workers: the same
/// images, created, started and answering by raw API calls, one after the other, under the same load. A program that
/// replaces containers one by one cannot be faster.
pub(super) async fn engine_floor(deployed: &Action) -> Result<Duration> {
    // The programs do not query the database here, but they exit if they have no address for it.
    let env = ["PORT=8080", "DATABASE_URL=postgres://user@127.0.0.1/nothing"];
    let image = |component| {
        let image = deployed.record()["images"][component]["id"].as_str();
        image.with_context(|| format!("the deployment names no image of {component}"))
    };
    let web = engine::floor(image("web")?, &env, 8080, TRIES).await? * u32::try_from(deployed.started("web"))?;
    let api = engine::floor(image("api")?, &env, 8080, TRIES).await?;
    let worker = engine::floor_of_start(image("worker")?, &env, TRIES).await? + WORKER_STAYS_UP;
    Ok(web + api + worker)
}

/// All figures. The first action is the first deployment, the second a restart of everything.
pub(super) fn print(at: &Installation, actions: &[Action], floor: Duration) -> Result<()> {
    println!("\nWhat it cost\n");
    print_row(
        "action",
        ["ended", "serves after", "all done", "requests", "failed", "p99", "slowest"].map(str::to_owned),
    );
    for action in actions {
        print_row(action.name, cost(action));
    }
    println!(
        "\n  serves after: all new containers are ready and routed, all old ones are not. all done: the old ones have drained,\n\
         \x20 stopped and gone as well. p99 is that of the steady stream."
    );
    if let Some(served) = actions[1].served_after {
        println!(
            "\n  The restart of everything served after {:.2} times what the engine alone needs: create, start and first answer of\n\
             \x20 each container by raw API calls under the same load, and {} s to see that a worker stays up.",
            served.div_duration_f64(floor),
            WORKER_STAYS_UP.as_secs()
        );
    }
    let serve = memory(at.serve_pid().context("serve runs")?)?;
    let ingress = memory(at.ingress_pid()?)?;
    println!("\nMemory now (Pss): boatyard serve {serve:.1} MiB, boatyard ingress {ingress:.1} MiB");
    Ok(())
}

fn cost(action: &Action) -> [String; 7] {
    let seconds = |it: Duration| format!("{:.2} s", it.as_secs_f64());
    let ms = |it: Duration| format!("{:.1} ms", it.as_secs_f64() * 1000.0);
    let none = || "–".to_owned();
    let visits = action.visits.as_ref();
    [
        action.deployment["phase"].as_str().unwrap_or("?").to_owned(),
        action.served_after.map_or_else(none, seconds),
        seconds(action.took),
        visits.map_or_else(none, |it| it.sent().to_string()),
        visits.map_or_else(none, |it| it.failed().to_string()),
        visits.map_or_else(none, |it| ms(it.stream.p99)),
        visits.map_or_else(none, |it| ms(it.stream.max.max(it.bursts.max))),
    ]
}

fn print_row(name: &str, [ended, served, done, requests, failed, p99, slowest]: [String; 7]) {
    println!("  {name:<27} {ended:>6} {served:>13} {done:>9} {requests:>9} {failed:>7} {p99:>10} {slowest:>10}");
}
