//! Fetching from a server into a mirror, and reading a local repository in place.

use std::sync::Mutex;
use std::time::Duration;

use boatyard_tests::git_server::{Manner, Server};
use source::{
    CommitId, FetchOptions, FetchProgress, GitRef, Logins, RepoUrl, Resolved, Secret, Selection, SourceError, SshKey,
};

use crate::fixture::{FILE, Fixture, WHEN};
use crate::{Case, wait};

pub const CASES: &[Case] = &[
    ("a local repository is resolved in place and not copied", local_in_place),
    ("a local work tree works like a bare repository", local_work_tree),
    ("an error for a missing branch lists the existing branches", missing_branch),
    ("a local repository outside the allowed directories is refused before and inside the worker", outside),
    ("a work tree with objects outside the allowed directories is refused", objects_elsewhere),
    ("links and alternates that lead out of the allowed directories are refused, others are followed", linked_objects),
    ("formats that cannot be read and missing permissions are named", unreadable),
    ("an error for a branch reports if the name is a tag", tag_for_branch),
    ("uncommitted changes are reported", uncommitted),
    ("fetching from this host needs permission in every spelling", this_host),
    ("an empty repository is an error", empty),
    ("a server's branch, tag and default branch are fetched without history", from_server),
    ("a commit that is in the mirror is not fetched again", not_again),
    ("a commit is fetched by its id, even one that no reference names", by_id),
    ("a missing commit is an error, never another commit", commit_gone),
    ("a force-push moves the branch, and the old commit can still be built", force_push),
    ("two fetches of one repository wait for each other", two_at_once),
    ("a damaged mirror is created again", damaged_mirror),
    ("a branch that became a directory of branches causes no conflict", branch_becomes_directory),
    ("a repository that does not exist or needs a login is an error", no_such_repository),
    ("a redirect on the same host is followed", same_host_redirect),
    ("a server that never answers is abandoned after the timeout", hanging_server),
    ("a server that sends a byte now and then is abandoned as well", trickling_server),
    ("web pages, truncated answers, closed ports and server errors have clear messages", broken_servers),
    ("no more than the allowed bytes are received", too_much),
];

pub fn fetch(fixture: &Fixture, url: &RepoUrl, git_ref: &GitRef) -> Result<Resolved, SourceError> {
    wait(fixture.source().fetch(url, git_ref, FetchOptions::default(), |_| {}))
}

/// A fixture with one commit, and a server for it.
fn served() -> (Fixture, Server, RepoUrl) {
    let fixture = Fixture::with_files(&[("Dockerfile", "FROM scratch"), ("a", "1")]);
    let server = Server::start(Manner::Serve(fixture.path()));
    let url = fixture.source().repo_url(&server.url).unwrap();
    (fixture, server, url)
}

pub fn main_branch() -> GitRef {
    GitRef::branch("main").unwrap()
}

fn local_in_place() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let resolved = fetch(&fixture, &fixture.url(), &GitRef::DefaultBranch).unwrap();
    assert_eq!(resolved.commit, fixture.head());
    assert_eq!(resolved.branch.as_deref(), Some("main"));
    assert_eq!(resolved.summary, "Say hello on main");
    assert_eq!((resolved.author_time, resolved.received), (WHEN, false));
    assert!(!fixture.settings.mirrors.exists());

    let head = fixture.repo.find_object(git2::Oid::from_str(fixture.head().as_str()).unwrap(), None).unwrap();
    let tagger = git2::Signature::now("A", "a@example.com").unwrap();
    fixture.repo.tag("v1", &head, &tagger, "annotated", false).unwrap();
    let tagged = fetch(&fixture, &fixture.url(), &GitRef::tag("v1").unwrap()).unwrap();
    assert_eq!((tagged.commit, tagged.branch), (fixture.head(), None));
    assert!(fetch(&fixture, &fixture.url(), &GitRef::Commit(fixture.head())).is_ok());
}

