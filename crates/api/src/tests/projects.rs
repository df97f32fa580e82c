//! The one project that every app belongs to.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::Server;
use super::fake_control::FakeControl;
use super::samples::APP;

const OTHER: &str = "00000000-0000-4000-8000-000000000001";

async fn default_project(server: &Server) -> Value {
    server.get("/v2/projects/default").await.json()["project"].take()
}

#[tokio::test]
async fn the_default_project_is_in_the_list_and_found_by_its_id() {
    let server = Server::start().await;
    let project = default_project(&server).await;
    assert_eq!(project["is_default"], true);
    let id = project["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.get(&format!("/v2/projects/{id}")).await.json()["project"], project);
    let list = server.get("/v2/projects?page=1&per_page=200").await.json();
    assert_eq!((&list["projects"], &list["meta"]["total"]), (&json!([project]), &json!(1)));
    assert_eq!(server.get("/v2/projects?page=2").await.json()["projects"], json!([]));
    assert_eq!(default_project(&Server::start().await).await["id"], id, "the id never changes");

    let unknown = server.get(&format!("/v2/projects/{OTHER}")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.message().contains(&id), "{}", unknown.message());
    assert_eq!(server.get("/v2/projects/shop").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.send("POST", "/v2/projects", "{}").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_resources_of_the_project_are_the_apps() {
    let server = Server::with(FakeControl { apps: 30, ..FakeControl::default() }).await;
    let list = server.get("/v2/projects/default/resources").await.json();
    assert_eq!((list["resources"].as_array().map(Vec::len), &list["meta"]["total"]), (Some(20), &json!(30)));
    assert_eq!(list["resources"][0]["urn"], format!("do:app:{APP}"));
}

#[tokio::test]
async fn an_app_has_its_project_and_a_list_only_if_it_is_asked_for() {
    let server = Server::start().await;
    let id = default_project(&server).await["id"].take();
    assert_eq!(server.get("/v2/apps/shop").await.json()["app"]["project_id"], id);
    for (query, wanted) in [("", &Value::Null), ("?with_projects=false", &Value::Null), ("?with_projects=true", &id)] {
        assert_eq!(server.get(&format!("/v2/apps{query}")).await.json()["apps"][0]["project_id"], *wanted, "{query}");
    }
}

#[tokio::test]
async fn an_app_can_be_created_in_the_project_and_in_no_other() {
    let server = Server::start().await;
    let id = default_project(&server).await["id"].take();
    let create = async |project: Value| {
        let spec = json!({ "name": "shop", "services": [{ "name": "web", "image": { "registry_type": "DOCKER_HUB", "registry": "library", "repository": "nginx" } }] });
        server.send("POST", "/v2/apps", &json!({ "spec": spec, "project_id": project }).to_string()).await
    };
    for project in [id.clone(), Value::Null, json!("")] {
        let created = create(project.clone()).await;
        assert_eq!(created.status, StatusCode::OK, "{project}: {}", created.text);
        assert_eq!(created.json()["app"]["project_id"], id);
    }
    let accepted = server.control.calls().len();
    let refusals = [(json!("mine"), 400), (json!(7), 400), (json!(OTHER), 404)];
    for (project, status) in refusals {
        let refused = create(project.clone()).await;
        assert_eq!(refused.status.as_u16(), status, "{project}: {}", refused.text);
        assert!(refused.message().contains("project"), "{}", refused.text);
    }
    assert_eq!(server.control.calls().len(), accepted, "nothing was created");
}
