//! What live pages read: ticks, usage, traffic, the host, and an engine that does not answer.

use std::time::Duration;

use engine::Usage;
use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::view::{InstanceUsage, TrafficSample};

const ROUND: Duration = Duration::from_secs(15);
const HOUR: Duration = Duration::from_secs(3600);

async fn usage(cluster: &TestCluster, app: &AppId) -> Vec<InstanceUsage> {
    cluster.controller().usage_history(app).await.unwrap()
}

async fn traffic(cluster: &TestCluster, app: &AppId) -> Vec<TrafficSample> {
    cluster.controller().traffic_history(app).await.unwrap()
}

fn uses(cluster: &TestCluster, name: &str, cpu: Duration) {
    let usage = Usage { cpu_time: cpu, memory_bytes: 128 << 20, processes: None };
    cluster.engine.set_usage(name, usage);
}

#[test]
fn changes_tick_for_new_waits_and_countdowns_but_not_while_nothing_changes() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        sleep(ROUND).await;
        let mut changes = cluster.controller().changes();
        changes.borrow_and_update();
        sleep(HOUR).await;
        assert!(!changes.has_changed().unwrap(), "nothing changed");

        cluster.update(&app, "stuck").await;
        let waits = async || cluster.controller().find_app(app.as_str()).await.unwrap().waiting;
        cluster
            .until(async || match waits().await {
                it if it.iter().any(|it| it.contains("to pass its health check")) => Ok(()),
                it => Err(format!("{it:?}")),
            })
            .await;
        // Until everything else of the rollout has settled.
        sleep(Duration::from_secs(3)).await;
        let before = (*changes.borrow_and_update(), waits().await);
        sleep(Duration::from_secs(10)).await;
        let (ticks, after) = (*changes.borrow() - before.0, waits().await);
        assert!((9..=11).contains(&ticks), "{ticks} ticks in 10 s");
        assert_ne!(before.1, after, "the time left");
    });
}

#[test]
fn a_page_that_is_read_often_asks_the_engine_again_only_after_a_change_or_15_s() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let inspected = || cluster.engine.calls().iter().filter(|it| it.verb == Verb::Inspect).count();
        let asked = async || {
            let before = inspected();
            let (_, instances) = cluster.controller().recent_status(&app).await.unwrap();
            assert!(instances.iter().any(|it| it.component_name.as_str() == "web" && it.container_id.is_some()));
            inspected() - before
        };
        let all = asked().await;
        assert!(all >= 3, "{all}");
        assert_eq!(asked().await, 0);
        let name = cluster.names(&app, "web").await.into_iter().next().expect("two instances");
        cluster.engine.exit(&name, 1);
        sleep(Duration::from_secs(1)).await;
        let after_a_change = asked().await;
        assert!((1..all).contains(&after_a_change), "{after_a_change} of {all}");
        sleep(Duration::from_secs(16)).await;
        assert_eq!(asked().await, all);
    });
}

#[test]
fn usage_is_sampled_every_15_s_and_stays_for_an_hour_after_an_instance_is_gone() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let names = cluster.names(&app, "web").await;
        for round in 0..4 {
            for name in &names {
                // Half of one CPU.
                uses(&cluster, name, ROUND * round / 2);
            }
            sleep(ROUND).await;
        }
        let found = usage(&cluster, &app).await;
        let aliases: Vec<_> = found.iter().map(|it| (it.instance_alias.as_str(), it.component_name.as_str())).collect();
        assert_eq!(aliases, [("web-0", "web"), ("web-1", "web")], "the others use nothing in the fake");
        for it in &found {
            assert!(it.samples.len() >= 2, "{it:?}");
            assert!(it.samples.windows(2).all(|it| it[1].at.since(it[0].at) == ROUND), "{it:?}");
            let last = it.samples[1];
            assert_eq!((last.cpu_percent, last.memory_bytes, last.memory_percent), (50.0, 128 << 20, 25.0));
            assert_eq!(it.memory_limit_bytes, 512 << 20);
        }
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let gone: Vec<_> = usage(&cluster, &app).await.into_iter().map(|it| it.instance_name.to_string()).collect();
        assert_eq!(gone, names.iter().cloned().collect::<Vec<_>>(), "to compare with what came before");
        sleep(HOUR + ROUND).await;
        assert_eq!(usage(&cluster, &app).await, []);
        let unknown = cluster.controller().usage_history(&"other".into()).await;
        assert!(matches!(unknown, Err(ControlError::NotFound(_))));
    });
}

#[test]
fn an_engine_that_hangs_delays_no_other_sample_and_piles_up_no_calls() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for name in cluster.names(&app, "web").await {
            uses(&cluster, &name, Duration::from_secs(1));
        }
        sleep(ROUND * 2).await;
        let samples = |all: &[InstanceUsage]| all.iter().map(|it| it.samples.len()).sum::<usize>();
        let before = samples(&usage(&cluster, &app).await);
        // All calls of three rounds.
        for nth in 1..=12 {
            cluster.engine.hang(Verb::Usage, nth);
        }
        let calls = async || cluster.engine.calls().iter().filter(|it| it.verb == Verb::Usage).count();
        let began = calls().await;
        sleep(ROUND * 3).await;
        assert_eq!(calls().await - began, 12, "four running containers, three rounds");
        assert_eq!(samples(&usage(&cluster, &app).await), before);
        sleep(ROUND).await;
        assert_eq!(samples(&usage(&cluster, &app).await), before + 2);
    });
}

