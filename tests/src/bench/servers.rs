//! The proxies that the bench compares, and the server behind them. Each has a temporary folder and free ports.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use boatyard_tests::installation::{ENDS_WITHIN, sibling_program};
use boatyard_tests::process::tree;
use ingress::{
    AppPolicy, AppRoutes, Certificate, CertificateSet, ControlClient, Listener, ListenerKind, MissingFile, PathMatch,
    Rewrite, RouteTable, Rule, SiteFiles, Target, Upstream, socket_path,
};
use tempfile::TempDir;

/// The host name of every request.
pub const HOST: &str = "localhost";
/// The files that are served, by path. The proxies serve the last one, and the server behind them the others.
pub const FILES: [(&str, usize); 3] = [("/1k", 1024), ("/1m", 1024 * 1024), ("/static/10k.txt", 10 * 1024)];

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Files that all servers use.
pub struct Common {
    folder: TempDir,
    /// The certificate for [`HOST`] and its key, each in PEM format.
    certificate: (String, String),
}

impl Common {
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for (path, size) in FILES {
            let path = folder.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().context("a file has a directory")?)?;
            fs::write(path, "x".repeat(size))?;
        }
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let certificate = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(folder.path().join("cert.pem"), &certificate.0)?;
        fs::write(folder.path().join("key.pem"), &certificate.1)?;
        fs::write(folder.path().join("both.pem"), [certificate.0.as_str(), &certificate.1].concat())?;
        Ok(Self { folder, certificate })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self) -> std::path::Display<'_> {
        self.folder.path().display()
    }
}

/// A running server.
pub struct Server {
    pub name: &'static str,
    pub http: SocketAddr,
    pub https: SocketAddr,
    /// Whether it serves files.
    pub has_files: bool,
    child: Child,
    folder: TempDir,
}

impl Server {
    fn start(
        name: &'static str,
        has_files: bool,
        start: impl FnOnce(&Path, [SocketAddr; 2]) -> Result<Command>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [http, https] = free_addresses()?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = start(folder.path(), [http, https])?;
        // The leader of a process group starts no session. The ingress would: the kernel gives each session the same share of
        // the CPU, which would distort the comparison.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{name} does not start"))?;
        Ok(Self { name, http, https, has_files, child, folder })
    }

