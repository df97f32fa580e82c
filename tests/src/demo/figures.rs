//! The tables at the end: time, containers, memory.

use std::time::Duration;

use anyhow::{Context, Result};

use super::action::Action;
use super::claims::COMPONENTS;
use crate::engine;
use crate::installation::Installation;

const TRIES: usize = 3;
/// A worker has no port to check, so Boatyard counts it as ready after it has run for this long. Its floor is create
/// and start, which the demo measures, plus this time, which it does not.
const WORKER_STAYS_UP: Duration = Duration::from_secs(1);

/// What the engine alone needs for one container: the same images, created, started and answering by raw API calls
/// under the same load. A program that replaces containers one by one cannot be faster than the sum.
pub(super) struct Floor([(&'static str, Duration); 3]);

impl Floor {
    /// Measures the images of a deployment.
    pub async fn measure(deployed: &Action) -> Result<Self> {
        // The programs do not query the database here, but they exit if they have no address for it.
        let env = ["PORT=8080", "DATABASE_URL=postgres://user@127.0.0.1/nothing"];
        let image = |component| {
            let image = deployed.record()["images"][component]["id"].as_str();
            image.with_context(|| format!("the deployment names no image of {component}"))
        };
        Ok(Self([
            ("web", engine::floor(image("web")?, &env, 8080, TRIES).await?),
            ("api", engine::floor(image("api")?, &env, 8080, TRIES).await?),
            ("worker", engine::floor_of_start(image("worker")?, &env, TRIES).await? + WORKER_STAYS_UP),
        ]))
    }

    /// The sum over all services and workers that an action started. `None` if the action started none or failed, and
    /// for the first deployment, which also created the database.
    fn of(&self, action: &Action) -> Option<Duration> {
        if action.visits.is_none() || action.deployment["phase"] != "ACTIVE" {
            return None;
        }
        let part = |(name, each): &(&str, Duration)| each.mul_f64(action.started(name) as f64);
        let sum: Duration = self.0.iter().map(part).sum();
        (!sum.is_zero()).then_some(sum)
    }

    /// Time until only the new instances served, as a multiple of the floor.
    pub fn ratio(&self, action: &Action) -> Option<f64> {
        Some(action.served_after?.as_secs_f64() / self.of(action)?.as_secs_f64())
    }

    pub fn text(&self) -> String {
        self.0.map(|(name, time)| format!("{name} {} ms", time.as_millis())).join(", ")
    }
}

/// All tables.
pub(super) fn print(at: &Installation, actions: &[Action], floor: &Floor) -> Result<()> {
    println!("\nWhat it cost\n");
    let titles = "action|ended|serves after|all done|engine floor|ratio|requests|per second|failed|p99|slowest";
    print_rows(titles, actions.iter().map(|action| cost(action, floor)));
    println!(
        "\n  engine floor: create + start + first answer of each replaced container by raw API calls with the same images,\n\
         \x20 the least of three, one after the other, under the same load: {}\n\
         \x20 (a worker has nothing to answer; Boatyard waits {} s to see it stay up, and that second is in its floor).\n\
         \x20 The ratio is that of \"serves after\": all new containers are ready and routed, all old ones are not. \"All done\" is when\n\
         \x20 the old ones have drained, stopped and gone as well. In both, but in no floor: fetching, building and jobs.\n\
         \x20 p99 is that of the steady stream.",
        floor.text(),
        WORKER_STAYS_UP.as_secs(),
    );
    println!("\nContainers by component, before the first action and after each (* replaced)\n");
    let row =
        |action: &Action| [action.name.to_owned()].into_iter().chain(COMPONENTS.map(|it| ids(action, it))).collect();
    print_rows(&format!("after|{}", COMPONENTS.join("|")), actions.iter().map(row));
    println!("\nMemory of the two processes now (Pss: pages shared by both are counted in halves)\n");
    let serve = memory("boatyard serve", at.serve_pid().context("serve runs")?)?;
    print_rows("process|resident|Pss", [serve, memory("boatyard ingress", at.ingress_pid()?)?]);
    Ok(())
}

fn cost(action: &Action, floor: &Floor) -> Vec<String> {
    let seconds = |it: Option<Duration>| it.map_or("–".to_owned(), |it| format!("{:.2} s", it.as_secs_f64()));
    let ms = |it: Duration| format!("{:.1} ms", it.as_secs_f64() * 1000.0);
    let mut cells = vec![
        action.name.to_owned(),
        action.deployment["phase"].as_str().unwrap_or("?").to_owned(),
        seconds(action.served_after),
        seconds(Some(action.took)),
        seconds(floor.of(action)),
        floor.ratio(action).map_or("–".to_owned(), |it| format!("{it:.2}")),
    ];
    match &action.visits {
        Some(visits) => cells.extend([
            visits.sent.to_string(),
            format!("{:.0}", visits.per_second),
            visits.failed.to_string(),
            ms(visits.p99),
            ms(visits.slowest),
        ]),
        None => cells.push("none yet".to_owned()),
    }
    cells
}

/// Container ids of a component, shortened; `*` marks those that replaced others.
fn ids(action: &Action, component: &str) -> String {
    let old = action.before.ids(component);
    let mark = |id: &str| if old.is_empty() || old.contains(id) { ' ' } else { '*' };
    let all = action.after.ids(component);
    all.iter().map(|id| format!("{}{}", &id[..id.len().min(8)], mark(id))).collect::<Vec<_>>().join(" ")
}

/// A row of a process's memory: `VmRSS`, all resident pages, and `Pss`, which counts pages shared with other processes in part.
fn memory(name: &str, pid: u32) -> Result<Vec<String>> {
    let field = |file: &str, field: &str| -> Result<String> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(format!("{:.1} MiB", kilobytes / 1024.0))
    };
    Ok(vec![name.to_owned(), field("status", "VmRSS:")?, field("smaps_rollup", "Pss:")?])
}

/// Aligned columns: the first to the left, the others to the right. `|` separates the `titles`.
fn print_rows(titles: &str, rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = vec![titles.split('|').map(str::to_owned).collect::<Vec<_>>()];
    table.extend(rows);
    let width =
        |column: usize| table.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    for row in &table {
        let cells = row.iter().enumerate().map(|(column, cell)| match (column, width(column)) {
            (0, width) => format!("{cell:<width$}"),
            (_, width) => format!("{cell:>width$}"),
        });
        println!("  {}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_can_be_read() {
        let row = memory("this", std::process::id()).expect("its own files can be read");
        assert!(row[1..].iter().all(|cell| cell.ends_with(" MiB") && cell != "0.0 MiB"), "{row:?}");
    }
}
