//! Logins for private repositories: tokens by https, keys by ssh, and what happens when they are missing or wrong.

use std::path::PathBuf;

use boatyard_tests::git_server::{Manner, Server};
use boatyard_tests::sshd::Sshd;
use source::{FetchOptions, Fingerprint, Logins, RepoUrl, Resolved, Secret, Selection, SourceError, SshKey, Token};

use crate::fetching::{fetch, main_branch};
use crate::fixture::Fixture;
use crate::{Case, wait};

pub const CASES: &[Case] = &[
    ("a token gives access to a repository and is sent only on request", token),
    ("a refused token is tried once", token_refused),
    ("a token is not sent to another host", token_not_carried),
    ("a repository is fetched by https from a server of a given authority, and from no other", https),
    ("a repository that is named by https is fetched by ssh if there is only a key", https_with_key),
    ("a key gives access to a repository by ssh", key),
    ("an ssh address without a key is not fetched", no_key),
    ("a key that the server does not know is refused", key_refused),
    ("nothing is sent to a server whose ssh host key is not pinned", host_key_changed),
    ("the key that an ssh server presents is shown, and no login is tried", host_key_shown),
    ("a repository that does not exist is an error after the login", no_repository_by_ssh),
    ("a key that is not a private key is an error that names its host", unusable_key),
];

fn fetch_with(fixture: &Fixture, url: &RepoUrl, logins: Logins) -> Result<Resolved, SourceError> {
    let options = FetchOptions { logins, deadline: None };
    wait(fixture.source().fetch(url, &main_branch(), options, |_| {}))
}

fn a_token() -> Logins {
    let token = Token { user: "me".into(), secret: Secret::new("s3cret-token") };
    Logins { token: Some(token), ssh_key: None }
}

/// `me:s3cret-token` in base64.
const AUTHORIZATION: &str = "Basic bWU6czNjcmV0LXRva2Vu";

fn token() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let server = Server::start(Manner::ServeWithLogin(fixture.path(), AUTHORIZATION.to_owned()));
    let url = fixture.source().repo_url(&server.url).unwrap();
    let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
    assert!(matches!(error, SourceError::NotFoundOrLogin { .. }), "{error}");
    assert_eq!(fetch_with(&fixture, &url, a_token()).unwrap().commit, fixture.head());
    let open = Server::start(Manner::Serve(fixture.path()));
    let url = fixture.source().repo_url(&open.url).unwrap();
    fetch_with(&fixture, &url, a_token()).unwrap();
    assert!(open.requests().iter().all(|seen| seen.authorization.is_none()));
}

fn token_refused() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let server = Server::start(Manner::ServeWithLogin(fixture.path(), "Basic other".to_owned()));
    let url = fixture.source().repo_url(&server.url).unwrap();
    let error = fetch_with(&fixture, &url, a_token()).unwrap_err();
    assert!(matches!(error, SourceError::TokenRefused { .. }), "{error}");
    let host = url.as_str().split('/').nth(2).unwrap();
    let message = error.to_string();
    assert!(message.ends_with(&format!("boatyard sources add {host} --token-file FILE")), "{message}");
    assert!(!message.contains("s3cret"));
    assert_eq!(server.requests().iter().filter(|seen| seen.authorization.is_some()).count(), 1);
}

fn token_not_carried() {
    let fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let thief = Server::start(Manner::ServeWithLogin(fixture.path(), AUTHORIZATION.to_owned()));
    let port = thief.url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    // Another name of this machine counts as another host; another port of the same name is another server.
    for host in ["localhost", "127.0.0.1"] {
        let server = Server::start(Manner::Redirect(format!("http://{host}:{port}")));
        let url = fixture.source().repo_url(&server.url).unwrap();
        let error = fetch_with(&fixture, &url, a_token()).unwrap_err();
        let refused = matches!(error, SourceError::Redirect { .. } | SourceError::NotFoundOrLogin { .. });
        assert!(refused, "{host}: {error}");
    }
    assert!(thief.requests().iter().all(|seen| seen.authorization.is_none()));
}

fn https() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "FROM scratch")]);
    fixture.settings.allow_http = false;
    let (server, authority) = Server::start_tls(Manner::ServeWithLogin(fixture.path(), AUTHORIZATION.to_owned()));
    let url = fixture.source().repo_url(&server.url).unwrap();
    let error = fetch_with(&fixture, &url, a_token()).unwrap_err();
    assert!(matches!(error, SourceError::Certificate { .. }), "{error}");
    assert!(server.requests().is_empty(), "the token is not sent to a server that cannot be verified");

    let file = fixture.dir.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    fixture.settings.authorities = Some(file);
    let error = fetch(&fixture, &url, &main_branch()).unwrap_err();
    assert!(matches!(error, SourceError::NotFoundOrLogin { .. }), "{error}");
    let resolved = fetch_with(&fixture, &url, a_token()).unwrap();
    assert_eq!((&resolved.commit, resolved.received), (&fixture.head(), true));
    let identity = wait(fixture.source().identity(&url, &resolved.commit, &Selection::parse(None, None).unwrap()));
    assert_eq!(identity.unwrap().dockerfile_text, "FROM scratch");

    // The authority vouches for localhost, not for the address.
    let other = fixture.source().repo_url(&server.url.replace("localhost", "127.0.0.1")).unwrap();
    let error = fetch_with(&fixture, &other, a_token()).unwrap_err();
    assert!(matches!(error, SourceError::Certificate { .. }), "{error}");
}

