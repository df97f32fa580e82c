//! Every process that Boatyard ends gets its stop signal and the whole grace period, however it was started and
//! whatever ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use boatyard_tests::engine;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

/// How a worker is started: a name, its `run_command` or the last lines of its Dockerfile, and its stop signal.
struct Form {
    name: &'static str,
    start: Start,
    signal: &'static str,
}

enum Start {
    Command(&'static str),
    Image(&'static str),
}

const fn command(name: &'static str, text: &'static str) -> Form {
    Form { name, start: Start::Command(text), signal: "SIGTERM" }
}

const fn image(name: &'static str, last_lines: &'static str, signal: &'static str) -> Form {
    Form { name, start: Start::Image(last_lines), signal }
}

/// One of each kind.
const SOME: [Form; 3] = [
    command("pipe", "python3 worker.py 2>&1 | cat"),
    image("image-shell", "CMD python3 worker.py --queue default", "SIGTERM"),
    image("image-int", "STOPSIGNAL SIGINT\nCMD cd /app && python3 worker.py", "SIGINT"),
];

/// Commands as people write them.
const ALL: [Form; 17] = [
    command("plain", "python3 worker.py"),
    command("bash-c", "bash -c \"MODE=x python3 worker.py\""),
    command("env-prefix", "MODE=fast python3 worker.py"),
    command("cd-and-env", "cd /app && MODE=fast python3 worker.py"),
    command("pipe", "python3 worker.py 2>&1 | cat"),
    command("or", "test -f nothere || python3 worker.py"),
    command("and", "python3 worker.py && echo never"),
    command("subshell", "(cd /app; python3 worker.py)"),
    command("if", "if [ -n \"$MODE\" ]; then\n  python3 other.py\nelse\n  python3 worker.py\nfi\n"),
    command("quotes", "echo starting > /tmp/x && python3 worker.py -g 'daemon off;'"),
    command("continued", "python3 \\\n  worker.py \\\n  --workers 2\n"),
    command("shebang", "#!/bin/bash\nset -euo pipefail\npython3 worker.py\necho never\n"),
    image("image-shell", "CMD python3 worker.py --queue default", "SIGTERM"),
    image("image-script", "CMD [\"./start.sh\"]", "SIGTERM"),
    image("image-exec-quit", "STOPSIGNAL SIGQUIT\nCMD [\"python3\", \"worker.py\"]", "SIGQUIT"),
    image("image-shell-quit", "STOPSIGNAL SIGQUIT\nCMD python3 worker.py; echo never", "SIGQUIT"),
    image("image-int", "STOPSIGNAL SIGINT\nCMD cd /app && python3 worker.py", "SIGINT"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_process_gets_its_stop_signal_and_grace_period_whatever_ends_it() {
    end_in_every_way(&SOME, 1).await;
}

/// The work takes longer than any default grace period of the engine.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make sweep"]
async fn every_form_of_command_gets_its_stop_signal_and_grace_period_whatever_ends_it() {
    end_in_every_way(&ALL, 12).await;
}

async fn end_in_every_way(forms: &[Form], finish_seconds: u64) {
    let mut at = installation().await;
    let workers = Workers::listen().await;
    let repo = repository(&at, forms);
    let spec = |round: &str, count: u32| spec(&repo, forms, &workers, finish_seconds, round, count);
    let mut table = Table::new(forms, &workers);

    at.create(&spec("first", 1).to_string()).await.unwrap();
    let app = app_id(&at, "mill").await;
    table.up("first", 1).await;

    let restart = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &restart).await.unwrap();
    table.gone("restart", 1).await;

    update(&at, &app, spec("second", 1)).await;
    table.gone("deployment", 1).await;

    update(&at, &app, spec("second", 2)).await;
    table.up("second", 2).await;
    update(&at, &app, spec("second", 1)).await;
    table.gone("scale down", 1).await;

    stop_by_hand(&at, &app).await;
    table.gone("docker stop", 1).await;
    table.up("second", 3).await;

    // A job after the rollout keeps the deployment open, and also has to end.
    let mut held = spec("canceled", 1);
    held["jobs"] = json!([with_source(
        &repo,
        &forms[0],
        finish_seconds,
        &workers,
        "canceled",
        json!({"name": JOB, "kind": "POST_DEPLOY"})
    )]);
    let canceled = at.update(&app, held).await.unwrap();
    table.up("canceled", 1).await;
    table.job_is_up().await;
    at.ok("POST", &format!("/v2/apps/{app}/deployments/{canceled}/cancel"), None).await.unwrap();
    assert_eq!(at.wait(&app, &canceled).await.unwrap()["phase"], "CANCELED");
    table.gone("cancel", 1).await;
    table.job_gone("cancel").await;

    let mut without = spec("second", 1);
    without["workers"] = json!([]);
    without["services"] = json!([{"name": "web", "image": {"registry_type": "DOCKER_HUB", "registry": "boatyard-local", "repository": "testapp", "tag": "1"}}]);
    update(&at, &app, without).await;
    table.gone("removal from the spec", 1).await;

    update(&at, &app, spec("third", 1)).await;
    table.up("third", 1).await;
    let down = run_cli(&at, &["down", "--apps"]).await;
    assert_eq!(down.code, Some(0), "{}", down.err);
    at.ended().await.unwrap();
    table.gone("down --apps", 1).await;

    at.serve().await.unwrap();
    table.up("third", 2).await;
    at.delete(&app).await.unwrap();
    table.gone("delete", 1).await;
    table.print_and_check();
}

const JOB: &str = "tidy";

/// One repository with a Dockerfile for each form of image.
fn repository(at: &Installation, forms: &[Form]) -> Repo {
    let repo = Repo::init(at.sources().join("mill")).unwrap();
    repo.write("worker.py", include_str!("signals/worker.py")).unwrap();
    repo.write("start.sh", "#!/bin/bash\necho starting\npython3 worker.py\necho never\n").unwrap();
    let base = "FROM boatyard-local/python:3\nWORKDIR /app\nCOPY worker.py start.sh ./\nRUN chmod +x start.sh\n";
    repo.write("Dockerfile", base).unwrap();
    for form in forms {
        if let Start::Image(last_lines) = form.start {
            repo.write(&format!("Dockerfile.{}", form.name), &format!("{base}{last_lines}\n")).unwrap();
        }
    }
    repo.commit("a worker").unwrap();
    repo
}

fn spec(repo: &Repo, forms: &[Form], workers: &Workers, finish: u64, round: &str, count: u32) -> Value {
    let of =
        |form| with_source(repo, form, finish, workers, round, json!({"name": form.name, "instance_count": count}));
    json!({"name": "mill", "workers": forms.iter().map(of).collect::<Vec<_>>()})
}

fn with_source(repo: &Repo, form: &Form, finish: u64, workers: &Workers, round: &str, mut component: Value) -> Value {
    let env = |key: &str, value: String| json!({"key": key, "value": value, "scope": "RUN_TIME"});
    component["git"] = json!({"repo_clone_url": repo.url(), "branch": "main"});
    component["dockerfile_path"] = json!("Dockerfile");
    component["instance_size_slug"] = json!("apps-s-1vcpu-0.5gb");
    component["envs"] = json!([
        env("NAME", component["name"].as_str().unwrap().to_owned()),
        env("ROUND", round.to_owned()),
        env("REPORT", workers.address.clone()),
        env("FINISH", finish.to_string()),
    ]);
    component["termination"] = json!({"grace_period_seconds": 60});
    match form.start {
        Start::Command(text) => component["run_command"] = json!(text),
        Start::Image(_) => component["dockerfile_path"] = json!(format!("Dockerfile.{}", form.name)),
    }
    component
}

async fn update(at: &Installation, app: &str, spec: Value) {
    let deployment = at.update(app, spec).await.unwrap();
    at.wait_active(app, &deployment).await.unwrap();
}

/// Stops containers as a person would: the engine takes the grace period from the container.
async fn stop_by_hand(at: &Installation, app: &str) {
    let docker = boatyard_tests::engine::connect().unwrap();
    let ids: Vec<String> =
        at.instances(app).await.unwrap().iter().map(|it| it["container_id"].as_str().unwrap().to_owned()).collect();
    let stops = ids.iter().map(|id| docker.stop_container(id, None));
    for stopped in futures::future::join_all(stops).await {
        stopped.unwrap();
    }
}

/// What the workers reported, and how their connections ended.
struct Workers {
    /// As `host:port`. Without a host: the gateway of the container.
    address: String,
    reports: Arc<Mutex<Reports>>,
}

#[derive(Default)]
struct Reports {
    /// Name and round of every start.
    up: Vec<(String, String)>,
    gone: Vec<Gone>,
}

#[derive(Clone)]
struct Gone {
    name: String,
    signal: Option<String>,
    finished: bool,
    /// From the signal to the end of the process.
    took: Duration,
}

impl Workers {
    async fn listen() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let (port, reports) = (listener.local_addr().unwrap().port(), Arc::default());
        let host = match engine::is_rootless().await.unwrap() {
            true => engine::outgoing_address().unwrap().to_string(),
            false => String::new(),
        };
        let all = Arc::clone(&reports);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(follow(connection, Arc::clone(&all)));
            }
        });
        Self { address: format!("{host}:{port}"), reports }
    }
}

