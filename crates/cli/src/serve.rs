//! `boatyard serve`: runs the controller and the API until a signal. The ingress and the apps keep running.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use api::Options;
use controller::config::{AccessLogFormat, Bases, TrustedProxies, limits};
use controller::{AcmeSettings, Config, Controller, WebhookSettings};
use data_dir::{DataDir, DataDirError, private_files};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use web::{Listeners, OutsideUrl, Stop, Tls};

use crate::args::{EngineArgs, Serve};
use crate::discover::Runtime;
use crate::exit::{Exit, HeldError, UsageError};
use crate::output;
use crate::repeat_filter::RepeatFilter;
use crate::tls;

/// The shortest interval of `--poll`. Our choice: every look costs the host of the repository a request.
const SHORTEST_POLL: Duration = Duration::from_secs(30);

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

pub async fn run(options: Serve, data_dir: PathBuf) -> anyhow::Result<Exit> {
    start_tracing();
    check_api_address(&options)?;
    let outside = outside(&options)?;
    let files = options.api_tls_cert.clone().zip(options.api_tls_key.clone());
    // Unusable files are reported before anything starts.
    let own = files.map(|(certificate, key)| Tls::from_files(&certificate, &key)).transpose()?;
    let listener = listen(options.api, "--api", &data_dir).await?;
    let api = listener.local_addr().context("the API's listener has no address")?;
    let tls_listener = match options.api_tls {
        Some(address) => Some(listen(address, "--api-tls", &data_dir).await?),
        None => None,
    };
    let (http, socket, hold_polls) = (options.http, options.host.socket()?, !options.no_held_polls);
    let ingress = ingress_addresses(http, options.https);
    let webhooks = webhook_host(&options)?.map(|host| webhook_settings(host, &data_dir)).transpose()?;
    let socket_of_webhooks = webhooks.as_ref().map(|it| it.socket.clone());
    let controller = Controller::start(Config { webhooks, ..config(options, &data_dir, api)? }).await?;
    // The controller has created the data directory and holds its lock.
    let webhook_listener = match socket_of_webhooks.map(|it| listen_for_webhooks(&it)).transpose() {
        Ok(listener) => listener,
        Err(error) => {
            controller.shutdown().await;
            return Err(error);
        }
    };
    let tls = tls_listener
        .map(|listener| Ok::<_, anyhow::Error>((tls(&listener, own, &data_dir, outside.as_ref())?, listener)));
    let tls = match tls.transpose() {
        Ok(tls) => tls.map(|(tls, listener)| (listener, tls)),
        Err(error) => {
            controller.shutdown().await;
            return Err(error);
        }
    };
    if let Err(error) = write_runtime_file(&controller, api) {
        // A full disk must not keep `serve` from starting.
        output::note(&format!(
            "note: {}. Other commands need --api-url http://{api} to find this server",
            crate::exit::chain(&error)
        ));
    }
    let api = addresses(api, tls.as_ref(), outside.as_ref());
    output::note(&banner(&controller, &data_dir, &api, &ingress, &socket).await);
    let listeners = Listeners { http: listener, tls, outside };
    let stop = Stop::default();
    let pages = Some(panel::router(Arc::new(controller.clone()), stop.clone()));
    if let Some(listener) = webhook_listener {
        tokio::spawn(serve_webhooks(listener, controller.clone(), stop.clone()));
    }
    let options = Options { hold_polls, pages, stop };
    let result = serve(&controller, listeners, options, &data_dir, http).await;
    controller.remove_runtime();
    controller.shutdown().await;
    result
}

async fn serve(
    controller: &Controller,
    listeners: Listeners,
    options: Options,
    data_dir: &Path,
    http: SocketAddr,
) -> anyhow::Result<Exit> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let fenced = controller.fenced();
    let mut taken_over = false;
    let shutdown = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = fenced => taken_over = true,
        }
    };
    let reason =
        api::serve(listeners, Arc::new(controller.clone()), options, shutdown).await.context("the API stopped")?;
    if taken_over {
        return Err(HeldError("another controller has taken over this installation, so this one exits".into()).into());
    }
    output::note(&match reason {
        api::ShutdownReason::Down => "Stopped by `boatyard down`. To start everything again: boatyard serve".to_owned(),
        api::ShutdownReason::Requested => exit_message(data_dir, http),
    });
    Ok(Exit::Done)
}