fn https_with_key() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let (server, authority) = Server::start_tls(Manner::ServeWithLogin(fixture.path(), AUTHORIZATION.to_owned()));
    let file = fixture.dir.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    fixture.settings.authorities = Some(file);
    let url = fixture.source().repo_url(&server.url).unwrap();
    let key = SshKey { private_key: Secret::new("key"), host_keys: Vec::new() };
    // Whatever listens on the usual port for ssh here does not have a pinned key.
    let by_ssh = |error: &SourceError| match error {
        SourceError::Unreachable { repo, .. } => repo == "ssh://git@localhost/owner/name.git",
        SourceError::HostKeyChanged { host, .. } => host == "localhost",
        _ => false,
    };
    let only_key = Logins { token: None, ssh_key: Some(key.clone()) };
    let error = fetch_with(&fixture, &url, only_key.clone()).unwrap_err();
    assert!(by_ssh(&error), "{error}");
    assert!(fetch_with(&fixture, &url, Logins { ssh_key: Some(key), ..a_token() }).is_ok(), "the token comes first");

    let (open, authority) = Server::start_tls(Manner::Serve(fixture.path()));
    std::fs::write(fixture.settings.authorities.as_ref().unwrap(), authority).unwrap();
    let url = fixture.source().repo_url(&open.url).unwrap();
    assert!(fetch_with(&fixture, &url, only_key).is_ok(), "a public repository needs no key");
}

/// A repository that a real ssh server serves, the server, and the repository's address.
fn by_ssh() -> Option<(Fixture, Sshd, RepoUrl)> {
    let fixture = Fixture::with_files(&[("Dockerfile", "FROM scratch")]);
    let sshd = Sshd::start(fixture.dir.path())?;
    let url = fixture.source().repo_url(&sshd.address(&fixture.path())).unwrap();
    Some((fixture, sshd, url))
}

fn a_key(file: PathBuf, host_keys: Vec<Fingerprint>) -> Logins {
    let private_key = Secret::new(std::fs::read_to_string(file).unwrap());
    Logins { token: None, ssh_key: Some(SshKey { private_key, host_keys }) }
}

fn host_keys(sshd: &Sshd) -> Vec<Fingerprint> {
    sshd.host_keys().iter().map(|it| Fingerprint::parse(it).unwrap()).collect()
}

fn key() {
    let Some((fixture, sshd, url)) = by_ssh() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let login = a_key(sshd.new_key(kind, true), host_keys(&sshd));
        let resolved = fetch_with(&fixture, &url, login).unwrap();
        assert_eq!((&resolved.commit, resolved.branch.as_deref()), (&fixture.head(), Some("main")), "{kind}");
    }
    let identity = wait(fixture.source().identity(&url, &fixture.head(), &Selection::parse(None, None).unwrap()));
    assert_eq!(identity.unwrap().dockerfile_text, "FROM scratch");
}

fn no_key() {
    let fixture = Fixture::new();
    let url = fixture.source().repo_url("ssh://git@git.example.com:2222/owner/name.git").unwrap();
    let error = fetch_with(&fixture, &url, a_token()).unwrap_err();
    let expected = "ssh://git@git.example.com:2222/owner/name.git needs a key for ssh. To add one: boatyard sources add \
                    git.example.com:2222 --ssh-key FILE";
    assert_eq!(error.to_string(), expected);
}

fn key_refused() {
    let Some((fixture, sshd, url)) = by_ssh() else { return };
    let error = fetch_with(&fixture, &url, a_key(sshd.new_key("ed25519", false), host_keys(&sshd))).unwrap_err();
    assert!(matches!(error, SourceError::KeyRefused { .. }), "{error}");
    let message = error.to_string();
    assert!(message.ends_with(&format!("boatyard sources add {} --ssh-key FILE", sshd.host())), "{message}");
}

fn host_key_changed() {
    let Some((fixture, sshd, url)) = by_ssh() else { return };
    let pinned = Fingerprint::of_hash(&[7; 32]);
    let login = a_key(sshd.new_key("ed25519", true), vec![pinned.clone()]);
    let error = fetch_with(&fixture, &url, login).unwrap_err();
    let SourceError::HostKeyChanged { fingerprint, .. } = &error else { panic!("{error}") };
    assert!(host_keys(&sshd).contains(fingerprint));
    let message = error.to_string();
    let command = format!("boatyard sources add {} --fingerprint {fingerprint}", sshd.host());
    assert!(message.contains(pinned.as_str()) && message.ends_with(&command), "{message}");
    assert!(!sshd.log().contains("publickey"), "no login was tried");
}

fn host_key_shown() {
    let Some((fixture, sshd, _)) = by_ssh() else { return };
    let shown = wait(fixture.source().host_key(&sshd.host())).unwrap();
    assert!(host_keys(&sshd).contains(&shown));
    assert!(!sshd.log().contains("publickey"), "no login was tried");
    let error = wait(fixture.source().host_key("127.0.0.1:1")).unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    let error = wait(fixture.source().host_key("no host")).unwrap_err();
    assert!(matches!(error, SourceError::Address(_)), "{error}");
}

fn no_repository_by_ssh() {
    let Some((fixture, sshd, _)) = by_ssh() else { return };
    let url = fixture.source().repo_url(&sshd.address(&fixture.dir.path().join("missing"))).unwrap();
    let error = fetch_with(&fixture, &url, a_key(sshd.new_key("ed25519", true), host_keys(&sshd))).unwrap_err();
    assert!(matches!(error, SourceError::NotFoundWithLogin { .. }), "{error:?}");
}

fn unusable_key() {
    let Some((fixture, sshd, url)) = by_ssh() else { return };
    let file = fixture.dir.path().join("not-a-key");
    std::fs::write(&file, "s3cret text").unwrap();
    let error = fetch_with(&fixture, &url, a_key(file, host_keys(&sshd))).unwrap_err();
    assert!(matches!(error, SourceError::KeyUnusable { .. }), "{error:?}");
    assert!(!error.to_string().contains("s3cret"));
}
