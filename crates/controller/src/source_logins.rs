//! Logins for git servers: the names of hosts, the checks of new logins, and the look-up for a fetch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use builder::LoginLookup;
use futures::FutureExt;
use source::{Fingerprint, Logins, RepoUrl, Secret, SourceError, SshKey, Token, UrlRules};
use store::records::{HostLogin, LoginKind};
use store::{Store, StoreError};

use crate::error::ControlError;
use crate::view::{SourceLoginView, SourceProtocol};

/// Longest token, key and user name. Our choice; the longest common ones are keys with 3 KiB.
const MAX_SECRET: usize = 16 * 1024;
const MAX_USER: usize = 256;

/// The ssh host keys that hosts publish, so that users need not compare them by hand.
const PUBLISHED: [(&str, [&str; 3]); 3] = [
    // https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints
    (
        "github.com",
        [
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
            "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
            "SHA256:uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s",
        ],
    ),
    // https://docs.gitlab.com/user/gitlab_com/#ssh-host-keys-fingerprints
    (
        "gitlab.com",
        [
            "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
            "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
            "SHA256:ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
        ],
    ),
    // https://bitbucket.org/site/ssh has the keys.
    (
        "bitbucket.org",
        [
            "SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
            "SHA256:FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
            "SHA256:46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E",
        ],
    ),
];

/// The keys that this host publishes; none for most hosts.
pub(crate) fn published_keys(host: &str) -> Vec<Fingerprint> {
    let keys = PUBLISHED.iter().find(|(name, _)| *name == host).map(|(_, keys)| keys.as_slice()).unwrap_or_default();
    keys.iter().filter_map(|key| Fingerprint::parse(key).ok()).collect()
}

/// The user name that the host expects with a token, unless another one was given. Hosts other than these usually accept any name.
fn usual_user(host: &str) -> &'static str {
    match host {
        "github.com" => "x-access-token",
        "bitbucket.org" => "x-token-auth",
        _ => "oauth2",
    }
}

/// The name under which logins for a host are kept: in lower case, without the usual port of the protocol. Errors: the text
/// is not a host name with an optional port.
pub(crate) fn host_name(text: &str, protocol: SourceProtocol) -> Result<String, ControlError> {
    let address = match protocol {
        SourceProtocol::Https => format!("https://{text}/a"),
        SourceProtocol::Ssh => format!("ssh://git@{text}/a"),
    };
    // A path or a user in the text would name something else than a host.
    let names = match text.contains(['/', '@']) {
        true => None,
        false => RepoUrl::parse(&address, &UrlRules::default()).ok().and_then(|it| it.host_names()),
    };
    let name = names.and_then(|it| match protocol {
        SourceProtocol::Https => it.https,
        SourceProtocol::Ssh => Some(it.ssh),
    });
    // The text is not repeated: people may paste an address with a login.
    name.ok_or_else(|| {
        ControlError::Invalid(
            "this is not a host. Give its name, with a port if it has another one: git.example.com:8443".into(),
        )
    })
}

/// Checks a token. Returns it without the white space around it. Errors: it cannot be one.
pub(crate) fn check_token(text: &str) -> Result<String, ControlError> {
    let token = text.trim();
    match token {
        "" => Err(ControlError::Invalid("the token is empty".into())),
        _ if token.len() > MAX_SECRET => Err(too_long("the token", MAX_SECRET)),
        _ if token.contains(|it: char| it.is_control() || it.is_whitespace()) => {
            Err(ControlError::Invalid("the token contains white space. Give one token on one line".into()))
        }
        _ => Ok(token.to_owned()),
    }
}

/// Checks the user name for a token. Errors: it is empty, too long, or has characters that a login by https cannot have.
pub(crate) fn check_user(user: &str) -> Result<(), ControlError> {
    if user.len() > MAX_USER {
        return Err(too_long("the user name", MAX_USER));
    }
    match user.is_empty() || user.contains(|it: char| it.is_control() || it == ':') {
        true => Err(ControlError::Invalid("a user name must not be empty, nor contain a colon or a line break".into())),
        false => Ok(()),
    }
}

/// Checks a private key for ssh, and returns it with the line ends that libssh2 reads. Errors: it is not a private key, or a
/// passphrase protects it.
pub(crate) fn check_private_key(text: &str) -> Result<String, ControlError> {
    let key = text.trim().replace("\r\n", "\n");
    let refused = |why: &str| Err(ControlError::Invalid(why.to_owned()));
    if key.len() > MAX_SECRET {
        return Err(too_long("the key", MAX_SECRET));
    }
    let Some((first, rest)) = key.split_once('\n').filter(|(first, _)| first.ends_with("PRIVATE KEY-----")) else {
        return match key.starts_with("ssh-") || key.starts_with("ecdsa-") {
            true => refused("this is a public key. Give the file of the private key, whose name has no .pub"),
            false => refused("this is not a private key in OpenSSH or PEM format, as `ssh-keygen` writes it"),
        };
    };
    if is_protected(first, rest) {
        return refused(
            "a passphrase protects the key, and Boatyard could not ask for it. Make a key for Boatyard alone: \
             ssh-keygen -t ed25519 -N '' -f FILE",
        );
    }
    Ok(format!("{key}\n"))
}

/// Whether a private key has a passphrase. `rest`: the lines after the first one.
fn is_protected(first: &str, rest: &str) -> bool {
    if first.contains("ENCRYPTED") || rest.lines().any(|it| it.starts_with("Proc-Type:") && it.contains("ENCRYPTED")) {
        return true;
    }
    if !first.contains("OPENSSH") {
        return false;
    }
    // OpenSSH's PROTOCOL.key: a magic, then the name of the cipher with its length.
    let body: String = rest.lines().take_while(|it| !it.starts_with("-----")).collect();
    let body = BASE64.decode(body).unwrap_or_default();
    body.strip_prefix(b"openssh-key-v1\0").is_some_and(|it| !it.starts_with(b"\0\0\0\x04none"))
}

