//! Request bodies, and error responses.

use axum::http::StatusCode;
use controller::ControlError;
use serde_json::json;

use super::client::Server;
use super::samples::{APP, deployment_id};

const SPEC: &str = r#"{"name":"shop","services":[{"name":"web","image":{"registry_type":"DOCKER_HUB","registry":"library","repository":"nginx"}}]}"#;

#[tokio::test]
async fn a_restart_with_an_empty_body_means_all_components() {
    for body in ["", "null", "{}", "{\"components\":[]}\n", "{\"components\":null}"] {
        let server = Server::start().await;
        let answer = server.send("POST", "/v2/apps/shop/restart", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{body:?}");
        assert_eq!(answer.json()["deployment"]["id"], deployment_id(2));
        assert_eq!(server.control.calls(), ["restart []"], "{body:?}");
    }
}

#[tokio::test]
async fn a_restart_passes_on_its_components_in_order() {
    let server = Server::start().await;
    server.send("POST", "/v2/apps/shop/restart", "{\"components\": [\"worker\", \"web\"]}").await;
    assert_eq!(server.control.calls(), ["restart [\"worker\", \"web\"]"]);
}

#[tokio::test]
async fn a_rebuild_has_two_field_names_and_clear_cache_implies_it() {
    for (body, call) in [
        ("{\"force_build\":false}\n", "deploy force=false clear=false"),
        ("", "deploy force=false clear=false"),
        ("null", "deploy force=false clear=false"),
        ("{\"force_build\":true}\n", "deploy force=true clear=false"),
        ("{\"force_rebuild\": true}", "deploy force=true clear=false"),
        ("{\"clear_cache\":true,\"force_build\":false}", "deploy force=true clear=true"),
    ] {
        let server = Server::start().await;
        assert_eq!(server.send("POST", "/v2/apps/shop/deployments", body).await.status, StatusCode::OK, "{body}");
        assert_eq!(server.control.calls(), [call], "{body}");
    }
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_its_problem() {
    let server = Server::start().await;
    for (path, body, part) in [
        ("restart", "{\"components\":\"web\"}", "\"components\" must be a list of names"),
        ("restart", "{\"components\":[1]}", "\"components[0]\" must be a name"),
        ("restart", "{\"components\":[\"web\"", "line 1 column"),
        ("restart", "[\"web\"]", "must be an object"),
        ("deployments", "{\"force_build\":\"true\"}", "\"force_build\" must be true or false, not text"),
        ("deployments", "{\"clear_cache\":1}", "\"clear_cache\" must be true or false, not a number"),
    ] {
        let answer = server.send("POST", &format!("/v2/apps/shop/{path}"), body).await;
        assert_eq!(
            (answer.status, answer.json()["id"].as_str()),
            (StatusCode::BAD_REQUEST, Some("bad_request")),
            "{body}"
        );
        assert!(answer.message().contains(part), "{body}: {}", answer.message());
    }
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let server = Server::start().await;
    let answer = server.send("POST", "/v2/apps", &" ".repeat(crate::body::MAX_BODY_BYTES + 1)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_spec_is_accepted_as_json_and_as_yaml() {
    let server = Server::start().await;
    let answer = server.send("POST", "/v2/apps", &format!("{{\"spec\":{SPEC},\"project_id\":null}}\n")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let yaml = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}\n";
    let headers = [("authorization", "Bearer tok"), ("content-type", "application/yaml"), ("idempotency-key", "k")];
    assert_eq!(server.send_with("POST", "/v2/apps", yaml, &headers).await.status, StatusCode::OK);
    assert_eq!(server.control.calls(), ["create shop key=None", "create shop key=Some(\"k\")"]);
}

#[tokio::test]
async fn a_bad_spec_is_refused_with_all_problems_in_app_platforms_words() {
    let server = Server::start().await;
    let body = r#"{"spec":{"name":"shop","services":[{"name":"web","http_port":70000,"instnce_count":1}]}}"#;
    let answer = server.send("PUT", "/v2/apps/shop", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let message = answer.message();
    assert!(message.starts_with("error validating app spec field \"services."), "{message}");
    assert!(message.lines().count() >= 2, "{message}");
    assert!(message.contains("instance_count"), "{message}");
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn the_answers_to_create_and_update_contain_the_deployment_to_wait_for() {
    let server = Server::start().await;
    let body = format!("{{\"spec\":{SPEC}}}");
    let same = server.send("PUT", &format!("/v2/apps/{APP}"), &body).await.json();
    assert_eq!(same["app"]["pending_deployment"]["id"], deployment_id(2), "nothing changed, so it is the newest");
    assert_eq!(same["boatyard"]["deployment_started"], false);
    *server.control.updated.lock().expect("no panic") = true;
    let changed = server.send("PUT", "/v2/apps/shop", &body).await.json();
    assert_eq!(changed["app"]["pending_deployment"]["id"], deployment_id(3));
    assert_eq!(changed["boatyard"]["deployment_started"], true);
    let created = server.send("POST", "/v2/apps", &body).await.json();
    assert_eq!(created["app"]["pending_deployment"]["progress"]["total_steps"], 8);
    // Other answers contain it only while it waits.
    assert!(server.get("/v2/apps/shop").await.json()["app"]["pending_deployment"].is_null());
}

#[tokio::test]
async fn a_dry_run_returns_the_plan_and_changes_nothing() {
    let server = Server::start().await;
    let body = format!("{{\"spec\":{SPEC}}}");
    for (method, path, body, call) in [
        ("POST", "/v2/apps?dry_run=true", body.as_str(), "preview_update false shop"),
        ("PUT", "/v2/apps/shop?dry_run=true", body.as_str(), "preview_update true shop"),
        ("POST", "/v2/apps/shop/restart?dry_run=true", "{\"components\":[\"web\"]}", "preview_restart [\"web\"]"),
        ("POST", "/v2/apps/shop/deployments?dry_run=1", "", "preview_deploy force=false clear=false"),
    ] {
        let answer = server.send(method, path, body).await;
        assert!(answer.json()["boatyard"]["plan"]["steps"].is_array(), "{path}: {}", answer.text);
        assert_eq!(server.control.calls().last().map(String::as_str), Some(call));
    }
    assert!(server.control.calls().iter().all(|call| call.starts_with("preview")));
    assert_eq!(server.send("POST", "/v2/apps/shop/restart?dry_run=perhaps", "").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_update_takes_the_newest_sources_only_if_the_client_asks_for_them() {
    let server = Server::start().await;
    for (field, newest) in [
        ("", ""),
        (",\"update_all_source_versions\":null", ""),
        (",\"update_all_source_versions\":false", ""),
        (",\"update_all_source_versions\":true", " newest sources"),
    ] {
        let body = format!("{{\"spec\":{SPEC}{field}}}");
        server.send("PUT", "/v2/apps/shop?dry_run=true", &body).await;
        server.send("PUT", "/v2/apps/shop", &body).await;
        let expected = [format!("preview_update true shop{newest}"), format!("update {APP} shop{newest}")];
        assert_eq!(server.control.calls().split_off(server.control.calls().len() - 2), expected, "{field}");
    }
    let body = format!("{{\"spec\":{SPEC},\"update_all_source_versions\":\"yes\"}}");
    let answer = server.send("PUT", "/v2/apps/shop", &body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
}

#[tokio::test]
async fn a_proposal_reports_whether_the_name_is_free_and_costs_nothing() {
    let server = Server::start().await;
    let taken = server.send("POST", "/v2/apps/propose", &format!("{{\"spec\":{SPEC}}}")).await.json();
    assert_eq!((&taken["app_name_available"], &taken["app_name_suggestion"]), (&json!(false), &json!("shop-3")));
    let own = server.send("POST", "/v2/apps/propose", &format!("{{\"spec\":{SPEC},\"app_id\":\"shop\"}}")).await.json();
    assert_eq!((&own["app_name_available"], &own["app_cost"]), (&json!(true), &json!(0)));
    assert_eq!(own["spec"]["services"][0]["name"], "web");
    assert_eq!(own["existing_static_apps"], "0");
    assert_eq!(own["boatyard"]["plan"]["steps"], json!(["create web.0"]));
}

/// Specs that creating an app refuses, with the field that the error names.
fn refused_specs() -> [(String, &'static str); 2] {
    let news = SPEC.replace("shop", "news");
    let web = "{\"name\":\"web\"";
    [
        (news.replace(web, &format!("{web},\"inactivity_sleep\":{{}}")), "services[0].inactivity_sleep"),
        (
            news.replace(web, &format!("{web},\"envs\":[{{\"key\":\"TOKEN\",\"type\":\"SECRET\"}}]")),
            "services[0].envs[0].value",
        ),
    ]
}

/// So that `doctl apps spec validate` fails in CI, whether or not the app exists already.
#[tokio::test]
async fn a_proposal_is_refused_where_creating_the_app_would_be() {
    let server = Server::start().await;
    for (spec, field) in refused_specs() {
        for name in ["news", "shop"] {
            let body = format!("{{\"spec\":{}}}", spec.replace("news", name));
            let answer = server.send("POST", "/v2/apps/propose", &body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {}", answer.text);
            let last = field.rsplit('.').next().expect("a path");
            assert!(answer.message().contains(last), "{name}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_proposal_that_only_reports_names_what_cannot_run_yet_and_has_no_plan() {
    let server = Server::start().await;
    let [(spec, field), _] = refused_specs();
    let answer = server.send("POST", "/v2/apps/propose?report_only=true", &format!("{{\"spec\":{spec}}}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let details = &answer.json()["boatyard"];
    assert_eq!(details["not_yet"][0]["path"], field);
    assert!(details["plan"].is_null(), "{details}");
    assert_eq!(server.control.calls(), [""; 0], "nothing was planned");
}

#[tokio::test]
async fn a_proposal_that_only_reports_names_missing_values() {
    let server = Server::start().await;
    let [_, (spec, field)] = refused_specs();
    let answer = server.send("POST", "/v2/apps/propose?report_only=true", &format!("{{\"spec\":{spec}}}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let plan = &answer.json()["boatyard"]["plan"];
    assert_eq!((&plan["needs_values"], &plan["steps"]), (&json!([field]), &json!(["create web.0"])));
}

#[tokio::test]
async fn errors_have_the_status_that_clients_expect() {
    let internal = || ControlError::Internal { message: "the store did not answer".into(), cause: anyhow_chain() };
    let all = [
        (ControlError::NotFound("m".into()), 404, "not_found"),
        (ControlError::Unavailable("m".into()), 503, "service_unavailable"),
        (ControlError::Invalid("m".into()), 400, "bad_request"),
        (ControlError::InvalidSpec("m".into()), 400, "bad_request"),
        (ControlError::Conflict("m".into()), 409, "conflict"),
        (ControlError::DiskFull("m".into()), 507, "insufficient_storage"),
        (internal(), 500, "server_error"),
    ];
    for (failure, status, id) in all {
        let server = Server::start().await;
        *server.control.failure.lock().expect("no panic") = Some(failure);
        let answer = server.send("POST", "/v2/apps/shop/restart", "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["id"].as_str()), (status, Some(id)));
        let request_id = answer.headers["x-request-id"].to_str().expect("text").to_owned();
        assert_eq!(answer.json()["request_id"], request_id);
        assert!(!answer.text.contains("behind the scenes"), "the cause is only logged");
    }
}

fn anyhow_chain() -> anyhow::Error {
    anyhow::anyhow!("behind the scenes")
}
