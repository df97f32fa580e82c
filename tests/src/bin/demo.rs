//! `make demo`: the whole path on this machine's engine, in about a minute. Exit 0 if every claim holds, 1 if one does
//! not or the demo could not go on, 130 after Ctrl-C. Whatever happens, it removes what it made.

use std::process::ExitCode;

use boatyard_tests::demo;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    // Whichever ends first drops the other; dropping the demo removes its installation.
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

/// Ends at Ctrl-C or TERM.
async fn interrupted() {
    let mut term = signal(SignalKind::terminate()).expect("TERM can be listened to");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    println!("\nInterrupted. Removing everything that the demo made…");
}