fn local_work_tree() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("sources/work");
    let repo = git2::Repository::init(&path).unwrap();
    let person = git2::Signature::now("A", "a@example.com").unwrap();
    let tree = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let id = repo.commit(Some("refs/heads/x"), &person, &person, "m", &tree, &[]).unwrap();
    let url = fixture.source().repo_url(path.to_str().unwrap()).unwrap();
    assert_eq!(fetch(&fixture, &url, &GitRef::branch("x").unwrap()).unwrap().commit.as_str(), id.to_string());
    repo.set_head_detached(id).unwrap();
    assert_eq!(fetch(&fixture, &url, &GitRef::DefaultBranch).unwrap().branch, None);

    std::fs::create_dir(path.join("below")).unwrap();
    let below = fixture.source().repo_url(path.join("below").to_str().unwrap()).unwrap();
    let error = fetch(&fixture, &below, &GitRef::DefaultBranch).unwrap_err();
    assert!(matches!(error, SourceError::NotARepository { .. }), "nothing is searched for above: {error}");
}

fn missing_branch() {
    let (fixture, _server, url) = served();
    fixture.commit_on("develop", &[("a", FILE, "")]);
    for url in [fixture.url(), url] {
        let error = fetch(&fixture, &url, &GitRef::branch("mian").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), format!("branch \"mian\" does not exist in {url}; it has: main, develop"));
        let error = fetch(&fixture, &url, &GitRef::tag("v1").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), format!("tag \"v1\" does not exist in {url}; it has none"));
    }
}

fn outside() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let url = fixture.url();
    let mut narrower = Fixture::new();
    narrower.settings.local_sources.clear();
    let error = fetch(&narrower, &url, &GitRef::DefaultBranch).unwrap_err();
    assert!(error.to_string().contains("--local-sources"), "{error}");
}

fn objects_elsewhere() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let allowed = fixture.dir.path().join("allowed");
    std::fs::create_dir_all(allowed.join("tree")).unwrap();
    std::fs::write(allowed.join("tree/.git"), format!("gitdir: {}\n", fixture.path().display())).unwrap();
    fixture.settings.local_sources = vec![allowed.clone()];
    let url = fixture.source().repo_url(allowed.join("tree").to_str().unwrap()).unwrap();
    let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
    assert!(matches!(error, SourceError::ObjectsOutside { .. }), "{error}");
}

/// A bare repository inside `sources`, and one outside of it whose objects it uses.
fn repository_with_outside_objects() -> (Fixture, std::path::PathBuf, CommitId) {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let outside = fixture.dir.path().join("outside/repo");
    std::fs::create_dir_all(outside.parent().unwrap()).unwrap();
    std::fs::rename(fixture.path(), &outside).unwrap();
    let inside = git2::Repository::init_bare(fixture.path()).unwrap();
    let commit = CommitId::parse(&fixture_head(&outside)).unwrap();
    inside.set_head("refs/heads/main").unwrap();
    std::fs::write(fixture.path().join("refs/heads/main"), format!("{commit}\n")).unwrap();
    (fixture, outside, commit)
}

fn fixture_head(path: &std::path::Path) -> String {
    git2::Repository::open_bare(path).unwrap().head().unwrap().target().unwrap().to_string()
}

