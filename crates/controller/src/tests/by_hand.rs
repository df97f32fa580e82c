//! People rename, pause, move, limit and disconnect containers by hand, and create containers that conflict with them.

use std::net::Ipv4Addr;
use std::time::Duration;

use engine::{ContainerState, Limits, RestartPolicy};
use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;
use store::records::{Change, Database};
use tokio::time::Instant;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;

async fn one_web(cluster: &TestCluster, app: &AppId) -> String {
    cluster.names(app, "web").await.pop_first().unwrap()
}

async fn database(cluster: &TestCluster, app: &AppId) -> Database {
    cluster.state(app).await.databases.remove(0)
}

/// Waits until the records have the id of every container.
async fn known(cluster: &TestCluster, app: &AppId) {
    cluster
        .until(async || {
            let state = cluster.state(app).await;
            let unknown: Vec<_> =
                state.containers().filter(|(_, id)| id.is_none()).map(|(name, _)| name.clone()).collect();
            if unknown.is_empty() { Ok(()) } else { Err(format!("{unknown:?}")) }
        })
        .await;
}

async fn called_so(cluster: &TestCluster, name: &str, called: &str) {
    let find = || cluster.engine.containers().into_iter().find(|it| it.name == name).map(|it| it.called);
    cluster.until(async || if find().as_deref() == Some(called) { Ok(()) } else { Err(format!("{:?}", find())) }).await;
}

#[test]
fn a_renamed_container_is_recognised_and_gets_its_name_back() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let names = [one_web(&cluster, &app).await, database(&cluster, &app).await.container.to_string()];
        let (count, since) = (cluster.engine.containers().len(), cluster.engine.calls().len());
        for (at, name) in names.iter().enumerate() {
            cluster.engine.rename_by_hand(name, &format!("debug-{at}"));
            cluster.called(since, Verb::RestoreName, name).await;
            called_so(&cluster, name, name).await;
        }
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.engine.containers().len(), count, "nothing was made beside them");
        assert!(names.iter().all(|name| cluster.starts_of(name) == 1));
    });
}

#[test]
fn a_container_renamed_while_no_controller_runs_is_recognised_by_its_id() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        known(&cluster, &app).await;
        let names = [one_web(&cluster, &app).await, database(&cluster, &app).await.container.to_string()];
        cluster.crash().await;
        names.iter().for_each(|name| cluster.engine.rename_by_hand(name, &format!("{name}-aside")));
        cluster.open().await;
        for name in &names {
            called_so(&cluster, name, name).await;
        }
        cluster.end(&app, Stage::Active).await;
        assert!(names.iter().all(|name| cluster.starts_of(name) == 1), "nothing was started beside them");
    });
}

#[test]
fn a_renamed_container_whose_name_is_taken_keeps_running_and_stops_like_any_other() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let name = one_web(&cluster, &app).await;
        cluster.engine.rename_by_hand(&name, "debug");
        cluster.engine.add_foreign_container(&name);
        cluster.called(0, Verb::RestoreName, &name).await;
        assert!(cluster.engine.listening(&name));
        cluster.restart(&app).await;
        cluster.end(&app, Stage::Active).await;
        assert!(cluster.engine.containers().iter().all(|it| it.name != name), "it was replaced by the restart");
    });
}

#[test]
fn deleting_an_app_removes_its_renamed_containers_too() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        known(&cluster, &app).await;
        let names = [one_web(&cluster, &app).await, database(&cluster, &app).await.container.to_string()];
        cluster.crash().await;
        names.iter().for_each(|name| cluster.engine.rename_by_hand(name, &format!("{name}-aside")));
        // The old names are taken, so the containers keep their new names.
        names.iter().for_each(|name| cluster.engine.add_foreign_container(name));
        cluster.open().await;
        cluster.controller().delete_app(&app).await.unwrap();
        cluster.gone(&app).await;
    });
}

#[test]
fn an_instance_connected_at_another_address_gets_its_recorded_address_back() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let rows = cluster.state(&app).await.instances;
        let began = Instant::now();
        for (at, row) in rows.iter().enumerate() {
            let [a, b, c, _] = row.address.octets();
            cluster.engine.move_by_hand(row.name.as_str(), Ipv4Addr::new(a, b, c, 200 + u8::try_from(at).unwrap()));
        }
        cluster.end(&app, Stage::Active).await;
        println!("back after {:?} of simulated time", began.elapsed());
        assert!(rows.iter().all(|row| cluster.engine.listening_at(row.name.as_str(), row.address)));
        assert!(rows.iter().all(|row| cluster.starts_of(row.name.as_str()) == 1), "none was started again");
    });
}