/// The token may be sent unencrypted only over loopback.
fn check_api_address(options: &Serve) -> anyhow::Result<()> {
    if web::is_local(options.api) || options.api_insecure {
        return Ok(());
    }
    Err(UsageError(format!(
        "other hosts can reach --api {}, and the API speaks plain HTTP there, so the token could be read on the network. \
         Use --api-tls, or 127.0.0.1 and a tunnel, or add --api-insecure",
        options.api
    ))
    .into())
}

/// The host name for webhooks, in lower case. An empty variable is one that is not set. Errors: it is not a host name.
fn webhook_host(options: &Serve) -> anyhow::Result<Option<String>> {
    let Some(given) = options.webhook_host.as_deref().map(str::trim).filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let is_name = given.split('.').all(|label| !label.is_empty() && !label.starts_with('-'))
        && given.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'.')
        && given.parse::<std::net::IpAddr>().is_err();
    match is_name {
        true => Ok(Some(given.to_ascii_lowercase())),
        false => Err(UsageError(format!(
            "--webhook-host must be a host name without scheme, port and path, such as hooks.example.com, not {given:?}"
        ))
        .into()),
    }
}

/// The ingress may have another working directory, so the path is absolute.
fn webhook_settings(host: String, data_dir: &Path) -> anyhow::Result<WebhookSettings> {
    let socket =
        std::path::absolute(DataDir::webhooks_socket_of(data_dir)).context("cannot find the data directory")?;
    Ok(WebhookSettings { host, socket })
}

/// Only the ingress reaches this listener, and sends it only what comes under the host name for webhooks. The controller
/// holds the lock of the data directory, so a socket at this path was left by a process that has exited.
fn listen_for_webhooks(socket: &Path) -> anyhow::Result<UnixListener> {
    let listen = || {
        private_files::remove(socket)?;
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
        Ok::<_, std::io::Error>(listener)
    };
    listen().with_context(|| format!("cannot listen for webhooks on {}", socket.display()))
}

async fn serve_webhooks(listener: UnixListener, controller: Controller, stop: Stop) {
    if let Err(error) = api::serve_webhooks(listener, Arc::new(controller), stop).await {
        tracing::error!(%error, "webhooks are no longer received. Start serve again");
    }
}

/// The interval of `--poll`. Errors: it is not a number with a unit, or below [`SHORTEST_POLL`].
fn poll(text: &str) -> anyhow::Result<Option<Duration>> {
    let text = text.trim();
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    let wrong =
        || UsageError(format!("--poll must be off, or a number with s, m or h from 30s on, such as 5m, not {text:?}"));
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 60 * 60,
        _ => return Err(wrong().into()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let interval = Duration::from_secs(u64::from(number) * unit);
    if interval < SHORTEST_POLL { Err(wrong().into()) } else { Ok(Some(interval)) }
}

/// If the controller of the same data directory uses the port, the error reports that.
async fn listen(address: SocketAddr, flag: &str, data_dir: &Path) -> anyhow::Result<TcpListener> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    if let Err(held @ DataDirError::Held { .. }) = DataDir::open(data_dir) {
        return Err(HeldError(held.to_string()).into());
    }
    let why = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    Err(anyhow!("the API cannot listen on {address}: {why}. Choose another address with {flag}"))
}

fn outside(options: &Serve) -> anyhow::Result<Option<OutsideUrl>> {
    let parsed = options.outside.as_deref().map(str::parse).transpose();
    parsed.map_err(|why| UsageError(format!("--api-url: {why}")).into())
}

/// The certificate of the API: the operator's, or one of the authority in the data directory.
fn tls(listener: &TcpListener, own: Option<Tls>, data_dir: &Path, outside: Option<&OutsideUrl>) -> anyhow::Result<Tls> {
    if let Some(own) = own {
        return Ok(own);
    }
    let bound = listener.local_addr().context("the API's TLS listener has no address")?;
    let names = web::server_names(bound, outside);
    Ok(Tls::from_authority(&DataDir::certificate_authority_of(data_dir), names)?)
}

