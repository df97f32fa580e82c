//! The content of build contexts: what they contain, what they leave out, and their identity.

use source::{ContextPath, DockerfileChoice, Note, Selection, SourceError};
use tar::EntryType;

use crate::fixture::{DIRECTORY, EXECUTABLE, FILE, Fixture, LINK, SUBMODULE, WHEN};
use crate::{Case, wait};

pub const CASES: &[Case] = &[
    ("a context contains files, modes and links as in git", contains_files_as_in_git),
    ("the same commit gives the same bytes, and the same tree the same identity in any repository", is_deterministic),
    ("long names and long link targets are complete", long_names_are_complete),
    ("a context contains one directory of the repository and nothing else", a_directory_only),
    ("a Dockerfile outside the context is added under a reserved name", dockerfile_outside),
    ("a dockerfile_path that only exists below source_dir is used, with a note", dockerfile_below_source_dir),
    ("a generated Dockerfile is added to a context without one", written_dockerfile),
    ("the ignore file decides what is sent, but never hides the Dockerfile", ignores),
    ("an ignore file beside the Dockerfile takes precedence", ignore_file_beside_dockerfile),
    ("a broken ignore file is an error that names the line", broken_ignore_file),
    ("an error for a missing Dockerfile lists the existing ones", missing_dockerfile),
    ("a Dockerfile or source_dir that is a link is refused", links_are_not_followed),
    ("an error for a missing source_dir lists the existing directories", missing_source_dir),
    ("entries that git refuses end the stream with an error", hostile_entries),
    ("a damaged pack never changes the content of a file", damaged_pack),
    ("exceeding a limit is an error that names it", limits),
    ("submodules and LFS pointers are reported, not fetched", submodules_and_pointers),
    ("the paths and the wanted texts of a directory can be read", directories),
    ("the identity changes with everything that changes the build", identity_changes),
];

fn contains_files_as_in_git() {
    let fixture = Fixture::new();
    fixture.commit(&[
        ("Dockerfile", FILE, "FROM scratch\n"),
        ("run.sh", EXECUTABLE, "#!/bin/sh\n"),
        ("src/deep/a.txt", FILE, "a"),
        ("to-a", LINK, "./src//deep/a.txt"),
        ("way-out", LINK, "../../../etc/passwd"),
        ("absolute", LINK, "/etc/passwd"),
        ("empty", FILE, ""),
    ]);
    let received = fixture.context("/", None).unwrap();
    assert_eq!(received.dockerfile, "Dockerfile");
    let entries = received.entries();
    let names: Vec<&str> = entries.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["Dockerfile", "absolute", "empty", "run.sh", "src/", "src/deep/", "src/deep/a.txt", "to-a", "way-out"]
    );
    let mode = |name: &str| entries[name].mode;
    assert_eq!((mode("Dockerfile"), mode("run.sh"), mode("src/")), (0o644, 0o755, 0o755));
    assert_eq!(entries["src/deep/a.txt"].text, "a");
    assert_eq!(entries["to-a"].link.as_deref(), Some("./src//deep/a.txt"));
    assert_eq!(entries["way-out"].link.as_deref(), Some("../../../etc/passwd"));
    assert_eq!(entries["absolute"].kind, EntryType::Symlink);
    assert!(entries.values().all(|entry| entry.owner == (0, 0) && entry.mtime == WHEN as u64));
}

fn is_deterministic() {
    let files = [("Dockerfile", "FROM scratch\n"), ("a/b", "1"), ("a.b", "2")];
    let (one, two) = (Fixture::with_files(&files), Fixture::with_files(&files));
    let identity = |fixture: &Fixture| {
        let selection = Selection::parse(None, None).unwrap();
        wait(fixture.source().identity(&fixture.url(), &fixture.head(), &selection)).unwrap()
    };
    assert_eq!(one.context("", None).unwrap().tar, two.context("", None).unwrap().tar);
    two.commit_on("main", &files.map(|(path, text)| (path, FILE, text)));
    assert_ne!(one.head(), two.head());
    assert_eq!(identity(&one).hash(), identity(&two).hash());
    assert_eq!(identity(&one).hash().len(), 64);
}

fn long_names_are_complete() {
    let long = format!("{}/{}/{}", "d".repeat(120), "e".repeat(120), "f".repeat(200));
    let target = "t/".repeat(150);
    let fixture = Fixture::new();
    fixture.commit(&[("Dockerfile", FILE, ""), (&long, FILE, "x"), ("link", LINK, &target)]);
    let entries = fixture.context("", None).unwrap().entries();
    assert_eq!(entries[&long].text, "x");
    assert_eq!(entries["link"].link.as_ref().unwrap().trim_end_matches('/'), target.trim_end_matches('/'));
}