#[test]
fn traffic_has_one_second_samples_while_somebody_looks_and_survives_a_dead_ingress() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        sleep(ROUND * 4).await;
        traffic(&cluster, &app).await;
        sleep(Duration::from_secs(2)).await;
        let since = traffic(&cluster, &app).await.len();
        for _ in 0..5 {
            cluster.ingress.count(|it| {
                it.requests += 10;
                it.failed += 1;
                it.app_errors += 2;
            });
            sleep(Duration::from_secs(1)).await;
            traffic(&cluster, &app).await;
        }
        let sum = |all: &[TrafficSample]| {
            all.iter().fold((0, 0, 0), |sum, it| (sum.0 + it.requests, sum.1 + it.failed, sum.2 + it.app_errors))
        };
        sleep(ROUND).await;
        let all = traffic(&cluster, &app).await;
        assert_eq!(sum(&all[since..]), (50, 5, 10));
        assert!(all[since..].iter().all(|it| it.over <= Duration::from_secs(2)), "{all:?}");
        assert!(all.windows(2).all(|it| it[0].at <= it[1].at), "{all:?}");

        let opened = cluster.ingress.opened();
        cluster.ingress.die();
        sleep(ROUND).await;
        cluster.ingress.recover();
        cluster
            .until(async || if cluster.ingress.opened() > opened { Ok(()) } else { Err("not started".into()) })
            .await;
        cluster.ingress.serve(7);
        sleep(ROUND * 2).await;
        assert_eq!(sum(&traffic(&cluster, &app).await[since..]), (57, 5, 10), "nothing negative, nothing twice");
        let apps = [app.clone(), "other".into()];
        assert_eq!(cluster.controller().recent_requests(&apps), [57, 0]);
        sleep(HOUR).await;
        assert_eq!(cluster.controller().recent_requests(&apps), [0, 0]);
        assert_eq!(sum(&traffic(&cluster, &app).await), (0, 0, 0));
    });
}

#[test]
fn the_host_lists_images_and_an_engine_that_does_not_answer_leaves_the_rest() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let built = |app: &str, component: &str| {
            format!("boatyard-{}/{app}-{component}:7", cluster.controller().installation_id())
        };
        let short = app.as_str().split('-').next().unwrap();
        for reference in [built(short, "web-old"), built("0bad0bad", "web"), "somebody/else:1".into()] {
            cluster.engine.add_image(&reference, Default::default());
        }
        let host = cluster.controller().host().await;
        assert_eq!(host.engine.unwrap().api_version, "1.41");
        assert!(host.disk.is_some_and(|it| it.total_bytes > 0 && it.free_bytes <= it.total_bytes), "{:?}", host.disk);
        let images = host.images.unwrap();
        let shown: Vec<_> = images
            .iter()
            .map(|it| (it.reference.clone(), it.app.as_deref(), it.component.as_ref().map(|it| it.as_str()), it.serves))
            .collect();
        assert_eq!(
            shown,
            [
                ("test/migrate:1".into(), Some("shop"), Some("migrate"), true),
                ("test/mill:1".into(), Some("shop"), Some("mill"), true),
                ("test/web:1".into(), Some("shop"), Some("web"), true),
                ("postgres:17".into(), Some("shop"), Some("db"), true),
                (built(short, "web-old"), Some("shop"), Some("web-old"), false),
                (built("0bad0bad", "web"), None, None, false),
            ]
        );
        assert!(images.iter().all(|it| it.size_bytes > 0 && it.created.0 > 0));

        cluster.engine.hang(Verb::Info, 1);
        cluster.engine.hang(Verb::Tags, 1);
        let host = cluster.controller().host().await;
        let why = "the engine did not answer within 2 s";
        assert_eq!((host.engine.unwrap_err().as_str(), host.images.unwrap_err().as_str()), (why, why));
        assert!(host.disk.is_some() && host.installation_id == cluster.controller().installation_id());
    });
}

#[test]
fn an_unreachable_engine_is_reported_until_it_answers() {
    simulate(async {
        let (cluster, _) = TestCluster::with_app().await;
        let problem = || cluster.controller().engine_problem();
        assert_eq!(problem(), None);
        cluster.engine.go_down();
        let text = cluster.until(async || problem().ok_or_else(|| "no problem".to_owned())).await;
        for part in ["no engine answers at", "the running apps go on", "journalctl"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(cluster.controller().host().await.engine.is_err());
        cluster.engine.come_back();
        cluster.until(async || problem().map_or(Ok(()), Err)).await;
    });
}
