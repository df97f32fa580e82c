//! Logins for other hosts: one for each host and purpose, and sealed on disk.

use super::samples::*;
use crate::StoreError;
use crate::records::{Change, HostLogin, LoginKind};

fn login(kind: LoginKind, host: &str, secret: &str) -> HostLogin {
    HostLogin { kind, ..host_login(host, secret) }
}

async fn with_logins(logins: &[HostLogin]) -> TestStore {
    let test = TestStore::new();
    test.store.commit(logins.iter().cloned().map(Change::HostLogin).collect()).await.unwrap();
    test
}

#[tokio::test]
async fn a_host_has_one_login_of_each_kind_until_it_is_deleted() {
    let [https, ssh, registry] = [LoginKind::GitHttps, LoginKind::GitSsh, LoginKind::Registry]
        .map(|kind| login(kind, "git.example.com", "first"));
    let other = login(LoginKind::GitHttps, "a.example.com:8443", "other");
    let test = with_logins(&[registry.clone(), ssh.clone(), https, other.clone()]).await;
    let newer = login(LoginKind::GitHttps, "git.example.com", "second");
    test.store.commit(vec![Change::HostLogin(newer.clone())]).await.unwrap();
    let test = test.reopened();
    assert_eq!(test.store.host_logins().await.unwrap(), [other, newer.clone(), ssh.clone(), registry]);
    let forget = Change::ForgetHostLogin(LoginKind::Registry, "git.example.com".to_owned());
    test.store.commit(vec![forget]).await.unwrap();
    let host = "git.example.com";
    assert_eq!(test.store.host_login(LoginKind::GitHttps, host).await.unwrap(), Some(newer));
    assert_eq!(test.store.host_login(LoginKind::GitSsh, host).await.unwrap(), Some(ssh));
    assert_eq!(test.store.host_login(LoginKind::Registry, host).await.unwrap(), None);
}

#[tokio::test]
async fn a_login_that_was_moved_to_another_host_does_not_open() {
    let test = with_logins(&[login(LoginKind::GitHttps, "git.example.com", "secret")]).await;
    test.sql().execute("UPDATE host_logins SET host = 'evil.example.com'", []).unwrap();
    let error = test.store.host_login(LoginKind::GitHttps, "evil.example.com").await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { table: "host_logins", .. }), "{error:?}");
    assert_eq!(test.store.host_logins().await.unwrap(), []);
    let forget = Change::ForgetHostLogin(LoginKind::GitHttps, "evil.example.com".to_owned());
    test.store.commit(vec![forget]).await.unwrap();
    assert_eq!(test.store.damaged(), []);
}

/// The key column and the JSON of a row must not change: rows of this version are read by later ones.
#[test]
fn a_kind_has_the_same_name_in_the_key_and_in_the_body() {
    for kind in [LoginKind::GitHttps, LoginKind::GitSsh, LoginKind::Registry] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}
