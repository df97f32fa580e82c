//! What an error must not show: secrets, and whatever may be one. In doubt it is hidden, because a masked line still says
//! where the mistake is.
//!
//! `tree` finds secrets by the fields around them, also where those are misspelt or in the wrong place. `text` finds what
//! needs no field: credentials inside addresses, and lines that could not be parsed.

mod text;
mod tree;

pub(crate) use text::{comments_for_values, credentials, is_shown_field, unparsed, without_credentials};
pub(crate) use tree::secrets;

use crate::suggest::{flat, nearest};

/// What stands in a message for what is hidden.
const MASK: &str = "*******";

/// Parts of names that tell a secret.
const STEMS: [&str; 14] = [
    "pass",
    "pwd",
    "secr",
    "token",
    "cred",
    "apikey",
    "authkey",
    "accesskey",
    "privatekey",
    "signingkey",
    "auth",
    "dsn",
    "cert",
    "webhook",
];

/// Fields that hold secrets, for names that are nearly theirs.
const FIELDS: [&str; 5] = ["registry_credentials", "password", "token", "api_key", "secret"];

/// Fields of a spec that only look like such.
const HARMLESS: [&str; 2] = ["authority", "certificate"];

/// Bytes of a name; what is longer is none, and is looked at no further.
const LONGEST_NAME: usize = 256;

/// The name that a key begins with.
pub(crate) fn name_in(key: &str) -> &str {
    let ends = |(at, c): &(usize, char)| *at >= LONGEST_NAME || !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let end = key.char_indices().find(ends).map_or(key.len(), |(at, _)| at);
    &key[..end]
}

/// Whether a value under that name could be a secret at all.
pub(crate) fn may_hold_secret(name: &str) -> bool {
    is_secret_name(name) || nearest(name, ["value"]).is_some()
}

/// Whether a field or a variable of that name holds a secret, as far as the name alone tells.
pub(crate) fn is_secret_name(name: &str) -> bool {
    has_secret_stem(name) || nearest(name, FIELDS).is_some()
}

/// The same without the slips of a misspelt name.
fn has_secret_stem(name: &str) -> bool {
    let flat = flat(name);
    let is_some_key = flat.ends_with("key") && flat.len() > 3;
    !HARMLESS.contains(&name) && (is_some_key || STEMS.iter().any(|stem| flat.contains(stem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets_also_when_they_are_misspelt() {
        for name in
            ["password", "DB_PASSWORD", "registryCredentials", "tokn", "apiKey", "STRIPE_KEY", "pasword", "secrt"]
        {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["key", "name", "value", "authority", "certificate", "http_port", "repository", "NODE_ENV"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
