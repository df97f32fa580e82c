//! The application that Boatyard's own tests deploy: one static binary that serves, works or runs to its end, and misbehaves
//! exactly as its environment asks it to. It reads no files but the host name and speaks nothing but HTTP/1.1.
//!
//! `testapp [serve|work|job]`; `MODE` in the environment says the same to an image whose command cannot be chosen.

mod body;
mod connection;
mod knobs;
mod message;
mod pages;
mod serve;
mod term;

use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use knobs::{Knobs, Mode};

fn main() {
    let named = std::env::args().nth(1).or_else(|| std::env::var("MODE").ok());
    let (mode, knobs) = match Mode::named(named.as_deref()).and_then(|mode| Ok((mode, Knobs::from_env()?))) {
        Ok(chosen) => chosen,
        Err(complaint) => {
            eprintln!("testapp: {complaint}");
            exit(64);
        }
    };
    if let Some(line) = &knobs.print {
        println!("{line}");
    }
    match mode {
        Mode::Serve => serve::run(&knobs),
        Mode::Work => work(&knobs),
        Mode::Job => job(&knobs),
    }
}

/// Prints a line now and then until it is told to end.
fn work(knobs: &Knobs) {
    term::on_term(knobs.ignore_term, || exit(0));
    thread::sleep(knobs.start_delay);
    knobs.exit_in_time();
    println!("{} {} works", knobs.name, knobs.version);
    log_every(knobs.log_every.unwrap_or(Duration::from_secs(1)));
}

/// Runs for a while and ends with the status it was given.
fn job(knobs: &Knobs) {
    term::on_term(knobs.ignore_term, || exit(128 + signal_hook::consts::SIGTERM));
    if let Some(line) = &knobs.job.print {
        println!("{line}");
    }
    thread::sleep(knobs.job.duration);
    println!("{} {} ends with {}", knobs.name, knobs.version, knobs.job.exit);
    exit(knobs.job.exit);
}

/// Numbered lines for whoever reads the logs, for ever.
fn log_every(period: Duration) {
    let start = Instant::now();
    for number in 1_u64.. {
        println!("line {number} after {} ms", start.elapsed().as_millis());
        thread::sleep(period);
    }
}
