//! `make demo`: runs the whole demo on this machine's engine in about a minute. Exits with 0 if every claim holds, 1 if
//! one does not or the demo could not continue, and 130 after Ctrl-C. It always removes what it created.

use std::process::ExitCode;

use boatyard_tests::demo;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // The future that ends first drops the other. Dropping the demo removes its installation.
    tokio::select! {
        outcome = demo::run() => match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("\nerror: the demo could not go on: {error:#}");
                ExitCode::FAILURE
            }
        },
        () = interrupted() => ExitCode::from(130),
    }
}

/// Returns at Ctrl-C or SIGTERM.
async fn interrupted() {
    let mut term = signal(SignalKind::terminate()).expect("TERM can be listened to");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    println!("\nInterrupted. Removing everything that the demo made…");
}