fn config(options: Serve, data_dir: &Path, api: SocketAddr) -> anyhow::Result<Config> {
    let sources = options.local_sources.iter().map(|directory| {
        let found = directory.canonicalize();
        found.with_context(|| format!("cannot use --local-sources {}", directory.display()))
    });
    // The command `dev` makes this directory.
    let sources = sources.chain([Ok(DataDir::working_copies_of(data_dir))]);
    let proxies =
        TrustedProxies { by_header: options.trusted_proxy.clone(), by_proxy_protocol: options.proxy_protocol.clone() };
    Ok(Config {
        http: options.http,
        https: options.https,
        access_log: options.access_log.into(),
        proxies,
        acme: acme(&options)?,
        api,
        local_sources: sources.collect::<Result<_, _>>()?,
        allow_sources_from: options.allow_sources_from,
        sources_ca: options.sources_ca.map(|file| sources_ca(&file)).transpose()?,
        base_images: base_images(&options.base_image)?,
        parallel_builds: options.parallel_builds.into(),
        build_limit: Duration::from_secs(60 * u64::from(options.build_time_limit)),
        database_images: options.database_image,
        poll: poll(&options.poll)?,
        reach: options.reach,
        ..base_config(options.host, data_dir)?
    })
}

/// The authority for the domains of apps. An empty variable is one that is not set.
fn acme(options: &Serve) -> anyhow::Result<Option<AcmeSettings>> {
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
    let (email, directory) = (given(&options.acme_email), given(&options.acme_directory));
    if email.is_none() && directory.is_none() {
        return Ok(None);
    }
    let directory = directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned());
    if !directory.starts_with("https://") {
        return Err(UsageError(format!("--acme-directory must begin with https://, not {directory:?}")).into());
    }
    let authority = options.acme_ca.as_ref().map(|file| {
        tls::certificates(file).context("cannot use --acme-ca")?;
        file.canonicalize().with_context(|| format!("cannot use --acme-ca {}", file.display()))
    });
    Ok(Some(AcmeSettings { directory, email, authority: authority.transpose()?, challenge: options.acme_challenge }))
}

/// The absolute path of a file with certificates. Errors: it cannot be read, or contains none.
fn sources_ca(file: &Path) -> anyhow::Result<PathBuf> {
    tls::certificates(file).context("cannot use --sources-ca")?;
    file.canonicalize().with_context(|| format!("cannot use --sources-ca {}", file.display()))
}

/// Errors: a replacement names no base image.
fn base_images(replacements: &[String]) -> Result<Bases, UsageError> {
    // An empty variable is one that is not set.
    let given = replacements.iter().map(|it| it.trim()).filter(|it| !it.is_empty());
    Bases::parse(given).map_err(|error| UsageError(format!("--base-image: {error}")))
}

/// The default settings of an installation.
pub fn base_config(host: EngineArgs, data_dir: &Path) -> anyhow::Result<Config> {
    Ok(Config {
        data_dir: data_dir.to_owned(),
        engine_socket: host.socket()?,
        http: SocketAddr::from(([127, 0, 0, 1], 8080)),
        api: SocketAddr::from(([127, 0, 0, 1], 7080)),
        local_sources: Vec::new(),
        allow_sources_from: Vec::new(),
        sources_ca: None,
        base_images: Bases::default(),
        database_images: Vec::new(),
        network_pool: host.network_pool,
        reach: None,
        program: std::env::current_exe().context("cannot find the path of this program")?,
        deployment_limit: limits::DEPLOYMENT,
        job_limit: limits::JOB,
        parallel_builds: 2,
        build_limit: limits::BUILD,
        https: None,
        access_log: AccessLogFormat::Off,
        acme: None,
        webhooks: None,
        poll: None,
        proxies: TrustedProxies::default(),
    })
}

fn write_runtime_file(controller: &Controller, api: SocketAddr) -> anyhow::Result<()> {
    let token_path = std::path::absolute(controller.token_path())?;
    let runtime = Runtime { api_url: format!("http://{}", reachable(api)), token_path, pid: std::process::id() };
    let json = serde_json::to_vec(&runtime).context("cannot write the runtime file")?;
    controller.write_runtime(&json).context("cannot write the runtime file")
}

