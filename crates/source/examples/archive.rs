//! Streams a build context of 20,000 files and 300 MB, and compares it with `git archive`. `make bench` runs it.
//!
//! Times depend more on the machine than on the program, so nothing here passes or fails.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use git2::{Oid, Repository, Signature};
use source::{CommitId, Limits, Selection, Source, SourceSettings};

const DIRECTORIES: usize = 200;
const FILES: usize = 100;
const FILE_BYTES: usize = 15 * 1024;
const ROUNDS: usize = 3;

/// What one run took.
#[derive(Clone, Copy)]
struct Run {
    time: Duration,
    /// Peak memory of the child process, in bytes.
    memory: u64,
    bytes: u64,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("source-worker") {
        return source::run_worker(std::io::stdin(), std::io::stdout(), |_| false);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("repo");
    let commit = repository(&path, &directory.path().join("loose"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut best: Option<(Run, Run)> = None;
    for _ in 0..ROUNDS {
        let (git, ours) = (git_archive(&path), runtime.block_on(context(&path, &commit)));
        let (git_best, our_best) = best.unwrap_or((git, ours));
        let faster = |a: Run, b: Run| Run { time: a.time.min(b.time), ..b };
        best = Some((faster(git_best, git), faster(our_best, ours)));
    }
    let (git, ours) = best.unwrap();
    let (millis, mib) = (|it: Run| it.time.as_millis(), |it: Run| it.memory / (1024 * 1024));
    println!("{:<44} {:>12} {:>12} {:>8}  goal", "what", "boatyard", "git archive", "ratio");
    let ratio = ours.time.as_secs_f64() / git.time.as_secs_f64();
    let what = format!("{} files, {} MB: time", DIRECTORIES * FILES, ours.bytes / 1_000_000);
    println!("{what:<44} {:>9} ms {:>9} ms {ratio:>8.2}  at most 1.1", millis(ours), millis(git));
    println!("{:<44} {:>8} MiB {:>8} MiB {:>8}  at most 64 MiB", "peak memory", mib(ours), mib(git), "");
    ExitCode::SUCCESS
}

/// A bare repository with one pack, as a mirror has it.
fn repository(path: &Path, loose: &Path) -> CommitId {
    let made = Repository::init_bare(loose).unwrap();
    let mut root = made.treebuilder(None).unwrap();
    // Words in random order compress as source code does.
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).unwrap()
    };
    let words: Vec<String> = (0..4096).map(|_| format!("{:x} ", next())).collect();
    for directory in 0..DIRECTORIES {
        let mut tree = made.treebuilder(None).unwrap();
        for file in 0..FILES {
            let mut text = String::with_capacity(FILE_BYTES + 16);
            while text.len() < FILE_BYTES {
                text.push_str(&words[next() % words.len()]);
            }
            tree.insert(format!("file{file}"), made.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
        }
        root.insert(format!("directory{directory}"), tree.write().unwrap(), 0o040_000).unwrap();
    }
    root.insert("Dockerfile", made.blob(b"FROM scratch\n").unwrap(), 0o100_644).unwrap();
    let tree = made.find_tree(root.write().unwrap()).unwrap();
    let person = Signature::now("A", "a@example.com").unwrap();
    let commit: Oid = made.commit(Some("refs/heads/main"), &person, &person, "everything", &tree, &[]).unwrap();
    let packed = Repository::init_bare(path).unwrap();
    let mut pack = made.packbuilder().unwrap();
    pack.insert_commit(commit).unwrap();
    pack.write(&path.join("objects/pack"), 0).unwrap();
    packed.reference("refs/heads/main", commit, true, "").unwrap();
    packed.set_head("refs/heads/main").unwrap();
    std::fs::remove_dir_all(loose).unwrap();
    CommitId::parse(&commit.to_string()).unwrap()
}

fn git_archive(path: &Path) -> Run {
    let began = Instant::now();
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "archive", "--format=tar", "HEAD"])
        .current_dir(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this comparison needs the git program");
    let mut stdout = child.stdout.take().unwrap();
    let (bytes, memory) = watched(|| {
        let (mut bytes, mut buffer) = (0, vec![0; 64 * 1024]);
        loop {
            match stdout.read(&mut buffer).unwrap() {
                0 => return bytes,
                read => bytes += u64::try_from(read).unwrap(),
            }
        }
    });
    assert!(child.wait().unwrap().success());
    Run { time: began.elapsed(), memory, bytes }
}

async fn context(path: &Path, commit: &CommitId) -> Run {
    let source = Source::new(SourceSettings {
        worker: std::env::current_exe().unwrap(),
        worker_args: vec!["source-worker".into()],
        mirrors: path.join("mirrors"),
        local_sources: vec![path.to_owned()],
        allow_from: Vec::new(),
        allow_http: false,
        authorities: None,
        limits: Limits::default(),
    });
    let repo = source.repo_url(path.to_str().unwrap()).unwrap();
    let selection = Selection::parse(None, None).unwrap();
    let began = Instant::now();
    let mut context = source.context(&repo, commit, &selection, |_| {}).await.unwrap();
    let (bytes, memory) = tokio::task::block_in_place(|| {
        watched(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut bytes = 0;
                while let Some(chunk) = context.stream.next().await {
                    bytes += u64::try_from(std::io::sink().write(&chunk.unwrap()).unwrap()).unwrap();
                }
                bytes
            })
        })
    });
    Run { time: began.elapsed(), memory, bytes }
}

/// The result of `work`, and the highest memory that a child process had meanwhile.
fn watched<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = peak.max(children().map(peak_of).max().unwrap_or_default());
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let result = work();
        ended.store(true, Ordering::Relaxed);
        (result, peak.join().unwrap())
    })
}

fn children() -> impl Iterator<Item = u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ids = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    ids.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
}

/// Peak resident memory of a process, in bytes; 0 if it has ended.
fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
