//! Builds: steps, cache, failures that name their step, cancellation, and contexts that fail.

use std::time::Duration;

use engine::*;
use futures::StreamExt;

use crate::support::{ENDS_WITHIN, World, collect, context, helper, steps};

const RUNS: &str = "FROM scratch\nCOPY helper /bin/sh\nRUN say hello from the build\n";

#[tokio::test]
async fn a_build_reports_steps_and_output_and_leaves_its_tag_and_labels() {
    let world = World::new().await;
    let (image, events) = world.build_events("app", RUNS, true).await.unwrap();
    assert!(image.starts_with("sha256:"), "{image}");
    assert_eq!(world.engine.image(&world.tag("app")).await.unwrap(), Some(image.clone()));
    assert!(steps(&events, BuildStepState::Started).iter().any(|name| name.contains("RUN say hello")), "{events:?}");
    assert!(steps(&events, BuildStepState::Done).iter().any(|name| name.contains("RUN say hello")), "{events:?}");
    assert!(events.contains(&BuildEvent::Log("hello from the build".into())), "{events:?}");
    let labels = world.other.inspect_image(&image).await.unwrap().config.unwrap().labels.unwrap();
    assert_eq!(labels["io.boatyard.installation"], world.installation.id);
}

#[tokio::test]
async fn a_second_build_comes_from_the_cache_unless_no_cache_is_set() {
    let world = World::new().await;
    // The steps must be unique: BuildKit merges equal steps that run at the same time.
    let id = &world.installation.id;
    let dockerfile = format!("FROM scratch\nCOPY helper /bin/sh\nRUN say hello {id}\nRUN say goodbye {id}\n");
    let run = |events: &[BuildEvent], state| steps(events, state).iter().filter(|name| name.contains("RUN")).count();
    let (first, events) = world.build_events("app", &dockerfile, false).await.unwrap();
    assert_eq!(run(&events, BuildStepState::Done), 2, "{events:?}");
    let (second, events) = world.build_events("app", &dockerfile, false).await.unwrap();
    assert_eq!((run(&events, BuildStepState::Cached), run(&events, BuildStepState::Done)), (2, 0), "{events:?}");
    assert_eq!(first, second);
    let (_, events) = world.build_events("app", &dockerfile, true).await.unwrap();
    assert_eq!((run(&events, BuildStepState::Cached), run(&events, BuildStepState::Done)), (0, 2), "{events:?}");
}

#[tokio::test]
async fn a_base_image_that_exists_only_locally_needs_no_registry() {
    let world = World::new().await;
    world.image().await;
    let dockerfile = format!("FROM {} AS base\nRUN say one\nFROM base\nRUN say two\n", world.tag("image"));
    let (image, _) = world.build_events("derived", &dockerfile, true).await.unwrap();
    assert_eq!(world.engine.image(&world.tag("derived")).await.unwrap(), Some(image));
}

#[tokio::test]
async fn build_arguments_and_the_dockerfiles_path_are_used() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nCOPY helper /bin/sh\nARG WHO\nRUN say hello $WHO\n";
    let mut spec = world.build_spec("app", true);
    spec.dockerfile = "deploy/Dockerfile.prod".into();
    spec.args.insert("WHO".into(), "x".into());
    let files = context(&[("deploy/Dockerfile.prod", dockerfile.as_bytes()), ("helper", helper())]);
    let (_, events) = collect(world.engine.build(&spec, files).await.unwrap()).await.unwrap();
    assert!(steps(&events, BuildStepState::Done).iter().any(|name| name.contains("RUN say hello")), "{events:?}");
}