/// The loopback address if the server listens on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(it) if it.ip().is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
        SocketAddr::V6(it) if it.ip().is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The addresses of the API, one per line.
fn addresses(api: SocketAddr, tls: Option<&(TcpListener, Tls)>, outside: Option<&OutsideUrl>) -> String {
    let warning = if web::is_local(api) {
        ""
    } else {
        "   insecure: other hosts can reach it, and the token is sent unencrypted"
    };
    let mut lines = vec![format!("http://{api}{warning}")];
    if let Some((listener, tls)) = tls {
        let bound = listener.local_addr().map_or_else(|_| "an unknown address".to_owned(), |it| it.to_string());
        let trust = tls.authority_file().map(|file| format!("   clients have to trust {}", file.display()));
        lines.push(format!("https://{bound}{}", trust.unwrap_or_default()));
    }
    lines.extend(outside.map(|it| format!("{it}   from outside, as --api-url says")));
    lines.join("\n           ")
}

/// Where the ingress listens.
fn ingress_addresses(http: SocketAddr, https: Option<SocketAddr>) -> String {
    let https = https.map(|it| format!("\n           https://{it}"));
    format!("http://{http}{}", https.unwrap_or_default())
}

async fn banner(controller: &Controller, data_dir: &Path, api: &str, ingress: &str, socket: &Path) -> String {
    format!(
        "boatyard {version}\n  API      {api}\n  ingress  {ingress}\n  data     {data}\n  \
         token    {token}\n  engine   {engine} at {socket}\n  reach    {reach}: instances {reached}\nCtrl-C stops the controller. The ingress and all apps keep running.",
        version = env!("CARGO_PKG_VERSION"),
        data = data_dir.display(),
        token = controller.token_path().display(),
        engine = controller.engine_line().await,
        socket = socket.display(),
        reach = controller.reach().as_str(),
        reached = controller.reach().sentence(),
    )
}

fn exit_message(data_dir: &Path, http: SocketAddr) -> String {
    let at = data_dir.display();
    format!(
        "The controller has stopped. The ingress on {http} and all apps keep running.\n\
         To start the controller again: boatyard serve --data-dir {at}\n\
         To stop the ingress: boatyard down --data-dir {at}   (add --apps to stop the apps too)"
    )
}

