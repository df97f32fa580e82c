//! `make bench`: compares Boatyard with the alternatives in one run on one machine, and prints ratios.
//!
//! Absolute times depend more on the machine than on the program, so nothing here passes or fails.

#[path = "../bench/load_tools.rs"]
mod load_tools;
#[path = "../bench/proxies.rs"]
mod proxies;
#[path = "../bench/restart.rs"]
mod restart;
#[path = "../bench/servers.rs"]
mod servers;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use boatyard_tests::installation::{Installation, sibling_program};

#[tokio::main]
async fn main() -> ExitCode {
    boatyard_tests::exit_code(servers::until_interrupted(run()).await)
}

/// Seconds of one round of the comparison with proxies.
const ROUND: u64 = 3;

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            restarts().await?;
            proxies::compare(ROUND).await
        }
        ["proxies"] => proxies::compare(ROUND).await,
        ["proxies", seconds] => proxies::compare(seconds.parse().context("the seconds of a round")?).await,
        _ => bail!("usage: bench [proxies [SECONDS]]"),
    }
}

async fn restarts() -> Result<()> {
    let at = Installation::start(sibling_program()).await?;
    println!("{:<72} {:>12} {:>12} {:>8}  goal", "what", "boatyard", "against", "ratio");
    for instances in [1, 3, 6] {
        restart::against_the_floor(&at, instances).await?.iter().for_each(print);
    }
    print(&restart::unchanged_tree(&at).await?);
    Ok(())
}

/// One row of the report.
pub struct Line {
    pub what: String,
    pub boatyard: String,
    pub against: String,
    pub ratio: Option<f64>,
    pub goal: &'static str,
}

fn print(line: &Line) {
    let ratio = line.ratio.map_or("-".to_owned(), |it| format!("{it:.2}"));
    println!("{:<72} {:>12} {:>12} {:>8}  {}", line.what, line.boatyard, line.against, ratio, line.goal);
}
