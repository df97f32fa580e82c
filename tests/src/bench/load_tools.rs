//! The programs that send the load: wrk for HTTP/1.1, h2load for HTTP/2.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What a load saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub requests: u64,
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Runs wrk with one thread.
pub fn wrk(url: &str, host: &str, connections: usize, reconnect: bool, seconds: u64) -> Result<Seen> {
    let mut command = Command::new("wrk");
    // A request that a busy machine answers late does not fail.
    command.args(["--latency", "--timeout", "300s", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    command.args(["-H", &format!("Host: {host}")]);
    if reconnect {
        command.args(["-H", "Connection: close"]);
    }
    let text = output(command.arg(url))?;
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "the measured load failed:\n{text}");
    parse_wrk(&text).with_context(|| format!("wrk printed:\n{text}"))
}

fn parse_wrk(text: &str) -> Result<Seen> {
    let after = |label: &str| -> Result<&str> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
        line.map(str::trim).with_context(|| format!("no {label}"))
    };
    let requests = text.lines().find(|line| line.contains("requests in")).context("no count")?;
    Ok(Seen {
        requests: requests.split_whitespace().next().context("no count")?.parse()?,
        per_second: after("Requests/sec:")?.parse()?,
        p50: parse_time(after("50%")?)?,
        p99: parse_time(after("99%")?)?,
    })
}

/// `1.25ms`, `80.00us`, `1.02s`.
fn parse_time(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        other => anyhow::bail!("{other} is not a unit"),
    };
    Ok(Duration::from_secs_f64(digits.parse::<f64>()? * unit))
}

/// Runs h2load with one thread and 8 streams on each connection.
pub fn h2load(url: &str, connections: usize, seconds: u64, folder: &Path) -> Result<Seen> {
    let log = folder.join("h2load.log");
    // h2load appends.
    let _ = std::fs::remove_file(&log);
    let mut command = Command::new("h2load");
    command.args(["-t1", "-m8", &format!("-c{connections}"), &format!("-D{seconds}"), "--log-file"]).arg(&log);
    let text = output(command.arg(url))?;
    let failed = text.lines().find(|line| line.starts_with("status codes:")).context("no status codes")?;
    ensure!(failed.ends_with("0 3xx, 0 4xx, 0 5xx"), "the measured load failed:\n{text}");
    // Each line: start, status, microseconds.
    let lines = std::fs::read_to_string(&log)?;
    let mut times: Vec<u64> = lines.lines().filter_map(|line| line.rsplit('\t').next()?.parse().ok()).collect();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().context("no times");
    let requests = times.len() as u64;
    #[allow(clippy::cast_precision_loss, reason = "a rate, for people")]
    let per_second = requests as f64 / seconds as f64;
    Ok(Seen { requests, per_second, p50: Duration::from_micros(at(50)?), p99: Duration::from_micros(at(99)?) })
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{:?} does not start", command.get_program()))?;
    ensure!(output.status.success(), "{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
