//! Create, start, stop, remove, wait, restart policy, limits: each twice, and each on a container that does not exist.

use std::time::{Duration, Instant};

use bollard::query_parameters::InspectContainerOptions;
use engine::*;
use futures::StreamExt;

use crate::support::World;

#[tokio::test]
async fn every_verb_may_be_called_twice() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let engine = &world.engine;

    let id = engine.create(&spec).await.unwrap();
    assert_eq!(engine.create(&spec).await.unwrap(), id);
    assert_eq!(engine.list().await.unwrap()[0].state, ContainerState::Created);
    assert_eq!(engine.start(&spec.name).await.unwrap(), Changed::Done);
    assert_eq!(engine.start(&spec.name).await.unwrap(), Changed::AlreadySo);
    let listed = engine.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].state, &listed[0].identity), (ContainerState::Running, &spec.identity));
    assert_eq!((&listed[0].image, &listed[0].id), (&image, &id));
    world.serving(&spec.name).await;
    assert_eq!(engine.stop(&spec.name, Duration::from_secs(5)).await.unwrap(), Changed::Done);
    assert_eq!(engine.stop(&spec.name, Duration::from_secs(5)).await.unwrap(), Changed::AlreadySo);
    // 143: ended by TERM, which the init process forwarded to a program without a handler.
    assert_eq!(engine.list().await.unwrap()[0].state, ContainerState::Exited { code: Some(143) });
    assert_eq!(engine.remove(&spec.name).await.unwrap(), Changed::Done);
    assert_eq!(engine.remove(&spec.name).await.unwrap(), Changed::AlreadySo);
    assert_eq!(engine.list().await.unwrap(), vec![]);
}

#[tokio::test]
async fn verbs_on_a_missing_container_report_it() {
    let world = World::new().await;
    let name = world.name("missing");
    let engine = &world.engine;
    assert_eq!(engine.stop(&name, Duration::ZERO).await.unwrap(), Changed::AlreadySo);
    assert_eq!(engine.remove(&name).await.unwrap(), Changed::AlreadySo);
    assert_eq!(engine.inspect(&name).await.unwrap(), None);
    let query = LogQuery { follow: false, tail: None };
    let errors = [
        engine.start(&name).await.unwrap_err(),
        engine.wait(&name).await.unwrap_err(),
        engine.set_restart_policy(&name, RestartPolicy::Always).await.unwrap_err(),
        engine.logs(&name, &query).await.err().expect("no log"),
    ];
    for error in errors {
        assert!(matches!(error, EngineError::NotFound { .. }) && error.to_string().contains(&name), "{error}");
    }
}

#[tokio::test]
async fn the_restart_policy_is_no_at_first_and_can_be_changed_while_running() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let engine = &world.engine;
    engine.create(&spec).await.unwrap();
    engine.start(&spec.name).await.unwrap();
    let policy = async || engine.inspect(&spec.name).await.unwrap().expect("it is there").restart_policy;
    assert_eq!(policy().await, RestartPolicy::No);
    assert_eq!(engine.set_restart_policy(&spec.name, RestartPolicy::Always).await.unwrap(), Changed::Done);
    assert_eq!(engine.set_restart_policy(&spec.name, RestartPolicy::Always).await.unwrap(), Changed::AlreadySo);
    assert_eq!(policy().await, RestartPolicy::Always);
    assert_eq!(engine.set_restart_policy(&spec.name, RestartPolicy::No).await.unwrap(), Changed::Done);
    assert_eq!(policy().await, RestartPolicy::No);
}

