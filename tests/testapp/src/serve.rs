//! The server. On SIGTERM it stops accepting, closes idle connections, finishes open requests for up to 30 s, and exits
//! with 0: an app that cannot do this proves nothing about draining.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::pages::{self, Site};
use crate::settings::Settings;

const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// Serves until SIGTERM.
pub async fn run(settings: Settings, mut term: Signal) -> ExitCode {
    // Each connection holds a receiver, so that the channel is closed once all have ended.
    let (stop, _) = watch::channel(());
    tokio::select! {
        code = start_and_accept(settings, &stop) => return code,
        _ = term.recv() => {}
    }
    stop.send_replace(());
    let drained = timeout(DRAIN_DEADLINE, stop.closed()).await.is_ok();
    println!("{}", if drained { "ends, all requests answered" } else { "ends with requests open" });
    ExitCode::SUCCESS
}

/// Returns only if it cannot listen.
async fn start_and_accept(settings: Settings, stop: &watch::Sender<()>) -> ExitCode {
    sleep(settings.start_delay).await;
    if let Some((after, code)) = settings.exit_after {
        tokio::spawn(async move {
            sleep(after).await;
            println!("ends by itself with {code}");
            exit(code);
        });
    }
    if settings.no_listen {
        println!("{} {} does not listen", settings.name, settings.version);
        return std::future::pending().await;
    }
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, settings.port)).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("testapp: cannot listen on port {}: {error}", settings.port);
            return ExitCode::FAILURE;
        }
    };
    println!("{} {} listens on port {}", settings.name, settings.version, settings.port);
    let mut http = http1::Builder::new();
    // hyper also applies this time between two requests, and closes without an answer.
    http.timer(TokioTimer::new()).header_read_timeout(settings.idle_close);
    let speaks_http2 = settings.http2;
    let site = Arc::new(Site::new(settings));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // The process is most likely out of file descriptors: a connection has to end first.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let site = Arc::clone(&site);
        let service = service_fn(move |request| pages::answer(Arc::clone(&site), request));
        let mut stopped = stop.subscribe();
        if speaks_http2 {
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
            continue;
        }
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
}
