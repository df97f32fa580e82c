//! Compares the ingress with other proxies: the same server behind them, the same load, interleaved rounds.

use std::time::Duration;

use anyhow::Result;
use boatyard_tests::process::{cpu_time, memory};

use crate::load_tools::{Seen, h2load, wrk};
use crate::servers::{self, Common, HOST, Server, is_installed};

const ROUNDS: usize = 5;

/// One kind of load.
struct Scenario {
    name: &'static str,
    path: &'static str,
    connections: usize,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Http,
    /// A new connection for each request.
    Reconnect,
    Tls,
    Http2,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "1 KiB, kept connections", path: "/1k", connections: 64, kind: Kind::Http },
    Scenario { name: "1 KiB, a new connection each", path: "/1k", connections: 32, kind: Kind::Reconnect },
    Scenario { name: "1 MiB, kept connections", path: "/1m", connections: 16, kind: Kind::Http },
    Scenario { name: "1 KiB, TLS, kept connections", path: "/1k", connections: 64, kind: Kind::Tls },
    Scenario { name: "1 KiB, HTTP/2 over TLS", path: "/1k", connections: 16, kind: Kind::Http2 },
    Scenario { name: "static file of 10 KiB", path: "/static/10k.txt", connections: 64, kind: Kind::Http },
];

/// What one round measured.
#[derive(Debug, Clone, Copy)]
struct Round {
    seen: Seen,
    /// Microseconds of CPU time for each request.
    cpu: f64,
    /// MiB after the load.
    memory: f64,
}

/// Prints a table for each scenario: figures of nginx, and ratios to it. A round takes `seconds`. Without nginx or wrk, prints
/// that and nothing else.
pub async fn compare(seconds: u64) -> Result<()> {
    if !is_installed("nginx") || !is_installed("wrk") {
        return Ok(());
    }
    let has_h2load = is_installed("h2load");
    let common = Common::new()?;
    let upstream = servers::upstream(&common)?;
    let proxies = servers::proxies(&common, upstream.http).await?;
    for scenario in SCENARIOS.iter().filter(|it| it.kind != Kind::Http2 || has_h2load) {
        let usable: Vec<&Server> =
            proxies.iter().filter(|it| it.has_files || !scenario.path.starts_with("/static")).collect();
        let mut rounds: Vec<Vec<Round>> = usable.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (server, rounds) in usable.iter().zip(&mut rounds) {
                rounds.push(round(server, scenario, seconds, &common)?);
                // A round blocks. Ctrl-C takes effect here.
                tokio::task::yield_now().await;
            }
        }
        print(scenario, &usable, &rounds);
    }
    Ok(())
}

fn round(server: &Server, scenario: &Scenario, seconds: u64, common: &Common) -> Result<Round> {
    let Scenario { path, connections, kind, .. } = scenario;
    let pids = server.pids();
    let used = || pids.iter().map(|pid| cpu_time(*pid)).sum::<Result<Duration>>();
    let (plain, tls) =
        (format!("http://{}{path}", server.http), format!("https://{HOST}:{}{path}", server.https.port()));
    let host = |address: std::net::SocketAddr| format!("{HOST}:{}", address.port());
    let before = used()?;
    let seen = match kind {
        Kind::Http => wrk(&plain, &host(server.http), *connections, false, seconds)?,
        Kind::Reconnect => wrk(&plain, &host(server.http), *connections, true, seconds)?,
        Kind::Tls => wrk(&tls, &host(server.https), *connections, false, seconds)?,
        Kind::Http2 => h2load(&tls, *connections, seconds, common.folder())?,
    };
    let cpu = used()? - before;
    let memory = pids.iter().map(|pid| memory(*pid)).sum::<Result<f64>>()?;
    #[allow(clippy::cast_precision_loss, reason = "a ratio, for people")]
    Ok(Round { seen, cpu: cpu.as_secs_f64() * 1e6 / seen.requests.max(1) as f64, memory })
}

/// One line of a table: what was measured, its unit, and the figure of a round.
type Measure = (&'static str, &'static str, fn(&Round) -> f64);

const MEASURES: [Measure; 5] = [
    ("requests a second", "", |it| it.seen.per_second),
    ("CPU time for each request", " us", |it| it.cpu),
    ("p50", " ms", |it| it.seen.p50.as_secs_f64() * 1e3),
    ("p99", " ms", |it| it.seen.p99.as_secs_f64() * 1e3),
    ("memory", " MiB", |it| it.memory),
];

/// The first server is the one that the others are compared with, round by round.
fn print(scenario: &Scenario, servers: &[&Server], rounds: &[Vec<Round>]) {
    let names: Vec<&str> = servers.iter().map(|it| it.name).collect();
    println!("\n| {} | {} |", scenario.name, names.join(" | "));
    println!("|---{}|", "|---:".repeat(names.len()));
    for (what, unit, figure) in MEASURES {
        let first: Vec<f64> = rounds[0].iter().map(figure).collect();
        let absolute = median(first.clone());
        let digits = if absolute < 100.0 { 2 } else { 0 };
        let mut line = format!("| {what} | {absolute:.digits$}{unit}");
        for rounds in &rounds[1..] {
            let ratios = rounds.iter().map(figure).zip(&first).map(|(it, first)| it / first);
            line += &format!(" | {:.2}", median(ratios.collect()));
        }
        println!("{line} |");
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
