//! An installation of the real binary for one test, on the machine's engine, with a separate data directory, ports,
//! names and subnets. Dropping it removes everything.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::small_disk::SmallDisk;
use crate::{engine, http};

/// A running `boatyard serve` and what belongs to it.
pub struct Installation {
    /// The binary that [`Installation::serve`] starts. A story about upgrades changes it.
    pub program: PathBuf,
    /// Unmounted before the directory is removed.
    disk: Option<SmallDisk>,
    directory: TempDir,
    api: SocketAddr,
    http: SocketAddr,
    serve: Option<Child>,
    token: String,
    /// Arguments of `serve` besides those of every test.
    arguments: Vec<String>,
}

/// A container of an app, by the engine's id and start time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    pub component: String,
    pub id: String,
    pub started: String,
}

/// Deadline of every wait in the stories and the demo. It only ends a wait for something that never happens, so that
/// the test fails with a reason. No busy machine reaches it, and the test runner's limit is longer.
pub const ENDS_WITHIN: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(25);

impl Installation {
    /// Starts the program on free ports. Repositories under [`Installation::sources`] may be named by path.
    pub async fn start(program: impl Into<PathBuf>) -> Result<Self> {
        Self::start_in(program.into(), new_directory()?, None, &[]).await
    }

    /// Like [`Installation::start`], with more arguments for `serve`.
    pub async fn start_with(program: impl Into<PathBuf>, arguments: &[&str]) -> Result<Self> {
        Self::start_in(program.into(), new_directory()?, None, arguments).await
    }

    /// Like [`Installation::start`], with the data directory on a separate disk of `bytes` bytes. Needs root.
    pub async fn start_on_small_disk(program: impl Into<PathBuf>, bytes: u64) -> Result<Self> {
        let directory = new_directory()?;
        let disk = SmallDisk::mount(&directory.path().join("disk"), bytes)?;
        Self::start_in(program.into(), directory, Some(disk), &[]).await
    }

    async fn start_in(
        program: PathBuf,
        directory: TempDir,
        disk: Option<SmallDisk>,
        arguments: &[&str],
    ) -> Result<Self> {
        let [api, http] = free_addresses()?;
        let arguments = arguments.iter().map(|it| (*it).to_owned()).collect();
        let mut it = Self { program, disk, directory, api, http, serve: None, token: String::new(), arguments };
        it.serve().await?;
        Ok(it)
    }

    /// Adds an argument for the next start of `serve`.
    pub fn add_argument(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
    }

