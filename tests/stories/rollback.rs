//! A rollback that cannot succeed: what serves stays in place, and a fix can be deployed.

use std::time::Instant;

use boatyard_tests::http;
use boatyard_tests::repo::Repo;

use crate::support::*;

/// `web` asks `licence` at startup whether its key is valid, then serves for as long as it runs.
const START: &str = "
import os, urllib.request
if os.environ['KEY'] == 'old':
    urllib.request.urlopen('http://licence:8080/')
os.execv('/bin/testapp', ['/bin/testapp', 'serve'])
";

/// The old key is valid until a request for `/expire`.
const LICENCE: &str = "
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    status = 200
    def do_GET(self):
        if self.path.endswith('/expire'):
            Handler.status = 410
            self.send_response(200)
        else:
            self.send_response(Handler.status)
        self.send_header('Content-Length', '0')
        self.end_headers()
ThreadingHTTPServer(('', 8080), Handler).serve_forever()
";

fn spec_of(repo: &Repo) -> String {
    let source = format!("git: {{repo_clone_url: '{}', branch: main}}", repo.url());
    format!(
        "
name: shop
services:
- name: licence
  {source}
  run_command: python3 /licence.py
  routes: [{{path: /licence}}]
  health_check: {{port: 8080, period_seconds: 1}}
- name: web
  {source}
  run_command: python3 /start.py
  instance_count: 2
  routes: [{{path: /}}]
  envs: [{{key: KEY, value: old, scope: RUN_TIME}}, {{key: IDLE_CLOSE_MS, value: '2000', scope: RUN_TIME}}]
  health_check: {{http_path: /health, period_seconds: 1}}
- name: api
  image: {TESTAPP}
  run_command: /bin/testapp serve
  routes: [{{path: /api}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

/// The key of the old version expires. An update has a valid key, but also a typo in another component, so it fails
/// after it has replaced `web`. `web` cannot be restored, and the rollback is abandoned.
#[tokio::test(flavor = "multi_thread")]
async fn a_fix_can_be_deployed_after_a_rollback_was_abandoned() {
    let at = installation().await;
    let repo = Repo::init(at.sources().join("keys")).unwrap();
    let dockerfile = "FROM boatyard-local/python:3\n\
        COPY --from=boatyard-local/testapp:1 /bin/testapp /bin/testapp\nCOPY start.py licence.py /\n";
    for (path, text) in [("Dockerfile", dockerfile), ("start.py", START), ("licence.py", LICENCE)] {
        repo.write(path, text).unwrap();
    }
    repo.commit("web and its licence").unwrap();
    at.create(&spec_of(&repo)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let (status, _) = http::page(at.http(), "shop.localhost", "/licence/expire").await.unwrap();
    assert_eq!(status, 200);

    let load = web_traffic(&at, 20);
    let spec = at.ok("GET", &format!("/v2/apps/{app}"), None).await.unwrap()["app"]["spec"].clone();
    let put = async |api: &str| {
        let mut spec = spec.clone();
        spec["services"][1]["envs"][0]["value"] = "new".into();
        spec["services"][2]["run_command"] = api.into();
        at.update(&app, spec).await.unwrap()
    };
    let hotfix = put("/bin/testapp servv").await;
    at.until_waiting(&app, &hotfix, "trying web.").await.unwrap();
    let asked = Instant::now();
    let fix = put("/bin/testapp serve").await;
    at.wait_active(&app, &fix).await.unwrap();
    println!("the fix served {:?} after it was asked for", asked.elapsed());

    let failed = at.wait(&app, &hotfix).await.unwrap();
    assert_eq!(failed["phase"], "ERROR");
    let notes = failed["boatyard"]["record"]["notes"].to_string();
    assert!(notes.contains("the rollback was abandoned: web."), "{notes}");
    assert!(notes.contains("web keeps the version of this deployment"), "{notes}");
    // A restart copies the version that serves.
    let restart = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &restart).await.unwrap();
    some_traffic(&load).await;
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{report}");
}