#[test]
fn an_instance_that_lost_its_name_on_the_network_gets_it_back() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let row = cluster.state(&app).await.instances.remove(0);
        let since = cluster.engine.calls().len();
        cluster.engine.move_by_hand(row.name.as_str(), row.address);
        cluster.called(since, Verb::Connect, row.name.as_str()).await;
        cluster.end(&app, Stage::Active).await;
    });
}

#[test]
fn a_paused_container_is_unpaused_without_a_restart() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let names = [one_web(&cluster, &app).await, database(&cluster, &app).await.container.to_string()];
        let since = cluster.engine.calls().len();
        for name in &names {
            cluster.engine.pause_by_hand(name);
            cluster.called(since, Verb::Start, name).await;
        }
        cluster.end(&app, Stage::Active).await;
        let stopped = cluster.engine.calls().split_off(since).into_iter().any(|it| it.verb == Verb::Stop);
        assert!(!stopped && names.iter().all(|name| cluster.starts_of(name) == 1), "its process never ended");
    });
}

#[test]
fn limits_and_restart_policy_are_restored_even_if_they_changed_while_no_controller_ran() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let names = [one_web(&cluster, &app).await, database(&cluster, &app).await.container.to_string()];
        let specs: Vec<_> = names.iter().map(|name| cluster.engine.spec(name).unwrap().limits).collect();
        for while_down in [false, true] {
            let since = cluster.engine.calls().len();
            if while_down {
                cluster.crash().await;
            }
            let small = Limits { cpu_millis: 10, memory_bytes: 6 << 20 };
            names.iter().for_each(|name| cluster.engine.update_by_hand(name, small, RestartPolicy::No));
            if while_down {
                cluster.open().await;
            }
            for (name, limits) in names.iter().zip(&specs) {
                cluster.called(since, Verb::SetLimits, name).await;
                let details = cluster
                    .until(async || match engine::Engine::inspect(&cluster.engine, name).await.unwrap().unwrap() {
                        it if it.limits == *limits && it.restart_policy == RestartPolicy::Always => Ok(it),
                        it => Err(format!("{it:?}")),
                    })
                    .await;
                assert_eq!(details.container.state, ContainerState::Running);
            }
        }
        cluster.end(&app, Stage::Active).await;
        assert!(names.iter().all(|name| cluster.starts_of(name) == 1), "they ran on");
    });
}

#[test]
fn a_disconnected_database_is_reconnected_as_soon_as_an_instance_would_be() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let row = database(&cluster, &app).await;
        let name = row.container.to_string();
        let began = Instant::now();
        let since = cluster.engine.calls().len();
        cluster.engine.disconnect_by_hand(&name);
        cluster.called(since, Verb::Connect, &name).await;
        let [a, b, c, _] = row.address.octets();
        cluster.engine.move_by_hand(&name, Ipv4Addr::new(a, b, c, 200));
        let listening = async || cluster.engine.listening_at(&name, row.address).then_some(()).ok_or_else(String::new);
        cluster.until(listening).await;
        println!("back after {:?} of simulated time", began.elapsed());
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.starts_of(&name), 1, "its server ran on");
    });
}

#[test]
fn a_network_removed_while_no_controller_ran_is_created_again() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let row = database(&cluster, &app).await;
        cluster.crash().await;
        let network = cluster.engine.network_specs().remove(0).name;
        cluster.engine.remove_network_by_hand(&network);
        cluster.open().await;
        let listening = async || {
            cluster.engine.listening_at(row.container.as_str(), row.address).then_some(()).ok_or_else(String::new)
        };
        cluster.until(listening).await;
        cluster.end(&app, Stage::Active).await;
    });
}

