//! Which instances answer a request for logs, and which of their lines.

use std::time::Duration;

use engine::{Engine, LogStream};
use engine_fake::Verb;
use futures::StreamExt;
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};

use super::cluster::{TestCluster, caller};
use super::simulation::simulate;
use crate::view::{LogKind, LogRequest};
use crate::{Control, ControlError, LogLines};

/// A request for all existing lines of all components.
fn request(app: &AppId, deployment: Option<&DeploymentId>, kind: LogKind) -> LogRequest {
    let deployment = deployment.cloned();
    LogRequest { app: app.clone(), deployment, component: None, kind, follow: false, tail: None }
}

async fn open(cluster: &TestCluster, request: LogRequest) -> Result<LogLines, ControlError> {
    cluster.controller().logs(request).await
}

/// The texts of all lines, sorted.
async fn read(cluster: &TestCluster, request: LogRequest) -> Vec<String> {
    let mut texts: Vec<_> = open(cluster, request).await.unwrap().map(|it| it.unwrap().text).collect().await;
    texts.sort();
    texts
}

async fn refusal(cluster: &TestCluster, request: LogRequest) -> ControlError {
    open(cluster, request).await.err().expect("refused")
}

/// Every running instance writes its component and this word.
async fn all_say(cluster: &TestCluster, app: &AppId, word: &str) {
    for row in cluster.state(app).await.instances {
        cluster.engine.say(row.name.as_str(), LogStream::Out, &format!("{} {word}", row.component));
    }
}

#[test]
fn run_logs_of_a_deployment_come_from_its_instances_only() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        all_say(&cluster, &app, "one").await;
        let first = cluster.newest(&app).await.id;
        cluster.controller().restart(&app, &["web".into()], &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        all_say(&cluster, &app, "two").await;
        let second = cluster.newest(&app).await.id;

        // Both deployments have the worker's instance in common.
        let of = |deployment| request(&app, Some(deployment), LogKind::Run);
        assert_eq!(read(&cluster, of(&second)).await, ["mill one", "mill two", "web two", "web two"]);
        assert_eq!(read(&cluster, of(&first)).await, ["mill one", "mill two"]);
        let web = LogRequest { component: Some("web".into()), ..of(&first) };
        for kind in [LogKind::Run, LogKind::RunRestarted] {
            for follow in [false, true] {
                let refused = refusal(&cluster, LogRequest { kind, follow, ..web.clone() }).await;
                assert!(matches!(refused, ControlError::Invalid(_)), "{refused:?}");
                let message = refused.to_string();
                assert!(message.contains("of deployment 1") && message.contains("boatyard apps logs"), "{message}");
            }
        }
    });
}

#[test]
fn while_a_deployment_rolls_each_deployment_has_its_own_instances() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let (first, since) = (cluster.newest(&app).await.id, cluster.engine.calls().len());
        cluster.update(&app, "slow").await;
        let new = cluster.called(since, Verb::Start, "-web-").await.what;
        cluster.engine.say(&new, LogStream::Out, "new");
        let second = cluster.newest(&app).await.id;
        cluster
            .until(async || match read(&cluster, request(&app, None, LogKind::Run)).await {
                lines if lines == ["new"] => Ok(()),
                lines => Err(format!("{lines:?}")),
            })
            .await;
        assert_eq!(read(&cluster, request(&app, Some(&first), LogKind::Run)).await, Vec::<String>::new());
        assert_eq!(read(&cluster, request(&app, Some(&second), LogKind::Run)).await, ["new"]);
    });
}

#[test]
fn instances_that_a_rollback_restored_belong_to_the_deployment_that_serves() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        for name in cluster.names(&app, "web").await {
            cluster.engine.remove_by_hand(&name);
        }
        cluster.update(&app, "stuck").await;
        cluster.end(&app, Stage::Failed).await;
        all_say(&cluster, &app, "back").await;
        let lines = read(&cluster, request(&app, Some(&first), LogKind::Run)).await;
        assert_eq!(lines, ["mill back", "web back", "web back"]);
        let failed = cluster.newest(&app).await.id;
        let web = LogRequest { component: Some("web".into()), ..request(&app, Some(&failed), LogKind::Run) };
        let message = refusal(&cluster, web).await.to_string();
        assert!(message.contains("--type deploy"), "{message}");
    });
}

#[test]
fn a_stream_of_the_active_deployment_goes_on_with_the_next_one() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        let follow = LogRequest { follow: true, ..request(&app, Some(&first), LogKind::Run) };
        let mut lines = open(&cluster, follow).await.unwrap();
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        all_say(&cluster, &app, "again").await;
        let mut texts = Vec::new();
        while texts.len() < 3 {
            texts.push(lines.next().await.expect("it goes on").unwrap().text);
        }
        texts.sort();
        assert_eq!(texts, ["mill again", "web again", "web again"]);
    });
}

#[test]
fn a_stream_of_an_earlier_deployment_ends_with_its_instances() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        cluster.controller().restart(&app, &["web".into()], &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        let follow = LogRequest { follow: true, ..request(&app, Some(&first), LogKind::Run) };
        let mut lines = open(&cluster, follow).await.unwrap();
        all_say(&cluster, &app, "still").await;
        assert_eq!(lines.next().await.unwrap().unwrap().text, "mill still");
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        all_say(&cluster, &app, "never").await;
        let rest: Vec<_> = lines.map(|it| it.unwrap().text).collect().await;
        assert_eq!(rest, Vec::<String>::new());
    });
}

