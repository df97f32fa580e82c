//! Polls of clients that wait for a deployment are answered when it ends.

use std::sync::Arc;

use rollout::deployment::Stage;

use super::client::{Connection, Response, Server, until};
use super::fake_control::{FakeControl, TOKEN};
use super::samples;

const DOCTL: (&str, &str) = ("user-agent", "doctl/0.0.0-dev (linux amd64) godo/1.202.0");
const TERRAFORM: (&str, &str) = ("user-agent", "Terraform/1.9.0 godo/1.202.0");
const CURL: (&str, &str) = ("user-agent", "curl/8.5.0");

fn path(number: u64) -> String {
    format!("/v2/apps/shop/deployments/{}", samples::deployment_id(number))
}

/// Sends a GET for deployment 2, which is under way.
async fn poll(connection: &mut Connection, headers: &[(&str, &str)]) -> Response {
    let token = format!("Bearer {TOKEN}");
    let headers = [&[("authorization", token.as_str())], headers].concat();
    connection.send("GET", &path(2), "", &headers).await
}

fn phase(answer: &Response) -> String {
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    answer.json()["deployment"]["phase"].as_str().expect("a phase").to_owned()
}

/// Returns once this many requests wait for the end of the deployment.
async fn until_held(control: &Arc<FakeControl>, requests: usize) {
    until("requests are held", || control.end.receiver_count() == requests).await;
}

/// A connection on which doctl has restarted the app.
async fn after_a_restart(server: &Server) -> Connection {
    let mut connection = server.connect().await;
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str()), DOCTL, ("content-type", "application/json")];
    let restart = connection.send("POST", "/v2/apps/shop/restart", "{\"components\":[]}\n", &headers).await;
    assert_eq!(restart.status.as_u16(), 200, "{}", restart.text);
    connection
}

#[tokio::test]
async fn a_waiting_doctl_gets_the_answer_when_the_deployment_ends() {
    for (end, expected) in [
        (Stage::Active, "ACTIVE"),
        (Stage::Failed, "ERROR"),
        (Stage::Canceled, "CANCELED"),
        (Stage::Superseded, "SUPERSEDED"),
    ] {
        let server = Server::start().await;
        let mut connection = after_a_restart(&server).await;
        let ends = async {
            until_held(&server.control, 1).await;
            server.control.end.send_replace(Some(end));
        };
        let (answer, ()) = tokio::join!(poll(&mut connection, &[DOCTL]), ends);
        assert_eq!(phase(&answer), expected);
    }
}

#[tokio::test]
async fn a_single_look_of_doctl_gets_the_current_state() {
    let server = Server::start().await;
    assert_eq!(phase(&poll(&mut server.connect().await, &[DOCTL]).await), "DEPLOYING");
}

#[tokio::test]
async fn terraform_and_clients_that_ask_for_it_wait_from_the_first_request_on() {
    for headers in [&[TERRAFORM][..], &[CURL, ("prefer", "wait=40")]] {
        let server = Server::start().await;
        let ends = async {
            until_held(&server.control, 1).await;
            server.control.end.send_replace(Some(Stage::Active));
        };
        let mut connection = server.connect().await;
        let (answer, ()) = tokio::join!(poll(&mut connection, headers), ends);
        assert_eq!(phase(&answer), "ACTIVE");
    }
}

#[tokio::test]
async fn an_ended_deployment_is_returned_at_once() {
    let server = Server::start().await;
    let headers = [("authorization", format!("Bearer {TOKEN}")), ("prefer", "wait=40".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(phase(&server.send_with("GET", &path(1), "", &headers).await), "ACTIVE");
}

#[tokio::test]
async fn no_poll_is_held_if_that_is_switched_off() {
    let server = Server::without_held_polls().await;
    let mut connection = after_a_restart(&server).await;
    assert_eq!(phase(&poll(&mut connection, &[DOCTL]).await), "DEPLOYING");
    assert_eq!(phase(&poll(&mut connection, &[TERRAFORM]).await), "DEPLOYING");
}

#[tokio::test]
async fn a_hold_ends_before_proxies_give_up() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let skip_the_wait = async {
        until_held(&server.control, 1).await;
        tokio::time::pause();
        tokio::time::Instant::now()
    };
    let (answer, since) = tokio::join!(poll(&mut connection, &[("prefer", "wait=3000")]), skip_the_wait);
    assert_eq!(phase(&answer), "DEPLOYING");
    assert!(since.elapsed().as_secs() <= 50, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_second_poll_of_the_same_deployment_with_the_same_token_is_not_held() {
    let server = Server::start().await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    let second = async {
        until_held(&server.control, 1).await;
        assert_eq!(phase(&poll(&mut two, &[TERRAFORM]).await), "DEPLOYING");
        server.control.end.send_replace(Some(Stage::Active));
    };
    let (first, ()) = tokio::join!(poll(&mut one, &[TERRAFORM]), second);
    assert_eq!(phase(&first), "ACTIVE");
}

#[tokio::test]
async fn a_hold_ends_when_the_client_disconnects() {
    let server = Server::start().await;
    let mut gone = server.connect().await;
    tokio::select! {
        answer = poll(&mut gone, &[TERRAFORM]) => panic!("not held: {}", answer.text),
        () = until_held(&server.control, 1) => {}
    }
    drop(gone);
    until_held(&server.control, 0).await;
    let ends = async {
        until_held(&server.control, 1).await;
        server.control.end.send_replace(Some(Stage::Active));
    };
    let mut next = server.connect().await;
    assert_eq!(phase(&tokio::join!(poll(&mut next, &[TERRAFORM]), ends).0), "ACTIVE");
}

#[tokio::test]
async fn a_shutdown_answers_held_polls() {
    let mut server = Server::start().await;
    let mut connection = server.connect().await;
    let stop = server.stop.take().expect("not stopped yet");
    let shutdown = async {
        until_held(&server.control, 1).await;
        let _ = stop.send(());
    };
    let (answer, ()) = tokio::join!(poll(&mut connection, &[TERRAFORM]), shutdown);
    assert_eq!(phase(&answer), "DEPLOYING");
}

#[tokio::test]
async fn a_hold_ends_when_the_token_is_revoked() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let headers = [("authorization", "Bearer reader"), TERRAFORM];
    let path = path(2);
    let revoke = async {
        until_held(&server.control, 1).await;
        let revoked = server.send("DELETE", "/v2/boatyard/tokens/reader", "").await;
        assert_eq!(revoked.status.as_u16(), 200, "{}", revoked.text);
    };
    let (answer, ()) = tokio::join!(connection.send("GET", &path, "", &headers), revoke);
    assert_eq!(answer.status.as_u16(), 401, "{}", answer.text);
}