async fn follow(connection: TcpStream, reports: Arc<Mutex<Reports>>) {
    let mut lines = BufReader::new(connection).lines();
    let mut gone = Gone { name: String::new(), signal: None, finished: false, took: Duration::ZERO };
    let mut asked_at = None;
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<_> = line.split(' ').map(String::from).collect();
        match &words[..] {
            [up, name, round] if up == "up" => {
                gone.name = name.clone();
                reports.lock().unwrap().up.push((name.clone(), round.clone()));
            }
            [asked, signal] if asked == "asked" => {
                gone.signal = Some(signal.clone());
                asked_at = Some(Instant::now());
            }
            _ => gone.finished = true,
        }
    }
    gone.took = asked_at.map(|at| at.elapsed()).unwrap_or_default();
    reports.lock().unwrap().gone.push(gone);
}

/// The results by form and by the way in which a process ended.
struct Table<'a> {
    forms: &'a [Form],
    workers: &'a Workers,
    rows: Vec<(String, Vec<Gone>)>,
    seen: BTreeMap<String, usize>,
}

impl<'a> Table<'a> {
    fn new(forms: &'a [Form], workers: &'a Workers) -> Self {
        Self { forms, workers, rows: Vec::new(), seen: BTreeMap::new() }
    }

    /// Waits until each form has started `times` times in this round.
    async fn up(&self, round: &str, times: usize) {
        let is_up = |form: &Form| {
            let reports = self.workers.reports.lock().unwrap();
            reports.up.iter().filter(|(name, of)| name == form.name && of == round).count() >= times
        };
        until(&format!("started {times} times in round {round}"), || self.forms.iter().all(is_up)).await;
    }