fn too_long(what: &str, limit: usize) -> ControlError {
    ControlError::Invalid(format!("{what} is longer than {limit} bytes"))
}

/// What is on record about a login, without its secret. `None`: it is not for git.
pub(crate) fn view(login: &HostLogin) -> Option<SourceLoginView> {
    let (protocol, user) = match login.kind {
        LoginKind::GitHttps => {
            let usual = || usual_user(&login.host).to_owned();
            (SourceProtocol::Https, Some(login.user.clone().unwrap_or_else(usual)))
        }
        LoginKind::GitSsh => (SourceProtocol::Ssh, None),
        LoginKind::Registry => return None,
    };
    let (host, host_keys) = (login.host.clone(), login.host_keys.clone());
    Some(SourceLoginView { host, protocol, user, host_keys, added: login.added })
}

/// Looks logins up in the store when a fetch begins, so that they are in memory only while they are used.
pub(crate) fn lookup(store: Store) -> LoginLookup {
    std::sync::Arc::new(move |repo| {
        let store = store.clone();
        async move { of_repository(&store, &repo).await.map_err(|error| unreadable(&repo, &error)) }.boxed()
    })
}

async fn of_repository(store: &Store, repo: &RepoUrl) -> Result<Logins, StoreError> {
    let Some(names) = repo.host_names() else { return Ok(Logins::default()) };
    let token = match &names.https {
        Some(host) => store.host_login(LoginKind::GitHttps, host).await?,
        None => None,
    };
    let ssh_key = store.host_login(LoginKind::GitSsh, &names.ssh).await?;
    Ok(Logins { token: token.map(as_token), ssh_key: ssh_key.map(as_ssh_key) })
}

fn as_token(login: HostLogin) -> Token {
    let user = login.user.unwrap_or_else(|| usual_user(&login.host).to_owned());
    Token { user, secret: Secret::new(login.secret) }
}

fn as_ssh_key(login: HostLogin) -> SshKey {
    let host_keys = login.host_keys.iter().filter_map(|it| Fingerprint::parse(it).ok()).collect();
    SshKey { private_key: Secret::new(login.secret), host_keys }
}

fn unreadable(repo: &RepoUrl, error: &StoreError) -> SourceError {
    SourceError::LoginUnreadable { repo: repo.to_string(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_name_for_each_protocol() {
        use SourceProtocol::{Https, Ssh};
        for (text, protocol, name) in [
            ("GitHub.com", Https, "github.com"),
            ("git.example.com:443", Https, "git.example.com"),
            ("git.example.com:8443", Https, "git.example.com:8443"),
            ("git.example.com:22", Ssh, "git.example.com"),
            ("git.example.com:443", Ssh, "git.example.com:443"),
            ("[::1]:2222", Ssh, "[::1]:2222"),
        ] {
            assert_eq!(host_name(text, protocol).ok().as_deref(), Some(name), "{text}");
        }
        for text in ["", "https://github.com", "github.com/owner", "me:hunter2@github.com", "a b", "github.com:x", "-x"]
        {
            for protocol in [Https, Ssh] {
                let error = host_name(text, protocol).expect_err(text).to_string();
                assert!(error.contains("git.example.com:8443") && !error.contains("hunter2"), "{error}");
            }
        }
    }

    #[test]
    fn published_keys_are_valid_and_belong_to_the_usual_port() {
        for (host, keys) in PUBLISHED {
            assert_eq!(published_keys(host).len(), keys.len(), "{host}");
        }
        assert!(published_keys("github.com:2222").is_empty());
        assert!(published_keys("git.example.com").is_empty());
    }

    #[test]
    fn a_token_has_one_line() {
        assert_eq!(check_token(" ghp_1\n").ok().as_deref(), Some("ghp_1"));
        for wrong in ["", " \n", "a b", "a\nb", "a\0b", &"x".repeat(MAX_SECRET + 1)] {
            assert!(check_token(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_user("x-token-auth").is_ok());
        for wrong in ["", "a:b", "a\nb", &"x".repeat(MAX_USER + 1)] {
            assert!(check_user(wrong).is_err(), "{wrong:?}");
        }
    }

    /// A key of OpenSSH's format with this cipher, and nothing that could open anything.
    fn openssh(cipher: &str) -> String {
        let mut body = b"openssh-key-v1\0".to_vec();
        body.extend(u32::try_from(cipher.len()).expect("short").to_be_bytes());
        body.extend(cipher.as_bytes());
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", BASE64.encode(body))
    }

    #[test]
    fn a_private_key_without_a_passphrase_is_accepted() {
        let plain = openssh("none");
        assert_eq!(check_private_key(&plain.replace('\n', "\r\n")).ok(), Some(plain));
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(check_private_key(pem).ok().as_deref(), Some(pem));
        for (key, words) in [
            (openssh("aes256-ctr"), "a passphrase protects"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----".into(), "a passphrase"),
            (pem.replace("AAAA", "Proc-Type: 4,ENCRYPTED\n\nAAAA"), "a passphrase protects"),
            ("ssh-ed25519 AAAA me@host".into(), "public key"),
            ("s3cret".into(), "not a private key"),
            (String::new(), "not a private key"),
        ] {
            let error = check_private_key(&key).expect_err(words).to_string();
            assert!(error.contains(words) && !error.contains("s3cret") && !error.contains("AAAA"), "{error}");
        }
    }
}
