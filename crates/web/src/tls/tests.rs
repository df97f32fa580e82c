//! The authority on disk, and renewal.

use std::os::unix::fs::PermissionsExt;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn names(outside: Option<&str>) -> Vec<String> {
    let outside = outside.map(|it| it.parse().expect("an address"));
    server_names("127.0.0.1:7443".parse().expect("an address"), outside.as_ref())
}

/// The authority's certificate after a start of the server at this time.
fn started(directory: &Path, names: &[String], now: SystemTime) -> String {
    authority::load_or_create(directory, names, now).map(|_| ()).expect("an authority");
    std::fs::read_to_string(authority::certificate_file(directory)).expect("written")
}

#[test]
fn the_server_has_the_names_of_this_host_its_address_and_its_outside_name() {
    let of = |bound: &str, outside: Option<&str>| {
        let outside = outside.map(|it| it.parse().expect("an address"));
        server_names(bound.parse().expect("an address"), outside.as_ref())[3..].join(" ")
    };
    assert_eq!(names(None), ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(of("0.0.0.0:7443", None), "");
    assert_eq!(of("192.0.2.1:7443", Some("https://api.example.test:8443")), "192.0.2.1 api.example.test");
    assert_eq!(of("127.0.0.5:7443", Some("https://localhost:8443")), "127.0.0.5");
}

#[test]
fn an_authority_stays_until_it_cannot_certify_the_servers_names_for_a_year() {
    let directory = tempfile::tempdir().expect("a directory");
    let (tls, now) = (directory.path().join("tls"), SystemTime::now());
    let first = started(&tls, &names(None), now);
    let mode = std::fs::metadata(tls.join("authority.key")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(started(&tls, &names(None), now + DAY * 3000), first, "eight years later");
    assert_eq!(started(&tls, &names(None), now - DAY * 3000), first, "the clock is wrong");

    let outside = names(Some("https://api.example.com"));
    let second = started(&tls, &outside, now);
    assert_ne!(second, first, "the first one must not certify the outside name");
    assert_eq!(started(&tls, &outside, now), second);
    assert_eq!(started(&tls, &names(None), now), second, "a name that is not needed does no harm");
    assert_ne!(started(&tls, &outside, now + DAY * 3400), second, "it expires within a year");
}

#[test]
fn a_damaged_certificate_is_written_again_and_a_damaged_key_is_replaced() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let now = SystemTime::now();
    let first = started(one.path(), &names(None), now);
    let other = started(two.path(), &names(None), now);
    let file = authority::certificate_file(one.path());
    for damaged in [&*other, "", "-----BEGIN CERTIFICATE-----\n"] {
        std::fs::write(&file, damaged).expect("writable");
        assert_eq!(started(one.path(), &names(None), now), first);
    }
    for damaged in ["", "-----BEGIN PRIVATE KEY-----\n"] {
        data_dir::private_files::write_whole(&one.path().join("authority.key"), damaged.as_bytes()).expect("writable");
        let replaced = started(one.path(), &names(None), now);
        assert_ne!(replaced, first);
        assert_eq!(started(one.path(), &names(None), now), replaced);
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    started(directory.path(), &names(None), SystemTime::now());
    let key = directory.path().join("authority.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("the test owns the file");
    let error = Tls::from_authority(directory.path(), names(None)).map(|_| ()).expect_err("refused");
    let mut cause = String::new();
    let mut next = std::error::Error::source(&error);
    while let Some(error) = next {
        cause += &error.to_string();
        next = error.source();
    }
    assert!(cause.contains("chmod 600"), "{error}: {cause}");
}

#[test]
fn a_server_certificate_is_renewed_after_two_thirds_of_its_life() {
    let directory = tempfile::tempdir().expect("a directory");
    let tls = Tls::from_authority(directory.path(), names(None)).expect("an authority");
    let current = || tls.current.0.read().expect("no panic").key.cert.clone();
    let (first, now) = (current(), SystemTime::now());
    tls.renew_if_due(now + DAY * 59);
    assert_eq!(current(), first);
    tls.renew_if_due(now + DAY * 61);
    assert_ne!(current(), first);
}

/// Files of the operator: made by another authority.
fn write_files(directory: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["api.example.test".to_owned()]).expect("a certificate");
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("writable");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writable");
    (certificate, key)
}

#[test]
fn files_of_the_operator_are_read_again_and_kept_while_they_are_unusable() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = write_files(directory.path());
    let tls = Tls::from_files(&certificate, &key).expect("usable");
    let current = || tls.current.0.read().expect("no panic").key.cert.clone();
    let (first, now) = (current(), SystemTime::now());
    std::fs::write(&certificate, "half a cert").expect("writable");
    tls.renew_if_due(now);
    assert_eq!(current(), first, "half written");
    write_files(directory.path());
    tls.renew_if_due(now);
    assert_ne!(current(), first);
    assert_eq!(tls.authority_file(), None);
}

#[test]
fn unusable_files_are_named() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let ((certificate, key), (_, other_key)) = (write_files(one.path()), write_files(two.path()));
    let error = |certificate: &Path, key: &Path| {
        Tls::from_files(certificate, key).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    };
    assert!(error(&certificate, &other_key).contains("cannot be used with the key"));
    assert!(error(&key, &key).contains("contains no certificate"));
    assert!(error(&certificate, &certificate).contains("cert.pem as a PEM file"));
    assert!(error(&one.path().join("missing"), &key).contains("missing"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_completes_the_handshake_is_disconnected() {
    let directory = tempfile::tempdir().expect("a directory");
    let tls = Tls::from_authority(directory.path(), names(None)).expect("an authority");
    let (_client, server) = tokio::io::duplex(1024);
    let error = tls.handshake(server).await.expect_err("no handshake");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