#[test]
fn a_tail_of_zero_shows_no_line_that_exists_and_every_new_one() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        all_say(&cluster, &app, "old").await;
        let none = LogRequest { tail: Some(0), ..request(&app, None, LogKind::Run) };
        assert_eq!(read(&cluster, none.clone()).await, Vec::<String>::new());
        let component = Some("mill".to_owned());
        let mut lines = open(&cluster, LogRequest { component, follow: true, ..none }).await.unwrap();
        let mill = cluster.names(&app, "mill").await.pop_first().unwrap();
        // After a restart of the process the engine sends all lines again.
        cluster.engine.exit(&mill, 1);
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.engine.say(&mill, LogStream::Out, "new");
        assert_eq!(lines.next().await.unwrap().unwrap().text, "new");
    });
}

#[test]
fn restarts_by_the_engine_and_by_the_controller_leave_lines_of_the_process_before() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mill = cluster.names(&app, "mill").await.pop_first().unwrap();
        let earlier = async || read(&cluster, request(&app, None, LogKind::RunRestarted)).await;
        all_say(&cluster, &app, "first").await;
        assert_eq!(earlier().await, Vec::<String>::new());

        cluster.engine.exit(&mill, 1);
        tokio::time::sleep(Duration::from_secs(5)).await;
        cluster.engine.say(&mill, LogStream::Out, "second");
        assert_eq!(earlier().await, ["mill first"]);

        // The engine does not restart a container that a person stopped. The controller does.
        cluster.engine.stop(&mill, Duration::from_secs(1)).await.unwrap();
        cluster.end(&app, Stage::Active).await;
        cluster.engine.say(&mill, LogStream::Out, "third");
        assert_eq!(earlier().await, ["mill first", "second"]);
        let last = LogRequest { tail: Some(1), ..request(&app, None, LogKind::RunRestarted) };
        assert_eq!(read(&cluster, last).await, ["second"]);
    });
}

#[test]
fn the_log_of_an_instance_that_failed_keeps_all_lines_with_their_times() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        let started = cluster.called(since, Verb::Start, "-web-").await.what;
        for n in 0..50 {
            cluster.engine.say(&started, LogStream::Err, &format!("line {n}"));
        }
        let written = cluster.engine.logs(&started, &engine::LogQuery { follow: false, tail: None }).await.unwrap();
        let written: Vec<_> = written.map(|it| it.unwrap()).map(|it| (it.timestamp, it.text)).collect().await;
        cluster.settle(&app, Stage::Failed).await;
        let failed = cluster.newest(&app).await.id;
        let kept = open(&cluster, request(&app, Some(&failed), LogKind::Deploy)).await.unwrap();
        let kept: Vec<_> = kept.map(|it| it.unwrap()).map(|it| (it.timestamp, it.text)).collect().await;
        assert_eq!((kept.len(), kept), (50, written));
        let last = LogRequest { tail: Some(1), ..request(&app, Some(&failed), LogKind::Deploy) };
        assert_eq!(read(&cluster, last).await, ["line 49"]);
    });
}

/// A version that kept only the last lines of a failed instance wrote no file for it.
#[test]
fn the_last_lines_that_an_older_version_kept_are_shown() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "stuck").await;
        cluster.settle(&app, Stage::Failed).await;
        let mut failed = cluster.newest(&app).await;
        failed.log_tail = vec!["one".into(), "two".into()];
        cluster.crash().await;
        cluster.write(vec![store::records::Change::Deployment(Box::new(failed.clone()))]).await;
        cluster.open().await;
        assert_eq!(read(&cluster, request(&app, Some(&failed.id), LogKind::Deploy)).await, ["one", "two"]);
        let last = LogRequest { tail: Some(1), ..request(&app, Some(&failed.id), LogKind::Deploy) };
        assert_eq!(read(&cluster, last).await, ["two"]);
    });
}

#[test]
fn the_run_log_of_a_job_is_its_output() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        let job = cluster.called(0, Verb::Start, "-migrate-").await.what;
        cluster.engine.say(&job, LogStream::Out, "moving the tables");
        cluster.settle(&app, Stage::Active).await;
        let deployment = cluster.newest(&app).await.id;
        for deployment in [None, Some(&deployment)] {
            let job = Some("migrate".to_owned());
            let request = LogRequest { component: job, ..request(&app, deployment, LogKind::Run) };
            assert_eq!(read(&cluster, request).await, ["moving the tables"]);
        }

        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let of = |deployment| LogRequest {
            component: Some("migrate".to_owned()),
            ..request(&app, deployment, LogKind::Run)
        };
        assert_eq!(read(&cluster, of(None)).await, ["moving the tables"], "a restart runs no job");
        let restart = cluster.newest(&app).await.id;
        let refused = refusal(&cluster, of(Some(&restart))).await.to_string();
        assert!(refused.contains("did not run in deployment 2") && refused.ends_with("--deployment 1"), "{refused}");
    });
}

#[test]
fn a_refusal_names_each_component_once() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let unknown = LogRequest { component: Some("frontend".into()), ..request(&app, None, LogKind::Run) };
        let refused = refusal(&cluster, unknown).await;
        assert!(matches!(refused, ControlError::NotFound(_)));
        assert!(refused.to_string().ends_with("It has: mill, web"), "{refused}");
    });
}
