//! Upstreams that listen on a socket in the file system.

use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::harness::*;
use crate::protocol::{Address, Rewrite, Rule, Target, Upstream};

fn to_socket(path: &Path) -> Vec<Rule> {
    let upstreams = vec![Upstream { id: "hooks".to_owned(), address: Address::Unix { unix: path.to_owned() } }];
    vec![Rule { target: Target::Instances { upstreams }, ..rule("/", Rewrite::Keep, &[]) }]
}

#[tokio::test]
async fn requests_reach_a_socket_and_get_a_503_without_a_component_while_its_process_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hooks.sock");
    let proxy = TestProxy::open(Default::default()).await;
    proxy.routing.install(&table(1, to_socket(&path)));
    let unavailable = |answer: &str| {
        status(answer) == 503 && answer.contains("x-boatyard-error: not-running") && !answer.contains("omponent")
    };
    let answer = proxy.get("/").await;
    assert!(unavailable(&answer), "no such file: {answer}");

    let socket = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        drop(stream);
        // Ends without an answer to the second request.
        drop(socket.accept().await.unwrap());
        head
    });
    let answer = proxy.get("/github?x=1").await;
    assert_eq!(status(&answer), 200, "{answer}");
    let answer = proxy.raw("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await;
    assert!(unavailable(&answer), "closed without an answer: {answer}");
    assert!(soon(server).await.unwrap().starts_with("GET /github?x=1 HTTP/1.1"));
    let answer = proxy.get("/").await;
    assert!(unavailable(&answer), "the process has exited, and its file is left: {answer}");
}

#[test]
fn a_version_that_knows_no_sockets_leaves_the_rule_out() {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum OldTarget {
        Instances {
            #[allow(dead_code)]
            upstreams: Vec<OldUpstream>,
        },
        Unknown(#[allow(dead_code)] serde_json::Map<String, serde_json::Value>),
    }
    #[derive(serde::Deserialize)]
    struct OldUpstream {
        #[allow(dead_code)]
        address: std::net::SocketAddr,
    }
    let read = |rule: &Rule| serde_json::from_value::<OldTarget>(serde_json::to_value(&rule.target).unwrap()).unwrap();
    assert!(matches!(read(&to_socket(Path::new("/data/hooks.sock"))[0]), OldTarget::Unknown(_)));
    let tcp = rule("/", Rewrite::Keep, &[("web", ([127, 0, 0, 1], 80).into())]);
    assert!(matches!(read(&tcp), OldTarget::Instances { .. }));
}
