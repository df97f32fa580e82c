//! The fake engine follows the rules that its users rely on.

#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use engine::*;
use engine_fake::{Behaviour, FakeEngine, Verb};
use futures::StreamExt;

fn identity(generation: u64) -> Identity {
    Identity {
        role: Role::Instance,
        app: "shop".into(),
        component: "web".into(),
        slot: 0,
        revision: "r1".into(),
        generation,
        deployment: "d1".into(),
    }
}

fn net() -> NetworkSpec {
    NetworkSpec {
        name: "net".into(),
        identity: Identity { role: Role::Network, ..identity(0) },
        subnet: "10.208.7.0/24".into(),
        gateway: Ipv4Addr::new(10, 208, 7, 1),
    }
}

/// An engine with an image and a network, and a spec for a container that uses them.
async fn world(behaviour: Behaviour) -> (FakeEngine, ContainerSpec) {
    let fake = FakeEngine::new();
    let image = fake.add_image("app:1", behaviour);
    let network = fake.ensure_network(&net()).await.unwrap();
    let spec = ContainerSpec {
        name: "web.0".into(),
        identity: identity(1),
        image,
        command: None,
        env: vec![("TOKEN".into(), "hunter2".into())],
        network: Some(NetworkJoin {
            network_id: network.id,
            network_name: network.name,
            address: Ipv4Addr::new(10, 208, 7, 9),
            aliases: vec!["web".into()],
        }),
        hosts: Vec::new(),
        published: Vec::new(),
        volume: None,
        limits: Limits { cpu_millis: 500, memory_bytes: 64 << 20 },
        stop_grace: Duration::from_secs(10),
        stop_signal: None,
    };
    (fake, spec)
}

async fn running(behaviour: Behaviour) -> (FakeEngine, ContainerSpec) {
    let (fake, spec) = world(behaviour).await;
    fake.create(&spec).await.unwrap();
    fake.start(&spec.name).await.unwrap();
    (fake, spec)
}

fn state(fake: &FakeEngine, name: &str) -> Option<ContainerState> {
    fake.containers().into_iter().find(|container| container.name == name).map(|container| container.state)
}

#[tokio::test]
async fn every_verb_may_be_called_twice() {
    let (fake, spec) = world(Behaviour::default()).await;
    let id = fake.create(&spec).await.unwrap();
    assert_eq!(fake.create(&spec).await.unwrap(), id);
    assert_eq!(fake.start("web.0").await.unwrap(), Changed::Done);
    assert_eq!(fake.start("web.0").await.unwrap(), Changed::AlreadySo);
    assert_eq!(fake.stop("web.0", Duration::ZERO).await.unwrap(), Changed::Done);
    assert_eq!(fake.stop("web.0", Duration::ZERO).await.unwrap(), Changed::AlreadySo);
    assert_eq!(fake.remove("web.0").await.unwrap(), Changed::Done);
    assert_eq!(fake.remove("web.0").await.unwrap(), Changed::AlreadySo);
    assert!(matches!(fake.start("web.0").await, Err(EngineError::NotFound { .. })));
}

#[tokio::test]
async fn a_name_belongs_to_one_identity_and_the_image_must_exist() {
    let (fake, spec) = world(Behaviour::default()).await;
    fake.create(&spec).await.unwrap();
    let other = ContainerSpec { identity: identity(2), ..spec.clone() };
    assert!(matches!(fake.create(&other).await, Err(EngineError::NameTaken { .. })));
    fake.add_foreign_container("theirs");
    let theirs = ContainerSpec { name: "theirs".into(), ..spec.clone() };
    assert!(matches!(fake.create(&theirs).await, Err(EngineError::NameTaken { .. })));
    let imageless = ContainerSpec { name: "web.1".into(), image: "sha256:00".into(), ..spec };
    assert!(matches!(fake.create(&imageless).await, Err(EngineError::ImageMissing { .. })));
}

#[tokio::test]
async fn an_address_clashes_at_start_and_is_free_after_a_stop() {
    let (fake, spec) = running(Behaviour::default()).await;
    let rival = ContainerSpec { name: "web.1".into(), ..spec };
    fake.create(&rival).await.unwrap();
    assert!(matches!(fake.start("web.1").await, Err(EngineError::AddressTaken { .. })));
    fake.stop("web.0", Duration::ZERO).await.unwrap();
    assert_eq!(fake.start("web.1").await.unwrap(), Changed::Done);
}