    async fn job_is_up(&self) {
        until("the job runs", || self.workers.reports.lock().unwrap().up.iter().any(|(name, _)| name == JOB)).await;
    }

    /// Waits until `count` more instances of each form have ended, and notes how.
    async fn gone(&mut self, way: &str, count: usize) {
        let mut row = Vec::new();
        for form in self.forms {
            row.extend(self.next_gone(form.name, count).await);
        }
        self.rows.push((way.to_owned(), row));
    }

    async fn job_gone(&mut self, way: &str) {
        let row = self.next_gone(JOB, 1).await;
        self.rows.push((format!("{way}, job"), row));
    }

    async fn next_gone(&mut self, name: &str, count: usize) -> Vec<Gone> {
        let seen = self.seen.entry(name.to_owned()).or_default();
        let of = || -> Vec<Gone> {
            let reports = self.workers.reports.lock().unwrap();
            reports.gone.iter().filter(|it| it.name == name).cloned().collect()
        };
        until(&format!("{name} has ended"), || of().len() >= *seen + count).await;
        let new = of().split_off(*seen);
        *seen += new.len();
        new
    }

    fn print_and_check(&self) {
        let mut wrong = Vec::new();
        println!("{:24} {:18} signal    finished   from signal to end", "way out", "form");
        for (way, row) in &self.rows {
            for gone in row {
                let expected = self.forms.iter().find(|it| it.name == gone.name).map_or("SIGTERM", |it| it.signal);
                let signal = gone.signal.as_deref().unwrap_or("none");
                let finished = if gone.finished { "yes" } else { "NO" };
                let line =
                    format!("{way:24} {:18} {signal:9} {finished:10} {:.1} s", gone.name, gone.took.as_secs_f64());
                println!("{line}");
                if signal != expected || !gone.finished {
                    wrong.push(line);
                }
            }
        }
        assert!(wrong.is_empty(), "no signal, the wrong one, or not enough time:\n{}", wrong.join("\n"));
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not within {} s: {what}", ENDS_WITHIN.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
