//! Compares the ingress with nginx as a reverse proxy: the same upstream, the same load, interleaved rounds.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use boatyard_tests::engine;
use boatyard_tests::installation::{Installation, text};
use boatyard_tests::load::{Load, LoadPlan, Request};
use boatyard_tests::process;

use crate::Line;
use crate::restart::median;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 32;

/// Requests per second and CPU time per request. If nginx is not installed, prints that and returns nothing.
pub async fn against_nginx(at: &Installation) -> Result<Vec<Line>> {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        println!("no nginx here: its rows are left out (apt-get install nginx-light)");
        return Ok(Vec::new());
    }
    let image = "{registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}";
    at.create(&format!("name: proxied\nservices:\n- name: web\n  image: {image}\n")).await?;
    let app = at.ok("GET", "/v2/apps/proxied", None).await?;
    let id = text(&app, "/app/id")?;
    let nginx = Nginx::start(upstream(at, &id).await?)?;
    let (mut ingress, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ingress.push(round(at.http(), &[at.ingress_pid()?]).await?);
        other.push(round(nginx.address, &nginx.pids()?).await?);
    }
    at.delete(&id).await?;
    let rate = |all: &[(u64, u64)]| median(all.iter().map(|it| it.0).collect());
    let cpu = |all: &[(u64, u64)]| median(all.iter().map(|it| it.1).collect());
    let line = |what: &str, ingress: u64, other: u64, unit: &str, goal| Line {
        what: what.into(),
        boatyard: format!("{ingress} {unit}"),
        against: format!("{other} {unit}"),
        #[allow(clippy::cast_precision_loss, reason = "a ratio of small numbers, for people")]
        ratio: Some(ingress as f64 / other.max(1) as f64),
        goal,
    };
    Ok(vec![
        line("ingress against nginx, requests a second", rate(&ingress), rate(&other), "/s", "as many"),
        line("ingress against nginx, CPU time a request", cpu(&ingress), cpu(&other), "us", "1.00 or less"),
    ])
}

/// Address of the app's only instance, according to the engine.
async fn upstream(at: &Installation, app: &str) -> Result<SocketAddr> {
    let instances = at.instances(app).await?;
    let id = instances.first().and_then(|it| it["container_id"].as_str()).context("an instance")?;
    let details = engine::connect()?.inspect_container(id, None).await?;
    let networks = details.network_settings.and_then(|it| it.networks).unwrap_or_default();
    let address =
        networks.into_values().find_map(|it| it.ip_address.filter(|it| !it.is_empty())).context("an address")?;
    Ok(SocketAddr::new(address.parse()?, 8080))
}

/// Requests per second, and microseconds of the proxy's CPU per request.
async fn round(target: SocketAddr, pids: &[u32]) -> Result<(u64, u64)> {
    let before = cpu_ticks(pids)?;
    let load = Load::start(LoadPlan::new(target, "proxied.localhost").with(Request::get("/")).connections(CONNECTIONS));
    tokio::time::sleep(ROUND).await;
    let report = load.stop().await;
    anyhow::ensure!(report.failed_count == 0, "the measured load failed: {report}");
    let ticks = cpu_ticks(pids)? - before;
    let per_tick = 1_000_000 / rustix::param::clock_ticks_per_second();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate, for people")]
    Ok((report.per_second as u64, ticks * per_tick / report.sent.max(1) as u64))
}

fn cpu_ticks(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| process::cpu_ticks(*pid)).sum()
}

/// A separate nginx with a temporary folder, on a free port.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(upstream: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let path = folder.path().display();
        let config = format!(
            "daemon off; pid {path}/pid; error_log {path}/error.log; worker_processes 2;
             events {{ worker_connections 1024; }}
             http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;
               uwsgi_temp_path {path}/u; scgi_temp_path {path}/s; keepalive_requests 1000000;
               upstream app {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}
               server {{ listen {address}; location / {{ proxy_pass http://app; proxy_http_version 1.1;
                 proxy_set_header Connection \"\"; proxy_set_header Host $host;
                 proxy_set_header X-Forwarded-For $remote_addr; proxy_buffering off; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config)?;
        let child =
            Command::new("nginx").arg("-c").arg(&file).arg("-p").arg(folder.path()).stderr(Stdio::null()).spawn()?;
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(Self { child, address, _folder: folder });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("nginx did not start")
    }

    /// Process ids of the master and the workers.
    fn pids(&self) -> Result<Vec<u32>> {
        let master = self.child.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        let workers = children.split_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        Ok([vec![master], workers].concat())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master passes TERM on to the workers. KILL would leave them running.
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
