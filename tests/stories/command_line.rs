//! The command line as people and scripts use it: arguments in, lines out, and an exit code.

use std::process::Stdio;
use std::time::Duration;

use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::*;

/// A command that runs while the test continues.
fn begin(at: &Installation, args: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--data-dir").arg(at.data());
    command.env_remove("BOATYARD_TOKEN").env_remove("BOATYARD_API_URL");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn create_restart_and_deploy_print_their_result_and_return_an_exit_code() {
    let at = installation().await;
    let file = spec_file(&at, &shop());
    let created = run_cli(&at, &["apps", "create", "--spec", &file, "--wait"]).await;
    assert_eq!(created.code, Some(0), "{}", created.err);
    assert!(created.err.contains("shop serves deployment 1"), "{}", created.err);
    assert!(created.out.contains("shop") && created.out.contains("ACTIVE"), "{}", created.out);

    let app = app_id(&at, "shop").await;
    let restarted = run_cli(&at, &["apps", "restart", "shop", "--components", "api", "--wait"]).await;
    assert_eq!(restarted.code, Some(0), "{}", restarted.err);
    assert!(restarted.err.contains("api: same image"), "{}", restarted.err);

    // The app builds nothing from sources, and no image has changed.
    let unchanged = run_cli(&at, &["apps", "create-deployment", "shop", "--wait"]).await;
    assert_eq!(unchanged.code, Some(0), "{}", unchanged.err);
    assert!(unchanged.err.contains("Nothing to do: shop serves deployment 3"), "{}", unchanged.err);

    let list = run_cli(&at, &["apps", "list", "--format", "ID,Status", "--no-header"]).await;
    assert_eq!(list.out.split_whitespace().collect::<Vec<_>>(), [app.as_str(), "ACTIVE"]);
    let json = run_cli(&at, &["apps", "get", "shop", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let json = if json.is_array() { &json[0] } else { &json };
    assert_eq!(json["id"], app.as_str(), "{json:#}");

    let unknown = run_cli(&at, &["apps", "restart", "shpo"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("Did you mean \"shop\"?"), "{}", unknown.err);
    assert_eq!(run_cli(&at, &["apps", "restart", "shop", "--format", "Colour"]).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_deployment_prints_the_last_log_lines_and_returns_exit_code_3() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    // `web` rolls first and succeeds; `api` exits at once.
    let broken = "{key: EXIT_AFTER_MS, value: '1'}, {key: EXIT_CODE, value: '7'}, {key: NO_LISTEN, value: '1'}, {key: PRINT, value: the-till-is-empty}";
    let spec = shop().replacen("{key: NAME, value: web}", "{key: NAME, value: web}, {key: NEW, value: '1'}", 1);
    let spec = spec.replacen("{key: NAME, value: api}", &format!("{{key: NAME, value: api}}, {broken}"), 1);
    let file = spec_file(&at, &spec);
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(3), "{}", updated.err);
    for words in ["rolled back", "api.0 ended with exit code 7", "the-till-is-empty", "--type deploy"] {
        assert!(updated.err.contains(words), "{words}: {}", updated.err);
    }
    let explained = run_cli(&at, &["apps", "explain", "shop"]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.err);
    for words in ["shop serves deployment 1", "Deployment 2 of shop failed and was rolled back", "the-till-is-empty"] {
        assert!(explained.out.contains(words), "{words}: {}", explained.out);
    }
    assert_ne!(at.container_ids(&app, "web").await.unwrap(), before, "web rolled and went back");
    assert!(page(&at, "/").await.contains("web"));
}

/// Commands that only doctl's users look for, with doctl's columns.
#[tokio::test(flavor = "multi_thread")]
async fn catalog_events_and_jobs_are_listed_with_doctls_columns() {
    let at = installation().await;
    let job =
        format!("jobs:\n- {{name: migrate, kind: PRE_DEPLOY, image: {TESTAPP}, run_command: /bin/testapp job}}\n");
    at.create(&format!("{}{job}", shop())).await.unwrap();
    let event = at.ok("GET", "/v2/apps/shop/deployments", None).await.unwrap()["deployments"][0]["id"].clone();
    let event = event.as_str().unwrap();
    let file = spec_file(&at, &shop().replacen("name: shop", "name: other", 1));
    let plain = ["--no-header", "--format"];
    let table: [(&[&str], &str, &str); 12] = [
        (&["apps", "list-regions"], "Slug,Default", "local true"),
        (&["apps", "list-buildpacks"], "Name,ID,Version,Documentation", ""),
        (&["apps", "tier", "get", "basic"], "slug,name", "basic Basic"),
        (
            &["apps", "tier", "instance-size", "get", "apps-s-1vcpu-1gb"],
            "Slug,CPUs,Memory",
            "apps-s-1vcpu-1gb 1 shared 1.00 GiB",
        ),
        (
            &["apps", "list-events", "shop", "--event-type", "deployment"],
            "ID,Type,Status",
            &format!("{event} DEPLOYMENT ACTIVE"),
        ),
        (&["apps", "list-events", "shop", "--event-type", "AUTOSCALING"], "ID", ""),
        (&["apps", "get-event", "shop", event], "DeploymentID", event),
        (&["apps", "list-job-invocations", "shop"], "JobName,Status", "migrate SUCCEEDED"),
        (&["apps", "list-job-invocations", "shop", "--job-name", "other"], "ID", ""),
        (&["apps", "list-alerts", "shop"], "ID", ""),
        (&["apps", "propose", "--spec", &file], "AppNameAvailable,AppCost", "yes 0.00"),
        (&["apps", "list", "--with-projects"], "Spec.Name,ProjectID", &format!("shop {}", project(&at).await)),
    ];
    for (command, columns, expected) in table {
        let output = run_cli(&at, &[command, &plain, &[columns]].concat()).await;
        assert_eq!(output.code, Some(0), "{command:?}: {}", output.err);
        assert_eq!(output.out.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{command:?}");
        let unknown = run_cli(&at, &[command, &plain, &["Colour"]].concat()).await;
        assert!(unknown.code == Some(2) && unknown.err.contains("Available columns: "), "{command:?}: {}", unknown.err);
    }
    let refused = run_cli(&at, &["apps", "cancel-event", "shop", event]).await;
    assert!(refused.code == Some(1) && refused.err.contains("cancel-deployment"), "{}", refused.err);
    let refused = run_cli(&at, &["apps", "create", "--spec", &file, "--project-id", "no-such-project"]).await;
    assert!(refused.code == Some(1) && refused.err.contains("project"), "{}", refused.err);
    let spec = run_cli(&at, &["apps", "spec", "get", "shop", "--deployment", "1"]).await;
    assert!(spec.code == Some(0) && spec.out.contains("name: migrate"), "{} {}", spec.out, spec.err);
    let refused = run_cli(&at, &["apps", "delete", "shop"]).await;
    assert!(refused.code == Some(1) && refused.err.contains("--force"), "{}", refused.err);
}

async fn project(at: &Installation) -> String {
    let answer = at.ok("GET", "/v2/projects/default", None).await.unwrap();
    answer["project"]["id"].as_str().unwrap().to_owned()
}

/// Ctrl-C stops the watching, not the deployment.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_deployment_running_and_prints_the_command_that_follows_it() {
    let at = installation().await;
    // It starts slowly, so that the restart takes longer than the test needs to press Ctrl-C.
    let slow = "{key: NAME, value: web}, {key: START_DELAY_MS, value: '3000'}";
    at.create(&shop().replacen("{key: NAME, value: web}", slow, 1)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "mill").await.unwrap();
    let mut watching = begin(&at, &["apps", "restart", "shop", "--wait"]);
    let mut lines = BufReader::new(watching.stderr.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap_or_default();
    assert!(first.contains("deployment 2"), "{first}");
    let pid = watching.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said.push_str(&line);
    }
    assert_eq!(watching.wait().await.unwrap().code(), Some(130), "{said}");
    let (_, again) = said.split_once("Follow it: boatyard ").expect("the command to follow it");
    let words: Vec<&str> = again.split_whitespace().collect();
    let ended = run_cli(&at, &words).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_ne!(at.container_ids(&app, "mill").await.unwrap(), before, "the restart went on");
}

/// The lines of the new instances follow those of the old ones in one stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_continues_after_a_restart_and_a_crash() {
    let at = installation().await;
    let spec = shop().replacen("value: api}", "value: api}, {key: PRINT, value: open-for-business}", 1);
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let mut following = begin(&at, &["apps", "logs", "shop", "api", "--follow"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut greeted = async || {
        let heard = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("open-for-business") {
                    return;
                }
            }
            panic!("the stream ended: {:?}", following.try_wait());
        };
        tokio::time::timeout(ENDS_WITHIN, heard).await.expect("a line of the instance");
    };
    greeted().await;
    let deployment = at.restart(&app, &["api"]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    greeted().await;

    // The engine restarts a killed instance under the same name.
    let docker = boatyard_tests::engine::connect().unwrap();
    docker.kill_container(&at.container_ids(&app, "api").await.unwrap()[0], None).await.unwrap();
    greeted().await;
}

/// `down --apps` stops everything, and `serve` brings it back as it was, with the restart policy of the engine.
#[tokio::test(flavor = "multi_thread")]
async fn serve_starts_every_app_that_down_has_stopped() {
    let mut at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    let down = run_cli(&at, &["down", "--apps"]).await;
    assert_eq!(down.code, Some(0), "{}", down.err);
    let docker = boatyard_tests::engine::connect().unwrap();
    for name in at.engine_containers().await.unwrap() {
        let state = docker.inspect_container(&name, None).await.unwrap().state.unwrap();
        assert_eq!(state.running, Some(false), "{name}");
    }
    at.ended().await.unwrap();
    at.serve().await.unwrap();
    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    loop {
        let mut kept = 0;
        for name in at.engine_containers().await.unwrap() {
            let policy =
                docker.inspect_container(&name, None).await.unwrap().host_config.and_then(|it| it.restart_policy);
            kept += usize::from(policy.and_then(|it| it.name).is_some_and(|it| it.to_string() == "always"));
        }
        let answers = boatyard_tests::http::page(at.http(), "shop.localhost", "/api/").await;
        if kept == 4 && answers.is_ok_and(|it| it.0 == 200) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{kept} of 4 are kept alive\n{}", at.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(at.container_ids(&app, "web").await.unwrap(), before, "the same containers");
}