fn linked_objects() {
    use std::os::unix::fs::symlink;
    type UseOutside = fn(&std::path::Path, &std::path::Path);
    let ways: [(&str, UseOutside); 4] = [
        ("alternates", |repo, outside| {
            std::fs::write(repo.join("objects/info/alternates"), format!("{}\n", outside.join("objects").display()))
                .unwrap();
        }),
        ("relative alternates", |repo, _| {
            std::fs::write(repo.join("objects/info/alternates"), "../../../outside/repo/objects\n").unwrap();
        }),
        ("objects", |repo, outside| {
            std::fs::remove_dir_all(repo.join("objects")).unwrap();
            symlink(outside.join("objects"), repo.join("objects")).unwrap();
        }),
        ("refs", |repo, outside| {
            std::fs::remove_dir_all(repo.join("refs")).unwrap();
            symlink(outside.join("refs"), repo.join("refs")).unwrap();
        }),
    ];
    for (way, use_outside) in ways {
        let (mut fixture, outside, commit) = repository_with_outside_objects();
        use_outside(&fixture.path(), &outside);
        let error = fetch(&fixture, &fixture.url(), &main_branch()).unwrap_err();
        assert!(matches!(error, SourceError::ObjectsOutside { .. }), "{way}: {error}");
        let context = fixture.context_of(&commit, &Selection::parse(None, None).unwrap());
        assert!(matches!(context, Err(SourceError::ObjectsOutside { .. })), "{way}: {context:?}");

        // Inside an allowed directory the same is permitted.
        fixture.settings.local_sources.push(outside.parent().unwrap().to_owned());
        let allowed = fetch(&fixture, &fixture.url(), &main_branch());
        if way != "refs" {
            assert_eq!(allowed.unwrap().commit, commit, "{way}");
        }
    }
    // A cycle of alternates ends.
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let itself = format!("{}\n", fixture.path().join("objects").display());
    std::fs::write(fixture.path().join("objects/info/alternates"), itself).unwrap();
    assert!(fetch(&fixture, &fixture.url(), &main_branch()).is_ok());
    // Links that git2 does not read may lead anywhere.
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let _ = std::fs::remove_dir_all(fixture.path().join("hooks"));
    symlink("/etc", fixture.path().join("hooks")).unwrap();
    assert!(fetch(&fixture, &fixture.url(), &main_branch()).is_ok());
}

fn unreadable() {
    for (option, expected) in [("extensions.refstorage", "reftable"), ("extensions.objectformat", "SHA-256")] {
        let fixture = Fixture::with_files(&[("Dockerfile", "")]);
        let mut config = fixture.repo.config().unwrap();
        config.set_i32("core.repositoryformatversion", 1).unwrap();
        config.set_str(option, if option.ends_with("refstorage") { "reftable" } else { "sha256" }).unwrap();
        let error = fetch(&fixture, &fixture.url(), &main_branch()).unwrap_err();
        assert!(
            matches!(&error, SourceError::UnsupportedFormat { format, .. } if format.contains(expected)),
            "{error}"
        );
    }
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    std::fs::write(fixture.path().join("config"), "[core\n").unwrap();
    let error = fetch(&fixture, &fixture.url(), &main_branch()).unwrap_err();
    assert!(matches!(&error, SourceError::LocalUnreadable { .. }), "{error}");
    // The worker has no capabilities, so this applies to root as well.
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let url = fixture.url();
    let objects = fixture.path().join("objects");
    std::fs::set_permissions(&objects, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
}

fn tag_for_branch() {
    let (fixture, _server, url) = served();
    let head = fixture.repo.find_object(git2::Oid::from_str(fixture.head().as_str()).unwrap(), None).unwrap();
    fixture.repo.tag_lightweight("v1", &head, false).unwrap();
    for url in [fixture.url(), url] {
        let error = fetch(&fixture, &url, &GitRef::branch("v1").unwrap()).unwrap_err();
        assert!(error.to_string().contains("A tag has this name"), "{error}");
    }
}

fn uncommitted() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("sources/work");
    let repo = git2::Repository::init(&path).unwrap();
    std::fs::write(path.join("a"), "1").unwrap();
    let mut index = repo.index().unwrap();
    index.add_path(std::path::Path::new("a")).unwrap();
    index.write().unwrap();
    let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
    let person = git2::Signature::now("A", "a@example.com").unwrap();
    let head = repo.commit(Some("HEAD"), &person, &person, "m", &tree, &[]).unwrap();
    repo.reference("refs/heads/other", head, false, "").unwrap();
    let url = fixture.source().repo_url(path.to_str().unwrap()).unwrap();
    let is_uncommitted = || fetch(&fixture, &url, &GitRef::DefaultBranch).unwrap().uncommitted;
    assert!(!is_uncommitted());
    std::fs::write(path.join("unknown to git"), "").unwrap();
    assert!(!is_uncommitted());
    std::fs::write(path.join("a"), "22").unwrap();
    assert!(is_uncommitted());
}

