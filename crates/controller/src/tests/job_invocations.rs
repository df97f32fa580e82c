//! Runs of jobs are listed with their phase and their times.

use std::time::Duration;

use engine::LogStream;
use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::view::JobInvocationPhase;

#[test]
fn every_deployment_that_ran_a_job_has_an_invocation_of_it() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        cluster.called(0, Verb::Start, "-migrate-").await;
        let list = async || cluster.controller().job_invocations(&app).await.unwrap();
        let running = list().await.remove(0);
        assert_eq!((running.job.as_str(), running.completed), ("migrate", None));
        assert!(matches!(running.phase, JobInvocationPhase::Pending | JobInvocationPhase::Running), "{running:?}");
        cluster.settle(&app, Stage::Active).await;

        let failing = Behaviour { exits_with: Some(3), ..Behaviour::default() };
        cluster.engine.add_image("test/migrate:1", failing);
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Failed).await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;

        let all = list().await;
        let phases: Vec<_> = all.iter().map(|it| it.phase).collect();
        assert_eq!(phases, [JobInvocationPhase::Failed, JobInvocationPhase::Succeeded], "a restart runs no job");
        assert_eq!(all[1].id, running.id, "the id stays");
        for it in &all {
            assert!(it.started.is_some() && it.started <= it.completed, "{it:?}");
        }
        let unknown = cluster.controller().job_invocations(&"other".into()).await;
        assert!(matches!(unknown, Err(ControlError::NotFound(_))), "{unknown:?}");
    });
}

#[test]
fn a_job_of_a_canceled_deployment_is_canceled() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        cluster.called(0, Verb::Start, "-migrate-").await;
        let deployment = cluster.newest(&app).await.id;
        cluster.controller().cancel(&app, &deployment).await.unwrap();
        cluster.reach(&deployment, Stage::Canceled).await;
        cluster
            .until(async || {
                let all = cluster.controller().job_invocations(&app).await.unwrap();
                match all[..] {
                    [ref run] if run.phase == JobInvocationPhase::Canceled => Ok(()),
                    _ => Err(format!("{all:?}")),
                }
            })
            .await;
    });
}

#[test]
fn a_canceled_run_is_stopped_and_its_deployment_fails() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let runs_for_hours = Behaviour { ready_after: Duration::from_secs(4 * 3600), ..Behaviour::default() };
        cluster.engine.add_image("test/migrate:1", Behaviour { exits_with: Some(0), ..runs_for_hours });
        let app = cluster.create("1").await;
        let job = cluster.called(0, Verb::Start, "-migrate-").await.what;
        cluster.engine.say(&job, LogStream::Out, "moving the tables");
        let run = cluster.controller().job_invocations(&app).await.unwrap().remove(0);

        let canceled = cluster.controller().cancel_job_invocation(&app, &run.id).await.unwrap();
        assert_eq!(canceled.id, run.id);
        cluster.settle(&app, Stage::Failed).await;
        assert!(cluster.newest(&app).await.failure.unwrap().message.contains("it was canceled"));
        let run = cluster.controller().job_invocations(&app).await.unwrap().remove(0);
        assert_eq!(run.phase, JobInvocationPhase::Canceled);
        assert!(run.completed.is_some());
        cluster.called(0, Verb::Stop, "-migrate-").await;

        let again = cluster.controller().cancel_job_invocation(&app, &run.id).await;
        assert!(matches!(&again, Err(ControlError::Conflict(why)) if why.contains("has ended")), "{again:?}");
        let unknown = cluster.controller().cancel_job_invocation(&app, "unknown").await;
        assert!(matches!(unknown, Err(ControlError::NotFound(_))));
    });
}

/// The run ended with code 0, and its log is being kept. The engine's list still shows it as running, so the controller
/// tries to stop it.
#[test]
fn a_run_that_has_ended_keeps_its_exit_code_although_a_person_cancels_it() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.engine.list_late(Duration::from_secs(120));
        cluster.engine.answer_late(Verb::Logs, 1, Duration::from_secs(30));
        let app = cluster.create("1").await;
        cluster.called(0, Verb::Logs, "-migrate-").await;
        let run = cluster.controller().job_invocations(&app).await.unwrap().remove(0);
        cluster.controller().cancel_job_invocation(&app, &run.id).await.unwrap();
        cluster.called(0, Verb::Stop, "-migrate-").await;
        cluster.settle(&app, Stage::Active).await;
        let run = cluster.controller().job_invocations(&app).await.unwrap().remove(0);
        assert_eq!(run.phase, JobInvocationPhase::Succeeded);
    });
}

/// The engine does not answer the wait for the end of the run, and its list shows the run as running beyond the limit.
#[test]
fn a_run_that_has_ended_keeps_its_exit_code_at_its_time_limit() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.engine.list_late(Duration::from_secs(700));
        cluster.engine.hang(Verb::Wait, 1);
        let app = cluster.create("1").await;
        cluster.called(0, Verb::Stop, "-migrate-").await;
        cluster.settle(&app, Stage::Active).await;
        let run = cluster.controller().job_invocations(&app).await.unwrap().remove(0);
        assert_eq!(run.phase, JobInvocationPhase::Succeeded);
    });
}

#[test]
fn a_run_that_was_created_and_not_started_is_canceled() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.engine.answer_late(Verb::Create, 2, Duration::from_secs(20));
        let app = cluster.create("1").await;
        cluster.called(0, Verb::Create, "-migrate-").await;
        let run = cluster.controller().job_invocations(&app).await.unwrap().remove(0);
        cluster.controller().cancel_job_invocation(&app, &run.id).await.unwrap();
        cluster.settle(&app, Stage::Failed).await;
        assert!(cluster.newest(&app).await.failure.unwrap().message.contains("it was canceled"));
        assert_eq!(cluster.starts_of("-migrate-"), 0);
    });
}
