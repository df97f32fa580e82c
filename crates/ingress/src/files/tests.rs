#![allow(clippy::unwrap_used)]
use std::path::PathBuf;

use site_files::Limits as SiteLimits;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::limits::Limits;
use crate::protocol::{MissingFile, PathMatch, Rewrite, RouteTable, Rule, SiteFiles, Target};
use crate::tests::harness::*;

/// Stores a site with these files and returns its directory.
pub(crate) fn stored(folder: &TempDir, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let source = folder.path().join(format!("{name}.source/d"));
    for (path, text) in files {
        let path = source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all("d", &source).unwrap();
    let to = folder.path().join(name);
    site_files::unpack(&*builder.into_inner().unwrap(), "/d", &to, SiteLimits::default()).unwrap();
    to
}

pub(crate) fn site(prefix: &str, rewrite: Rewrite, directories: &[&PathBuf], missing: MissingFile) -> Rule {
    let directories = directories.iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    let files = SiteFiles { directories, index: "index.html".into(), missing };
    let path = PathMatch::Prefix(prefix.to_owned());
    let (authority, cors, component) = (None, None, "pages".to_owned());
    Rule { authority, path, rewrite, component, cors, target: Target::Files { files } }
}

pub(crate) fn errors() -> MissingFile {
    MissingFile::Error("404.html".into())
}

async fn serving(rules: Vec<Rule>) -> TestProxy {
    let proxy = TestProxy::open(Limits::default()).await;
    proxy.routing.install(&table(1, rules));
    proxy
}

const FILES: &[(&str, &str)] = &[
    ("index.html", "home"),
    ("404.html", "nothing here"),
    ("docs/index.html", "docs"),
    ("app.css", "body {}"),
    ("app.css.br", "br"),
    ("app.css.gz", "gz"),
    ("a b/ä.txt", "umlaut"),
    (".well-known/x", "known"),
];

/// A site at the root, with [`FILES`].
async fn serving_files(folder: &TempDir) -> TestProxy {
    serving(vec![site("/", Rewrite::Strip, &[&stored(folder, "1", FILES)], errors())]).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}")).1
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    head.lines().find_map(|line| line.split_once(": ").filter(|it| it.0.eq_ignore_ascii_case(name))).map(|it| it.1)
}

