//! Secret variables in builds: steps get them, and nothing that remains contains them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use boatyard_tests::engine;
use boatyard_tests::installation::Installation;
use boatyard_tests::repo::Repo;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::support::*;

/// Answers with the texts of these files.
fn write_server(repo: &Repo, files: &[&str]) {
    let files = files.join("', '");
    let server = format!(
        "import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        body = ' '.join(open(it).read().strip() for it in ['{files}'])
        self.wfile.write((body + ' %d' % len(os.environ.get('RUN_CANARY', ''))).encode())
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Page).serve_forever()
"
    );
    repo.write("server.py", &server).unwrap();
}

async fn build_log(at: &Installation, deployment: &str) -> String {
    run_cli(at, &["apps", "logs", "shop", "web", "--type", "build", "--deployment", deployment]).await.out
}

/// Collects the command lines of all processes that contain a text, until it is dropped.
struct ProcessWatch {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<BTreeSet<String>>>,
}

impl ProcessWatch {
    fn for_text(text: &str) -> Self {
        let (stop, text) = (Arc::new(AtomicBool::new(false)), text.to_owned());
        let ends = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut found = BTreeSet::new();
            while !ends.load(Ordering::Relaxed) {
                let processes = std::fs::read_dir("/proc").expect("a Linux machine").flatten();
                let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
                found.extend(lines.map(|it| String::from_utf8_lossy(&it).into_owned()).filter(|it| it.contains(&text)));
                std::thread::sleep(Duration::from_millis(5));
            }
            found
        });
        Self { stop, thread: Some(thread) }
    }

    fn end(mut self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it ends once").join().expect("it reads /proc only")
    }
}

/// The files below `directory` that changed after `marker` and contain the text.
fn files_with(text: &str, directory: &Path, marker: &Path) -> Vec<String> {
    let find = Command::new("find")
        .arg(directory)
        .args(["-type", "f", "-newer"])
        .arg(marker)
        .args(["-exec", "grep", "--files-with-matches", "--text", "--fixed-strings", text, "{}", "+"])
        .output()
        .expect("find is installed");
    String::from_utf8_lossy(&find.stdout).lines().map(str::to_owned).collect()
}

