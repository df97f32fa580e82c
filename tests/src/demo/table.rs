//! The figures at the end, for eyes.

use std::time::Duration;

use anyhow::{Context, Result};

use super::action::Action;
use super::census::{COMPONENTS, Census};
use super::floor::{Floor, WORKER_STAYS_UP};
use super::memory::Memory;
use crate::installation::Installation;

/// Aligned columns: the first to the left, the others to the right.
fn print(rows: &[Vec<String>]) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or(0);
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        println!("  {}", cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Time, floor and visitors of each action.
pub(super) fn actions(all: &[Action], floor: &Floor) {
    println!("\nWhat it cost\n");
    let mut rows = vec![row([
        "action",
        "ended",
        "serves after",
        "all done",
        "engine floor",
        "ratio",
        "requests",
        "per second",
        "failed",
        "p99",
        "slowest",
    ])];
    rows.extend(all.iter().map(|action| action_row(action, floor)));
    print(&rows);
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
}

fn action_row(action: &Action, floor: &Floor) -> Vec<String> {
    let seconds = |it: Duration| format!("{:.2} s", it.as_secs_f64());
    let ms = |it: Duration| format!("{:.1} ms", it.as_secs_f64() * 1000.0);
    let mut cells = vec![
        action.name.to_owned(),
        action.deployment["phase"].as_str().unwrap_or("?").to_owned(),
        action.served_after.map_or("–".to_owned(), seconds),
        seconds(action.took),
        floor.of(action).map_or("–".to_owned(), seconds),
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

/// Container ids by component, after each action; those that an action replaced are marked.
pub(super) fn containers(all: &[Action]) {
    println!("\nContainers by component, before the first action and after each (* replaced)\n");
    let mut rows = vec![[&["after"][..], &COMPONENTS].concat().iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()];
    for action in all {
        let cell = |component| ids(&action.before, &action.after, component);
        rows.push([action.name.to_owned()].into_iter().chain(COMPONENTS.map(cell)).collect());
    }
    print(&rows);
}

fn ids(before: &Census, after: &Census, component: &str) -> String {
    let old = before.ids(component);
    let short = |id: &&str| {
        // What was there before the first action is nobody's successor.
        let mark = if old.is_empty() || old.contains(id) { ' ' } else { '*' };
        format!("{}{mark}", &id[..id.len().min(8)])
    };
    after.ids(component).iter().map(short).collect::<Vec<_>>().join(" ")
}

/// Memory of both processes.
pub(super) fn memory(at: &Installation) -> Result<()> {
    println!("\nMemory of the two processes now (Pss: pages shared by both are counted in halves)\n");
    let pids = [("boatyard serve", at.serve_pid().context("serve runs")?), ("boatyard ingress", at.ingress_pid()?)];
    let mut rows = vec![row(["process", "resident", "Pss"])];
    for (name, pid) in pids {
        let memory = Memory::of(pid)?;
        let mib = |kb: u64| format!("{:.1} MiB", kb as f64 / 1024.0);
        rows.push(vec![name.to_owned(), mib(memory.resident), mib(memory.proportional)]);
    }
    print(&rows);
    Ok(())
}
