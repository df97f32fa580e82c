#![allow(clippy::unwrap_used)]
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

/// An entry of a tar stream.
enum Tar<'a> {
    Directory(&'a str),
    File(&'a str, &'a str),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Other(&'a str, EntryType),
}
use Tar::{Directory, HardLink, Link, Other};

fn stream(entries: &[Tar<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let (path, kind, target, bytes) = match entry {
            Directory(path) => (path, EntryType::Directory, None, ""),
            Tar::File(path, bytes) => (path, EntryType::Regular, None, *bytes),
            Link(path, target) => (path, EntryType::Symlink, Some(target), ""),
            HardLink(path, target) => (path, EntryType::Link, Some(target), ""),
            Other(path, kind) => (path, *kind, None, ""),
        };
        let mut header = Header::new_gnu();
        // Written by hand: the crate refuses the names that these tests are about.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, bytes.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(folder: &TempDir, entries: &[Tar<'_>]) -> Result<Unpacked, UnpackError> {
    unpack(&*stream(entries), "/app/dist", &folder.path().join("sites/1"), Limits::default())
}

fn read(site: &StoredSite, path: &str) -> String {
    let entry = site.index.files.get(path).unwrap_or_else(|| panic!("{path}"));
    let mut text = String::new();
    site.file(entry, false).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.len() as u64, entry.size);
    text
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_are_found_by_their_paths_and_equal_files_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [
        Directory("dist/"),
        Tar::File("dist/index.html", "home"),
        Directory("dist/a"),
        Tar::File("dist/a/b c.txt", "same"),
        Tar::File("dist/copy.txt", "same"),
        HardLink("dist/hard.txt", "dist/copy.txt"),
    ];
    let unpacked = unpacked(&folder, &entries).unwrap();
    assert_eq!((unpacked.files, unpacked.bytes, unpacked.notes.len()), (4, 12, 0));
    let site = StoredSite::open(&folder.path().join("sites/1")).unwrap();
    assert_eq!(
        ["index.html", "a/b c.txt", "copy.txt", "hard.txt"].map(|path| read(&site, path)),
        ["home", "same", "same", "same"]
    );
    assert_eq!(names(&folder.path().join("sites/1")).len(), 3, "two contents and the index");
    assert_eq!(names(&folder.path().join("sites")), ["1"], "no draft is left");
}

#[test]
fn a_directory_counts_as_stored_only_while_all_its_files_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("sites/1");
    let entries = [Directory("dist"), Tar::File("dist/index.html", "home"), Tar::File("dist/a.css", "body {}")];
    let files = || names(&directory).into_iter().filter(|it| it != "index.json").map(|it| directory.join(it));
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::remove_file(files().next().unwrap()).unwrap(),
        &|| std::fs::write(files().next_back().unwrap(), "half").unwrap(),
        &|| std::fs::write(directory.join("index.json"), "{").unwrap(),
    ];
    let is_stored = || StoredSite::open_complete(&directory).is_some();
    assert!(!is_stored());
    for damage in damages {
        unpacked(&folder, &entries).unwrap();
        assert!(is_stored());
        damage();
        assert!(!is_stored());
        remove(&directory).unwrap();
        assert_eq!(names(&folder.path().join("sites")), [""; 0]);
    }
    // A removal that was interrupted.
    std::fs::create_dir_all(folder.path().join("sites/1.x.removed/a")).unwrap();
    remove(&folder.path().join("sites/1.x.removed")).unwrap();
    assert_eq!(names(&folder.path().join("sites")), [""; 0]);
}

#[test]
fn the_directory_of_a_stream_may_have_any_name() {
    for root in ["./", "public", "./x/"] {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("{}/index.html", root.trim_end_matches('/'));
        unpacked(&folder, &[Directory(root), Tar::File(&file, "home")]).unwrap();
        assert_eq!(read(&StoredSite::open(&folder.path().join("sites/1")).unwrap(), "index.html"), "home");
    }
}

#[test]
fn links_become_what_they_name_if_that_is_in_the_site() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [
        Directory("d"),
        Tar::File("d/v2/index.html", "two"),
        Link("d/latest", "v2"),
        Link("d/through", "latest/index.html"),
        Link("d/absolute.html", "/app/dist/v2/index.html"),
        Link("d/v2/up", "../v2/./index.html"),
        Link("d/broken", "v3"),
        Link("d/circle", "circle"),
    ];
    let unpacked = unpacked(&folder, &entries).unwrap();
    assert_eq!(
        unpacked.notes,
        [
            "left out broken: the link names no file of the site",
            "left out circle: the link names no file of the site",
            "left out latest/up, and other links below latest: links in a directory that a link names are not followed"
        ]
    );
    assert!(!StoredSite::open(&folder.path().join("sites/1")).unwrap().index.files.contains_key("latest/up"));
    let site = StoredSite::open(&folder.path().join("sites/1")).unwrap();
    for path in ["latest/index.html", "through", "absolute.html", "v2/up", "v2/index.html"] {
        assert_eq!(read(&site, path), "two", "{path}");
    }
}