fn this_host() {
    let (mut fixture, server, _) = served();
    fixture.settings.allow_from.clear();
    let port = server.url.split(':').nth(2).unwrap().to_owned();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"] {
        for address in [format!("http://{host}:{port}"), format!("ssh://git@{host}/a/b"), format!("https://{host}/a/b")]
        {
            let url = fixture.source().repo_url(&address).unwrap();
            let error = wait(fixture.source().fetch(&url, &main_branch(), any_key(), |_| {})).unwrap_err();
            assert!(matches!(error, SourceError::AddressRefused { .. }), "{address}: {error}");
            assert!(error.to_string().contains("--allow-sources-from loopback"), "{error}");
        }
    }
    assert!(server.requests().is_empty(), "the server received no request");
    let metadata = fixture.source().repo_url("http://169.254.169.254/latest/meta-data").unwrap();
    let error = fetch(&fixture, &metadata, &main_branch()).unwrap_err();
    assert!(error.to_string().contains("--allow-sources-from link-local"), "{error}");
}

fn any_key() -> FetchOptions {
    let key = SshKey { private_key: Secret::new("key"), host_keys: Vec::new() };
    FetchOptions { logins: Logins { token: None, ssh_key: Some(key) }, deadline: None }
}

fn empty() {
    let fixture = Fixture::new();
    let server = Server::start(Manner::Serve(fixture.path()));
    for url in [fixture.url(), fixture.source().repo_url(&server.url).unwrap()] {
        let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
        assert!(matches!(error, SourceError::Empty { .. }), "{error}");
    }
}

fn from_server() {
    let (fixture, _server, url) = served();
    let old = fixture.head();
    let new = fixture.commit(&[("Dockerfile", FILE, "FROM scratch"), ("a", FILE, "2")]);
    fixture.commit_on("feature/x", &[("Dockerfile", FILE, "FROM x")]);
    let object = fixture.repo.find_object(git2::Oid::from_str(old.as_str()).unwrap(), None).unwrap();
    fixture.repo.tag("v1", &object, &git2::Signature::now("A", "a@b").unwrap(), "annotated", false).unwrap();

    let progress = Mutex::new(Vec::new());
    let record = |event| progress.lock().unwrap().push(event);
    let resolved = wait(fixture.source().fetch(&url, &GitRef::DefaultBranch, FetchOptions::default(), record)).unwrap();
    assert_eq!((&resolved.commit, resolved.branch.as_deref(), resolved.received), (&new, Some("main"), true));
    assert_eq!(progress.lock().unwrap().first(), Some(&FetchProgress::Connected));

    let selection = Selection::parse(None, None).unwrap();
    let identity = |commit: &CommitId| wait(fixture.source().identity(&url, commit, &selection));
    assert_eq!(identity(&new).unwrap().dockerfile_text, "FROM scratch");
    assert!(matches!(identity(&old), Err(SourceError::NotFetched { .. })), "history was left out");
    assert_eq!(fetch(&fixture, &url, &GitRef::tag("v1").unwrap()).unwrap().commit, old);
    assert_eq!(fetch(&fixture, &url, &GitRef::branch("feature/x").unwrap()).unwrap().summary, "Say hello on feature/x");
    assert!(identity(&old).is_ok());
}

fn not_again() {
    let (fixture, server, url) = served();
    let posts = || server.requests().iter().filter(|seen| seen.line.starts_with("POST")).count();
    assert!(fetch(&fixture, &url, &main_branch()).unwrap().received);
    let after_first = posts();
    assert!(after_first > 0);
    assert!(!fetch(&fixture, &url, &main_branch()).unwrap().received);
    assert_eq!(posts(), after_first);
    let requests = server.requests().len();
    fetch(&fixture, &url, &GitRef::Commit(fixture.head())).unwrap();
    assert_eq!(server.requests().len(), requests, "a commit in the mirror needs no network");
}

