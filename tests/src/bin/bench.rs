//! `make bench`: compares Boatyard with the alternatives in one run on one machine, and prints ratios.
//!
//! Absolute times depend more on the machine than on the program, so nothing here passes or fails.

#[path = "../bench/proxy.rs"]
mod proxy;
#[path = "../bench/restart.rs"]
mod restart;

use std::process::ExitCode;

use anyhow::Result;
use boatyard_tests::installation::{Installation, sibling_program};

#[tokio::main]
async fn main() -> ExitCode {
    boatyard_tests::exit_code(run().await)
}

async fn run() -> Result<()> {
    let at = Installation::start(sibling_program()).await?;
    println!("{:<72} {:>12} {:>12} {:>8}  goal", "what", "boatyard", "against", "ratio");
    for instances in [1, 3, 6] {
        restart::against_the_floor(&at, instances).await?.iter().for_each(print);
    }
    print(&restart::unchanged_tree(&at).await?);
    for line in proxy::against_nginx(&at).await? {
        print(&line);
    }
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
