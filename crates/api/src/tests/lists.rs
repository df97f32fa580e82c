//! Lists and objects, and the fields that clients read.

use axum::http::StatusCode;
use controller::view::{DeploymentKind, DeploymentView, Image};
use rollout::deployment::Stage;
use serde_json::{Value, json};

use super::client::Server;
use super::fake_control::FakeControl;
use super::samples::{self, APP, deployment_id};

#[tokio::test]
async fn links_between_pages_have_the_host_of_the_request() {
    let server = Server::with(FakeControl { apps: 401, ..FakeControl::default() }).await;
    let headers = [("host", "localhost:7080"), ("authorization", "Bearer tok")];
    let first = server.send_with("GET", "/v2/apps?page=1&per_page=200", "", &headers).await.json();
    assert_eq!(first["apps"].as_array().map(Vec::len), Some(200));
    assert_eq!(first["meta"]["total"], 401);
    assert_eq!(first["links"]["pages"]["last"], "http://localhost:7080/v2/apps?page=3&per_page=200");
    let last = server.get("/v2/apps?page=3&per_page=200").await.json();
    assert_eq!(last["apps"].as_array().map(Vec::len), Some(1));
    assert!(last["links"]["pages"]["next"].is_null());
    let beyond = server.get("/v2/apps?page=9&per_page=200").await;
    assert_eq!((beyond.status, &beyond.json()["apps"]), (StatusCode::OK, &json!([])));
    assert_eq!(server.get("/v2/apps?page=0").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_app_has_the_fields_that_clients_read() {
    let server = Server::start().await;
    for path in ["/v2/apps/shop", &format!("/v2/apps/{APP}")] {
        let app = server.get(path).await.json()["app"].take();
        assert_eq!(app["id"], APP);
        assert!(app["spec"].is_object());
        assert_eq!(app["active_deployment"]["id"], deployment_id(1));
        assert_eq!(app["in_progress_deployment"]["id"], deployment_id(2));
        assert_eq!(app["live_url"], "http://shop.localhost:8080");
        assert_eq!(app["created_at"], "1970-01-01T00:00:01.000Z");
        assert!(app["region"]["slug"].is_string());
    }
    assert_eq!(server.get("/v2/apps/sop").await.message(), "no app \"sop\". It has: shop");
    let by_name = server.get("/v2/apps?name=shop").await.json();
    assert_eq!(by_name["meta"]["total"], 1);
    assert_eq!(server.get("/v2/apps?name=other").await.json()["apps"], json!([]));
}

#[tokio::test]
async fn deployments_are_newest_first_and_found_by_id_and_by_number() {
    let server = Server::start().await;
    let list = server.get("/v2/apps/shop/deployments?page=1&per_page=20").await.json();
    assert_eq!(list["deployments"][0]["id"], deployment_id(2));
    for name in ["1", &deployment_id(1)] {
        let it = server.get(&format!("/v2/apps/shop/deployments/{name}")).await.json()["deployment"].take();
        assert_eq!((&it["phase"], &it["boatyard"]["number"]), (&json!("ACTIVE"), &json!(1)), "{name}");
        assert_eq!(it["progress"]["success_steps"], it["progress"]["total_steps"]);
        assert_eq!(it["services"], json!([{ "name": "web" }]));
    }
    assert_eq!(server.get("/v2/apps/shop/deployments/7").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_deployment_reports_what_it_waits_for() {
    let server = Server::start().await;
    let it = server.send("POST", "/v2/apps/shop/restart", "").await.json();
    assert_eq!(it["deployment"]["boatyard"]["waiting"], json!(["waiting for web.0: 2 open requests, 11 s left"]));
    assert_eq!(it["deployment"]["cause_details"]["digitalocean_user_action"]["name"], "RESTART");
}

#[tokio::test]
async fn a_deployment_names_the_action_of_the_person_and_how_long_its_parts_took() {
    let mut updated = samples::deployment(1, Stage::Active);
    (updated.kind, updated.updates_spec) = (DeploymentKind::Deploy, true);
    let created = DeploymentView { updates_spec: false, ..samples::deployment(2, Stage::Active) };
    let created = DeploymentView { kind: DeploymentKind::Rebuild, ..created };
    let waits = samples::deployment(3, Stage::Pending);
    let server =
        Server::with(FakeControl { deployments: vec![updated, created, waits], ..FakeControl::default() }).await;
    let read = async |number: u64| {
        server.get(&format!("/v2/apps/shop/deployments/{number}")).await.json()["deployment"].take()
    };
    for (number, action) in [(1, "UPDATE_SPEC"), (2, "CREATE_DEPLOYMENT"), (3, "RESTART")] {
        let cause = &read(number).await["cause_details"];
        assert_eq!(cause["digitalocean_user_action"]["name"], action);
        assert_eq!(cause["type"], "MANUAL");
    }
    let parts = |name: &str| json!({ "name": name, "build_billable": "0s" });
    let expected = json!({
        "pending": "1s", "build_total": "0s", "build_billable": "0s", "database_provision": "0s", "deploying": "0s",
        "components": [parts("web"), parts("migrate")],
    });
    assert_eq!(read(1).await["timing"], expected);
    assert!(read(3).await.get("timing").is_none(), "its build has not begun");
}

#[tokio::test]
async fn a_component_has_the_commit_or_the_digest_of_its_source() {
    let commit = "0f3a9c1d".repeat(5);
    let built = Image { commit: Some(commit.clone()), id: "sha256:b".into(), ..Image::default() };
    let local = Image { id: "sha256:l".into(), ..Image::default() };
    let pulled = Image { digest: Some("acme/shop@sha256:d".into()), ..local.clone() };
    let expected = [
        (built, json!({ "name": "web", "source_commit_hash": commit })),
        (pulled, json!({ "name": "web", "source_image_digest": "sha256:d" })),
        (local, json!({ "name": "web", "source_image_digest": "sha256:l" })),
    ];
    for (image, component) in expected {
        let mut deployment = samples::deployment(1, Stage::Active);
        deployment.images.insert("web".into(), image);
        let server = Server::with(FakeControl { deployments: vec![deployment], ..FakeControl::default() }).await;
        let answer = server.get("/v2/apps/shop/deployments/1").await.json();
        assert_eq!(answer["deployment"]["services"], json!([component]));
    }
}

#[tokio::test]
async fn deployments_are_listed_by_their_type() {
    let server = Server::start().await;
    let list = async |query: &str| server.get(&format!("/v2/apps/shop/deployments?{query}")).await;
    let manual = list("deployment_types=MANUAL&deployment_types=DEPLOY_ON_PUSH&per_page=1").await.json();
    assert_eq!(manual["meta"]["total"], 2);
    let last = manual["links"]["pages"]["last"].as_str().expect("a second page");
    assert!(last.ends_with("&deployment_types=MANUAL&deployment_types=DEPLOY_ON_PUSH"), "{last}");
    let pushed = list("page=1&per_page=20&deployment_types=DEPLOY_ON_PUSH,AUTOSCALED").await.json();
    assert_eq!((&pushed["deployments"], &pushed["meta"]["total"]), (&json!([]), &json!(0)));
    assert_eq!(list("deployment_types=NIGHTLY").await.status, StatusCode::BAD_REQUEST);

    let restart = || samples::deployment(1, Stage::Superseded);
    let of = |number, kind| DeploymentView { kind, ..samples::deployment(number, Stage::Superseded) };
    let rollbacks = [of(2, DeploymentKind::Rollback), of(3, DeploymentKind::Revert), of(4, DeploymentKind::Deploy)];
    let deployments = [vec![restart()], rollbacks.to_vec()].concat();
    let server = Server::with(FakeControl { deployments, ..FakeControl::default() }).await;
    for (what, key) in [("deployments", "deployments"), ("events", "events")] {
        let numbers = async |query: &str| {
            let answer = server.get(&format!("/v2/apps/shop/{what}?{query}")).await.json();
            let at = |it: &Value| it.pointer("/deployment/boatyard/number").or(it.pointer("/boatyard/number")).cloned();
            let all =
                answer[key].as_array().expect("a list").iter().filter_map(|it| at(it)?.as_u64()).collect::<Vec<_>>();
            (all, answer["meta"]["total"].as_u64())
        };
        assert_eq!(numbers("deployment_types=MANUAL_ROLLBACK").await, (vec![3, 2], Some(2)), "{what}");
        assert_eq!(numbers("deployment_types=MANUAL").await, (vec![4, 1], Some(2)), "{what}");
        assert_eq!(numbers("deployment_types=MANUAL_ROLLBACK&per_page=1&page=2").await, (vec![2], Some(2)), "{what}");
        let both = "deployment_types=MANUAL,MANUAL_ROLLBACK";
        assert_eq!(numbers(both).await, (vec![4, 3, 2, 1], Some(4)), "{what}");
    }
}

#[tokio::test]
async fn the_owner_of_apps_is_the_account_and_a_uuid() {
    let server = Server::start().await;
    let owner = server.get("/v2/apps/shop").await.json()["app"]["owner_uuid"].clone();
    assert!(uuid::Uuid::parse_str(owner.as_str().expect("text")).is_ok(), "{owner}");
    let account = server.get("/v2/account").await.json()["account"].take();
    assert_eq!((&account["uuid"], &account["team"]["uuid"]), (&owner, &owner));
}

#[tokio::test]
async fn databases_are_in_the_status_but_not_among_the_instances() {
    let server = Server::start().await;
    let instances = server.get("/v2/apps/shop/instances").await.json()["instances"].take();
    assert_eq!(instances.as_array().map(Vec::len), Some(1));
    assert_eq!(instances[0]["component_type"], "SERVICE");
    let status = server.get("/v2/boatyard/apps/shop/status").await.json()["status"].take();
    assert_eq!(status["instances"][1]["container_id"], "c0ffee-db");
    assert_eq!(status["deployments"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_timeline_lists_what_happened_to_each_instance() {
    let server = Server::start().await;
    let timeline = server.get("/v2/boatyard/apps/shop/deployments/DEP/timeline").await.json()["timeline"].take();
    let draining = json!({
        "component_name": "web", "component_type": "SERVICE", "instance_name": "by-1-shop-web-1", "instance_alias": "web-0",
        "slot": 0, "deployment_number": 1, "revision": "r1", "generation": 1, "existed_before": true,
        "transition": "draining", "at": "2026-03-01T10:00:01.005Z",
    });
    assert_eq!((timeline.as_array().map(Vec::len), &timeline[2]), (Some(3), &draining));
    assert_eq!((&timeline[0]["transition"], &timeline[1]["transition"]), (&json!("existed"), &json!("routed")));
    let missing = server.get("/v2/boatyard/apps/shop/deployments/none/timeline").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn numbers_of_sizes_and_tiers_are_strings() {
    let server = Server::start().await;
    let sizes = server.get("/v2/apps/tiers/instance_sizes").await.json();
    for size in sizes["instance_sizes"].as_array().expect("a list") {
        for field in ["cpus", "memory_bytes", "usd_per_month", "usd_per_second", "bandwidth_allowance_gib"] {
            assert!(size[field].is_string(), "{field}");
        }
    }
    let one = server.get("/v2/apps/tiers/instance_sizes/apps-s-1vcpu-0.5gb").await.json();
    assert_eq!(one["instance_size"]["memory_bytes"], "536870912");
    assert_eq!(one["instance_size"]["tier_upgrade_to"], "apps-d-1vcpu-0.5gb");
    let dedicated = server.get("/v2/apps/tiers/instance_sizes/apps-d-1vcpu-1gb").await.json()["instance_size"].take();
    assert_eq!(
        (&dedicated["tier_upgrade_to"], &dedicated["tier_downgrade_to"]),
        (&json!(""), &json!("apps-s-1vcpu-1gb"))
    );
    assert!(server.get("/v1/oauth/token/info").await.json()["created_at"].is_u64());
    assert!(server.get("/v2/apps/regions").await.json()["regions"][0]["flag"].is_string());
    assert_eq!(server.get("/v2/apps/tiers/instance_sizes/huge").await.status, StatusCode::NOT_FOUND);
    assert!(server.get("/v2/apps/tiers/basic").await.json()["tier"]["build_seconds"].is_string());
    assert_eq!(server.get("/v2/apps/regions").await.json()["regions"][0]["default"], true);
}

#[tokio::test]
async fn deleting_an_app_returns_200_and_its_id() {
    let server = Server::start().await;
    let answer = server.send("DELETE", "/v2/apps/shop", "").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "id": APP })));
    assert_eq!(server.send("DELETE", "/v2/apps/other", "").await.status, StatusCode::NOT_FOUND);
}
