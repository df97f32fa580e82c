//! `make live`: measures the live pages of the control panel: how long after an event a page shows it, and what `serve` needs
//! for many open pages. Figures depend on the machine, so nothing here passes or fails.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use boatyard_tests::http;
use boatyard_tests::installation::{ENDS_WITHIN, Installation, sibling_program};
use boatyard_tests::process::{cpu_ticks, memory};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PAGES: usize = 200;
/// How long each state is measured.
const WINDOW: Duration = Duration::from_secs(15);

const SPEC: &str = "
name: shop
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}
  instance_count: 4
  health_check: {http_path: /health, period_seconds: 1}
workers:
- name: mill
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}
  run_command: /bin/testapp work
";

#[tokio::main]
async fn main() -> ExitCode {
    boatyard_tests::exit_code(run().await)
}

async fn run() -> Result<()> {
    let at = Installation::start(sibling_program()).await?;
    measure_pages(&at).await.with_context(|| format!("the log of serve ends with:\n{}", at.log()))
}

async fn measure_pages(at: &Installation) -> Result<()> {
    at.create(SPEC).await?;
    let cookie = sign_in(at).await?;
    println!("{:<40} {:>16} {:>10}", "state", "CPU of one core", "memory");
    let wait = async || {
        tokio::time::sleep(WINDOW).await;
        Ok(())
    };
    measure(at, "no page is open", wait).await?;

    let pages = Pages::open(at, &cookie, "/apps/shop/events").await?;
    measure(at, &format!("{PAGES} pages of an app are open"), wait).await?;
    drop(pages);

    // On a busy machine a restart may be over before all pages are open. Then another one follows.
    for number in 2.. {
        let deployment = at.restart("shop", &[]).await?;
        let pages = Pages::open(at, &cookie, &format!("/apps/shop/deployments/{number}/events")).await?;
        measure(at, &format!("{PAGES} pages of a restart are open"), async || {
            at.wait_active("shop", &deployment).await.map(drop)
        })
        .await?;
        if pages.print_delays() {
            break;
        }
    }
    Ok(())
}

/// Runs `activity`, and prints what `serve` took meanwhile.
async fn measure(at: &Installation, state: &str, activity: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let pid = at.serve_pid().context("serve runs")?;
    let (before, began) = (cpu_ticks(pid)?, Instant::now());
    activity().await?;
    #[allow(clippy::cast_precision_loss, reason = "a small number, for people")]
    let seconds = (cpu_ticks(pid)? - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    let share = 100.0 * seconds / began.elapsed().as_secs_f64();
    println!("{state:<40} {share:>14.1} % {:>6.1} MiB", memory(pid)?);
    Ok(())
}

/// Signs in to the panel, and returns the cookie.
async fn sign_in(at: &Installation) -> Result<String> {
    let request = Request::post("/sign-in")
        .header("host", at.api().to_string())
        .header("origin", format!("http://{}", at.api()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(format!("token={}", at.token()))))?;
    let answer = http::Connection::open(at.api()).await?.exchange(request).await?;
    let cookie = answer.headers().get("set-cookie").context("signing in sets a cookie")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// Open live pages. Dropping them closes them.
struct Pages {
    viewers: JoinSet<Result<()>>,
    delays: Arc<Mutex<Vec<f64>>>,
}

impl Pages {
    /// Opens [`PAGES`] streams of events, and waits until each has the whole page.
    async fn open(at: &Installation, cookie: &str, path: &str) -> Result<Self> {
        let (mut viewers, delays) = (JoinSet::new(), Arc::<Mutex<Vec<f64>>>::default());
        let (shown, mut all_shown) = mpsc::channel(PAGES);
        for _ in 0..PAGES {
            let request = Request::get(path)
                .header("host", at.api().to_string())
                .header("cookie", cookie)
                .body(Full::new(Bytes::new()))?;
            viewers.spawn(view(at.api(), request, shown.clone(), Arc::clone(&delays)));
        }
        for _ in 0..PAGES {
            tokio::select! {
                one = tokio::time::timeout(ENDS_WITHIN, all_shown.recv()) => {
                    one.context("not all pages opened")?.context("the pages end with this function")?;
                }
                Some(ended) = viewers.join_next() => {
                    ended??;
                    bail!("the events of a page ended");
                }
            }
        }
        Ok(Self { viewers, delays })
    }

    /// Prints how late the updates were. Returns whether there were any.
    fn print_delays(self) -> bool {
        drop(self.viewers);
        let mut delays = self.delays.lock().expect("nothing panics while it holds the list").clone();
        delays.sort_by(f64::total_cmp);
        let at = |share: usize| delays.get(delays.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
        let (count, half, most, all) = (delays.len(), at(50), at(95), at(100));
        println!(
            "\nFrom an event to the pages ({count} updates): half within {half:.0} ms, 95 % within {most:.0} ms, all within {all:.0} ms"
        );
        count > 0
    }
}

/// Reads a stream of events until it is dropped, and notes the delay of each time that the page shows.
async fn view(
    panel: SocketAddr,
    request: Request<Full<Bytes>>,
    shown: mpsc::Sender<()>,
    delays: Arc<Mutex<Vec<f64>>>,
) -> Result<()> {
    let stream = TokioIo::new(TcpStream::connect(panel).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let _connection = AbortOnDrop(tokio::spawn(connection));
    let answer = sender.send_request(request).await?;
    ensure!(answer.status() == 200, "a page answered {}", answer.status());
    let (mut body, mut buffer, mut seen) = (answer.into_body(), String::new(), HashSet::new());
    let mut is_first = true;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        buffer.push_str(&String::from_utf8_lossy(&data));
        let Some(end) = buffer.rfind("\n\n") else { continue };
        let (now, rest) = (Utc::now(), buffer.split_off(end));
        let new: Vec<_> = times(&buffer).filter(|time| seen.insert(*time)).collect();
        if is_first {
            shown.send(()).await?;
        } else {
            let new = new.iter().map(|time| (now - time).as_seconds_f64() * 1000.0);
            delays.lock().expect("nothing panics while it holds the list").extend(new);
        }
        (is_first, buffer) = (false, rest);
    }
    Ok(())
}

/// The times in the markup of events.
fn times(events: &str) -> impl Iterator<Item = DateTime<Utc>> {
    events.split("datetime=").skip(1).filter_map(|it| {
        let text = it.trim_start_matches(['\\', '"']).split(['\\', '"']).next()?;
        text.parse().ok()
    })
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