async fn get_with(proxy: &TestProxy, path: &str, headers: &str) -> String {
    proxy.raw(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn paths_lead_to_files_documents_and_redirects() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    for (path, code, expected) in [
        ("/", 200, "home"),
        ("/index.html", 200, "home"),
        ("/docs/", 200, "docs"),
        ("/app.css?v=1", 200, "body {}"),
        ("/a%20b/%C3%A4.txt", 200, "umlaut"),
        ("/.well-known/x", 200, "known"),
        ("/%69ndex.html", 200, "home"),
        ("/none.css", 404, "nothing here"),
        ("/a%20b/", 404, "nothing here"),
        ("/docs%2Findex.html", 404, "nothing here"),
        ("/docs//index.html", 404, "nothing here"),
        ("/index.html/", 404, "nothing here"),
        ("/INDEX.HTML", 404, "nothing here"),
        ("//index.html", 404, "nothing here"),
    ] {
        let answer = proxy.get(path).await;
        assert_eq!((status(&answer), body(&answer)), (code, expected), "{path}");
    }
    for (path, to) in [("/docs", "/docs/"), ("/docs?a=1", "/docs/?a=1")] {
        let answer = proxy.get(path).await;
        assert_eq!((status(&answer), header(&answer, "location")), (302, Some(to)), "{answer}");
    }
}

#[tokio::test]
async fn no_path_leaves_the_site() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let proxy = serving_files(&folder).await;
    let hash = std::fs::read_dir(folder.path().join("1")).unwrap().next().unwrap().unwrap().file_name();
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/docs/..%2f..%2f..%2fsecret",
        "/docs/../../secret",
        "/..\\secret",
        "/..%5csecret",
        "/.%00./secret",
        "/%2e%2e%2fsecret",
        "/%252e%252e%252fsecret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/index.json",
        &format!("/{}", hash.to_str().unwrap()),
        &format!("/{}", folder.path().join("secret").display()),
    ] {
        let answer = proxy.get(path).await;
        assert!(matches!(status(&answer), 400 | 404), "{path}: {answer}");
        assert!(!answer.contains("secret") && header(&answer, "location").is_none(), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_file_comes_with_its_type_version_and_lifetime() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    let answer = proxy.get("/index.html").await;
    assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&answer, "content-length"), Some("4"));
    assert_eq!(header(&answer, "cache-control"), Some("public, max-age=10"));
    assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
    assert_eq!(header(&answer, "accept-ranges"), Some("bytes"));
    assert_eq!((header(&answer, "vary"), header(&answer, "content-encoding")), (None, None));
    let (etag, modified) = (header(&answer, "etag").unwrap(), header(&answer, "last-modified").unwrap());
    for condition in [format!("If-None-Match: {etag}\r\n"), format!("If-Modified-Since: {modified}\r\n")] {
        let answer = get_with(&proxy, "/", &condition).await;
        assert_eq!((status(&answer), body(&answer), header(&answer, "etag")), (304, "", Some(etag)), "{answer}");
    }
    let missing = proxy.get("/none").await;
    assert_eq!((header(&missing, "etag"), header(&missing, "cache-control")), (None, Some("no-cache")));
    assert_eq!(header(&missing, "content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    for (path, code, length) in [("/app.css", 200, "7"), ("/none", 404, "12")] {
        let answer = proxy.raw(&format!("HEAD {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")).await;
        assert_eq!((status(&answer), header(&answer, "content-length")), (code, Some(length)), "{answer}");
        assert_eq!(body(&answer), "");
    }
    assert_eq!((proxy.counters().requests, proxy.counters().client_gone), (2, 0));
}

#[tokio::test]
async fn a_range_is_a_part_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    let part = get_with(&proxy, "/app.css", "Range: bytes=1-3\r\n").await;
    assert_eq!((status(&part), body(&part), header(&part, "content-range")), (206, "ody", Some("bytes 1-3/7")));
    let beyond = get_with(&proxy, "/app.css", "Range: bytes=7-\r\n").await;
    assert_eq!((status(&beyond), body(&beyond), header(&beyond, "content-range")), (416, "", Some("bytes */7")));
    let missing = get_with(&proxy, "/none", "Range: bytes=1-3\r\n").await;
    assert_eq!((status(&missing), body(&missing)), (404, "nothing here"));
}

#[tokio::test]
async fn a_compressed_file_beside_the_file_is_sent_to_clients_that_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    let mut tags = Vec::new();
    for (accepts, encoding, expected) in
        [("gzip, br", Some("br"), "br"), ("gzip", Some("gzip"), "gz"), ("identity", None, "body {}")]
    {
        let answer = get_with(&proxy, "/app.css", &format!("Accept-Encoding: {accepts}\r\n")).await;
        assert_eq!((header(&answer, "content-encoding"), body(&answer)), (encoding, expected), "{answer}");
        assert_eq!(header(&answer, "content-type"), Some("text/css; charset=utf-8"));
        assert_eq!(header(&answer, "vary"), Some("accept-encoding"));
        tags.push(header(&answer, "etag").unwrap().to_owned());
    }
    tags.dedup();
    assert_eq!(tags.len(), 3, "each form has a tag of its own");
}

#[tokio::test]
async fn a_site_without_an_error_document_gets_the_page_of_the_ingress() {
    let folder = tempfile::tempdir().unwrap();
    let proxy =
        serving(vec![site("/", Rewrite::Strip, &[&stored(&folder, "1", &[("index.html", "home")])], errors())]).await;
    let answer = proxy.get("/none").await;
    assert_eq!((status(&answer), header(&answer, "x-boatyard-error")), (404, Some("no-such-file")));
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (1, 0));
}

