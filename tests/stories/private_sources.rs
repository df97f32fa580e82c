//! Private repositories: logins by https and ssh with real servers on this host, and the ways in which they fail. An app that
//! serves goes on serving.

use std::path::Path;

use boatyard_tests::git_server::{Manner, Server};
use boatyard_tests::installation::Installation;
use boatyard_tests::repo::Repo;
use boatyard_tests::sshd::Sshd;
use serde_json::json;
use tempfile::TempDir;

use crate::support::*;

const TOKEN: &str = "s3cret-token";
/// `me:s3cret-token` in base64.
const AUTHORIZATION: &str = "Basic bWU6czNjcmV0LXRva2Vu";

/// A repository with three components, outside of the directory that an installation reads by path.
struct Remote {
    directory: TempDir,
    repo: Repo,
}

impl Remote {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::init(directory.path().join("repo")).unwrap();
        let remote = Self { directory, repo };
        remote.push("1");
        remote
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("repo")
    }

    fn push(&self, version: &str) {
        for component in ["web", "api", "mill"] {
            let dockerfile = format!("FROM boatyard-local/testapp:1\nENV VERSION={version}\nCOPY page /page\n");
            self.repo.write(&format!("{component}/Dockerfile"), &dockerfile).unwrap();
            self.repo.write(&format!("{component}/page"), version).unwrap();
        }
        self.repo.commit(&format!("version {version}")).unwrap();
    }

    /// Replaces the whole history, as a force-push does.
    fn force_push(&mut self, version: &str) {
        std::fs::remove_dir_all(self.path()).unwrap();
        self.repo = Repo::init(self.path()).unwrap();
        self.push(version);
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }
}

fn spec(address: &str) -> String {
    let component = |name: &str| {
        format!(
            "- name: {name}\n  git: {{repo_clone_url: '{address}', branch: main}}\n  source_dir: {name}\n  \
             envs: [{{key: NAME, value: {name}, scope: RUN_TIME}}]\n"
        )
    };
    let health = "  health_check: {http_path: /health, period_seconds: 1}\n";
    format!(
        "name: shop\nservices:\n{}  routes: [{{path: /}}]\n{health}{}  routes: [{{path: /api}}]\n{health}workers:\n{}",
        component("web"),
        component("api"),
        component("mill")
    )
}

/// The host of an address, as `boatyard sources add` takes it.
fn host(url: &str) -> &str {
    let authority = url.split('/').nth(2).unwrap();
    authority.rsplit('@').next().unwrap()
}

async fn add(at: &Installation, arguments: &[&str]) -> Output {
    run_cli(at, &[&["sources", "add"], arguments].concat()).await
}

/// Deploys the newest commit, and returns what the command and the build log say.
async fn deploy(at: &Installation) -> (Option<i32>, String) {
    let ended = run_cli(at, &["apps", "create-deployment", "shop", "--wait"]).await;
    let log = run_cli(at, &["apps", "logs", "shop", "web", "--type", "build"]).await;
    (ended.code, format!("{}\n{}\n{}", ended.out, ended.err, log.out))
}

/// A deployment that must fail, and its reason. What serves stays.
async fn failure(at: &Installation) -> String {
    let before = page(at, "/").await;
    let (code, said) = deploy(at).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(page(at, "/").await, before);
    said
}

async fn success(at: &Installation) -> String {
    let (code, said) = deploy(at).await;
    assert_eq!(code, Some(0), "{said}");
    said
}

#[track_caller]
fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
}

