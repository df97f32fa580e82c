//! Certificates and accounts at certificate authorities.

use rollout::time::Timestamp;

use super::samples::*;
use crate::records::{AcmeAccount, AcmeAnswer, AcmeOrder, Certificate, CertificateAttempts, CertificateSource, Change};

fn certificate(name: &str) -> Certificate {
    Certificate {
        name: name.to_owned(),
        source: CertificateSource::Acme,
        names: vec![name.to_owned()],
        chain: "chain".to_owned(),
        key: format!("canary-{name}"),
        not_before: Timestamp(1),
        not_after: Timestamp(2),
        added: Timestamp(1),
    }
}

#[tokio::test]
async fn certificates_and_accounts_are_read_back_and_their_keys_are_sealed() {
    let test = TestStore::new();
    let account = AcmeAccount { directory: "https://acme.example".to_owned(), credentials: "canary".to_owned() };
    let (a, b) = (certificate("a.example"), certificate("*.a.example"));
    let (directory, url) = (account.directory.clone(), "https://acme.example/order/1".to_owned());
    let canary = || "canary".to_owned();
    let answer = Some(AcmeAnswer { token: canary(), text: canary(), chain: canary(), key: canary() });
    let attempts = CertificateAttempts {
        name: "b.example".to_owned(),
        count: 1,
        last: Timestamp(1),
        ended: false,
        error: None,
        order: Some(AcmeOrder { directory, url, key: canary(), answer }),
    };
    let changes = vec![
        Change::Certificate(Box::new(a.clone())),
        Change::Certificate(Box::new(b.clone())),
        Change::AcmeAccount(account.clone()),
        Change::CertificateAttempts(attempts.clone()),
    ];
    test.store.commit(changes).await.unwrap();
    assert_eq!(test.store.certificates().await.unwrap(), [b.clone(), a]);
    assert_eq!(test.store.acme_account("https://acme.example").await.unwrap(), Some(account));
    assert_eq!(test.store.acme_account("https://other.example").await.unwrap(), None);
    assert_eq!(test.store.certificate_attempts().await.unwrap(), [attempts]);
    for table in ["certificates", "acme_accounts", "certificate_attempts"] {
        let bodies: Vec<Vec<u8>> = test
            .sql()
            .prepare(&format!("SELECT body FROM {table}"))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(bodies.iter().all(|body| !body.windows(6).any(|it| it == b"canary")), "{table}");
    }
    let forgotten = vec![
        Change::ForgetCertificate("a.example".to_owned()),
        Change::ForgetCertificateAttempts("b.example".to_owned()),
    ];
    test.store.commit(forgotten).await.unwrap();
    assert_eq!(test.store.certificates().await.unwrap(), [b]);
    assert_eq!(test.store.certificate_attempts().await.unwrap(), []);
}