    fn wait_until_up(mut self) -> Result<Self> {
        let deadline = Instant::now() + ENDS_WITHIN;
        while Instant::now() < deadline {
            if [self.http, self.https].iter().all(|address| TcpStream::connect(address).is_ok()) {
                return Ok(self);
            }
            if self.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!(
            "{} did not start:\n{}",
            self.name,
            fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
        )
    }

    /// The ids of its processes.
    pub fn pids(&self) -> Vec<u32> {
        tree(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A master passes TERM on to its workers. KILL would leave them running.
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// The server behind the proxies: nginx with one process, which answers from the page cache.
pub fn upstream(common: &Common) -> Result<Server> {
    nginx("upstream", 1, common, "", "location / { }")
}

/// All proxies that this machine has, with nginx first.
pub async fn proxies(common: &Common, upstream: SocketAddr) -> Result<Vec<Server>> {
    let app = format!("upstream app {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}");
    // Like the ingress, nginx sends each part of an answer as it arrives. The larger buffer is for large answers.
    let rules =
        "proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection \"\"; proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr; location /static/ { } location / { proxy_pass http://app; }
        location /1m { proxy_pass http://app; proxy_buffer_size 64k; proxy_buffers 8 64k; }";
    let mut all = vec![nginx("nginx", 2, common, &app, rules)?, boatyard(common, upstream).await?];
    if is_installed("haproxy") {
        all.push(haproxy(common, upstream)?);
    }
    if is_installed("caddy") {
        all.push(caddy(common, upstream)?);
    }
    Ok(all)
}

/// Ends `work` at Ctrl-C, and with it the servers. They do not get that signal, because each has a process group.
pub async fn until_interrupted(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// Whether a program is installed. If not, prints what is left out without it.
pub fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|path| path.join(program).is_file());
    if !found {
        println!("found no {program}: what needs it is left out. On Debian, run as root: scripts/proxies");
    }
    found
}

fn nginx(name: &'static str, processes: usize, common: &Common, http: &str, server: &str) -> Result<Server> {
    Server::start(name, true, |folder, [plain, tls]| {
        let (path, files) = (folder.display(), common.path());
        let config = format!(
            "daemon off; pid {path}/pid; error_log {path}/error.log; worker_processes {processes};
             events {{ worker_connections 4096; }}
             http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;
               uwsgi_temp_path {path}/u; scgi_temp_path {path}/s; keepalive_requests 100000000; sendfile on;
               open_file_cache max=100; ssl_certificate {files}/cert.pem; ssl_certificate_key {files}/key.pem;
               {http}
               server {{ listen {plain}; listen {tls} ssl http2; root {files}; {server} }} }}"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).arg("-p").arg(folder);
        Ok(command)
    })?
    .wait_until_up()
}

fn haproxy(common: &Common, upstream: SocketAddr) -> Result<Server> {
    Server::start("haproxy", false, |folder, [plain, tls]| {
        let config = format!(
            "global\n nbthread 2\n maxconn 4096\n\
             defaults\n mode http\n timeout connect 300s\n timeout client 300s\n timeout server 300s\n\
             frontend all\n bind {plain}\n bind {tls} ssl crt {}/both.pem alpn h2,http/1.1\n option forwardfor\n\
             \x20default_backend app\n\
             backend app\n http-reuse always\n server app {upstream}\n",
            common.path()
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        Ok(command)
    })?
    .wait_until_up()
}

fn caddy(common: &Common, upstream: SocketAddr) -> Result<Server> {
    Server::start("caddy", true, |folder, [plain, tls]| {
        let files = common.path();
        let rules = format!(
            "bind 127.0.0.1\n handle /static/* {{\n root * {files}\n file_server\n }}\n handle {{\n reverse_proxy {upstream}\n }}"
        );
        let config = format!(
            "{{\n admin off\n auto_https off\n }}\n\
             http://{HOST}:{} {{\n {rules}\n }}\n\
             https://{HOST}:{} {{\n tls {files}/cert.pem {files}/key.pem\n {rules}\n }}\n",
            plain.port(),
            tls.port()
        );
        let file = folder.join("Caddyfile");
        fs::write(&file, config)?;
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        Ok(command)
    })?
    .wait_until_up()
}

/// The ingress, as `serve` would configure it for one app with a service and a static site.
async fn boatyard(common: &Common, upstream: SocketAddr) -> Result<Server> {
    let ingress = Ingress::start().await?;
    let certificate = Certificate {
        names: vec![HOST.to_owned()],
        chain: common.certificate.0.clone(),
        key: common.certificate.1.clone(),
        minimum_tls_version: None,
        redirect_http: false,
    };
    let certificates = CertificateSet { certificates: vec![certificate], ..CertificateSet::default() };
    ingress.control.set_certificates(certificates).await?;
    let site = ingress.data_dir().join("sites/1");
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("static", common.folder.path().join("static"))?;
    site_files::unpack(&*archive.into_inner()?, "/static", &site, site_files::Limits::default())?;
    let files = SiteFiles {
        directories: vec![site.display().to_string()],
        index: "index.html".to_owned(),
        missing: MissingFile::Error("404.html".to_owned()),
    };
    let rules = vec![rule("/static", Rewrite::Strip, Target::Files { files }), instances(&[("web.0", upstream)])];
    ingress.control.set_table(table(1, rules)).await?;
    Ok(ingress.server)
}

/// A running ingress without `serve`, and the connection that controls it.
pub struct Ingress {
    pub server: Server,
    pub control: ControlClient,
}

impl Ingress {
    pub async fn start() -> Result<Self> {
        let server = Server::start("boatyard", true, |folder, _| {
            let mut command = Command::new(sibling_program());
            command.arg("--data-dir").arg(folder).arg("ingress");
            Ok(command)
        })?;
        let socket = socket_path(server.folder.path());
        let deadline = Instant::now() + ENDS_WITHIN;
        let control = loop {
            match ControlClient::connect(&socket).await {
                Ok(control) => break control,
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        let listeners = vec![
            Listener { address: server.http, kind: ListenerKind::Http },
            Listener { address: server.https, kind: ListenerKind::Https },
        ];
        let welcome = control.hello(listeners).await?;
        ensure!(welcome.refused.is_empty(), "{:?}", welcome.refused);
        Ok(Self { server: server.wait_until_up()?, control })
    }

    fn data_dir(&self) -> &Path {
        self.server.folder.path()
    }
}

/// A table with one app.
pub fn table(version: u64, rules: Vec<Rule>) -> RouteTable {
    let (app, hosts, window) = ("app".to_owned(), vec![HOST.to_owned()], "d1".to_owned());
    RouteTable {
        version,
        apps: vec![AppRoutes { app, hosts, window, rules, policy: AppPolicy::default(), internal: None }],
        ..RouteTable::default()
    }
}

/// A rule that sends everything to these instances.
pub fn instances(all: &[(&str, SocketAddr)]) -> Rule {
    let upstreams = all.iter().map(|(id, address)| Upstream { id: (*id).to_owned(), address: (*address).into() });
    rule("/", Rewrite::Keep, Target::Instances { upstreams: upstreams.collect() })
}

fn rule(prefix: &str, rewrite: Rewrite, target: Target) -> Rule {
    let (path, component) = (PathMatch::Prefix(prefix.to_owned()), "web".to_owned());
    Rule { authority: None, path, rewrite, component, cors: None, target }
}

fn free_addresses() -> Result<[SocketAddr; 2]> {
    let all = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([all[0].local_addr()?, all[1].local_addr()?])
}
