//! Logins for registries of images.

use std::collections::BTreeMap;

use app_spec::{ImageSource, SecretValue, image_reference};
use engine::{RegistryLogin, Secret, reference};
use store::records::{HostLogin, LoginKind};
use store::{Store, StoreError};

/// The logins that the operator added, by the host of their registry as in [`reference::host`].
pub(crate) async fn logins(store: &Store) -> Result<BTreeMap<String, RegistryLogin>, StoreError> {
    let all = store.host_logins().await?.into_iter().filter(|it| it.kind == LoginKind::Registry);
    let login = |it: HostLogin| {
        let login = RegistryLogin { username: it.user.unwrap_or_default(), password: Secret::new(it.secret) };
        (it.host, login)
    };
    Ok(all.map(login).collect())
}

/// The login for a prebuilt image: the one in the app spec, else the one that the operator added. Errors: the one in the
/// spec does not have the form of a login.
pub(crate) fn login_for(
    image: &ImageSource,
    added: &BTreeMap<String, RegistryLogin>,
) -> Result<Option<RegistryLogin>, String> {
    let Some(SecretValue::Open(written)) = &image.registry_credentials else {
        return Ok(added.get(reference::host(&image_reference(image))).cloned());
    };
    match written.expose().split_once(':') {
        Some((username, password)) if !username.is_empty() && !password.is_empty() => {
            Ok(Some(RegistryLogin { username: username.to_owned(), password: Secret::new(password) }))
        }
        _ => {
            Err("its registry_credentials are not a user name and a token with a colon between them (USER:TOKEN)"
                .into())
        }
    }
}

/// The host of a registry as people write it: with a port if it is not the usual one, without a path. Errors: a sentence.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    // The text before the sign may be a login, which no message repeats.
    if text.contains('@') {
        return Err(
            "the host of a registry has no login in it. Write it as in the name of an image, such as ghcr.io".into()
        );
    }
    let lower = text.trim().to_ascii_lowercase();
    let host = lower.strip_prefix("https://").unwrap_or(&lower).trim_end_matches('/');
    let host = reference::without_usual_port(host);
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_name = name.split('.').all(|part| !part.is_empty())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    // A reference with another first part names an image at Docker Hub.
    let is_registry = name.contains('.') || name == "localhost" || port.is_some();
    match host {
        "docker.io" | "index.docker.io" | "index.docker.io/v1" | "registry-1.docker.io" | "hub.docker.com" => {
            Ok("docker.io".to_owned())
        }
        _ if is_name && is_port && is_registry => Ok(host.to_owned()),
        _ => Err(format!(
            "{text:?} is not the host of a registry. Write it as in the name of an image, such as ghcr.io, docker.io or \
             registry.example.com:5000"
        )),
    }
}

#[cfg(test)]
mod tests {
    use app_spec::{RegistryType, SecretText};

    use super::*;

    #[test]
    fn a_host_is_written_as_in_the_name_of_an_image() {
        for (text, host) in [
            ("ghcr.io", "ghcr.io"),
            ("https://GHCR.io/", "ghcr.io"),
            ("localhost", "localhost"),
            ("registry:5000", "registry:5000"),
            ("ghcr.io:443", "ghcr.io"),
            ("https://index.docker.io:443", "docker.io"),
            ("registry:443", "registry:443"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(host), "{text}");
        }
        for text in ["", "acme", "ghcr.io/acme", "ada@ghcr.io", "ghcr.io:port", "ghcr..io", "http://ghcr.io", "a b.c"] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_login_in_the_spec_comes_before_the_one_that_was_added() {
        let login = |name: &str| RegistryLogin { username: name.to_owned(), password: Secret::new("x:y") };
        let added = [("ghcr.io".to_owned(), login("added"))].into();
        let image = |registry_type, written: Option<&str>| ImageSource {
            registry_type: Some(registry_type),
            registry: Some("acme".into()),
            repository: "shop".into(),
            registry_credentials: written.map(|it| SecretValue::Open(SecretText::new(it))),
            ..ImageSource::default()
        };
        let found = |registry_type, written| login_for(&image(registry_type, written), &added);
        assert_eq!(found(RegistryType::Ghcr, None), Ok(Some(login("added"))));
        assert_eq!(found(RegistryType::Ghcr, Some("spec:x:y")), Ok(Some(login("spec"))));
        assert_eq!(found(RegistryType::Docr, None), Ok(None), "a login is for its host only");
        for written in ["token", ":token", "user:", ""] {
            let why = found(RegistryType::Ghcr, Some(written)).expect_err(written);
            assert!(why.contains("USER:TOKEN"), "{why}");
        }
    }
}
