//! The application that Boatyard's tests deploy: one static binary that serves, works or runs a job. Environment
//! variables configure what it answers and how it fails.
//!
//! Usage: `testapp [serve|work|job]`

mod pages;
mod serve;
mod settings;

use std::process::ExitCode;
use std::time::Duration;

use settings::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => return wrong_usage(&error),
    };
    if let Some(line) = &settings.print {
        println!("{line}");
    }
    let term = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    match std::env::args().nth(1).as_deref() {
        None | Some("serve") => serve::run(settings, term).await,
        Some("work") => work(&settings, term).await,
        Some("job") => job(&settings),
        Some(other) => wrong_usage(&format!("unknown mode {other:?}; the modes are serve, work and job")),
    }
}

fn wrong_usage(error: &str) -> ExitCode {
    eprintln!("testapp: {error}");
    ExitCode::from(64)
}

/// Prints a line every second until SIGTERM.
async fn work(settings: &Settings, mut term: Signal) -> ExitCode {
    println!("{} {} works", settings.name, settings.version);
    for number in 1_u64.. {
        println!("line {number}");
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            _ = term.recv() => break,
        }
    }
    ExitCode::SUCCESS
}

/// Prints the configured line and exits with the configured code.
fn job(settings: &Settings) -> ExitCode {
    if let Some(line) = &settings.job_print {
        println!("{line}");
    }
    println!("{} {} ends with {}", settings.name, settings.version, settings.job_exit);
    ExitCode::from(settings.job_exit)
}