#[test]
fn what_leaves_the_directory_is_refused_and_nothing_stays() {
    type Is = fn(&UnpackError) -> bool;
    let leaves: Is = |it| matches!(it, UnpackError::PathLeaves { .. });
    let link_leaves: Is = |it| matches!(it, UnpackError::LinkLeaves { .. });
    let special: Is = |it| matches!(it, UnpackError::Special { .. });
    for (entry, expected) in [
        (Tar::File("d/../../etc/cron", "x"), leaves),
        (Tar::File("/etc/cron", "x"), leaves),
        (Tar::File("e/index.html", "x"), leaves),
        (Tar::File("dd", "x"), leaves),
        (Link("d/a", "/etc/passwd"), link_leaves),
        (Link("d/a", "../secret"), link_leaves),
        (Link("d/a", "/app/dist-other/x"), link_leaves),
        (Link("d/a", "/app/dist/../x"), link_leaves),
        (HardLink("d/a", "../x"), link_leaves),
        (HardLink("d/a", "d/none"), link_leaves),
        (Other("d/a", EntryType::Char), special),
        (Other("d/a", EntryType::Block), special),
        (Other("d/a", EntryType::Fifo), special),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = unpacked(&folder, &[Directory("d"), Tar::File("d/index.html", "x"), entry]).unwrap_err();
        assert!(expected(&error), "{error}");
        assert_eq!(names(&folder.path().join("sites")), Vec::<String>::new(), "{error}");
    }
}

#[test]
fn a_site_is_a_directory_with_files() {
    for (entries, message) in [
        (&[Tar::File("dist", "x")][..], "/app/dist is not a directory"),
        (&[Link("dist", "other")], "/app/dist is not a directory"),
        (&[], "/app/dist is not a directory"),
        (&[Directory("dist"), Directory("dist/a")], "the directory /app/dist contains no file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(unpacked(&folder, entries).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_site_may_have_as_many_files_and_bytes_as_the_limits_say() {
    let entries = [Directory("d"), Tar::File("d/a", "12345"), Tar::File("d/b", "12345")];
    let with = |files, bytes, paths| {
        let folder = tempfile::tempdir().unwrap();
        let result = unpack(&*stream(&entries), "/d", &folder.path().join("1"), Limits { files, bytes, paths });
        result.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(2, 10, 2), Ok(()));
    assert_eq!(with(1, 10, 2), Err("the site has more than 1 files".into()));
    assert_eq!(with(2, 9, 2), Err("the files of the site are larger than 0 MiB together".into()));
    assert_eq!(with(2, 10, 1), Err("the paths of the site's files are longer than 0 MiB together".into()));
    // A link to a directory multiplies its files.
    let folder = tempfile::tempdir().unwrap();
    let entries =
        [Directory("d"), Tar::File("d/a/1", "x"), Tar::File("d/a/2", "x"), Link("d/b", "a"), Link("d/c", "a")];
    let limits = Limits { files: 5, bytes: 10, paths: 100 };
    let error = unpack(&*stream(&entries), "/d", &folder.path().join("1"), limits).unwrap_err();
    assert!(matches!(error, UnpackError::TooManyFiles { most: 5 }), "{error}");
    // Two files, two links and three of the four paths below the links.
    let limits = Limits { files: 10, bytes: 10, paths: 2 * 3 + 2 + 3 * 3 };
    let error = unpack(&*stream(&entries), "/d", &folder.path().join("1"), limits).unwrap_err();
    assert!(matches!(error, UnpackError::PathsTooLong { .. }), "{error}");
}

#[test]
fn an_index_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    // A hole, which takes no space.
    File::create(folder.path().join("index.json")).unwrap().set_len((128 << 20) + 1).unwrap();
    let error = StoredSite::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("larger than 128 MiB"), "{error}");
}

#[test]
fn a_link_in_the_place_of_a_stored_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    unpacked(&folder, &[Directory("d"), Tar::File("d/a", "1")]).unwrap();
    let site = StoredSite::open(&folder.path().join("sites/1")).unwrap();
    let entry = site.index.files["a"];
    let file = folder.path().join("sites/1").join(entry.sha256.to_string());
    std::fs::rename(&file, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &file).unwrap();
    for cached in [false, true] {
        site.file(&entry, cached).unwrap_err();
    }
}

#[test]
fn a_stream_that_ends_early_leaves_nothing() {
    let bytes = stream(&[Directory("d"), Tar::File("d/a", &"x".repeat(5000))]);
    let folder = tempfile::tempdir().unwrap();
    let error = unpack(&bytes[..3000], "/d", &folder.path().join("1"), Limits::default()).unwrap_err();
    assert!(matches!(error, UnpackError::Read(_)), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn files_that_are_stored_already_stay() {
    let folder = tempfile::tempdir().unwrap();
    unpacked(&folder, &[Directory("d"), Tar::File("d/a", "1")]).unwrap();
    unpacked(&folder, &[Directory("d"), Tar::File("d/a", "2")]).unwrap();
    assert_eq!(read(&StoredSite::open(&folder.path().join("sites/1")).unwrap(), "a"), "1");
    assert_eq!(names(&folder.path().join("sites")), ["1"]);
}

#[test]
fn a_damaged_index_and_one_of_a_newer_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (text, why) in [("{", "EOF"), ("{\"format\":2,\"stored_at\":1,\"files\":{}}", "newer version")] {
        std::fs::write(folder.path().join("index.json"), text).unwrap();
        let error = StoredSite::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(matches!(StoredSite::open(&folder.path().join("none")).unwrap_err(), ReadError::Io { .. }));
}
