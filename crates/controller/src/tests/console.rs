//! Consoles: in which instance they open, and that no shell outlives its console.

use std::time::Duration;

use engine::{Engine, ShellMark};
use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::{TestCluster, caller};
use super::simulation::simulate;
use crate::console::{Console, ConsoleEnd, ConsoleInput, ConsoleOutput, ConsoleRequest, ConsoleTarget, TerminalSize};
use crate::{Control, ControlError};

fn request(app: &AppId, component: &str) -> ConsoleRequest {
    ConsoleRequest { app: app.clone(), component: component.into(), instance: None, deployment: None }
}

async fn find(cluster: &TestCluster, request: ConsoleRequest) -> Result<ConsoleTarget, ControlError> {
    cluster.controller().find_console(request).await
}

async fn open(cluster: &TestCluster, app: &AppId) -> Console {
    let target = find(cluster, request(app, "web")).await.unwrap();
    cluster.controller().open_console(target).await.unwrap()
}

fn typed(text: &str) -> ConsoleInput {
    ConsoleInput::Bytes(text.as_bytes().to_vec().into())
}

/// Waits until no shell runs and the store has no record of one.
async fn no_shell_is_left(cluster: &TestCluster) {
    cluster
        .until(async || {
            let (shells, recorded) = (cluster.engine.shells(), cluster.store().consoles().await.unwrap());
            let is_empty = shells.is_empty() && recorded.is_empty();
            is_empty.then_some(()).ok_or_else(|| format!("{shells:?} {recorded:?}"))
        })
        .await;
}

#[test]
fn a_console_connects_its_client_with_a_shell_until_the_shell_exits() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut console = open(&cluster, &app).await;
        assert_eq!(cluster.store().consoles().await.unwrap().len(), 1);
        let size = TerminalSize { width: 100, height: 30 };
        console.input.send(ConsoleInput::Resize(size)).await.unwrap();
        console.input.send(typed("ls\r")).await.unwrap();
        assert_eq!(console.output.recv().await, Some(ConsoleOutput::Bytes("ls\r".into())));
        assert_eq!(cluster.engine.shells().iter().map(|(_, size)| *size).collect::<Vec<_>>(), [size]);
        console.input.send(typed("\x04")).await.unwrap();
        assert_eq!(console.output.recv().await, Some(ConsoleOutput::End(ConsoleEnd::Exited)));
        console.ended.await.unwrap();
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn the_shell_ends_with_its_client_even_if_the_engine_fails_at_first() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let console = open(&cluster, &app).await;
        cluster.engine.fail(Verb::EndShell, 1);
        cluster.engine.fail(Verb::EndShell, 2);
        drop(console);
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn a_shell_whose_start_fails_is_ended_as_well() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let target = find(&cluster, request(&app, "web")).await.unwrap();
        cluster.engine.fail_after_effect(Verb::OpenShell, 1);
        let refused = cluster.controller().open_console(target).await.err().expect("the engine's answer was lost");
        assert!(refused.to_string().contains("no console can be opened in web-0"), "{refused}");
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn a_restart_does_not_wait_for_consoles_and_ends_them_with_a_sentence() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let began = tokio::time::Instant::now();
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let without = began.elapsed();

        let mut console = open(&cluster, &app).await;
        let began = tokio::time::Instant::now();
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        // Paused time: both restarts take the same steps.
        assert!(began.elapsed() <= without + Duration::from_secs(1), "{:?} {without:?}", began.elapsed());
        let Some(ConsoleOutput::End(ConsoleEnd::Lost(why))) = console.output.recv().await else { panic!("an end") };
        assert!(why.starts_with("web-0 has stopped") && why.contains("boatyard apps console shop web"), "{why}");
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn a_console_whose_container_was_killed_says_so_although_the_engine_shows_it_late() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut console = open(&cluster, &app).await;
        let name = cluster.names(&app, "web").await.pop_first().unwrap();
        // An engine answers questions about a container only after it has cleaned up.
        (1..=20).for_each(|nth| cluster.engine.answer_late(Verb::Inspect, nth, Duration::from_secs(5)));
        cluster.engine.exit(&name, 137);
        let Some(ConsoleOutput::End(ConsoleEnd::Lost(why))) = console.output.recv().await else { panic!("an end") };
        assert!(why.starts_with("web-0 has stopped"), "{why}");
    });
}

#[test]
fn a_shell_that_is_killed_alone_says_so() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut console = open(&cluster, &app).await;
        console.input.send(typed("\x1c")).await.unwrap();
        let why = ConsoleEnd::Lost("the shell was killed".into());
        assert_eq!(console.output.recv().await, Some(ConsoleOutput::End(why)));
    });
}