#[tokio::test]
async fn the_catch_all_document_answers_for_every_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = stored(&folder, "1", &[("index.html", "the app"), ("app.js", "js")]);
    let proxy = serving(vec![site("/", Rewrite::Strip, &[&files], MissingFile::CatchAll("index.html".into()))]).await;
    for (path, expected) in [("/", "the app"), ("/carts/7", "the app"), ("/carts/", "the app"), ("/app.js", "js")] {
        let answer = proxy.get(path).await;
        assert_eq!((status(&answer), body(&answer)), (200, expected), "{path}");
    }
    let etag = header(&proxy.get("/carts/7").await, "etag").unwrap().to_owned();
    assert_eq!(status(&get_with(&proxy, "/carts/8", &format!("If-None-Match: {etag}\r\n")).await), 304);
}

#[tokio::test]
async fn files_of_earlier_versions_are_found_and_pages_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let newest = stored(&folder, "3", &[("index.html", "3"), ("app-3.js", "js 3"), ("same.js", "new")]);
    let middle = stored(&folder, "2", &[("index.html", "2"), ("app-2.js", "js 2"), ("same.js", "old")]);
    let oldest =
        stored(&folder, "1", &[("index.html", "1"), ("app-1.js", "js 1"), ("app-2.js", "x"), ("gone.html", "x")]);
    for missing in [errors(), MissingFile::CatchAll("index.html".into())] {
        let code = if missing == errors() { 404 } else { 200 };
        let proxy = serving(vec![site("/", Rewrite::Strip, &[&newest, &middle, &oldest], missing)]).await;
        for (path, expected) in
            [("/", "3"), ("/app-3.js", "js 3"), ("/app-2.js", "js 2"), ("/app-1.js", "js 1"), ("/same.js", "new")]
        {
            assert_eq!(body(&proxy.get(path).await), expected, "{path}");
        }
        let gone = proxy.get("/gone.html").await;
        assert_eq!(status(&gone), code);
        assert_ne!(body(&gone), "x");
    }
}

#[tokio::test]
async fn a_site_below_a_path_lies_beside_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let files = stored(&folder, "1", &[("index.html", "home"), ("docs/index.html", "inner"), ("a.css", "css")]);
    let rules = vec![
        rule("/api", Rewrite::Keep, &[("api", echo().await)]),
        site("/docs", Rewrite::Strip, &[&files], errors()),
        site("/kept/docs", Rewrite::Replace("/docs".into()), &[&files], errors()),
        site("/", Rewrite::Keep, &[&files], errors()),
    ];
    let proxy = serving(rules).await;
    for (path, expected) in [
        ("/docs/", "home"),
        ("/docs/a.css", "css"),
        ("/docs/docs/", "inner"),
        ("/kept/docs/", "inner"),
        ("/a.css", "css"),
        ("/", "home"),
    ] {
        assert_eq!(body(&proxy.get(path).await), expected, "{path}");
    }
    for (path, to) in [("/docs", "/docs/"), ("/docs/docs", "/docs/docs/"), ("/kept/docs", "/kept/docs/")] {
        assert_eq!(header(&proxy.get(path).await, "location"), Some(to), "{path}");
    }
    assert!(body(&proxy.get("/api/x").await).starts_with("GET /api/x\n"));
}

#[tokio::test]
async fn other_methods_are_refused_and_their_bodies_do_not_become_requests() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    let inner = "GET /app.css HTTP/1.1\r\nHost: shop\r\n\r\n";
    let answer = proxy
        .raw(&format!("POST /index.html HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()))
        .await;
    assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("GET, HEAD")), "{answer}");
    assert!(!answer.contains("body {}"), "{answer}");
    assert_eq!(proxy.counters().requests, 1);
}

#[tokio::test]
async fn one_connection_carries_many_requests_for_files_and_each_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = serving_files(&folder).await;
    let mut client = proxy.connect().await;
    for _ in 0..50 {
        client.write_all(b"GET /app.css HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
        let (head, body) = read_answer(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200") && body == "body {}", "{head}{body}");
    }
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed, counters.client_gone), (50, 0, 0));
    assert_eq!(proxy.routing.sent_bytes()["shop"], 50 * 7);
    assert!(counters.slowest_us > 0);
}

