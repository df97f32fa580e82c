//! Tokens as people use them: created, used within their limits, revoked, and in the audit trail.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use boatyard_tests::http;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::*;

/// Creates a token with the command line. Returns the token.
async fn create(at: &Installation, arguments: &[&str]) -> String {
    let words = [&["tokens", "create"], arguments, &["--format", "Token", "--no-header"]].concat();
    let created = run_cli(at, &words).await;
    assert_eq!(created.code, Some(0), "{}", created.err);
    created.out.trim().to_owned()
}

async fn status(at: &Installation, token: &str, method: &str, path: &str) -> (u16, String) {
    let (status, answer) = http::json(at.api(), method, path, token, None).await.unwrap();
    (status, answer["message"].as_str().unwrap_or_default().to_owned())
}

/// Follows the log of `web` with this token, and returns after the first line. The command ends when its output is closed.
async fn follow(at: &Installation, token: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(PROGRAM);
    command.args(["apps", "logs", "shop", "web", "--follow", "--token", token, "--data-dir"]).arg(at.data());
    command.env_remove("BOATYARD_API_URL").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut following = command.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(ENDS_WITHIN, lines.next_line()).await.expect("a line of the instance").unwrap();
    assert!(first.is_some_and(|line| line.contains("open-for-business")));
    (following, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_used_within_their_limits_until_they_are_revoked() {
    let mut at = installation().await;
    let spec = format!(
        "name: shop\nservices: [{{name: web, image: {TESTAPP}, envs: [{{key: PRINT, value: open-for-business}}]}}]\n"
    );
    at.create(&spec).await.unwrap();
    let (ci, viewer) =
        (create(&at, &["ci", "--scope", "write", "--app", "shop"]).await, create(&at, &["viewer"]).await);
    assert!(ci.len() == 71 && ci.starts_with("dob_v1_"), "doctl's prompt accepts it");

    let restarted = run_cli(&at, &["--token", &ci, "apps", "restart", "shop", "--wait"]).await;
    assert_eq!(restarted.code, Some(0), "{}", restarted.err);
    let causes = run_cli(&at, &["apps", "list-deployments", "shop", "--format", "Cause", "--no-header"]).await;
    assert_eq!(causes.out, "restart of everything, by ci\ninitial deployment\n");
    let refused = run_cli(&at, &["--token", &viewer, "apps", "restart", "shop"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("token \"viewer\" has scope read"), "{}", refused.err);
    assert_eq!(run_cli(&at, &["--token", &viewer, "apps", "list"]).await.code, Some(0));
    let refused = run_cli(&at, &["--token", &ci, "tokens", "list"]).await;
    assert!(refused.code == Some(1) && refused.err.contains("only the admin token"), "{}", refused.err);

    let (mut following, _lines) = follow(&at, &viewer).await;
    let revoked = run_cli(&at, &["tokens", "revoke", "viewer"]).await;
    assert_eq!(revoked.code, Some(0), "{}", revoked.err);
    let ended = tokio::time::timeout(ENDS_WITHIN, following.wait()).await.expect("the stream ends").unwrap();
    assert_eq!(ended.code(), Some(1));
    assert_eq!(status(&at, &viewer, "GET", "/v2/account").await.0, 401);

    // What was created and revoked survives a crash.
    at.kill_serve();
    at.serve().await.unwrap();
    assert_eq!(status(&at, &viewer, "GET", "/v2/account").await.0, 401);
    assert_eq!(status(&at, &ci, "GET", "/v2/apps/shop").await.0, 200);

    let shown = run_cli(&at, &["audit", "-o", "json"]).await;
    let rows: Vec<Value> = serde_json::from_str(&shown.out).unwrap();
    let row = |it: &Value| json!([it["token_name"], it["action"], it["app_name"], it["subject"], it["outcome"]]);
    let expected = json!([
        ["admin", "revoke token", null, "viewer", "accepted"],
        ["viewer", "restart", "shop", null, "refused"],
        ["ci", "restart", "shop", null, "accepted"],
        ["admin", "create token", null, "viewer", "accepted"],
        ["admin", "create token", "shop", "ci", "accepted"],
        ["admin", "create", "shop", null, "accepted"],
    ]);
    assert_eq!(Value::from(rows.iter().map(row).collect::<Vec<_>>()), expected);
    let of_shop = run_cli(&at, &["audit", "shop", "--format", "Token", "--no-header", "--limit", "2"]).await;
    assert_eq!(of_shop.out, "viewer\nci\n");
    let admin = std::fs::read_to_string(at.data().join("admin-token")).unwrap().trim().to_owned();
    for token in [&ci, &viewer, &admin] {
        let holds = |file: &PathBuf| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(token.len()).any(|it| it == token.as_bytes())
        };
        let mut files = files_below(&at.data());
        assert!(files.iter().any(|file| file.ends_with("boatyard.db")), "{files:?}");
        files.retain(holds);
        let allowed = if *token == admin { vec![at.data().join("admin-token")] } else { Vec::new() };
        assert_eq!(files, allowed, "only the admin token is in a file");
        assert!(!at.log().contains(token.as_str()));
    }
}

/// All files in this directory and those below.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|it| it.unwrap());
    let files = |it: std::fs::DirEntry| match it.file_type().unwrap() {
        kind if kind.is_dir() => files_below(&it.path()),
        kind if kind.is_file() => vec![it.path()],
        _ => Vec::new(),
    };
    entries.flat_map(files).collect()
}