fn by_id() {
    let (fixture, _server, url) = served();
    let old = fixture.head();
    fixture.commit(&[("Dockerfile", FILE, "new")]);
    // By default git serves only commits that a reference names: the old commit comes with the history.
    assert_eq!(fetch(&fixture, &url, &GitRef::Commit(old.clone())).unwrap().commit, old);

    // The same after a shallow fetch.
    let (fixture, _server, url) = served();
    let old = fixture.head();
    fixture.commit(&[("Dockerfile", FILE, "newer")]);
    fixture.commit(&[("Dockerfile", FILE, "newest")]);
    fetch(&fixture, &url, &main_branch()).unwrap();
    assert_eq!(fetch(&fixture, &url, &GitRef::Commit(old.clone())).unwrap().commit, old);

    let (fixture, _server, url) = served();
    let unnamed = fixture.commit_on("gone", &[("Dockerfile", FILE, "unnamed")]);
    fixture.repo.find_reference("refs/heads/gone").unwrap().delete().unwrap();
    fixture.repo.config().unwrap().set_bool("uploadpack.allowAnySHA1InWant", true).unwrap();
    assert_eq!(fetch(&fixture, &url, &GitRef::Commit(unnamed.clone())).unwrap().commit, unnamed);
}

fn commit_gone() {
    let (fixture, _server, url) = served();
    let gone = CommitId::parse(&"ab".repeat(20)).unwrap();
    for url in [fixture.url(), url] {
        let error = fetch(&fixture, &url, &GitRef::Commit(gone.clone())).unwrap_err();
        assert!(matches!(&error, SourceError::CommitMissing { commit, .. } if *commit == gone), "{error}");
    }
}

fn force_push() {
    let (fixture, _server, url) = served();
    let old = fetch(&fixture, &url, &main_branch()).unwrap().commit;
    fixture.repo.find_reference("refs/heads/main").unwrap().delete().unwrap();
    let new = fixture.commit(&[("Dockerfile", FILE, "FROM other")]);
    assert_eq!(fetch(&fixture, &url, &main_branch()).unwrap().commit, new);
    let selection = Selection::parse(None, None).unwrap();
    let kept = wait(fixture.source().identity(&url, &old, &selection)).unwrap();
    assert_eq!(kept.dockerfile_text, "FROM scratch");
}

fn two_at_once() {
    let (fixture, _server, url) = served();
    let source = fixture.source();
    let outcomes = wait(async {
        let branch = main_branch();
        let one = || source.fetch(&url, &branch, FetchOptions::default(), |_| {});
        futures::future::join_all([one(), one(), one(), one()]).await
    });
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().commit == fixture.head()));
    let received = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().received).count();
    assert_eq!(received, 1);
}