#[test]
fn a_database_of_an_older_version_that_was_renamed_is_found_by_its_volume() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let name = database(&cluster, &app).await.container.to_string();
        cluster.crash().await;
        // Older versions recorded no ids.
        cluster
            .tamper(&app, |state| {
                let databases = state.databases.into_iter();
                databases.map(|it| Change::Database(Database { container_id: None, ..it })).collect()
            })
            .await;
        cluster.engine.rename_by_hand(&name, "my-db");
        cluster.open().await;
        called_so(&cluster, &name, &name).await;
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.starts_of(&name), 1, "no second server");
    });
}

#[test]
fn a_database_is_not_started_beside_another_container_on_its_volume() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let row = database(&cluster, &app).await;
        let name = row.container.to_string();
        cluster.engine.add_foreign_on_volume("backup", &row.volume);
        cluster.engine.remove_by_hand(&name);
        let note = cluster
            .until(async || {
                let restarted = cluster.restart(&app).await.id;
                let ended = cluster.reach(&restarted, Stage::Active).await;
                let notes = ended.record.notes;
                let note = notes.iter().find(|it| it.contains("docker stop backup")).cloned();
                note.ok_or_else(|| format!("{notes:?}"))
            })
            .await;
        assert!(note.contains("database db is down") && note.contains(&row.volume), "{note}");
        assert_eq!(cluster.starts_of(&name), 1, "it was not started");
        cluster.engine.remove_foreign_container("backup");
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.starts_of(&name), 2);
    });
}

#[test]
fn a_wait_for_a_database_ends_when_its_container_is_removed() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let name = database(&cluster, &app).await.container.to_string();
        let brisk = Behaviour { ready_after: Duration::from_millis(300), ..Behaviour::default() };
        cluster.engine.add_image("postgres:17", Behaviour { never_ready: true, ..brisk.clone() });
        let since = cluster.engine.calls().len();
        cluster.engine.remove_by_hand(&name);
        cluster.called(since, Verb::Start, &name).await;
        cluster.engine.add_image("postgres:17", brisk);
        let began = Instant::now();
        cluster.engine.remove_by_hand(&name);
        cluster.end(&app, Stage::Active).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{:?} of simulated time", began.elapsed());
    });
}

#[test]
fn the_controller_does_not_use_an_address_of_another_container() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let network = cluster.engine.network_specs().remove(0);
        let state = cluster.state(&app).await;
        let recorded: Vec<_> =
            state.instances.iter().map(|it| it.address).chain([state.databases[0].address]).collect();
        let [a, b, c, _] = network.gateway.octets();
        let theirs = (2..40).map(|host| Ipv4Addr::new(a, b, c, host)).filter(|address| !recorded.contains(address));
        let theirs: Vec<_> = theirs.collect();
        for (at, address) in theirs.iter().enumerate() {
            cluster.engine.add_foreign_on_network(&format!("theirs-{at}"), &network.name, *address);
        }
        // Creates new instances and runs a job.
        cluster.update(&app, "2").await;
        cluster.end(&app, Stage::Active).await;
        assert!(cluster.state(&app).await.instances.iter().all(|it| !theirs.contains(&it.address)));
        // Another container takes the address of an instance that serves.
        let row = cluster.state(&app).await.instances.remove(0);
        cluster.engine.disconnect_by_hand(row.name.as_str());
        cluster.engine.add_foreign_on_network("thief", &network.name, row.address);
        cluster
            .until(async || {
                let now =
                    cluster.state(&app).await.instances.into_iter().find(|it| it.name == row.name).unwrap().address;
                if now == row.address { Err(now.to_string()) } else { Ok(()) }
            })
            .await;
        cluster.end(&app, Stage::Active).await;
    });
}

#[test]
fn a_deletion_completes_once_no_other_container_is_on_the_network() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let network = cluster.engine.network_specs().remove(0);
        let [a, b, c, _] = network.gateway.octets();
        cluster.engine.add_foreign_on_network("theirs", &network.name, Ipv4Addr::new(a, b, c, 250));
        cluster.controller().delete_app(&app).await.unwrap();
        let tries = || cluster.engine.calls().iter().filter(|it| it.verb == Verb::RemoveNetwork).count();
        cluster.until(async || if tries() > 3 { Ok(()) } else { Err("not tried yet".into()) }).await;
        assert!(cluster.store().app(&app).await.unwrap().is_some(), "its records stay until all is gone");
        cluster.engine.remove_foreign_container("theirs");
        cluster.gone(&app).await;
    });
}