fn a_directory_only() {
    let fixture = Fixture::with_files(&[("api/Dockerfile", ""), ("api/src/main", ""), ("api2/x", ""), ("x", "")]);
    for form in ["api", "/api", "./api", "api/"] {
        assert_eq!(fixture.context(form, None).unwrap().names(), ["Dockerfile", "src/", "src/main"], "{form}");
    }
    let received = fixture.context("api", Some("api/Dockerfile")).unwrap();
    assert_eq!(received.dockerfile, "Dockerfile");
}

fn dockerfile_outside() {
    let fixture = Fixture::with_files(&[
        ("docker/web.Dockerfile", "FROM web"),
        ("web/index.html", "hi"),
        ("web/.boatyard.Dockerfile", "FROM a-trap"),
    ]);
    let received = fixture.context("web", Some("/docker/web.Dockerfile")).unwrap();
    assert_eq!(received.dockerfile, ".boatyard.Dockerfile");
    assert_eq!(received.names(), [".boatyard.Dockerfile", "index.html"]);
    assert_eq!(received.entries()[".boatyard.Dockerfile"].text, "FROM web");
}

fn dockerfile_below_source_dir() {
    let fixture = Fixture::with_files(&[("api/docker/Dockerfile", "FROM api"), ("api/main", "")]);
    let selection = Selection::parse(Some("api"), Some("docker/Dockerfile")).unwrap();
    let identity = wait(fixture.source().identity(&fixture.url(), &fixture.head(), &selection)).unwrap();
    assert_eq!(identity.dockerfile_in_context, "docker/Dockerfile");
    let [note @ Note::DockerfileInSourceDir { .. }] = &identity.notes[..] else { panic!("{:?}", identity.notes) };
    assert!(note.to_string().contains("write \"api/docker/Dockerfile\""), "{note}");
}

fn written_dockerfile() {
    let fixture = Fixture::with_files(&[("package.json", "{}")]);
    let selection =
        Selection { source_dir: ContextPath::default(), dockerfile: DockerfileChoice::Written("FROM node".into()) };
    let received = fixture.context_of(&fixture.head(), &selection).unwrap();
    assert_eq!(received.entries()[&received.dockerfile].text, "FROM node");
    assert!(received.names().contains(&"package.json".to_owned()));
}

fn ignores() {
    let fixture = Fixture::with_files(&[
        (".dockerignore", "# all but\n*\n!src\nsrc/**/*.log\n!vendor/keep\n"),
        ("Dockerfile", "FROM x"),
        ("README.md", ""),
        ("src/main.rs", ""),
        ("src/a/b.log", ""),
        ("vendor/drop", ""),
        ("vendor/keep/x", ""),
        ("vendor/other/y", ""),
    ]);
    assert_eq!(
        fixture.context("", None).unwrap().names(),
        [".dockerignore", "Dockerfile", "src/", "src/a/", "src/main.rs", "vendor/", "vendor/keep/", "vendor/keep/x"]
    );

    let hidden = Fixture::with_files(&[(".dockerignore", "build\n**/*.md"), ("build/Dockerfile", ""), ("build/x", "")]);
    let received = hidden.context("", Some("build/Dockerfile")).unwrap();
    assert_eq!(received.names(), [".dockerignore", "build/", "build/Dockerfile"]);
}

fn ignore_file_beside_dockerfile() {
    let fixture = Fixture::with_files(&[
        (".dockerignore", "a"),
        ("web.Dockerfile.dockerignore", "b"),
        ("web.Dockerfile", ""),
        ("a", ""),
        ("b", ""),
    ]);
    let names = fixture.context("", Some("web.Dockerfile")).unwrap().names();
    assert!(names.contains(&"a".to_owned()) && !names.contains(&"b".to_owned()), "{names:?}");
}

fn broken_ignore_file() {
    let fixture = Fixture::with_files(&[("Dockerfile", ""), (".dockerignore", "ok\n[a-")]);
    let error = fixture.context("", None).unwrap_err();
    assert!(error.to_string().contains(", line 2: \"[a-\""), "{error}");
}

fn missing_dockerfile() {
    let fixture = Fixture::with_files(&[("web/Dockerfile", ""), ("a/b/Dockerfile.prod", ""), ("x", "")]);
    let error = fixture.context("", Some("api/Dockerfile")).unwrap_err();
    let short = fixture.head().short().to_owned();
    let wanted =
        format!("no Dockerfile at \"api/Dockerfile\" in commit {short}; found: web/Dockerfile, a/b/Dockerfile.prod");
    assert_eq!(error.to_string(), wanted);
    assert!(matches!(fixture.context("", Some("web")), Err(SourceError::DockerfileMissing { .. })));
}