#[test]
fn a_deleted_app_ends_its_consoles() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut console = open(&cluster, &app).await;
        let target = find(&cluster, request(&app, "web")).await.unwrap();
        cluster.controller().delete_app(&app).await.unwrap();
        assert!(matches!(console.output.recv().await, Some(ConsoleOutput::End(ConsoleEnd::Lost(_)))));
        let refused = cluster.controller().open_console(target).await.err();
        assert!(matches!(refused, Some(ControlError::NotFound(_))), "{refused:?}");
        cluster.gone(&app).await;
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn the_next_controller_ends_shells_that_a_killed_one_left() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let name = cluster.names(&app, "web").await.pop_first().unwrap();
        for _ in 0..2 {
            let mark = ShellMark::random();
            cluster.store().remember_console(&mark.to_string(), &name).await.unwrap();
            let shell = cluster.engine.open_shell(&name, &mark, TerminalSize::default()).await.unwrap();
            drop(shell);
        }
        cluster.store().remember_console("no mark", "gone").await.unwrap();
        cluster.crash().await;
        assert_eq!(cluster.engine.shells().len(), 2);
        cluster.engine.fail(Verb::EndShell, 1);
        cluster.open().await;
        let console = open(&cluster, &app).await;
        cluster
            .until(async || match cluster.store().consoles().await.unwrap().len() {
                1 => Ok(()),
                more => Err(format!("{more} on record")),
            })
            .await;
        assert_eq!(cluster.engine.shells().len(), 1, "the new console stays open");
        drop(console);
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn a_leftover_shell_that_does_not_end_delays_no_other() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let name = cluster.names(&app, "web").await.pop_first().unwrap();
        for _ in 0..2 {
            let mark = ShellMark::random();
            cluster.store().remember_console(&mark.to_string(), &name).await.unwrap();
            drop(cluster.engine.open_shell(&name, &mark, TerminalSize::default()).await.unwrap());
        }
        cluster.crash().await;
        cluster.engine.hang(Verb::EndShell, 1);
        cluster.open().await;
        cluster
            .until(async || match cluster.store().consoles().await.unwrap().len() {
                1 => Ok(()),
                more => Err(format!("{more} on record")),
            })
            .await;
    });
}

#[test]
fn a_shell_that_starts_after_its_start_timed_out_is_ended_as_well() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let target = find(&cluster, request(&app, "web")).await.unwrap();
        let name = target.instance.to_string();
        cluster.engine.fail(Verb::OpenShell, 1);
        cluster.controller().open_console(target).await.err().expect("the engine's answer was lost");
        cluster.called(0, Verb::EndShell, &name).await;
        let (mark, _) = cluster.store().consoles().await.unwrap().pop().expect("it is on record");
        let mark = ShellMark::parse(&mark).unwrap();
        drop(cluster.engine.open_shell(&name, &mark, TerminalSize::default()).await.unwrap());
        no_shell_is_left(&cluster).await;
    });
}

#[test]
fn an_instance_has_a_limited_number_of_shells_that_do_not_end() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let target = find(&cluster, request(&app, "web")).await.unwrap();
        for number in 0..16 {
            cluster.store().remember_console(&format!("{number}"), target.instance.as_str()).await.unwrap();
        }
        let refused = cluster.controller().open_console(target.clone()).await.err();
        assert!(
            matches!(&refused, Some(ControlError::Conflict(why)) if why.contains("boatyard apps restart shop web")),
            "{refused:?}"
        );
        cluster.store().forget_console("7").await.unwrap();
        cluster.controller().open_console(target).await.unwrap();
    });
}

#[test]
fn a_shutdown_ends_consoles() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut console = open(&cluster, &app).await;
        cluster.controller().shutdown().await;
        let Some(ConsoleOutput::End(ConsoleEnd::Lost(why))) = console.output.recv().await else { panic!("an end") };
        assert!(why.contains("shutting down"), "{why}");
        console.ended.await.unwrap();
        assert_eq!(cluster.engine.shells().len(), 0);
    });
}

#[test]
fn a_console_opens_only_in_what_runs_and_has_a_shell() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let web = find(&cluster, request(&app, "web")).await.unwrap();
        assert_eq!(web.alias, "web-0");
        let second = ConsoleRequest { instance: Some("web-1".into()), ..request(&app, "web") };
        assert_eq!(find(&cluster, second).await.unwrap().alias, "web-1");

        cluster.engine.pause_by_hand(web.instance.as_str());
        assert_eq!(find(&cluster, request(&app, "web")).await.unwrap().alias, "web-1", "the other one runs");
        let first = ConsoleRequest { instance: Some("web-0".into()), ..request(&app, "web") };
        let refused = find(&cluster, first).await.unwrap_err();
        assert!(matches!(&refused, ControlError::Conflict(why) if why.contains("web-0 is paused")), "{refused}");

        for (component, expected) in [("db", "is a database"), ("migrate", "does not run now"), ("wb", "\"web\"?")] {
            let refused = find(&cluster, request(&app, component)).await.unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
        cluster.engine.add_image("test/web:2", Behaviour { without_shell: true, ..Behaviour::default() });
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        let refused = find(&cluster, request(&app, "web")).await.unwrap_err();
        assert!(matches!(&refused, ControlError::Invalid(why) if why.contains("has no shell")), "{refused}");
    });
}

#[test]
fn a_console_of_a_deployment_opens_only_in_its_instances() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        cluster.controller().restart(&app, &["web".into()], &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        let second = cluster.newest(&app).await.id;
        let of = |deployment: &_, component| ConsoleRequest {
            deployment: Some(Clone::clone(deployment)),
            ..request(&app, component)
        };
        assert_eq!(find(&cluster, of(&second, "web")).await.unwrap().alias, "web-0");
        // Both deployments have the worker's instance in common.
        assert_eq!(find(&cluster, of(&first, "mill")).await.unwrap().alias, "mill-0");
        let refused = find(&cluster, of(&first, "web")).await.unwrap_err();
        assert!(
            matches!(&refused, ControlError::Conflict(why) if why.contains("do not belong to this deployment")),
            "{refused}"
        );
    });
}

#[test]
fn a_running_job_has_a_console() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        cluster.called(0, Verb::Start, "-migrate-").await;
        let target = cluster
            .until(async || find(&cluster, request(&app, "migrate")).await.map_err(|error| error.to_string()))
            .await;
        assert_eq!(target.alias, "migrate");
        let mut console = cluster.controller().open_console(target).await.unwrap();
        assert!(matches!(console.output.recv().await, Some(ConsoleOutput::End(ConsoleEnd::Lost(_)))), "the job ended");
        cluster.settle(&app, Stage::Active).await;
        no_shell_is_left(&cluster).await;
    });
}
