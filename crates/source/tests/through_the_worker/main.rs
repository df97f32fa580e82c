//! Sources through a real worker: a child process, its pipes, its limits and its exit.
//!
//! The child is this test program, started with other arguments (see [`play_worker`]). The standard test harness would
//! print to stdout, where the worker's frames belong, so this file contains a small harness.
#![allow(clippy::unwrap_used)]

mod contexts;
mod fetching;
mod fixture;
mod lifetimes;
mod logins;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// A test name and its function.
type Case = (&'static str, fn());

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = play_worker(&args) {
        return code;
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let filter = args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
    let all = [fetching::CASES, contexts::CASES, logins::CASES, lifetimes::CASES].concat();
    if has("--list") {
        // nextest also lists ignored tests. There are none; without this check every test would be listed as ignored.
        all.iter().filter(|_| !has("--ignored")).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| if has("--exact") { name == filter } else { name.contains(filter) };
    run(all.into_iter().filter(|(name, _)| wanted(name)).collect())
}

/// The child process: the real worker, and two that misbehave.
fn play_worker(args: &[String]) -> Option<ExitCode> {
    match args {
        [first] if first == "source-worker" => Some(source::run_worker(std::io::stdin(), std::io::stdout(), is_wanted)),
        // Writes its process id to a file, then runs the real worker.
        [first, file] if first == "source-worker-with-pid" => {
            std::fs::write(file, std::process::id().to_string()).expect("the test's directory is writable");
            Some(source::run_worker(std::io::stdin(), std::io::stdout(), is_wanted))
        }
        // Sends nothing until its parent closes the pipe.
        [first] if first == "source-worker-silent" => {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("stdin can be read");
            Some(ExitCode::SUCCESS)
        }
        [first] if first == "source-worker-babbling" => {
            println!("Hello, I am not a worker.");
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

fn run(cases: Vec<Case>) -> ExitCode {
    let mut failed = 0;
    println!("running {} tests", cases.len());
    for (name, case) in &cases {
        let passed = panic::catch_unwind(AssertUnwindSafe(case)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    println!("{} passed; {failed} failed", cases.len() as u32 - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs an async test with a deadline.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(300), future).await.expect("it ends") })
}

/// The files whose text is read with a directory.
fn is_wanted(path: &str) -> bool {
    ["package.json", "go.mod", "link"].iter().any(|name| path.rsplit('/').next() == Some(name))
}
