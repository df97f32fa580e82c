//! `make swaps`: a million requests through a hundred changes of the routing table. Each change replaces the instances, as a
//! rollout does: new ones start, the table changes, the old ones end once they have no open request. No request may fail.

#[path = "../bench/servers.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod servers;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use boatyard_tests::load::{Load, LoadPlan, LoadReport, Request};
use ingress::ControlClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use servers::{HOST, Ingress, instances, table};

const REQUESTS: usize = 1_000_000;
const CHANGES: usize = 100;
/// Requests before the first change.
const AT_REST: usize = 100_000;
/// Instances that serve at a time.
const INSTANCES: usize = 2;
const CONNECTIONS: usize = 32;
/// So that the load leaves time for other programs.
const THINK_TIME: Duration = Duration::from_millis(1);
/// Only ends a wait for something that never comes.
const ENDS_WITHIN: Duration = Duration::from_secs(3600);

#[tokio::main]
async fn main() -> ExitCode {
    boatyard_tests::exit_code(servers::until_interrupted(run()).await)
}

async fn run() -> Result<()> {
    let ingress = Ingress::start().await?;
    let mut serving = Instances::start(&ingress.control, 0).await?;
    let load = Load::start(
        LoadPlan::new(ingress.server.http, HOST)
            .with(Request::get("/"))
            .with(Request::post("/", "x".repeat(2000)))
            .connections(CONNECTIONS)
            .think_time(THINK_TIME),
    );
    let begin = load.snapshot();
    let rest = load.reach(AT_REST, ENDS_WITHIN).await?;
    print("at rest", &load.between(begin, rest));
    for change in 1..=CHANGES {
        let next = Instances::start(&ingress.control, change).await?;
        std::mem::replace(&mut serving, next).end(&ingress.control).await?;
        load.reach(rest.sent + REQUESTS * change / CHANGES, ENDS_WITHIN).await?;
    }
    let during = load.since(rest);
    print(&format!("during {CHANGES} changes"), &during);
    let all = load.stop().await;
    let status = ingress.control.status().await?;
    let counted = status.counters.get("app").and_then(|it| it.get("d1")).context("the counts of the app")?;
    println!(
        "the ingress counted {} requests, {} failed, {} cut",
        counted.requests, counted.failed, counted.requests_cut
    );
    ensure!(all.failed_count == 0, "{all}");
    ensure!(
        counted.requests == all.sent as u64 && counted.failed == 0,
        "the counts of the ingress differ: {counted:?}"
    );
    Ok(())
}

fn print(when: &str, report: &LoadReport) {
    println!(
        "{when}: {} requests, {} failed, {:.0}/s, p50 {:.2?}, p99 {:.2?}, slowest {:.2?}",
        report.sent, report.failed_count, report.per_second, report.p50, report.p99, report.max
    );
}

/// Instances of one deployment. Dropping them closes their connections, as a stopped container does.
struct Instances {
    names: Vec<String>,
    _tasks: JoinSet<()>,
}

impl Instances {
    /// Starts instances and routes all requests to them.
    async fn start(control: &ControlClient, change: usize) -> Result<Self> {
        let (mut tasks, mut all) = (JoinSet::new(), Vec::new());
        for number in 0..INSTANCES {
            let socket = TcpListener::bind("127.0.0.1:0").await?;
            all.push((format!("web.{number}.{change}"), socket.local_addr()?));
            tasks.spawn(serve(socket));
        }
        let routes: Vec<(&str, SocketAddr)> = all.iter().map(|(name, address)| (name.as_str(), *address)).collect();
        control.set_table(table(change as u64 + 1, vec![instances(&routes)])).await?;
        Ok(Self { names: all.into_iter().map(|(name, _)| name).collect(), _tasks: tasks })
    }

    /// Ends the instances once the ingress reports that they have no open requests.
    async fn end(self, control: &ControlClient) -> Result<()> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let open = control.status().await?.open;
            if !self.names.iter().any(|name| open.contains_key(name)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{:?} still have open requests", self.names);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Accepts connections until it is dropped, and the connections with it.
async fn serve(socket: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = socket.accept().await {
        connections.spawn(answer_all(stream));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers every request on a connection with 1 KiB.
async fn answer_all(mut stream: TcpStream) {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n";
    let answer = [HEAD.as_bytes(), &[b'x'; 1024]].concat();
    let (mut read, mut buffer) = (Vec::new(), [0; 8192]);
    // Fails when the ingress closes the connection.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        read.extend_from_slice(&buffer[..count]);
        if let Some(length) = request_length(&read)
            && read.len() >= length
        {
            read.drain(..length);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// The length of the first request with its body. `None`: its head is not complete.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    Some(head + body.unwrap_or(0))
}
