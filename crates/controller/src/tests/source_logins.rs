//! Logins for git servers: kept sealed, listed without secrets, and found for the repositories of their host.

use source::{Fingerprint, RepoUrl, UrlRules};

use super::cluster::{TestCluster, caller};
use super::simulation::simulate;
use crate::source_logins::lookup;
use crate::view::{NewSourceLogin, SourceLoginView, SourceProtocol, SourceSecret};
use crate::{Control, ControlError};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";

fn token(user: Option<&str>) -> SourceSecret {
    SourceSecret::Token { user: user.map(str::to_owned), token: "s3cret\n".into() }
}

fn key(host_keys: &[&str]) -> SourceSecret {
    SourceSecret::SshKey { private_key: KEY.into(), host_keys: host_keys.iter().map(ToString::to_string).collect() }
}

async fn add(cluster: &TestCluster, host: &str, secret: SourceSecret) -> Result<SourceLoginView, ControlError> {
    cluster.controller().add_source_login(NewSourceLogin { host: host.into(), secret }, &caller()).await
}

async fn logins(cluster: &TestCluster) -> Vec<(String, SourceProtocol)> {
    let all = cluster.controller().source_logins().await.unwrap();
    all.into_iter().map(|it| (it.host, it.protocol)).collect()
}

#[test]
fn logins_outlive_the_controller_and_are_removed_by_their_host() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let added = add(&cluster, "GitHub.com", token(None)).await.unwrap();
        assert_eq!((added.host.as_str(), added.user.as_deref()), ("github.com", Some("x-access-token")));
        let added = add(&cluster, "github.com", key(&[])).await.unwrap();
        assert_eq!(added.host_keys.len(), 3, "GitHub publishes them");
        add(&cluster, "git.example.com:8443", token(Some("me"))).await.unwrap();
        cluster.crash().await;
        cluster.open().await;
        let (https, ssh) = (SourceProtocol::Https, SourceProtocol::Ssh);
        let github = "github.com".to_owned();
        let other = ("git.example.com:8443".to_owned(), https);
        assert_eq!(logins(&cluster).await, [other.clone(), (github.clone(), https), (github, ssh)]);
        let removed = cluster.controller().remove_source_login("GITHUB.com", &caller()).await.unwrap();
        assert_eq!((removed.len(), logins(&cluster).await), (2, vec![other]));
        let again = cluster.controller().remove_source_login("github.com", &caller()).await;
        assert!(matches!(again, Err(ControlError::NotFound(_))));
    });
}

#[test]
fn an_unknown_host_key_is_named_and_nothing_is_saved() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let presented = Fingerprint::of_hash(&[7; 32]).to_string();
        let error = add(&cluster, "git.example.com:2222", key(&[])).await.unwrap_err();
        let command = format!("boatyard sources add git.example.com:2222 --ssh-key FILE --fingerprint {presented}");
        assert!(matches!(&error, ControlError::Conflict(message) if message.ends_with(&command)), "{error}");
        let error = add(&cluster, "silent.example.com", key(&[])).await.unwrap_err();
        assert!(error.to_string().contains("it does not answer; nothing was saved"), "{error}");
        assert!(add(&cluster, "git.example.com", key(&["SHA256:short"])).await.is_err());
        assert!(logins(&cluster).await.is_empty());
        let found = cluster.controller().host_key("git.example.com:22").await.unwrap();
        assert_eq!((found.host.as_str(), found.fingerprint), ("git.example.com", presented));
    });
}

#[test]
fn other_host_keys_are_pinned_without_the_private_key() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let [first, second] = [[1; 32], [2; 32]].map(|hash| Fingerprint::of_hash(&hash).to_string());
        let missing = add(&cluster, "git.example.com", SourceSecret::HostKeys(vec![second.clone()])).await;
        assert!(matches!(missing, Err(ControlError::NotFound(message)) if message.contains("--ssh-key FILE")));
        add(&cluster, "git.example.com", key(&[&first])).await.unwrap();
        let changed = add(&cluster, "git.example.com", SourceSecret::HostKeys(vec![second.clone()])).await.unwrap();
        assert_eq!(changed.host_keys, [second]);
        let none = add(&cluster, "git.example.com", SourceSecret::HostKeys(Vec::new())).await;
        assert!(matches!(none, Err(ControlError::Invalid(_))));
        let store = cluster.controller().0.shared.store.clone();
        let found = store.host_login(store::records::LoginKind::GitSsh, "git.example.com").await.unwrap().unwrap();
        assert_eq!(found.secret, KEY);
    });
}

#[test]
fn a_repository_gets_the_logins_of_its_host_only() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let pinned = Fingerprint::of_hash(&[1; 32]).to_string();
        add(&cluster, "git.example.com", token(None)).await.unwrap();
        add(&cluster, "bitbucket.org", token(None)).await.unwrap();
        add(&cluster, "git.example.com", key(&[&pinned])).await.unwrap();
        let find = lookup(cluster.controller().0.shared.store.clone());
        for (address, user, has_key) in [
            ("https://git.example.com/a", Some("oauth2"), true),
            ("https://bitbucket.org/a/b.git", Some("x-token-auth"), false),
            ("https://git.example.com:8443/a", None, true),
            ("git@git.example.com:a.git", None, true),
            ("ssh://git@git.example.com:2222/a", None, false),
            ("https://example.com/a", None, false),
        ] {
            let found = find(RepoUrl::parse(address, &UrlRules::default()).unwrap()).await.unwrap();
            assert_eq!(found.token.map(|it| it.user).as_deref(), user, "{address}");
            assert_eq!(found.ssh_key.map(|it| it.host_keys.len()), has_key.then_some(1), "{address}");
        }
    });
}
