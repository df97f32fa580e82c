//! What people see: what an app waits for when no deployment is in progress, and that no log shows secrets.

use engine::LogStream;
use engine_fake::Verb;
use futures::TryStreamExt;
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::view::{LogKind, LogRequest};

/// Waits until a wait of the app contains this text. Returns how many instances serve.
async fn says(cluster: &TestCluster, app: &AppId, part: &str) -> (usize, usize) {
    cluster
        .until(async || {
            let view = cluster.controller().find_app(app.as_str()).await.map_err(|error| error.to_string())?;
            match view.waiting.iter().any(|it| it.contains(part)) {
                true => Ok((view.ready, view.wanted)),
                false => Err(format!("{:?}", view.waiting)),
            }
        })
        .await
}

#[test]
fn an_active_app_without_image_and_instances_reports_what_is_retried() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for reference in ["test/web:1", "test/mill:1"] {
            cluster.engine.remove_image_by_hand(reference);
        }
        for component in ["web", "mill"] {
            for name in cluster.names(&app, component).await {
                cluster.engine.remove_by_hand(&name);
            }
        }
        let (ready, wanted) = says(&cluster, &app, "trying web.0 again, ").await;
        assert_eq!((ready, wanted), (0, 3));
        says(&cluster, &app, "web.0 could not be started: ").await;
    });
}

#[test]
fn a_blocked_deletion_reports_its_cause_until_it_is_complete() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for nth in 1..=6 {
            cluster.engine.fail(Verb::RemoveNetwork, nth);
        }
        cluster.controller().delete_app(&app).await.unwrap();
        let started = format!("app shop ({app}) is being deleted");
        cluster
            .until(async || {
                let (view, _) = cluster.controller().status(app.as_str()).await.map_err(|it| it.to_string())?;
                let notices = cluster.controller().unknown().await.map_err(|it| it.to_string())?.notices;
                let says =
                    |it: &String| it.contains("the app cannot be deleted yet: ") && it.contains("; trying again, ");
                let all_say =
                    view.waiting.iter().any(says) && notices.iter().any(|it| it.starts_with(&started) && says(it));
                all_say.then_some(()).ok_or_else(|| format!("{:?} {notices:?}", view.waiting))
            })
            .await;
        cluster.gone(&app).await;
    });
}

#[test]
fn an_app_reports_an_engine_error_until_the_call_succeeds() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for nth in 1..=20 {
            cluster.engine.fail_after_effect(Verb::SetRestartPolicy, nth);
        }
        cluster.restart(&app).await;
        says(&cluster, &app, "its restart policy could not be set: ").await;
        cluster.end(&app, Stage::Active).await;
        let view = cluster.controller().find_app(app.as_str()).await.unwrap();
        assert_eq!(view.waiting, Vec::<String>::new());
    });
}

#[test]
fn the_log_of_a_running_instance_shows_no_secret() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let name = cluster.names(&app, "web").await.pop_first().unwrap();
        let password = cluster.state(&app).await.databases[0].password.clone();
        cluster.engine.say(&name, LogStream::Out, &format!("login: {}", &password[..20]));
        cluster.engine.say(&name, LogStream::Err, "in between");
        cluster.engine.say(&name, LogStream::Out, &password[20..]);
        let question = LogRequest {
            app: app.clone(),
            deployment: None,
            component: Some("web".into()),
            kind: LogKind::Run,
            follow: false,
            tail: None,
        };
        let lines: Vec<_> = cluster.controller().logs(question).await.unwrap().try_collect().await.unwrap();
        let mut texts: Vec<_> = lines.into_iter().map(|it| it.text).collect();
        texts.sort();
        assert_eq!(texts, ["[secret]", "in between", "login: [secret]"]);
    });
}