fn links_are_not_followed() {
    let fixture = Fixture::new();
    fixture.commit(&[("Dockerfile", LINK, "/etc/passwd"), ("real/Dockerfile", FILE, ""), ("linked", LINK, "real")]);
    for (source_dir, dockerfile) in [("", None), ("", Some("linked/Dockerfile")), ("linked", None)] {
        let error = fixture.context(source_dir, dockerfile).unwrap_err();
        assert!(error.to_string().contains("a symbolic link"), "{error}");
    }
}

fn missing_source_dir() {
    let fixture = Fixture::with_files(&[("web/x", ""), ("api/x", ""), ("file", "")]);
    let error = fixture.context("apu", None).unwrap_err();
    assert!(error.to_string().starts_with("no directory \"apu\" in commit"), "{error}");
    assert!(error.to_string().ends_with("; found: api, web"), "{error}");
    let error = fixture.context("file", None).unwrap_err();
    assert!(error.to_string().ends_with("is not a directory but a file"), "{error}");
}

fn hostile_entries() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let blob = fixture.repo.blob(b"x").unwrap();
    let tree = fixture.raw_tree(&[("x", FILE, blob)]);
    let hostile: &[&[(&str, i32, git2::Oid)]] = &[
        &[("..", DIRECTORY, tree)],
        &[(".", DIRECTORY, tree)],
        &[(".git", DIRECTORY, tree)],
        &[(".GIT", FILE, blob)],
        &[("a/../../b", FILE, blob)],
        &[("/etc", FILE, blob)],
        // A link and a directory of the same name: when extracted, the second would be written through the first.
        &[("a", LINK, blob), ("a", DIRECTORY, tree)],
        &[("device", 0o060_644, blob)],
    ];
    let written = DockerfileChoice::Written("FROM x".into());
    let selection = Selection { source_dir: ContextPath::default(), dockerfile: written };
    for entries in hostile {
        let commit = fixture.raw_commit(fixture.raw_tree(entries));
        let error = fixture.context_of(&commit, &selection).unwrap_err();
        let refused = matches!(error, SourceError::HostileEntry { .. } | SourceError::Damaged { .. });
        assert!(refused, "{entries:?}: {error:?}");
    }
    // The same in a subdirectory, after valid entries.
    let deep =
        fixture.raw_tree(&[("ok", FILE, blob), ("sub", DIRECTORY, fixture.raw_tree(&[("..", DIRECTORY, tree)]))]);
    let error = fixture.context_of(&fixture.raw_commit(deep), &selection).unwrap_err();
    assert_eq!(
        error,
        SourceError::HostileEntry { path: "sub/..".into(), commit: fixture.raw_commit(deep).short().into() }
    );
}

fn damaged_pack() {
    let text = "a file that is long enough to be compressed, long enough to be compressed\n";
    let fixture = Fixture::with_files(&[("Dockerfile", "FROM scratch\n"), ("text", text)]);
    let objects = fixture.repo.path().join("objects");
    let mut pack = fixture.repo.packbuilder().unwrap();
    pack.insert_commit(fixture.repo.head().unwrap().target().unwrap()).unwrap();
    pack.write(&objects.join("pack"), 0).unwrap();
    drop(pack);
    for entry in std::fs::read_dir(&objects).unwrap().flatten().filter(|it| it.file_name().len() == 2) {
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
    let packs = std::fs::read_dir(objects.join("pack")).unwrap().flatten().map(|it| it.path());
    let path = packs.into_iter().find(|it| it.extension().is_some_and(|it| it == "pack")).unwrap();
    let intact = std::fs::read(&path).unwrap();
    assert_eq!(fixture.context("/", None).unwrap().entries()["text"].text, text);
    std::fs::remove_file(&path).unwrap();
    for position in 0..intact.len() {
        let mut damaged = intact.clone();
        damaged[position] ^= 0x10;
        std::fs::write(&path, damaged).unwrap();
        if let Ok(received) = fixture.context("/", None) {
            let entries = received.entries();
            let texts = (entries["Dockerfile"].text.as_str(), entries["text"].text.as_str());
            assert_eq!(texts, ("FROM scratch\n", text), "byte {position} of {}", intact.len());
        }
    }
}

fn limits() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "FROM x"), ("a/b/c/d", "0123456789"), ("e", "0123456789")]);
    assert!(fixture.context("", None).is_ok());
    let generous = fixture.settings.limits.clone();
    let mut expect = |limits: source::Limits, words: &str| {
        fixture.settings.limits = limits;
        let error = fixture.context("", None).unwrap_err();
        assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    expect(
        source::Limits { context_bytes: 25, ..generous.clone() },
        "build context is larger than the limit of 25 bytes",
    );
    expect(source::Limits { context_files: 5, ..generous.clone() }, "5 files");
    expect(source::Limits { depth: 2, ..generous.clone() }, "2 levels of directories");
    expect(source::Limits { file_bytes: 9, ..generous.clone() }, "9 bytes for one file");
    expect(source::Limits { text_bytes: 5, ..generous }, "Dockerfile is larger than the limit of 5 bytes");
}