/// Logs to standard error. By default at level `info`; `RUST_LOG` changes that with a list such as `debug,hyper=warn`.
/// Repeated warnings and errors are logged at growing intervals.
pub fn start_tracing() {
    let from_environment = std::env::var("RUST_LOG").ok().and_then(|it| it.parse::<Targets>().ok());
    let filter = from_environment.unwrap_or_else(|| {
        Targets::new().with_default(Level::INFO).with_targets([("bollard", Level::WARN), ("hyper", Level::WARN)])
    });
    let terminal = std::io::stderr().is_terminal() && output::colored();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    tracing_subscriber::registry().with(filter).with(RepeatFilter::default()).with(lines).init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn options(line: &str) -> Serve {
        let words = ["boatyard", "serve"].into_iter().chain(line.split(' ').filter(|it| !it.is_empty()));
        match Arguments::try_parse_from(words).map(|it| it.command) {
            Ok(Command::Serve(options)) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_that_other_hosts_can_reach_needs_a_flag() {
        assert!(check_api_address(&options("")).is_ok());
        let error = check_api_address(&options("--api 0.0.0.0:7080")).expect_err("refused");
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert!(error.to_string().contains("plain HTTP"), "{error}");
        assert!(check_api_address(&options("--api 0.0.0.0:7080 --api-insecure")).is_ok());
    }

    #[test]
    fn a_base_image_that_does_not_exist_is_wrong_usage() {
        let parsed = |line: &str| base_images(&options(line).base_image).map_err(|error| error.to_string());
        assert_eq!(parsed(""), Ok(Bases::default()));
        assert!(parsed("--base-image nginx=local/nginx:1 --base-image debian:13=local/debian").is_ok());
        let error = parsed("--base-image ngnix=local/nginx").expect_err("misspelt");
        assert!(error.starts_with("--base-image: no base image is named \"ngnix\""), "{error}");
    }

    #[test]
    fn the_host_for_webhooks_is_a_name() {
        let parsed = |line: &str| webhook_host(&options(line)).map_err(|error| error.to_string());
        assert_eq!(parsed(""), Ok(None));
        assert_eq!(parsed("--webhook-host Hooks.Example.com"), Ok(Some("hooks.example.com".into())));
        for wrong in
            ["https://hooks.example.com", "hooks.example.com:8080", "hooks.example.com/x", "192.0.2.1", "a..b", "-a"]
        {
            let error = webhook_host(&Serve { webhook_host: Some(wrong.into()), ..options("") }).expect_err(wrong);
            assert_eq!(Exit::of(&error), Exit::Usage, "{error}");
        }
    }

    #[test]
    fn the_interval_of_polling_is_off_or_at_least_half_a_minute() {
        let seconds = |text: &str| poll(text).map(|it| it.map(|it| it.as_secs())).ok();
        for (text, expected) in [
            ("off", Some(None)),
            ("", Some(None)),
            ("30s", Some(Some(30))),
            ("5m", Some(Some(300))),
            ("2h", Some(Some(7200))),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for wrong in ["29s", "0m", "5", "m", "-5m", "5d", "1.5h", "99999999999h", "é"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(options("").poll, "off");
    }

    #[tokio::test]
    async fn the_error_about_a_taken_port_names_the_port_and_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let directory = tempfile::tempdir().expect("a directory");
        let address = taken.local_addr().expect("an address");
        let error = listen(address, "--api", &directory.path().join("data")).await.expect_err("it is taken");
        let message = error.to_string();
        assert!(message.contains(&address.to_string()) && message.contains("--api"), "{message}");
    }

    #[tokio::test]
    async fn a_locked_data_directory_is_reported_before_the_taken_port() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let _locked = DataDir::open(&data).expect("a free directory");
        let error = listen(taken.local_addr().expect("an address"), "--api-tls", &data).await.expect_err("it is taken");
        assert_eq!(Exit::of(&error), Exit::Held, "{error}");
    }

    #[tokio::test]
    async fn the_banner_lists_all_addresses_and_the_certificate_to_trust() {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let bound = listener.local_addr().expect("an address");
        let outside = outside(&Serve { outside: Some("https://api.example.test".into()), ..options("") });
        let outside = outside.expect("an address");
        let tls = tls(&listener, None, directory.path(), outside.as_ref()).expect("an authority");
        let shown = addresses("127.0.0.1:7080".parse().expect("one"), Some(&(listener, tls)), outside.as_ref());
        let lines: Vec<_> = shown.lines().map(str::trim).collect();
        let file = directory.path().join("tls/authority.pem");
        assert_eq!(
            lines[..2],
            ["http://127.0.0.1:7080", &format!("https://{bound}   clients have to trust {}", file.display())]
        );
        assert!(lines[2].starts_with("https://api.example.test ") && file.exists(), "{shown}");
    }

    #[test]
    fn the_banner_lists_the_addresses_of_the_ingress() {
        let (http, https) = ("127.0.0.1:8080".parse().expect("one"), "127.0.0.1:8443".parse().expect("one"));
        assert_eq!(ingress_addresses(http, None), "http://127.0.0.1:8080");
        let both: Vec<_> = ingress_addresses(http, Some(https)).lines().map(|it| it.trim().to_owned()).collect();
        assert_eq!(both, ["http://127.0.0.1:8080", "https://127.0.0.1:8443"]);
    }

    #[test]
    fn a_wrong_outside_address_is_wrong_usage() {
        let error = outside(&Serve { outside: Some("api.example.test".into()), ..options("") }).expect_err("no scheme");
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert!(error.to_string().contains("--api-url"), "{error}");
    }

    #[test]
    fn the_runtime_file_contains_a_reachable_address() {
        assert_eq!(reachable("0.0.0.0:7080".parse().expect("one")).to_string(), "127.0.0.1:7080");
        assert_eq!(reachable("[::]:1".parse().expect("one")).to_string(), "[::1]:1");
        assert_eq!(reachable("192.0.2.1:1".parse().expect("one")).to_string(), "192.0.2.1:1");
    }
}