fn damaged_mirror() {
    let (fixture, _server, url) = served();
    fetch(&fixture, &url, &main_branch()).unwrap();
    let mirror = std::fs::read_dir(&fixture.settings.mirrors).unwrap().flatten().map(|entry| entry.path());
    let mirror = mirror.into_iter().find(|path| path.is_dir()).unwrap();
    // Overwrite every object, packed or not, and keep the indexes that refer to them.
    for entry in walk(&mirror.join("objects")) {
        if entry.extension().is_none_or(|kind| kind != "idx") {
            std::fs::remove_file(&entry).unwrap();
            std::fs::write(&entry, "damaged").unwrap();
        }
    }
    let selection = Selection::parse(None, None).unwrap();
    let identity = || wait(fixture.source().identity(&url, &fixture.head(), &selection));
    assert!(identity().is_err());
    assert!(fetch(&fixture, &url, &main_branch()).unwrap().received);
    assert!(identity().is_ok());
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn branch_becomes_directory() {
    let (fixture, _server, url) = served();
    fixture.commit_on("release", &[("a", FILE, "1")]);
    fetch(&fixture, &url, &GitRef::branch("release").unwrap()).unwrap();
    fixture.repo.find_reference("refs/heads/release").unwrap().delete().unwrap();
    let new = fixture.commit_on("release/1", &[("a", FILE, "2")]);
    assert_eq!(fetch(&fixture, &url, &GitRef::branch("release/1").unwrap()).unwrap().commit, new);
}

fn no_such_repository() {
    let fixture = Fixture::new();
    for status in ["404 Not Found", "403 Forbidden", "401 Unauthorized"] {
        let server = Server::start(Manner::Status(status));
        let url = fixture.source().repo_url(&server.url).unwrap();
        let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
        let host = url.as_str().split('/').nth(2).unwrap();
        let advice = format!("boatyard sources add {host} --token-file FILE");
        let expected = format!("repository {url} does not exist or needs a login. To add one: {advice}");
        assert_eq!(error.to_string(), expected, "{status}");
        assert!(!error.is_transient());
    }
}

fn same_host_redirect() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let there = Server::start(Manner::Serve(fixture.path()));
    let here = Server::start(Manner::Redirect(there.url.trim_end_matches("/owner/name.git").to_owned()));
    let url = fixture.source().repo_url(&here.url).unwrap();
    assert_eq!(fetch(&fixture, &url, &main_branch()).unwrap().commit, fixture.head());
}

fn hanging_server() {
    let mut fixture = Fixture::new();
    let server = Server::start(Manner::Hang);
    let url = fixture.source().repo_url(&server.url).unwrap();
    let options = FetchOptions { deadline: None, ..FetchOptions::default() };
    fixture.settings.limits.stall = Duration::from_millis(300);
    let error = wait(fixture.source().fetch(&url, &main_branch(), options, |_| {})).unwrap_err();
    assert!(matches!(error, SourceError::Stalled { .. } | SourceError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());

    fixture.settings.limits.stall = Duration::from_secs(30);
    let error = wait(async {
        let deadline = Some(tokio::time::Instant::now() + Duration::from_millis(300));
        let options = FetchOptions { deadline, ..FetchOptions::default() };
        fixture.source().fetch(&url, &main_branch(), options, |_| {}).await.unwrap_err()
    });
    assert!(matches!(error, SourceError::Deadline { .. }), "{error}");
}

fn trickling_server() {
    let mut fixture = Fixture::new();
    let server = Server::start(Manner::Trickle);
    let url = fixture.source().repo_url(&server.url).unwrap();
    fixture.settings.limits.stall = Duration::from_millis(500);
    let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
    assert!(matches!(error, SourceError::Stalled { .. }), "{error}");
    assert!(error.is_transient());
}

fn broken_servers() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    // Bound but not listening, so that no other process gets the port.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let closed = bound.local_addr().unwrap();
    let manners = [Manner::Page, Manner::Cut(fixture.path()), Manner::Status("500 Internal Server Error")];
    let servers = manners.map(Server::start);
    let urls = servers.iter().map(|server| server.url.clone()).chain([format!("http://{closed}/a/b")]);
    for url in urls {
        let url = fixture.source().repo_url(&url).unwrap();
        let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }) && error.is_transient(), "{error}");
        assert!(error.to_string().starts_with(&format!("{url} cannot be reached: ")), "{error}");
    }
}

fn too_much() {
    let mut fixture = Fixture::new();
    // Random enough that the pack cannot be compressed to a small one.
    let mut state = 1_u64;
    let noise: String = (0..400_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + (state >> 33) as u8 % 90)
        })
        .collect();
    fixture.commit(&[("noise", FILE, &noise)]);
    let server = Server::start(Manner::Serve(fixture.path()));
    fixture.settings.limits.fetch_bytes = 100_000;
    let url = fixture.source().repo_url(&server.url).unwrap();
    let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { .. }), "{error:?}");
    fixture.settings.limits.fetch_bytes = 100_000_000;
    assert!(fetch(&fixture, &url, &main_branch()).is_ok(), "leftovers do not block the next fetch");
}