#[tokio::test]
async fn a_large_file_is_streamed_and_a_client_that_leaves_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let large = "0123456789abcdef".repeat(1 << 20);
    let files = stored(&folder, "1", &[("large.bin", &large), ("empty.txt", "")]);
    let proxy = serving(vec![site("/", Rewrite::Strip, &[&files], errors())]).await;
    let answer = proxy.get("/large.bin").await;
    assert!(body(&answer) == large, "{} bytes", answer.len());
    assert_eq!(header(&proxy.get("/empty.txt").await, "content-length"), Some("0"));
    assert_eq!((proxy.counters().requests, proxy.counters().client_gone), (2, 0));

    let mut client = proxy.connect().await;
    client.write_all(b"GET /large.bin HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    let mut some = [0; 1000];
    soon(client.read_exact(&mut some)).await.unwrap();
    drop(client);
    until(|| proxy.counters().client_gone == 1).await;
}

#[tokio::test]
async fn a_new_table_switches_to_other_files_and_open_answers_come_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let (old_text, new_text) = ("1".repeat(8 << 20), "2".repeat(8 << 20));
    let old = stored(&folder, "1", &[("large.txt", &old_text)]);
    let new = stored(&folder, "2", &[("large.txt", &new_text)]);
    let proxy = serving(vec![site("/", Rewrite::Strip, &[&old], errors())]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET /large.txt HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut begun = [0; 100];
    soon(client.read_exact(&mut begun)).await.unwrap();
    proxy.routing.install(&table(2, vec![site("/", Rewrite::Strip, &[&new], errors())]));
    std::fs::remove_dir_all(&old).unwrap();
    assert!(body(&proxy.get("/large.txt").await) == new_text);
    let whole = format!("{}{}", String::from_utf8_lossy(&begun), read_all(&mut client).await);
    assert!(body(&whole) == old_text, "{} bytes", whole.len());
}

#[tokio::test]
async fn files_that_cannot_be_read_are_a_503_and_the_rest_of_the_table_works() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    // Content that no other test reads, so it is not in memory.
    let files = [("index.html", "home"), ("unread.txt", "never read")];
    let rules =
        vec![rule("/api", Rewrite::Keep, &[("api", echo().await)]), site("/", Rewrite::Strip, &[&gone], errors())];
    let proxy = serving(rules.clone()).await;
    let answer = proxy.get("/").await;
    assert_eq!((status(&answer), header(&answer, "x-boatyard-error")), (503, Some("files-unreadable")));
    assert_eq!(status(&proxy.get("/api").await), 200);
    assert_eq!(proxy.counters().failed, 1);
    stored(&folder, "gone", &files);
    proxy.routing.install(&table(2, rules.clone()));
    assert_eq!(body(&proxy.get("/").await), "home", "a later table finds them");
    std::fs::remove_dir_all(&gone).unwrap();
    assert_eq!(status(&proxy.get("/unread.txt").await), 503);
    assert_eq!(status(&proxy.get("/").await), 200, "it is in memory");
    stored(&folder, "gone", &files);
    proxy.routing.install(&table(3, rules));
    assert_eq!(body(&proxy.get("/unread.txt").await), "never read", "likewise if they were stored again");
}

#[test]
fn a_table_with_files_is_read_as_it_was_written() {
    let directory = PathBuf::from("/data/sites/a/1");
    let written = table(1, vec![site("/", Rewrite::Strip, &[&directory], MissingFile::CatchAll("app.html".into()))]);
    let text = serde_json::to_string(&written).unwrap();
    assert!(
        text.contains(
            r#""files":{"directories":["/data/sites/a/1"],"index":"index.html","missing":{"catch_all":"app.html"}}"#
        ),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<RouteTable>(&text).unwrap(), written);
}
