//! Events and runs of jobs, as doctl and pydo list them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::Server;
use super::samples::{INVOCATION, deployment_id};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|it| it["id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn every_deployment_is_an_event() {
    let server = Server::start().await;
    let list = server.get("/v2/apps/shop/events?page=1&per_page=20").await.json();
    assert_eq!(ids(&list["events"]), [deployment_id(2), deployment_id(1)]);
    assert_eq!(list["meta"]["total"], 2);
    let event = &list["events"][1];
    assert_eq!((&event["type"], &event["deployment_id"]), (&json!("DEPLOYMENT"), &json!(deployment_id(1))));
    assert_eq!(
        (&event["deployment"]["phase"], &event["created_at"]),
        (&json!("ACTIVE"), &json!("1970-01-01T00:00:01.000Z"))
    );
    let one = server.get(&format!("/v2/apps/shop/events/{}", deployment_id(1))).await.json();
    assert_eq!(one["event"], *event);
    assert_eq!(server.get("/v2/apps/shop/events/unknown").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/v2/apps/other/events").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn events_are_filtered_by_type() {
    let server = Server::start().await;
    let table = [
        ("event_types=AUTOSCALING", 0),
        ("event_types=AUTOSCALING&event_types=DEPLOYMENT", 2),
        ("event_types=AUTOSCALING,DEPLOYMENT", 2),
        ("deployment_types=DEPLOY_ON_PUSH", 0),
        ("deployment_types=MANUAL", 2),
    ];
    for (query, count) in table {
        let list = server.get(&format!("/v2/apps/shop/events?{query}")).await.json();
        assert_eq!((ids(&list["events"]).len(), &list["meta"]["total"]), (count, &json!(count)), "{query}");
    }
    let first = server.get("/v2/apps/shop/events?per_page=1&event_types=DEPLOYMENT").await.json();
    let next = first["links"]["pages"]["next"].as_str().expect("a link");
    assert!(next.ends_with("/events?page=2&per_page=1&event_types=DEPLOYMENT"), "{next}");
}

#[tokio::test]
async fn an_event_of_a_deployment_says_how_to_cancel_it_and_where_its_logs_are() {
    let server = Server::start().await;
    let path = format!("/v2/apps/shop/events/{}", deployment_id(2));
    for (method, path, command) in [
        ("POST", format!("{path}/cancel"), "boatyard apps cancel-deployment shop"),
        ("GET", format!("{path}/logs?type=AUTOSCALE_EVENT"), "boatyard apps logs shop"),
    ] {
        let answer = server.send(method, &path, "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.message().contains(command), "{}", answer.message());
    }
    assert!(server.control.calls().is_empty(), "nothing was canceled");
    assert_eq!(server.send("POST", "/v2/apps/shop/events/unknown/cancel", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn runs_of_jobs_are_listed_and_filtered() {
    let server = Server::start().await;
    let runs = "/v2/apps/shop/job-invocations";
    let list = server.get(runs).await.json();
    assert_eq!(
        (ids(&list["job_invocations"]), &list["meta"]["total"]),
        (vec![INVOCATION, "other", "third"], &json!(3))
    );
    let running = json!({
        "id": INVOCATION, "job_name": "migrate", "deployment_id": deployment_id(2), "phase": "RUNNING",
        "created_at": "1970-01-01T00:00:01.000Z", "started_at": "1970-01-01T00:00:01.000Z",
    });
    assert_eq!(list["job_invocations"][0], running);
    let first = deployment_id(1);
    let table = [
        ("job_names=tidy".to_owned(), vec!["third"]),
        ("job_names=tidy&job_names=migrate".to_owned(), vec![INVOCATION, "other", "third"]),
        (format!("deployment_id={first}&job_names=migrate"), vec!["other"]),
        ("deployment_id=unknown".to_owned(), vec![]),
        ("page=2&per_page=2".to_owned(), vec!["third"]),
        ("page=9".to_owned(), vec![]),
    ];
    for (query, wanted) in table {
        assert_eq!(ids(&server.get(&format!("{runs}?{query}")).await.json()["job_invocations"]), wanted, "{query}");
    }
    assert_eq!(server.get(&format!("{runs}/{INVOCATION}")).await.json()["job_invocation"], running);
    assert_eq!(server.get(&format!("{runs}/unknown")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_run_of_a_job_is_canceled_and_has_logs() {
    let server = Server::start().await;
    let cancel = format!("/v2/apps/shop/job-invocations/{INVOCATION}/cancel?job_name=migrate");
    let canceled = server.send("POST", &cancel, "").await.json();
    assert_eq!(
        (&canceled["job_invocation"]["id"], &canceled["job_invocation"]["phase"]),
        (&json!(INVOCATION), &json!("CANCELED"))
    );

    let logs = format!("/v2/apps/shop/jobs/migrate/invocations/{INVOCATION}/logs");
    let answer = server.get(&format!("{logs}?type=JOB_INVOCATION&follow=true&tail_lines=7")).await.json();
    assert!(answer["live_url"].is_string() && answer["historic_urls"][0].is_string(), "{answer}");
    let checked = format!("logs Some({:?}) Some(\"migrate\") Deploy follow=false tail=Some(0)", deployment_id(2));
    assert_eq!(server.control.calls(), [format!("cancel_job_invocation {INVOCATION}"), checked]);

    let table = [
        (format!("{logs}?type=RUN"), StatusCode::BAD_REQUEST, "JOB_INVOCATION"),
        (logs.replace("migrate", "tidy"), StatusCode::NOT_FOUND, "a run of migrate"),
        (logs.replace(INVOCATION, "unknown"), StatusCode::NOT_FOUND, "boatyard apps list-job-invocations shop"),
    ];
    for (path, status, words) in table {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.message().contains(words), "{}", answer.message());
    }
}