/// Whether the archive of an image, with all its layers, contains the text. `file`: where to write it.
async fn is_in_archive(image: &str, text: &str, file: &Path) -> bool {
    let docker = engine::connect().unwrap();
    let (mut chunks, mut archive) = (docker.export_image(image), std::fs::File::create(file).unwrap());
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        archive.write_all(&chunk).unwrap();
    }
    let found = Command::new("grep").args(["--quiet", "--text", "--fixed-strings", text]).arg(file).status();
    std::fs::remove_file(file).unwrap();
    match found.expect("grep is installed").code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("grep ended with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_build_are_in_its_steps_and_in_nothing_that_remains() {
    let at = Installation::start_with(PROGRAM, &["--base-image", "python=boatyard-local/python:3"]).await.unwrap();
    let marker = at.sources().join("marker");
    std::fs::write(&marker, "").unwrap();
    let canary = format!("canary{:032x}", rand::random::<u128>());
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write_server(&repo, &["length.txt"]);
    repo.write("Procfile", "web: python3 server.py\n").unwrap();
    repo.commit("a server").unwrap();
    let spec = |build: &str, run: &str| {
        let url = repo.url();
        format!(
            "name: shop
services:
- name: web
  git: {{repo_clone_url: '{url}', branch: main}}
  environment_slug: python
  build_command: 'printf %s \"$BUILD_CANARY\" | wc -c > length.txt; echo \"the value is $BUILD_CANARY\"'
  envs:
  - {{key: BUILD_CANARY, value: '{build}', type: SECRET, scope: BUILD_TIME}}
  - {{key: RUN_CANARY, value: '{run}', type: SECRET, scope: RUN_TIME}}
"
        )
    };
    let watch = ProcessWatch::for_text(&canary);
    let first = at.create(&spec(&format!("{canary}-build"), &format!("{canary}-run"))).await.unwrap();
    assert_eq!(watch.end(), BTreeSet::new(), "arguments of processes");
    let length = canary.len();
    assert_eq!(page(&at, "/").await, format!("{} {}", length + 6, length + 4), "the build and the app have them");

    let image = first["boatyard"]["images"]["web"]["id"].as_str().unwrap().to_owned();
    let docker = engine::connect().unwrap();
    let history = docker.image_history(&image).await.unwrap();
    let config = docker.inspect_image(&image).await.unwrap();
    assert!(!format!("{history:?} {config:?}").contains(&canary), "{history:?} {config:?}");
    let archive = at.sources().join("archive");
    assert!(!is_in_archive(&image, &canary, &archive).await, "layers of the image");
    assert!(is_in_archive(&image, "length.txt", &archive).await, "the search finds what is there");
    let usage = docker.df(None::<bollard::query_parameters::DataUsageOptions>).await.unwrap();
    assert!(!format!("{usage:?}").contains(&canary), "the engine's list of its build cache");
    // The build cache, and the layers of stages that are not part of the image.
    let root = PathBuf::from(docker.info().await.unwrap().docker_root_dir.unwrap());
    assert!(root.join("buildkit").is_dir(), "the engine's directory {} can be read", root.display());
    for part in ["buildkit", "overlay2", "image"] {
        assert_eq!(files_with(&canary, &root.join(part), &marker), [""; 0], "{part}");
    }
    assert_eq!(files_with(&canary, &at.data(), &marker), [""; 0], "records and logs");
    let log = build_log(&at, first["id"].as_str().unwrap()).await;
    assert!(log.contains("Secrets of the build: BUILD_CANARY"), "{log}");
    assert!(log.contains("the value is [secret]"), "{log}");

    // Another value for the running app builds nothing.
    let ended = update(&at, &spec(&format!("{canary}-build"), "another")).await;
    assert_eq!(ended["boatyard"]["images"]["web"]["id"], image.as_str());
    // Another value for the build runs its steps again.
    let ended = update(&at, &spec(&format!("{canary}-second-build"), "another")).await;
    assert_ne!(ended["boatyard"]["images"]["web"]["id"], image.as_str());
    assert_eq!(page(&at, "/").await, format!("{} 7", length + 13));
}

/// Updates the app to this spec, and returns the deployment.
async fn update(at: &Installation, spec: &str) -> Value {
    let file = spec_file(at, spec);
    let updated = run_cli(at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    at.ok("GET", "/v2/apps/shop", None).await.unwrap()["app"]["active_deployment"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_mounts_secrets_and_gets_them_as_arguments_only_by_permission() {
    let at = installation().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write_server(&repo, &["/mounted", "/argument"]);
    repo.write(
        "Dockerfile",
        "FROM boatyard-local/python:3\nARG TOKEN\nRUN --mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN > /mounted\n\
         RUN printf %s \"$TOKEN\" | wc -c > /argument\nCOPY server.py /\nCMD [\"python3\", \"/server.py\"]\n",
    )
    .unwrap();
    repo.commit("a server").unwrap();
    let url = repo.url();
    let first = at
        .create(&format!(
            "name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: '{url}', branch: main}}\n  \
             dockerfile_path: Dockerfile\n  envs: [{{key: TOKEN, value: correct-horse-battery, type: SECRET}}]\n"
        ))
        .await
        .unwrap();
    assert_eq!(page(&at, "/").await, "21 0 0", "mounted, and no argument");
    let log = build_log(&at, first["id"].as_str().unwrap()).await;
    assert!(log.contains("RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN"), "{log}");

    let app = app_id(&at, "shop").await;
    for (flag, argument, word) in [
        ("--as-arguments", 21, "Warning: secrets are build arguments"),
        ("--as-arguments=false", 0, "no build arguments"),
    ] {
        let set = run_cli(&at, &["apps", "build-secrets", "shop", flag]).await;
        assert_eq!(set.code, Some(0), "{}", set.err);
        assert!(set.err.contains("create-deployment shop"), "{}", set.err);
        let deployment = at.deploy(&app, json!({})).await.unwrap();
        at.wait_active(&app, &deployment).await.unwrap();
        assert_eq!(page(&at, "/").await, format!("21 {argument} 0"), "{flag}");
        let log = build_log(&at, &deployment).await;
        assert!(log.contains(word) && !log.contains("correct-horse"), "{flag}: {log}");
    }
}