/// Whether a file below the directory contains the text.
fn is_on_disk(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => is_on_disk(&entry.path(), text),
        Ok(kind) if kind.is_file() => {
            std::fs::read(entry.path()).is_ok_and(|it| it.windows(text.len()).any(|it| it == text.as_bytes()))
        }
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_a_private_repository_by_https() {
    let mut remote = Remote::new();
    let (server, authority) = Server::start_tls(Manner::ServeWithLogin(remote.path(), AUTHORIZATION.to_owned()));
    let authority = remote.write("authority.pem", &authority);
    let arguments = ["--allow-sources-from", "loopback", "--sources-ca", &authority];
    let at = Installation::start_with(PROGRAM, &arguments).await.unwrap();
    let host = host(&server.url);
    let advice = format!("boatyard sources add {host} --token-file FILE");

    // Without a login.
    let file = spec_file(&at, &spec(&server.url));
    let created = run_cli(&at, &["apps", "create", "--spec", &file, "--wait"]).await;
    assert_eq!(created.code, Some(1), "{}", created.err);
    assert_contains(&created.err, &["does not exist or needs a login", &advice]);

    // With a token: three components from one repository.
    let token = remote.write("token", &format!("{TOKEN}\n"));
    let added = add(&at, &[host, "--token-file", &token, "--username", "me"]).await;
    assert_eq!(added.code, Some(0), "{}", added.err);
    success(&at).await;
    assert_contains(&page(&at, "/").await, &["web 1"]);
    assert_contains(&page(&at, "/api/").await, &["api 1"]);
    let listed = run_cli(&at, &["sources", "list", "-o", "json"]).await;
    assert_contains(&listed.out, &[host, "https", "me"]);

    // A wrong token, and none again.
    remote.push("2");
    let wrong = remote.write("wrong", "expired-token");
    add(&at, &[host, "--token-file", &wrong, "--username", "me"]).await;
    assert_contains(&failure(&at).await, &["refused the token", &advice]);
    assert_eq!(run_cli(&at, &["sources", "remove", host]).await.code, Some(0));
    assert_contains(&failure(&at).await, &["needs a login", &advice]);

    // The token is not in an image, a log, an answer or a file.
    add(&at, &[host, "--token-file", &token, "--username", "me"]).await;
    let said = success(&at).await;
    assert_contains(&page(&at, "/").await, &["web 2"]);
    let audit = run_cli(&at, &["audit"]).await.out;
    assert_contains(&audit, &["add source login", "remove source login", host]);
    for text in [&said, &audit, &listed.out, &added.out, &at.log()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    assert!(!is_on_disk(&at.data(), TOKEN));

    // A force-push is followed. A branch that vanished is named with those that exist.
    remote.force_push("3");
    success(&at).await;
    assert_contains(&page(&at, "/").await, &["web 3"]);
    let heads = remote.path().join(".git/refs/heads");
    std::fs::rename(heads.join("main"), heads.join("trunk")).unwrap();
    assert_contains(&failure(&at).await, &["branch \"main\" does not exist", "it has: trunk"]);
    std::fs::rename(heads.join("trunk"), heads.join("main")).unwrap();

    // Submodules and LFS pointers are named in the log.
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "ab".repeat(32));
    remote.repo.write("web/model.bin", &pointer).unwrap();
    remote.push("4");
    remote.repo.commit_submodule("web/vendor").unwrap();
    let said = success(&at).await;
    assert_contains(&said, &["model.bin is a git LFS pointer; its 12345 bytes", "vendor is a submodule"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_key_opens_a_private_repository_by_ssh() {
    let remote = Remote::new();
    let Some(sshd) = Sshd::start(remote.directory.path()) else { return };
    let at = Installation::start_with(PROGRAM, &["--allow-sources-from", "loopback"]).await.unwrap();
    let (address, host) = (sshd.address(&remote.path()), sshd.host());
    let key_advice = format!("boatyard sources add {host} --ssh-key FILE");

    // Without a key.
    let file = spec_file(&at, &spec(&address));
    let created = run_cli(&at, &["apps", "create", "--spec", &file, "--wait"]).await;
    assert_eq!(created.code, Some(1), "{}", created.err);
    assert_contains(&created.err, &["needs a key for ssh", &key_advice]);

    // The host's key has to be known first. There is no terminal to ask on.
    let key = sshd.new_key("ed25519", true).display().to_string();
    let refused = add(&at, &[&host, "--ssh-key", &key]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    let presented = sshd.host_keys().into_iter().find(|it| refused.err.contains(it.as_str()));
    let presented = presented.unwrap_or_else(|| panic!("the error names the key: {}", refused.err));
    assert_contains(&refused.err, &[&format!("--ssh-key FILE --fingerprint {presented}")]);
    let known = remote.write("known_hosts", &sshd.known_hosts());
    let added = add(&at, &[&host, "--ssh-key", &key, "--known-hosts", &known]).await;
    assert_eq!(added.code, Some(0), "{}", added.err);
    assert_contains(&added.out, &[&presented]);
    success(&at).await;
    assert_contains(&page(&at, "/").await, &["web 1"]);

    // A key that the server does not know.
    remote.push("2");
    let stranger = sshd.new_key("ed25519", false).display().to_string();
    add(&at, &[&host, "--ssh-key", &stranger, "--fingerprint", &presented]).await;
    assert_contains(&failure(&at).await, &["refused the ssh key", &key_advice]);

    // A host key that is not pinned: both are named, with the command that pins the new one.
    add(&at, &[&host, "--ssh-key", &key, "--known-hosts", &known]).await;
    let other = format!("SHA256:{}", "A".repeat(43));
    assert_eq!(add(&at, &[&host, "--fingerprint", &other]).await.code, Some(0));
    let pin = format!("boatyard sources add {host} --fingerprint {presented}");
    assert_contains(&failure(&at).await, &[&other, &pin]);
    let words: Vec<&str> = pin.split(' ').skip(3).collect();
    assert_eq!(add(&at, &words).await.code, Some(0));
    success(&at).await;
    assert_contains(&page(&at, "/").await, &["web 2"]);

    // A repository that the server does not have.
    let missing = spec(&sshd.address(&remote.directory.path().join("missing")));
    let file = spec_file(&at, &missing);
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(1), "{}", updated.err);
    assert_contains(&updated.err, &["does not exist, or the login for", &host]);
    assert_contains(&page(&at, "/").await, &["web 2"]);

    // The key is in no file of the data directory, whose name says nothing about it.
    let secret = std::fs::read_to_string(&key).unwrap();
    let line = secret.lines().nth(2).unwrap();
    assert!(!is_on_disk(&at.data(), line) && !at.log().contains(line));
    let answer = at.ok("GET", "/v2/boatyard/sources", None).await.unwrap();
    assert_eq!(answer["sources"][0]["fingerprints"], json!([presented]));
}