    /// The disk of [`Installation::start_on_small_disk`].
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// Starts `serve` again after it was killed or stopped.
    pub async fn serve(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.serve_log())?;
        let child = self
            .command(&["serve"])
            .args(["--api", &self.api.to_string(), "--http", &self.http.to_string()])
            .arg("--local-sources")
            .arg(self.sources())
            .args(["--database-image", "PG=boatyard-local/postgres:15"])
            .args(reach().map(|it| ["--reach".to_owned(), it]).into_iter().flatten())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start; build it: cargo build -p boatyard", self.program.display()))?;
        self.serve = Some(child);
        self.wait_until_up().await
    }

    async fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            if let Ok(token) = std::fs::read_to_string(self.data().join("admin-token")) {
                self.token = token.trim().to_owned();
                if self.call("GET", "/v2/apps", None).await.is_ok_and(|(status, _)| status == 200) {
                    return Ok(());
                }
            }
            let ended = self.serve.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                bail!("serve did not start ({ended:?}):\n{}", self.log());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills `serve` with SIGKILL. Traffic must not notice.
    pub fn kill_serve(&mut self) {
        if let Some(mut child) = self.serve.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
        }
    }

    /// Stops `serve` with SIGTERM, as a person would.
    pub fn stop_serve(&mut self) -> Result<()> {
        let mut child = self.serve.take().context("serve does not run")?;
        signal(child.id(), rustix::process::Signal::TERM);
        let deadline = Instant::now() + ENDS_WITHIN;
        while child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "serve did not end:\n{}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until `serve` has exited, for example after `down`.
    pub async fn ended(&mut self) -> Result<()> {
        let mut child = self.serve.take().context("serve does not run")?;
        let deadline = Instant::now() + ENDS_WITHIN;
        while child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "serve did not end:\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Kills the ingress with SIGKILL. `serve` starts another one.
    pub fn kill_ingress(&self) -> Result<()> {
        let pid = self.ingress_pid()?;
        signal(pid, rustix::process::Signal::KILL);
        Ok(())
    }

    /// Suspends `serve` until [`Installation::thaw_serve`].
    pub fn freeze_serve(&self) -> Result<()> {
        signal(self.serve_pid().context("serve does not run")?, rustix::process::Signal::STOP);
        Ok(())
    }

    /// Resumes a suspended `serve`.
    pub fn thaw_serve(&self) -> Result<()> {
        signal(self.serve_pid().context("serve does not run")?, rustix::process::Signal::CONT);
        Ok(())
    }

    /// Suspends the ingress until [`Installation::thaw_ingress`].
    pub fn freeze_ingress(&self) -> Result<()> {
        signal(self.ingress_pid()?, rustix::process::Signal::STOP);
        Ok(())
    }

    /// Resumes a suspended ingress.
    pub fn thaw_ingress(&self) -> Result<()> {
        signal(self.ingress_pid()?, rustix::process::Signal::CONT);
        Ok(())
    }

    /// The ingress process of this installation, found by its command line.
    pub fn ingress_pid(&self) -> Result<u32> {
        let data = self.data();
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let names_data = words.iter().any(|word| *word == data.as_os_str().as_encoded_bytes());
            if names_data && words.contains(&b"ingress".as_slice()) {
                return Ok(pid);
            }
        }
        bail!("no ingress runs for {}", data.display())
    }

    /// Process id of `serve`.
    pub fn serve_pid(&self) -> Option<u32> {
        self.serve.as_ref().map(Child::id)
    }

    /// Calls the API. `body: None` sends no body.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        http::json(self.api, method, path, &self.token, body).await
    }

    /// Calls the API and expects a 200.
    pub async fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.call(method, path, body).await?;
        ensure!(status == 200, "{method} {path} answered {status}: {answer}");
        Ok(answer)
    }

    /// Creates an app from a spec in YAML and waits until it serves.
    pub async fn create(&self, spec: &str) -> Result<Value> {
        let (status, answer) = http::yaml(self.api, "/v2/apps", &self.token, spec).await?;
        if status == 504 {
            // On a busy machine the API stops waiting after 30 s, but still creates the app.
            let name = spec.lines().find_map(|line| line.strip_prefix("name: ")).context("the spec has a name")?;
            return self.wait_created(name).await;
        }
        ensure!(status == 200, "create answered {status}: {answer}");
        let app = text(&answer, "/app/id")?;
        let deployment = text(&answer, "/app/pending_deployment/id")?;
        self.wait_active(&app, &deployment).await
    }

    /// Waits until an app is on record and its first deployment serves.
    async fn wait_created(&self, name: &str) -> Result<Value> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let (status, answer) = self.call("GET", &format!("/v2/apps/{name}/deployments"), None).await?;
            if status == 200 {
                let newest = answer["deployments"].get(0).context("an app has a deployment from the start")?;
                return self.wait_active(name, &text(newest, "/id")?).await;
            }
            ensure!(Instant::now() < deadline, "app {name} was never created:\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Replaces an app's spec; returns the deployment's id.
    pub async fn update(&self, app: &str, spec: Value) -> Result<String> {
        let body = serde_json::json!({ "spec": spec });
        let answer = self.ok("PUT", &format!("/v2/apps/{app}"), Some(&body)).await?;
        text(&answer, "/app/pending_deployment/id")
    }

    /// Restarts components (all if none is named). Returns the deployment's id without waiting.
    pub async fn restart(&self, app: &str, components: &[&str]) -> Result<String> {
        let body = serde_json::json!({ "components": components });
        let answer = self.ok("POST", &format!("/v2/apps/{app}/restart"), Some(&body)).await?;
        text(&answer, "/deployment/id")
    }

    /// Creates a deployment. Returns its id without waiting.
    pub async fn deploy(&self, app: &str, options: Value) -> Result<String> {
        let answer = self.ok("POST", &format!("/v2/apps/{app}/deployments"), Some(&options)).await?;
        text(&answer, "/deployment/id")
    }

    /// Waits until a deployment has ended, successfully or not.
    pub async fn wait(&self, app: &str, deployment: &str) -> Result<Value> {
        self.follow(app, deployment, |_| ()).await
    }

    /// Like [`Installation::wait`], and shows each state of the deployment. Asks again if the API is briefly
    /// unavailable.
    pub async fn follow(&self, app: &str, deployment: &str, mut show: impl FnMut(&Value)) -> Result<Value> {
        let deadline = Instant::now() + ENDS_WITHIN;
        let path = format!("/v2/apps/{app}/deployments/{deployment}");
        let mut last = Value::Null;
        while Instant::now() < deadline {
            if let Ok((200, answer)) = self.call("GET", &path, None).await {
                last = answer["deployment"].clone();
                show(&last);
                let phase = last["phase"].as_str().unwrap_or_default();
                if matches!(phase, "ACTIVE" | "SUPERSEDED" | "ERROR" | "CANCELED") {
                    return Ok(last);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("deployment {deployment} did not end: {last:#}\n{}", self.log())
    }

    /// Waits until a deployment under way reports that it waits for `what`.
    pub async fn until_waiting(&self, app: &str, deployment: &str, what: &str) -> Result<()> {
        let deadline = Instant::now() + ENDS_WITHIN;
        let path = format!("/v2/apps/{app}/deployments/{deployment}");
        loop {
            let answer = self.ok("GET", &path, None).await?;
            let waiting = answer["deployment"]["boatyard"]["waiting"].to_string();
            if waiting.contains(what) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "never waited for {what:?}: {answer:#}\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for a deployment and expects it to serve.
    pub async fn wait_active(&self, app: &str, deployment: &str) -> Result<Value> {
        let ended = self.wait(app, deployment).await?;
        ensure!(ended["phase"] == "ACTIVE", "deployment ended {}: {ended:#}\n{}", ended["phase"], self.log());
        Ok(ended)
    }

    /// Deletes an app and waits until none of its records are left.
    pub async fn delete(&self, app: &str) -> Result<()> {
        let deleted = text(&self.ok("DELETE", &format!("/v2/apps/{app}"), None).await?, "/id")?;
        self.until_gone(&deleted).await
    }

    /// Waits until none of a deleted app's records are left. `app` is its id.
    pub async fn until_gone(&self, app: &str) -> Result<()> {
        let deadline = Instant::now() + ENDS_WITHIN;
        while self.call("GET", &format!("/v2/boatyard/apps/{app}/status"), None).await?.0 != 404 {
            ensure!(Instant::now() < deadline, "app {app} is not gone:\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Instances with their container ids and start times, by alias.
    pub async fn instances(&self, app: &str) -> Result<Vec<Value>> {
        let answer = self.ok("GET", &format!("/v2/boatyard/apps/{app}/status"), None).await?;
        Ok(answer["status"]["instances"].as_array().cloned().unwrap_or_default())
    }

    /// The containers of an app, without those of jobs, sorted.
    pub async fn containers(&self, app: &str) -> Result<Vec<Container>> {
        let container = |instance: &Value| {
            let field = |name: &str| instance[name].as_str().map(str::to_owned);
            // An instance without a start time has no container yet.
            Some(Container {
                component: field("component_name")?,
                id: field("container_id")?,
                started: field("started_at")?,
            })
        };
        let all = self.instances(app).await?;
        let mut all: Vec<_> = all.iter().filter(|it| it["component_type"] != "JOB").filter_map(container).collect();
        all.sort();
        Ok(all)
    }

    /// Checks that the engine holds exactly what the records of these apps explain, and that there are no other apps:
    /// containers by name, one network per app and one for public host names, a volume for each database and for the fence, and no image that no
    /// deployment names. Waits for maintenance to finish.
    pub async fn check_explained(&self, apps: &[&str]) -> Result<()> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            match self.unexplained(apps).await? {
                None => return Ok(()),
                Some(why) if Instant::now() >= deadline => bail!("{why}\n{}", self.log()),
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn unexplained(&self, apps: &[&str]) -> Result<Option<String>> {
        let (mut names, mut images, mut databases) = (Vec::new(), Vec::new(), 0);
        for app in apps {
            let all = self.instances(app).await?;
            databases += all.iter().filter(|it| it["component_type"] == "DATABASE").count();
            names.extend(all.iter().filter_map(|it| Some(it["instance_name"].as_str()?.to_owned())));
            let answer = self.ok("GET", &format!("/v2/apps/{app}/deployments?per_page=200"), None).await?;
            let deployments = answer["deployments"].as_array().cloned().unwrap_or_default();
            let of = |it: &Value| it["boatyard"]["images"].as_object().cloned().unwrap_or_default();
            let references = deployments.iter().flat_map(of).map(|(_, image)| image["reference"].clone());
            images.extend(references.filter_map(|it| it.as_str().map(str::to_owned)));
        }
        names.sort();
        let id = self.id()?;
        let (there, tags) = (self.engine_containers().await?, engine::app_tags_of(&id).await?);
        let (networks, volumes) = engine::networks_and_volumes_of(&id).await?;
        let stray: Vec<_> = tags.into_iter().filter(|tag| !images.contains(tag)).collect();
        let public = networks.iter().filter(|it| it.ends_with("-public")).count();
        let good = there == names
            && networks.len() == apps.len() + public
            && volumes.len() == databases + 1
            && stray.is_empty();
        Ok((!good).then(|| {
            format!("recorded {names:?}, on the engine {there:?}; networks {networks:?}; volumes {volumes:?}; images {stray:?}")
        }))
    }

    /// Uninstalls as a person would, and fails unless nothing is left on the engine or the disk.
    pub async fn uninstall(&mut self) -> Result<()> {
        let id = self.id()?;
        self.kill_serve();
        let output = self.cli(&["uninstall", "--purge"]).await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (networks, volumes) = engine::networks_and_volumes_of(&id).await?;
        let left = [engine::containers_of(&id).await?, networks, volumes, engine::tags_of(&id).await?].concat();
        ensure!(left.is_empty() && !self.data().exists(), "left behind: {left:?}");
        Ok(())
    }

    /// Container ids of a component, sorted.
    pub async fn container_ids(&self, app: &str, component: &str) -> Result<Vec<String>> {
        let all = self.instances(app).await?;
        let of = all.iter().filter(|it| it["component_name"] == component);
        let mut ids: Vec<String> = of.filter_map(|it| it["container_id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        Ok(ids)
    }

    /// Runs a CLI command against this installation and waits for it to exit.
    pub async fn cli(&self, args: &[&str]) -> Result<std::process::Output> {
        let mut command = tokio::process::Command::from(self.command(args));
        let output = command.stdin(Stdio::null()).output();
        tokio::time::timeout(ENDS_WITHIN, output).await.context("the command did not end")?.context("the command runs")
    }

    /// A command for the server of this installation.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .arg("--data-dir")
            .arg(self.data())
            .env_remove("BOATYARD_TOKEN")
            .env_remove("BOATYARD_API_URL");
        command
    }

    /// Address of the ingress.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Address of the API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The admin token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The directory for repositories.
    pub fn sources(&self) -> PathBuf {
        self.directory.path().join("sources")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("disk").join("data")
    }

    fn serve_log(&self) -> PathBuf {
        self.directory.path().join("serve.log")
    }

    /// How many lines of the log of `serve` contain this text.
    pub fn count_in_log(&self, text: &str) -> usize {
        std::fs::read_to_string(self.serve_log()).unwrap_or_default().lines().filter(|it| it.contains(text)).count()
    }

    /// Whether `serve` reaches instances at their addresses, and not at published ports. It said so when it started.
    pub fn reaches_directly(&self) -> bool {
        self.count_in_log("  reach    direct: ") > 0
    }

    /// The log of `serve` so far, for messages of failed tests.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.serve_log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Names of this installation's containers on the engine, as the engine lists them.
    pub async fn engine_containers(&self) -> Result<Vec<String>> {
        crate::engine::containers_of(&self.id()?).await
    }

    /// The installation's id.
    pub fn id(&self) -> Result<String> {
        let id = std::fs::read_to_string(self.data().join("installation"))?;
        Ok(id.trim().to_owned())
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.kill_serve();
        let purged = self.command(&["uninstall", "--purge"]).stdin(Stdio::null()).output();
        let failed = match purged {
            Ok(output) if output.status.success() => return,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("uninstall --purge failed; the installation's containers may be left behind:\n{failed}");
        assert!(std::thread::panicking(), "uninstall --purge failed");
    }
}

/// How tests reach instances, from the environment. `None`: as `serve` finds out.
fn reach() -> Option<String> {
    std::env::var("BOATYARD_TEST_REACH").ok().filter(|it| !it.is_empty())
}

fn new_directory() -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("by-").tempdir().context("a temporary directory")?;
    for name in ["sources", "disk"] {
        std::fs::create_dir(directory.path().join(name))?;
    }
    Ok(directory)
}

/// Two ports that were free a moment ago.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    // Both are bound at the same time, so that they differ.
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?, other.local_addr()?])
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    // The process may have exited already.
    let _ = rustix::process::kill_process(pid, signal);
}

/// A text in an answer, by JSON pointer.
pub fn text(answer: &Value, pointer: &str) -> Result<String> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {answer}"))
}

/// Time from a request until only the deployment's new instances served, according to its record. `None` if they never
/// did. The record uses this host's clock.
pub fn served_after(asked: SystemTime, deployment: &Value) -> Option<Duration> {
    let since = deployment.pointer("/boatyard/record/serving_since")?.as_str()?;
    let since: SystemTime = chrono::DateTime::parse_from_rfc3339(since).ok()?.into();
    Some(since.duration_since(asked).unwrap_or_default())
}

/// The binary beside the running one: `target/debug/boatyard` for a test or the demo of the same build.
pub fn sibling_program() -> PathBuf {
    let here = std::env::current_exe().expect("a running program has a path");
    let folder = here.parent().expect("it lies in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(Path::new(".")) } else { folder };
    folder.join("boatyard")
}