/// Builds with a secret, and returns the image and the events.
async fn with_secret(world: &World, dockerfile: &str, value: &str, key: &str) -> (String, Vec<BuildEvent>) {
    let mut spec = world.build_spec("app", false);
    spec.secrets.insert("TOKEN".into(), Secret::new(value));
    spec.cache_key = Some(key.into());
    let files = context(&[("Dockerfile", dockerfile.as_bytes()), ("helper", helper())]);
    collect(world.engine.build(&spec, files).await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_secret_is_mounted_in_the_steps_that_ask_for_it_and_stays_out_of_the_image() {
    let world = World::new().await;
    let id = &world.installation.id;
    let dockerfile = format!(
        "FROM scratch\nCOPY helper /bin/sh\nRUN --mount=type=secret,id=TOKEN read /run/secrets/TOKEN\n\
         RUN --mount=type=secret,id=OTHER,target=/other read /other\nRUN read /run/secrets/TOKEN\nRUN say {id}\n"
    );
    let value = format!("canary-{id}");
    let (image, events) = with_secret(&world, &dockerfile, &value, id).await;
    let output: Vec<_> = events.iter().filter(|it| matches!(it, BuildEvent::Log(_))).collect();
    let absent = BuildEvent::Log("entity not found".into());
    assert_eq!(output, [&BuildEvent::Log(value.clone()), &absent, &absent, &BuildEvent::Log(id.clone())]);
    let history = world.other.image_history(&image).await.unwrap();
    let config = world.other.inspect_image(&image).await.unwrap();
    assert!(!format!("{history:?} {config:?}").contains(&value), "{history:?} {config:?}");
}

#[tokio::test]
async fn a_step_runs_again_when_the_cache_key_changes() {
    let world = World::new().await;
    let id = &world.installation.id;
    let dockerfile = format!(
        "FROM scratch\nCOPY helper /bin/sh\nRUN --mount=type=secret,id=TOKEN read /run/secrets/TOKEN\nRUN say {id}\n"
    );
    for (value, key, is_cached) in [("one", "1", false), ("one", "1", true), ("two", "2", false), ("one", "1", true)] {
        let (_, events) = with_secret(&world, &dockerfile, value, &format!("{id}{key}")).await;
        let state = if is_cached { BuildStepState::Cached } else { BuildStepState::Done };
        let runs = steps(&events, state).iter().filter(|name| name.contains("RUN")).count();
        assert_eq!(runs, 2, "{value}: {events:?}");
        assert_eq!(events.contains(&BuildEvent::Log(value.into())), !is_cached, "{value}: {events:?}");
    }
}

#[tokio::test]
async fn a_failing_step_is_named_with_its_exit_code_and_its_output_came_before() {
    let world = World::new().await;
    let files = context(&[("Dockerfile", b"FROM scratch\nCOPY helper /bin/sh\nRUN fail\n"), ("helper", helper())]);
    let events = world.engine.build(&world.build_spec("app", true), files).await.unwrap();
    let mut events: Vec<_> = events.collect().await;
    let error = events.pop().unwrap().unwrap_err();
    match &error {
        EngineError::BuildFailed { step, message } => {
            assert!(step.contains("RUN fail"), "{step}");
            assert!(message.contains("exit code: 3"), "{message}");
        }
        other => panic!("{other}"),
    }
    let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
    assert!(events.contains(&BuildEvent::Log("this step fails on purpose".into())), "{events:?}");
    assert_eq!(steps(&events, BuildStepState::Failed).len(), 1, "{events:?}");
    assert_eq!(world.engine.image(&world.tag("app")).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_not_in_the_context_fails_its_step() {
    let world = World::new().await;
    let error = world.build("app", "FROM scratch\nCOPY missing.txt /\n").await.unwrap_err();
    assert!(matches!(&error, EngineError::BuildFailed { message, .. } if message.contains("missing.txt")), "{error}");
}

#[tokio::test]
async fn an_invalid_dockerfile_is_reported_as_invalid() {
    let world = World::new().await;
    for dockerfile in ["FORM scratch\n", "", "RUN say early\n"] {
        let error = world.build("app", dockerfile).await.unwrap_err();
        assert!(matches!(error, EngineError::DockerfileInvalid { .. }), "{dockerfile:?}: {error:?}");
    }
    let mut spec = world.build_spec("app", false);
    spec.dockerfile = "Nothing".into();
    let files = context(&[("Dockerfile", b"FROM scratch\n")]);
    let error = collect(world.engine.build(&spec, files).await.unwrap()).await.unwrap_err();
    assert!(matches!(&error, EngineError::DockerfileInvalid { message } if message.contains("Nothing")), "{error:?}");
}

#[tokio::test]
async fn a_base_or_frontend_that_cannot_be_fetched_is_named() {
    let world = World::new().await;
    let error = world.build("app", "FROM 127.0.0.1:1/nothing:1\n").await.unwrap_err();
    assert!(
        matches!(&error, EngineError::PullFailed { reference, .. } if reference.contains("127.0.0.1:1/nothing")),
        "{error:?}"
    );
    let error =
        world.build("app", "# syntax=127.0.0.1:1/frontend:1\nFROM scratch\nCOPY helper /x\n").await.unwrap_err();
    assert!(
        matches!(&error, EngineError::FrontendUnavailable { frontend, .. } if frontend.contains("127.0.0.1:1/frontend")),
        "{error:?}"
    );
}

#[tokio::test]
async fn dropping_a_build_ends_its_step_and_leaves_nothing() {
    let world = World::new().await;
    let mark = format!("serve-{}", world.installation.id);
    let dockerfile = format!("FROM scratch\nCOPY helper /bin/sh\nRUN {mark}\n");
    let files = context(&[("Dockerfile", dockerfile.as_bytes()), ("helper", helper())]);
    let mut events = world.engine.build(&world.build_spec("app", true), files).await.unwrap();
    let begun = async {
        while let Some(event) = events.next().await {
            if event.unwrap() == BuildEvent::Log("serving".into()) {
                return;
            }
        }
        panic!("the build ended before its step began");
    };
    tokio::time::timeout(ENDS_WITHIN, begun).await.expect("the step begins");
    assert!(runs_here(&mark), "the step's process runs on this machine");
    drop(events);
    let ended = async {
        while runs_here(&mark) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, ended).await.expect("the step ends with its reader");
    assert_eq!(world.engine.image(&world.tag("app")).await.unwrap(), None);
}

/// Whether a process on this machine has this word in its command line.
fn runs_here(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("a Linux machine").flatten();
    let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).split(['\0', ' ']).any(|part| part == word))
}

#[tokio::test]
async fn a_context_that_fails_ends_the_build_with_the_contexts_error() {
    let world = World::new().await;
    let broken = std::io::Error::new(std::io::ErrorKind::InvalidData, "blob 4f2a is missing");
    let files = context(&[("Dockerfile", RUNS.as_bytes()), ("helper", helper())]);
    let files = files.take(1).chain(futures::stream::iter([Err(broken)])).boxed();
    let error = collect(world.engine.build(&world.build_spec("app", false), files).await.unwrap()).await.unwrap_err();
    match error {
        EngineError::ContextFailed { source } => assert_eq!(source.to_string(), "blob 4f2a is missing"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.engine.image(&world.tag("app")).await.unwrap(), None);
}