#[tokio::test]
async fn subnets_clash_and_a_network_in_use_stays() {
    let (fake, _) = running(Behaviour::default()).await;
    let second = NetworkSpec { name: "second".into(), ..net() };
    assert!(matches!(fake.ensure_network(&second).await, Err(EngineError::SubnetTaken { .. })));
    assert!(matches!(fake.remove_network("net").await, Err(EngineError::NetworkInUse { .. })));
    fake.remove("web.0").await.unwrap();
    assert_eq!(fake.remove_network("net").await.unwrap(), Changed::Done);
    assert_eq!(fake.remove_network("net").await.unwrap(), Changed::AlreadySo);
}

#[tokio::test(start_paused = true)]
async fn a_container_listens_as_its_behaviour_says_and_only_while_it_runs_on_its_network() {
    let (fake, spec) = running(Behaviour { ready_after: Duration::from_secs(3), ..Default::default() }).await;
    assert!(!fake.listening("web.0"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(fake.listening("web.0"));
    fake.disconnect_by_hand("web.0");
    assert!(!fake.listening("web.0"));
    assert_eq!(fake.connect("web.0", &spec.network.unwrap()).await.unwrap(), Changed::Done);
    assert!(fake.listening("web.0"));
    fake.stop("web.0", Duration::ZERO).await.unwrap();
    assert!(!fake.listening("web.0"));
    let (fake, _) = running(Behaviour { never_ready: true, ..Default::default() }).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!fake.listening("web.0"));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ignores_its_signal_takes_the_whole_grace() {
    let (fake, _) = running(Behaviour { ignores_stop: true, ..Default::default() }).await;
    let begun = tokio::time::Instant::now();
    fake.stop("web.0", Duration::from_secs(10)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(fake.wait("web.0").await.unwrap(), 137);
}

#[tokio::test(start_paused = true)]
async fn wait_returns_when_the_process_ends_and_needs_a_start() {
    let behaviour = Behaviour { exits_with: Some(3), ready_after: Duration::from_secs(5), ..Default::default() };
    let (fake, spec) = world(behaviour).await;
    fake.create(&spec).await.unwrap();
    assert!(matches!(fake.wait("web.0").await, Err(EngineError::Conflict { .. })));
    fake.start("web.0").await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(fake.wait("web.0").await.unwrap(), 3);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(fake.inspect("web.0").await.unwrap().unwrap().exit_code, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_comes_back_after_a_growing_pause_only_with_policy_always() {
    let (fake, _) = running(Behaviour::default()).await;
    fake.exit("web.0", 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(state(&fake, "web.0"), Some(ContainerState::Exited { code: Some(1) }));
    fake.start("web.0").await.unwrap();
    fake.set_restart_policy("web.0", RestartPolicy::Always).await.unwrap();
    for pause in [100, 200, 400] {
        fake.exit("web.0", 1);
        tokio::time::sleep(Duration::from_millis(pause - 1)).await;
        assert_eq!(state(&fake, "web.0"), Some(ContainerState::Restarting), "within {pause} ms");
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(state(&fake, "web.0"), Some(ContainerState::Running), "after {pause} ms");
    }
    assert_eq!(fake.inspect("web.0").await.unwrap().unwrap().restart_count, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_back_off_is_final() {
    let (fake, _) = running(Behaviour::default()).await;
    fake.set_restart_policy("web.0", RestartPolicy::Always).await.unwrap();
    fake.exit("web.0", 1);
    fake.stop("web.0", Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(matches!(state(&fake, "web.0"), Some(ContainerState::Exited { .. })));
}

#[tokio::test]
async fn an_engine_restart_starts_containers_with_policy_always_even_stopped_ones() {
    let (fake, spec) = running(Behaviour::default()).await;
    let second = ContainerSpec { name: "job".into(), network: None, ..spec };
    fake.create(&second).await.unwrap();
    fake.start("job").await.unwrap();
    fake.set_restart_policy("web.0", RestartPolicy::Always).await.unwrap();
    let mut events = fake.events().await.unwrap();
    fake.restart_engine();
    assert_eq!(state(&fake, "web.0"), Some(ContainerState::Running));
    assert_eq!(state(&fake, "job"), Some(ContainerState::Exited { code: Some(137) }));
    assert!(events.next().await.is_none(), "the event stream ends with its engine");
    fake.stop("web.0", Duration::ZERO).await.unwrap();
    fake.restart_engine();
    assert_eq!(state(&fake, "web.0"), Some(ContainerState::Running), "as an engine does");
}

#[tokio::test]
async fn while_the_engine_is_down_calls_fail_and_containers_keep_running() {
    let (fake, _) = running(Behaviour::default()).await;
    fake.go_down();
    assert!(matches!(fake.list().await, Err(EngineError::Unreachable { .. })));
    assert!(fake.listening("web.0"));
    fake.come_back();
    assert_eq!(fake.list().await.unwrap()[0].state, ContainerState::Running);
}

#[tokio::test]
async fn the_nth_call_fails_before_or_after_its_effect_as_planned() {
    let (fake, spec) = world(Behaviour::default()).await;
    fake.fail(Verb::Create, 2);
    fake.fail_after_effect(Verb::Start, 1);
    fake.create(&spec).await.unwrap();
    let second = ContainerSpec { name: "web.1".into(), ..spec };
    assert!(fake.create(&second).await.unwrap_err().is_transient());
    assert_eq!(state(&fake, "web.1"), None);
    fake.create(&second).await.unwrap();
    assert!(matches!(fake.start("web.0").await, Err(EngineError::Timeout { .. })));
    assert_eq!(state(&fake, "web.0"), Some(ContainerState::Running));
    assert_eq!(fake.start("web.0").await.unwrap(), Changed::AlreadySo);
}

#[tokio::test(start_paused = true)]
async fn calls_hang_or_answer_late_as_planned() {
    let (fake, spec) = world(Behaviour::default()).await;
    fake.hang(Verb::Create, 1);
    assert!(tokio::time::timeout(Duration::from_secs(600), fake.create(&spec)).await.is_err());
    assert_eq!(state(&fake, "web.0"), None);
    fake.answer_late(Verb::Create, 1, Duration::from_secs(9));
    let begun = tokio::time::Instant::now();
    fake.create(&spec).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(9));
}

#[tokio::test]
async fn the_journal_has_every_call_in_order() {
    let (fake, spec) = world(Behaviour::default()).await;
    fake.forget_calls();
    fake.create(&spec).await.unwrap();
    fake.list().await.unwrap();
    fake.start("web.0").await.unwrap();
    let calls: Vec<String> = fake.calls().iter().map(ToString::to_string).collect();
    assert_eq!(calls, ["Create(web.0)", "List()", "Start(web.0)"]);
    assert_eq!(fake.calls().iter().filter(|call| call.verb.changes()).count(), 2);
}

#[tokio::test]
async fn logs_are_kept_tailed_and_followed_to_the_end() {
    let (fake, _) = running(Behaviour::default()).await;
    for text in ["one", "two", "three"] {
        fake.say("web.0", LogStream::Out, text);
    }
    let tail = fake.logs("web.0", &LogQuery { follow: false, tail: Some(2) }).await.unwrap();
    let texts: Vec<String> = tail.map(|line| line.unwrap().text).collect().await;
    assert_eq!(texts, ["two", "three"]);
    let mut followed = fake.logs("web.0", &LogQuery { follow: true, tail: Some(0) }).await.unwrap();
    fake.say("web.0", LogStream::Err, "four");
    assert_eq!(followed.next().await.unwrap().unwrap().text, "four");
    fake.exit("web.0", 0);
    assert!(followed.next().await.is_none());
}

#[tokio::test]
async fn events_name_the_action_and_the_container() {
    let (fake, spec) = world(Behaviour::default()).await;
    let events = fake.events().await.unwrap();
    fake.create(&spec).await.unwrap();
    fake.start("web.0").await.unwrap();
    fake.exit("web.0", 1);
    fake.remove_by_hand("web.0");
    let seen: Vec<Event> = events.take(4).collect().await;
    assert!(seen.iter().all(|event| event.app == "shop" && event.container == "web.0"));
    assert_eq!(
        seen.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(),
        ["create", "start", "die", "destroy"]
    );
}

#[tokio::test]
async fn an_image_has_a_digest_for_each_repository_whose_registry_has_it() {
    let fake = FakeEngine::new();
    let id = fake.add_image("app:1", Behaviour::default());
    let digest = format!("app@{id}");
    fake.tag("app:1", "mine/app:7").await.unwrap();
    assert_eq!(fake.image_digest("app:1").await.unwrap().as_ref(), Some(&digest));
    assert_eq!(fake.registry_digest("app:1", None).await.unwrap(), id);
    assert!(fake.registry_digest("mine/app:7", None).await.is_err());
    assert_eq!(fake.image_digest("mine/app:7").await.unwrap(), None, "it was never pushed under this name");
    fake.remove_image_by_hand(&id);
    assert_eq!(fake.image_digest("app:1").await.unwrap(), None);
    assert_eq!(fake.pull(&digest, None).await.unwrap(), id);
    assert_eq!(fake.image(&id).await.unwrap(), Some(id));
}

async fn tags(fake: &FakeEngine, prefix: &str) -> Vec<(String, String)> {
    fake.tags(prefix).await.unwrap().into_iter().map(|it| (it.reference, it.id)).collect()
}

#[tokio::test]
async fn images_are_tagged_pulled_and_kept_while_in_use() {
    let (fake, spec) = running(Behaviour::default()).await;
    fake.tag("app:1", "mine/app:7").await.unwrap();
    assert_eq!(tags(&fake, "mine/").await, [("mine/app:7".to_owned(), spec.image.clone())]);
    assert_eq!(fake.remove_image("app:1").await.unwrap(), Changed::Done);
    assert!(matches!(fake.remove_image("mine/app:7").await, Err(EngineError::Conflict { .. })));
    fake.remove_image_by_hand("mine/app:7");
    assert_eq!(fake.image(&spec.image).await.unwrap(), None);
    assert_eq!(fake.pull("app:1", None).await.unwrap(), spec.image);
    assert!(matches!(
        fake.pull("nowhere:1", None).await,
        Err(EngineError::PullFailed { problem: PullProblem::UnknownImage, .. })
    ));
}

#[tokio::test]
async fn a_registry_that_requires_a_login_refuses_others() {
    let fake = FakeEngine::new();
    let id = fake.add_image("r.example/app:1", Behaviour::default());
    let login = |password: &str| RegistryLogin { username: "ada".into(), password: Secret::new(password) };
    fake.require_login("r.example", login("right"));
    let pull = async |login: Option<RegistryLogin>| match fake.pull("r.example/app:1", login.as_ref()).await {
        Err(EngineError::PullFailed { problem, .. }) => Err(problem),
        other => Ok(other.unwrap()),
    };
    assert_eq!(pull(None).await, Err(PullProblem::NoLogin));
    assert_eq!(pull(Some(login("wrong"))).await, Err(PullProblem::LoginRefused { username: "ada".into() }));
    assert_eq!(pull(Some(login("right"))).await, Ok(id));
}

fn build(tag: &str) -> BuildSpec {
    BuildSpec { tag: tag.into(), dockerfile: "Dockerfile".into(), ..BuildSpec::default() }
}

fn context(bytes: &'static str) -> Context {
    futures::stream::iter([Ok(Bytes::from_static(bytes.as_bytes()))]).boxed()
}

async fn built(fake: &FakeEngine, tag: &str, bytes: &'static str) -> Result<String, EngineError> {
    let mut events = fake.build(&build(tag), context(bytes)).await?;
    while let Some(event) = events.next().await {
        if let BuildEvent::Built { image } = event? {
            return Ok(image);
        }
    }
    panic!("a build ends with an image or an error");
}

#[tokio::test]
async fn the_same_context_gives_the_same_image_whatever_its_tag() {
    let fake = FakeEngine::new();
    let one = built(&fake, "a:1", "x").await.unwrap();
    assert_eq!(built(&fake, "a:2", "x").await.unwrap(), one);
    assert_ne!(built(&fake, "a:3", "y").await.unwrap(), one);
    assert_eq!(fake.image("a:2").await.unwrap(), Some(one));
}

#[tokio::test]
async fn builds_fail_once_as_planned_and_with_a_broken_context() {
    let fake = FakeEngine::new();
    fake.fail_build("[2/2] RUN make", "exit code: 2");
    assert!(matches!(built(&fake, "a:1", "x").await, Err(EngineError::BuildFailed { .. })));
    built(&fake, "a:1", "x").await.unwrap();
    let broken = futures::stream::iter([Err(std::io::Error::other("blob missing"))]).boxed();
    let events: Vec<_> = fake.build(&build("a:2"), broken).await.unwrap().collect().await;
    assert!(matches!(events.last(), Some(Err(EngineError::ContextFailed { .. }))));
    assert_eq!(fake.image("a:2").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_held_build_ends_when_released_and_a_dropped_build_leaves_nothing() {
    let fake = FakeEngine::new();
    fake.hold_builds(true);
    assert!(tokio::time::timeout(Duration::from_secs(60), built(&fake, "a:1", "x")).await.is_err());
    assert_eq!(fake.image("a:1").await.unwrap(), None);
    let waiting = tokio::spawn({
        let fake = fake.clone();
        async move { built(&fake, "a:2", "x").await }
    });
    tokio::task::yield_now().await;
    fake.hold_builds(false);
    let image = waiting.await.unwrap().unwrap();
    assert_eq!(tags(&fake, "a:").await, [("a:2".to_owned(), image)]);
}

#[tokio::test]
async fn a_specs_debug_output_contains_no_secrets() {
    let (_, spec) = world(Behaviour::default()).await;
    let text = format!("{spec:?}");
    assert!(text.contains("TOKEN") && !text.contains("hunter2"), "{text}");
}
