//! Texts that no log, error or debug output may show.

use std::fmt;

/// A secret: the value of a variable, or a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text. Pass it only to the engine or to a registry.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    pub username: String,
    /// A password or an access token.
    pub password: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_shown_without_its_password() {
        let login = RegistryLogin { username: "ada".into(), password: Secret::new("hunter2") };
        assert_eq!(format!("{login:?}"), "RegistryLogin { username: \"ada\", password: Secret(…) }");
    }
}