fn submodules_and_pointers() {
    let fixture = Fixture::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n";
    fixture.commit(&[("Dockerfile", FILE, ""), ("lib", SUBMODULE, ""), ("model.bin", FILE, pointer)]);
    let received = fixture.context("", None).unwrap();
    let notes: Vec<String> = received.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "lib is a submodule; submodules are not fetched, so the build gets an empty directory",
            "model.bin is a git LFS pointer; its 12345 bytes are not fetched, so the build gets the pointer",
        ]
    );
    assert_eq!(received.entries()["lib/"].kind, EntryType::Directory);

    let many: Vec<String> = (0..50).map(|n| format!("m{n:02}")).collect();
    fixture.commit(
        &many.iter().map(|name| (name.as_str(), SUBMODULE, "")).chain([("Dockerfile", FILE, "")]).collect::<Vec<_>>(),
    );
    let notes = fixture.context("", None).unwrap().notes;
    assert_eq!((notes.len(), notes.last()), (21, Some(&Note::More { count: 30 })));
}

fn directories() {
    let fixture = Fixture::new();
    fixture.commit(&[
        ("app/package.json", FILE, "{}"),
        ("app/src/x", FILE, ""),
        ("app/web/package.json", FILE, "[]"),
        ("app/go.mod/x", FILE, ""),
        ("app/link", LINK, "package.json"),
        ("app/node_modules/a/package.json", FILE, "{}"),
        ("app/vendor/modules.txt", FILE, ""),
        ("app/vendor/a/package.json", FILE, "{}"),
        ("app/lib", SUBMODULE, ""),
        ("app/dist/package.json", FILE, "{}"),
        ("app/package-lock.json", FILE, "{}"),
        ("app/.dockerignore", FILE, "dist\npackage-lock.json\n"),
        ("package.json", FILE, "{}"),
    ]);
    let directory = |path: &str| {
        let path = ContextPath::parse(path).unwrap();
        wait(fixture.source().directory(&fixture.url(), &fixture.head(), &path))
    };
    let found = directory("app").unwrap();
    let paths =
        [".dockerignore", "go.mod/x", "link", "package.json", "src/x", "vendor/modules.txt", "web/package.json"];
    assert_eq!((found.paths, found.cut), (paths.map(String::from).to_vec(), false));
    let texts: Vec<_> = found.texts.iter().map(|(path, text)| format!("{path} {text}")).collect();
    assert_eq!(texts, ["package.json {}", "web/package.json []"]);
    assert!(matches!(directory("missing"), Err(SourceError::SourceDirMissing { .. })));
}

fn identity_changes() {
    let identity = |files: &[(&str, &str)], source_dir: &str, dockerfile: Option<&str>| {
        let fixture = Fixture::with_files(files);
        let selection = Selection::parse(Some(source_dir), dockerfile).unwrap();
        wait(fixture.source().identity(&fixture.url(), &fixture.head(), &selection)).unwrap().hash()
    };
    let base =
        [("a/x", "1"), ("a/Dockerfile", "FROM x"), ("d/Dockerfile", "FROM x"), ("d/Dockerfile.dockerignore", "y")];
    let hash = identity(&base, "a", None);
    let beside = [base[0], base[1], ("other", "z")];
    assert_eq!(identity(&beside, "a", None), hash, "files outside the context do not count");
    assert_ne!(identity(&[("a/x", "2"), base[1]], "a", None), hash, "content counts");
    assert_ne!(identity(&base, "a", Some("d/Dockerfile")), hash, "the Dockerfile's path counts");
    let other_ignore = [base[0], base[1], base[2], ("d/Dockerfile.dockerignore", "z")];
    let outside = |files| identity(files, "a", Some("d/Dockerfile"));
    assert_ne!(outside(&other_ignore), outside(&base), "an ignore file outside the context counts");
}