#[tokio::test]
async fn a_process_that_ignores_its_signal_is_killed_after_the_grace() {
    let world = World::new().await;
    let image = world.image().await;
    // A process ignores this signal unless it installs a handler.
    let spec = ContainerSpec { stop_signal: Some("SIGWINCH".into()), ..world.spec("web", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let begun = Instant::now();
    world.engine.stop(&spec.name, Duration::from_secs(1)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let details = world.engine.inspect(&spec.name).await.unwrap().expect("it is there");
    assert_eq!(details.exit_code, Some(137));
    assert!(!details.oom_killed && details.started_at.is_some() && details.finished_at.is_some());
}

#[tokio::test]
async fn wait_returns_the_code_before_and_after_the_exit_but_fails_without_a_start() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("job", &image, &["exit", "7"]);
    world.engine.create(&spec).await.unwrap();
    let unstarted = world.engine.wait(&spec.name).await.unwrap_err();
    assert!(matches!(unstarted, EngineError::Conflict { .. }), "{unstarted}");
    world.engine.start(&spec.name).await.unwrap();
    assert_eq!(world.engine.wait(&spec.name).await.unwrap(), 7);
    assert_eq!(world.engine.wait(&spec.name).await.unwrap(), 7);
    let fine = world.spec("fine", &image, &["exit", "0"]);
    world.engine.create(&fine).await.unwrap();
    world.engine.start(&fine.name).await.unwrap();
    assert_eq!(world.engine.wait(&fine.name).await.unwrap(), 0);
}

#[tokio::test]
async fn twenty_concurrent_creates_make_one_container() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let ids = futures::future::join_all((0..20).map(|_| world.engine.create(&spec))).await;
    let first = ids[0].as_ref().unwrap();
    assert!(ids.iter().all(|id| id.as_ref().is_ok_and(|id| id == first)), "{ids:?}");
    assert_eq!(world.engine.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn limits_beyond_the_host_are_clamped_and_the_engine_applies_the_profile() {
    let world = World::new().await;
    let image = world.image().await;
    let limits = Limits { cpu_millis: 64_000, memory_bytes: 1 << 50 };
    let spec = ContainerSpec { limits, ..world.spec("web", &image, &["serve"]) };
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let info = world.engine.info().await.unwrap();
    let seen = world.other.inspect_container(&id, None::<InspectContainerOptions>).await.unwrap();
    let host = seen.host_config.unwrap();
    assert_eq!(host.nano_cpus, Some(i64::from(info.cpus) * 1_000_000_000));
    assert_eq!(host.memory, Some(i64::try_from(info.memory_bytes).unwrap()));
    let processes = i64::try_from((info.memory_bytes / (512 << 10)).clamp(1024, 32_768)).unwrap();
    assert_eq!((host.pids_limit, host.init, host.privileged), (Some(processes), Some(true), Some(false)));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(seen.config.unwrap().stop_signal.as_deref(), Some("SIGTERM"));
}

#[tokio::test]
async fn image_defaults_contain_the_command_and_the_stop_signal() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nCOPY helper /bin/sh\nSTOPSIGNAL SIGQUIT\nENTRYPOINT [\"/bin/sh\"]\nCMD serve now\n";
    let image = world.build("defaults", dockerfile).await.unwrap();
    let defaults = world.engine.image_defaults(&image).await.unwrap();
    assert_eq!(defaults.command, ["/bin/sh", "/bin/sh", "-c", "serve now"]);
    assert_eq!(defaults.stop_signal.as_deref(), Some("SIGQUIT"));
    let missing = world.engine.image_defaults("boatyard-test/nothing:1").await.unwrap_err();
    assert!(matches!(missing, EngineError::ImageMissing { .. }), "{missing}");
}

#[tokio::test]
async fn anonymous_volumes_are_removed_with_their_container() {
    let world = World::new().await;
    let image = world.build("volumes", "FROM scratch\nCOPY helper /bin/sh\nVOLUME /data\n").await.unwrap();
    let spec = world.spec("web", &image, &["serve"]);
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let seen = world.other.inspect_container(&id, None::<InspectContainerOptions>).await.unwrap();
    let volume = seen.mounts.unwrap()[0].name.clone().expect("the engine made a volume");
    assert!(world.other.inspect_volume(&volume).await.is_ok());
    // The container runs, so this also shows that a removal kills it.
    assert_eq!(world.engine.remove(&spec.name).await.unwrap(), Changed::Done);
    assert!(world.other.inspect_volume(&volume).await.is_err());
}

#[tokio::test]
async fn a_missing_image_is_named() {
    let world = World::new().await;
    let spec = world.spec("web", "sha256:0000000000000000000000000000000000000000000000000000000000000000", &["serve"]);
    let error = world.engine.create(&spec).await.unwrap_err();
    assert!(matches!(&error, EngineError::ImageMissing { reference } if *reference == spec.image), "{error}");
}

#[tokio::test]
async fn a_start_resumes_a_container_paused_by_hand() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    world.other.pause_container(&id).await.unwrap();
    assert_eq!(world.engine.list().await.unwrap()[0].state, ContainerState::Paused);
    assert_eq!(world.engine.start(&spec.name).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.list().await.unwrap()[0].state, ContainerState::Running);
}

#[tokio::test]
async fn events_cover_only_this_installation_and_name_the_app() {
    let world = World::new().await;
    let other = World::new().await;
    let image = world.image().await;
    let mut events = world.engine.events().await.unwrap();
    let (seen, ()) = tokio::join!(
        async {
            let mut seen = Vec::new();
            while let Some(event) = events.next().await {
                seen.push(event);
                if seen.last().is_some_and(|event| event.action == "destroy") {
                    break;
                }
            }
            seen
        },
        async {
            let foreign = other.spec("web", &image, &["serve"]);
            other.engine.create(&foreign).await.unwrap();
            let spec = world.spec("web", &image, &["exit", "0"]);
            world.engine.create(&spec).await.unwrap();
            world.engine.start(&spec.name).await.unwrap();
            world.engine.wait(&spec.name).await.unwrap();
            world.engine.remove(&spec.name).await.unwrap();
        }
    );
    assert!(seen.iter().all(|event| event.app == "5e7b" && event.container == world.name("web")), "{seen:?}");
    let actions: Vec<&str> = seen.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["create", "start", "die", "destroy"]);
}

#[tokio::test]
async fn running_out_of_memory_shows_in_the_containers_state_and_in_events() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["hog"]);
    let engine = &world.engine;
    let mut events = engine.events().await.unwrap();
    engine.create(&spec).await.unwrap();
    engine.start(&spec.name).await.unwrap();
    assert_eq!(engine.wait(&spec.name).await.unwrap(), 137);
    let details = engine.inspect(&spec.name).await.unwrap().expect("it is there");
    assert!(details.oom_killed, "{details:?}");
    let mut actions = Vec::new();
    loop {
        let event = events.next().await.expect("the stream continues");
        if event.container == spec.name {
            actions.push((event.action.clone(), event.exit_code));
        }
        if event.action == "die" {
            break;
        }
    }
    assert!(actions.contains(&("oom".into(), None)) && actions.contains(&("die".into(), Some(137))), "{actions:?}");
}

#[tokio::test]
async fn only_a_running_container_has_a_usage() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let engine = &world.engine;
    engine.create(&spec).await.unwrap();
    let container = engine.inspect(&spec.name).await.unwrap().expect("it was created").container;
    assert_eq!(engine.usage(&container).await.unwrap(), None);
    engine.start(&spec.name).await.unwrap();
    let usage = engine.usage(&container).await.unwrap().expect("it runs");
    let processes = usage.processes.expect("the engine counts them");
    assert_eq!(processes.limit, 1024);
    assert!(processes.running >= 1 && !processes.is_at_limit(), "{usage:?}");
    assert!(usage.cpu_time > Duration::ZERO && usage.memory_bytes > 0, "{usage:?}");
    engine.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    assert_eq!(engine.usage(&container).await.unwrap(), None);
    engine.remove(&spec.name).await.unwrap();
    assert_eq!(engine.usage(&container).await.unwrap(), None);
}
