//! `boatyard dev`: runs a working copy as it is, and again after each change.

mod spec;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use app_spec::AppSpec;
use chrono::{DateTime, Utc};
use data_dir::DataDir;
use present::Deployment;
use serde_json::{Value, json};
use source::{TreeId, WorkingCopy, WorkingCopyError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::args::{Connection, Dev};
use crate::client::{Client, path_segment};
use crate::discover;
use crate::exit::{self, Exit, UsageError};
use crate::output;
use crate::spec::file::Written;
use crate::spec::{prompt, request_json};
use crate::watch::{self, read_deployment};

/// How often to look for changes. A large working copy is looked at less often, so that looking takes a tenth of the time.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Editors and checkouts write several files. A deployment starts once nothing has changed for this long.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
/// How often the files may be unreadable in a row before that is mentioned: a file may vanish while it is read.
const MENTION_AFTER: u32 = 5;
/// How long to follow one deployment. Its own deadlines are much shorter.
const DEPLOYMENT_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

pub async fn run(options: Dev, connection: &Connection) -> anyhow::Result<Exit> {
    if discover::names_a_server(connection) {
        let message = "boatyard dev runs this directory on the server of this host, so --api-url and --context, and their \
                       variables, cannot name another one. For another installation on this host: --data-dir DIR";
        return Err(UsageError(message.to_owned()).into());
    }
    let client = discover::client_on_this_host(connection)?;
    let directory = spec::canonical(&options.directory)?;
    let written = spec::file(&options).map(|it| Written::read(&it)).transpose()?;
    let name = spec::app_name(&options, written.as_ref(), &directory)?;
    let data_dir = connection.data_dir()?;
    let repository = repository(&data_dir, &name, &directory);
    let copy = WorkingCopy::open(&directory, &repository, &options.env_file)?;
    if data_dir.canonicalize().is_ok_and(|it| it.starts_with(copy.root())) {
        bail!(
            "the data directory {} is in {}, so images would contain its secrets",
            data_dir.display(),
            copy.root().display()
        );
    }
    let mut spec = spec::load(&options, written, &name, &directory, &copy, &repository)?;
    prompt(&mut spec)?;
    let mut session = Session { client, name, spec, copy, repository, exists: false, unreadable: BTreeSet::new() };
    session.run(options.watch).await
}

/// Where the files of the working copy are recorded. Two directories never share it.
fn repository(data_dir: &Path, name: &str, directory: &Path) -> PathBuf {
    let [a, b, c, d, ..] = web::sha256(&directory.to_string_lossy());
    let hash = u32::from_be_bytes([a, b, c, d]);
    DataDir::working_copies_of(data_dir).join(format!("{name}-{hash:08x}.git"))
}

struct Session {
    client: Client,
    name: String,
    spec: AppSpec,
    copy: WorkingCopy,
    repository: PathBuf,
    /// Whether this session has created or updated the app.
    exists: bool,
    /// Directories that were named because they cannot be read.
    unreadable: BTreeSet<PathBuf>,
}

impl Session {
    async fn run(&mut self, watches: bool) -> anyhow::Result<Exit> {
        // It also gets a Ctrl-C between two waits.
        let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen to Ctrl-C")?;
        let mut began = Instant::now();
        let mut tree = self.first_record().await?;
        loop {
            let recorded = began.elapsed();
            let exit = match self.deploy(began, recorded).await {
                Err(error) if watches && self.exists => {
                    output::error(&exit::chain(&error));
                    Exit::of(&error)
                }
                ended => ended?,
            };
            if !watches || exit == Exit::Detached {
                self.explain_what_stays();
                return Ok(exit);
            }
            output::note(&format!("Watching {}. Press Ctrl-C to end.", self.copy.root().display()));
            (began, tree) = tokio::select! {
                changed = self.changed(&tree) => changed,
                _ = interrupts.recv() => {
                    self.explain_what_stays();
                    return Ok(exit);
                }
            };
        }
    }

    fn explain_what_stays(&self) {
        let name = &self.name;
        output::note(&format!("App {name} stays. To delete it: boatyard apps delete {name}"));
    }

    /// Records the files as they are.
    fn record(&self) -> Result<TreeId, WorkingCopyError> {
        tokio::task::block_in_place(|| self.copy.record())
    }

    /// Records the files at the start. A file that changes meanwhile is no reason to give up.
    async fn first_record(&self) -> Result<TreeId, WorkingCopyError> {
        for _ in 1..MENTION_AFTER {
            if let Ok(tree) = self.record() {
                return Ok(tree);
            }
            sleep(LOOK_EVERY).await;
        }
        self.record()
    }

    /// Waits for a change. Returns when it was seen, and the files after it.
    async fn changed(&self, before: &TreeId) -> (Instant, TreeId) {
        let mut failures = 0;
        let mut seen: Option<(Instant, TreeId)> = None;
        loop {
            let looked = Instant::now();
            let recorded = self.record();
            failures = if recorded.is_err() { failures + 1 } else { 0 };
            let pause = match (recorded, seen.take()) {
                (Ok(now), Some((since, last))) if now == last => return (since, now),
                (Ok(now), Some((since, _))) => {
                    seen = Some((since, now));
                    SETTLED_AFTER
                }
                (Ok(now), None) if now != *before => {
                    seen = Some((looked, now));
                    SETTLED_AFTER
                }
                (Ok(_), None) => LOOK_EVERY.max(looked.elapsed() * 9),
                (Err(error), last) => {
                    seen = last;
                    if failures == MENTION_AFTER {
                        output::error(&format!(
                            "{}. Nothing is deployed until this is put right",
                            exit::chain(&error.into())
                        ));
                    }
                    LOOK_EVERY
                }
            };
            sleep(pause).await;
        }
    }

    /// Deploys the files that were recorded last, and reports how long it took since `began`.
    async fn deploy(&mut self, began: Instant, recorded: Duration) -> anyhow::Result<Exit> {
        self.name_unreadable_directories();
        let before = watch::instances(&self.client, &self.name).await;
        let started = self.start().await?;
        let limit = DEPLOYMENT_LIMIT;
        let watched = watch::wait(&self.client, &self.name, &started.id, before, limit).await?;
        if watched.exit == Exit::Done {
            let view = read_deployment(&watched.deployment)?;
            output::note(&times(&view, began.elapsed(), recorded));
            if let Some(url) = self.url().await {
                output::result(&format!("{url}\n"));
            }
        }
        Ok(watched.exit)
    }

    /// Once for each directory.
    fn name_unreadable_directories(&mut self) {
        for (path, error) in tokio::task::block_in_place(|| self.copy.unreadable_directories()) {
            if self.unreadable.insert(path.clone()) {
                output::note(&format!(
                    "warning: {} cannot be read ({error}), so images lack its files. Let this user read it, or ignore it in \
                     .gitignore",
                    path.display()
                ));
            }
        }
    }

    async fn start(&mut self) -> anyhow::Result<Deployment> {
        if self.exists {
            let path = format!("/v2/apps/{}/deployments", path_segment(&self.name));
            return read_deployment(&self.client.post(&path, &json!({})).await?["deployment"]);
        }
        let mut body = json!({ "spec": request_json(&self.spec) });
        let app = format!("/v2/apps/{}", path_segment(&self.name));
        let mut answer = match self.client.get(&app).await {
            Ok(existing) if self.is_from_here(&existing["app"]["spec"]) => {
                body["update_all_source_versions"] = true.into();
                self.client.put(&app, &body).await?
            }
            Ok(_) => {
                bail!("there is an app {} that does not run this directory. Choose another name with --name", self.name)
            }
            Err(error) if error.is_not_found() => self.client.post("/v2/apps", &body).await?,
            Err(error) => return Err(error.into()),
        };
        self.exists = true;
        let app = answer["app"].take();
        let newest = ["pending_deployment", "in_progress_deployment", "active_deployment"].iter().map(|it| &app[*it]);
        let newest = newest.filter(|it| it.is_object()).map(read_deployment).next();
        newest.unwrap_or_else(|| Err(anyhow!("the API did not start a deployment")))
    }

    fn is_from_here(&self, spec: &Value) -> bool {
        let path = self.repository.to_str();
        let kinds = spec.as_object().into_iter().flat_map(|it| it.values()).filter_map(Value::as_array);
        kinds.flatten().any(|it| it["git"]["repo_clone_url"].as_str() == path)
    }

    async fn url(&self) -> Option<String> {
        let answer = self.client.get(&format!("/v2/apps/{}", path_segment(&self.name))).await.ok()?;
        answer["app"]["live_url"].as_str().filter(|it| !it.is_empty()).map(str::to_owned)
    }
}

/// "Serves after 4.2 s: files recorded in 0.1 s, build 2.1 s, deploy 1.8 s".
fn times(deployment: &Deployment, total: Duration, recorded: Duration) -> String {
    let seconds = |started: DateTime<Utc>, ended: DateTime<Utc>| (ended - started).as_seconds_f64().max(0.0);
    let stages = deployment.progress.steps.iter().filter_map(|step| {
        let (started, ended) = (step.started_at?, step.ended_at?);
        Some(format!("{} {:.1} s", step.name, seconds(started, ended)))
    });
    let stages: Vec<_> =
        [format!("files recorded in {:.1} s", recorded.as_secs_f64())].into_iter().chain(stages).collect();
    format!("Serves after {:.1} s: {}", total.as_secs_f64(), stages.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_directories_and_two_names_have_repositories_of_their_own() {
        let path = |name: &str, directory: &str| repository(Path::new("/data"), name, Path::new(directory));
        assert_eq!(path("shop-dev", "/a/shop"), path("shop-dev", "/a/shop"));
        assert_ne!(path("shop-dev", "/a/shop"), path("shop-dev", "/b/shop"));
        assert_ne!(path("shop-dev", "/a/shop"), path("web-dev", "/a/shop"));
    }

    #[test]
    fn the_times_of_all_stages_are_printed() {
        let at = |second: u32| format!("2026-03-01T10:00:{second:02}Z");
        let step = |name: &str, from, to| json!({ "name": name, "status": "SUCCESS", "started_at": at(from), "ended_at": at(to) });
        let deployment = json!({
            "id": "1", "phase": "ACTIVE",
            "progress": { "steps": [step("build", 1, 3), step("deploy", 3, 7), { "name": "x", "status": "PENDING" }] },
        });
        let view = read_deployment(&deployment).expect("a deployment");
        assert_eq!(
            times(&view, Duration::from_millis(7200), Duration::from_millis(140)),
            "Serves after 7.2 s: files recorded in 0.1 s, build 2.0 s, deploy 4.0 s"
        );
    }
}
