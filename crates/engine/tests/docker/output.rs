//! What containers receive, and what they write.

use std::time::Duration;

use engine::*;
use futures::StreamExt;

use crate::support::World;

async fn run(world: &World, what: &str, command: &[&str], env: Vec<(String, String)>) -> Vec<String> {
    let image = world.image().await;
    let spec = ContainerSpec { env, ..world.spec(what, &image, command) };
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    world.output(&spec.name).await
}

#[tokio::test]
async fn a_value_with_line_breaks_and_quotes_arrives_unchanged() {
    let world = World::new().await;
    let value = "one\ntwo=3 \"four\" $FIVE \u{1f6a2}".to_owned();
    let lines = run(&world, "env", &["env", "TRICKY"], vec![("TRICKY".into(), value.clone())]).await;
    assert_eq!(lines, vec![format!("{:?}", Ok::<_, ()>(value))]);
}

#[tokio::test]
async fn the_command_replaces_the_images_command_and_its_words_stay_separate() {
    let world = World::new().await;
    let lines = run(&world, "args", &["args", "a  b", "$HOME", "'c'"], vec![]).await;
    assert_eq!(lines, vec!["a  b $HOME 'c'"]);
}

#[tokio::test]
async fn without_a_command_the_images_command_runs() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nCOPY helper /bin/sh\nENTRYPOINT [\"/bin/sh\", \"say\"]\nCMD [\"from the image\"]\n";
    let image = world.build("own", dockerfile).await.unwrap();
    let spec = ContainerSpec { command: None, ..world.spec("own", &image, &[]) };
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    assert_eq!(world.output(&spec.name).await, vec!["from the image"]);
}

#[tokio::test]
async fn lines_carry_their_stream_and_a_stamp() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("warn", &image, &["warn", "careful"]);
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    world.engine.wait(&spec.name).await.unwrap();
    let query = LogQuery { follow: false, tail: Some(5) };
    let line = world.engine.logs(&spec.name, &query).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!((line.stream, line.text.as_str()), (LogStream::Err, "careful"));
    assert!(line.timestamp.starts_with("20") && line.timestamp.ends_with('Z'), "{}", line.timestamp);
}

#[tokio::test]
async fn a_line_longer_than_the_engines_pieces_is_one_line_cut_at_64_kib() {
    let world = World::new().await;
    let lines = run(&world, "long", &["long"], vec![]).await;
    assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), vec![64 * 1024]);
    assert!(lines[0].bytes().all(|byte| byte == b'x'));
}

#[tokio::test]
async fn invalid_text_is_replaced_and_a_last_half_line_is_not_lost() {
    let world = World::new().await;
    assert_eq!(run(&world, "raw", &["raw"], vec![]).await, vec!["a\u{fffd}b", "half"]);
}

#[tokio::test]
async fn a_follower_gets_lines_as_they_come_and_ends_with_the_container() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let mut lines = world.engine.logs(&spec.name, &LogQuery { follow: true, tail: None }).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, "serving");
    let more = tokio::time::timeout(Duration::from_millis(200), lines.next()).await;
    assert!(more.is_err(), "it said nothing more, and runs on: {more:?}");
    world.engine.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_command_that_the_image_lacks_is_reported_by_name() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = ContainerSpec { command: Some(vec!["/bin/nothing".into()]), ..world.spec("web", &image, &[]) };
    world.engine.create(&spec).await.unwrap();
    // The init process starts in any case, and then finds no program to run.
    world.engine.start(&spec.name).await.unwrap();
    let lines = world.output(&spec.name).await;
    let code = world.engine.wait(&spec.name).await.unwrap();
    let error = engine::exit_message::explain(&spec.name, code, lines.last().unwrap());
    assert!(
        matches!(&error, Some(EngineError::CommandNotFound { command, .. }) if command == "/bin/nothing"),
        "{code}: {lines:?}"
    );
}
