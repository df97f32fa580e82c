//! Rollbacks over the API, in App Platform's form.

use axum::http::StatusCode;
use controller::ControlError;
use controller::view::{DeploymentKind, DeploymentView};
use rollout::deployment::Stage;
use serde_json::{Value, json};

use super::client::Server;
use super::fake_control::FakeControl;
use super::samples;

#[tokio::test]
async fn a_rollback_names_its_deployment_by_id_or_number_and_pins_unless_it_says_otherwise() {
    let server = Server::start().await;
    let id = samples::deployment_id(1);
    for body in [json!({ "deployment_id": id }), json!({ "deployment_id": "1", "skip_pin": null })] {
        assert_eq!(server.send("POST", "/v2/apps/shop/rollback", &body.to_string()).await.status, StatusCode::OK);
    }
    let skips = json!({ "deployment_id": id, "skip_pin": true }).to_string();
    server.send("POST", "/v2/apps/shop/rollback", &skips).await;
    server.send("POST", "/v2/apps/shop/rollback?dry_run=true", &skips).await;
    let pins = format!("roll_back {id} skip_pin=false");
    let skips = format!("roll_back {id} skip_pin=true");
    assert_eq!(server.control.calls(), [pins.clone(), pins, skips, format!("preview_rollback {id}")]);
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_name_of_the_field() {
    let server = Server::start().await;
    for path in ["/v2/apps/shop/rollback", "/v2/apps/shop/rollback/validate"] {
        for (body, part) in [
            ("", "no field \"deployment_id\""),
            ("{\"deployment_id\":\"\"}", "no field \"deployment_id\""),
            ("{\"deployment_id\":7}", "field \"deployment_id\" must be text"),
            ("{\"deployment_id\":\"1\",\"skip_pin\":\"no\"}", "field \"skip_pin\" must be true or false"),
            ("{", "not JSON"),
        ] {
            let answer = server.send("POST", path, body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
            assert!(answer.message().contains(part), "{path} {body}: {}", answer.message());
        }
    }
    assert_eq!(server.control.calls(), [""; 0]);
}

#[tokio::test]
async fn a_check_is_200_whether_the_rollback_is_possible_or_not() {
    let server = Server::start().await;
    let check = async |deployment: &str| {
        let body = json!({ "deployment_id": deployment }).to_string();
        let answer = server.send("POST", "/v2/apps/shop/rollback/validate", &body).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json()
    };
    let warning = json!({ "code": "image_source_missing_digest", "message": "no digest", "components": ["web"] });
    assert_eq!(check("1").await, json!({ "valid": true, "warnings": [warning] }));
    let error = json!({ "code": "exceeded_revision_limit", "message": "not on record", "components": [] });
    for unknown in ["99", "00000000-0000-4000-8000-000000000099"] {
        assert_eq!(check(unknown).await, json!({ "valid": false, "error": error }));
    }
    let body = json!({ "deployment_id": "1" }).to_string();
    let unknown_app = server.send("POST", "/v2/apps/nothing/rollback/validate", &body).await;
    assert_eq!(unknown_app.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refusal_is_a_409_with_its_reason() {
    let server = Server::start().await;
    for path in ["rollback", "rollback/commit", "rollback/revert"] {
        *server.control.failure.lock().expect("no panic") = Some(ControlError::Conflict("shop is pinned".into()));
        let body = json!({ "deployment_id": "1" }).to_string();
        let answer = server.send("POST", &format!("/v2/apps/shop/{path}"), &body).await;
        assert_eq!((answer.status, answer.message().as_str()), (StatusCode::CONFLICT, "shop is pinned"), "{path}");
    }
}

#[tokio::test]
async fn rollbacks_and_reverts_have_their_cause_and_an_app_shows_its_pin() {
    let of = |number, kind| DeploymentView {
        kind,
        cloned_from: Some(samples::deployment_id(1).as_str().into()),
        ..samples::deployment(number, Stage::Superseded)
    };
    let deployments = vec![of(2, DeploymentKind::Rollback), of(3, DeploymentKind::Revert)];
    let pinned = Some(of(2, DeploymentKind::Rollback));
    let server = Server::with(FakeControl { deployments, pinned, ..FakeControl::default() }).await;
    for (number, action, kind) in [(2, "ROLLBACK_APP", "rollback"), (3, "REVERT_APP_ROLLBACK", "revert")] {
        let answer = server.get(&format!("/v2/apps/shop/deployments/{number}")).await.json()["deployment"].take();
        let cause = &answer["cause_details"];
        assert_eq!(
            (&cause["type"], &cause["digitalocean_user_action"]["name"]),
            (&json!("MANUAL_ROLLBACK"), &json!(action))
        );
        assert_eq!(
            (&answer["cloned_from"], &answer["boatyard"]["kind"]),
            (&json!(samples::deployment_id(1)), &json!(kind))
        );
    }
    let app = server.get("/v2/apps/shop").await.json()["app"].take();
    assert_eq!(app["pinned_deployment"]["id"], json!(samples::deployment_id(2)));
    let unpinned = Server::start().await.get("/v2/apps/shop").await.json()["app"].take();
    assert_eq!(unpinned.get("pinned_deployment"), None::<&Value>);
}
