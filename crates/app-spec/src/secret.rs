//! Secret text, and values that may hold a secret.
//!
//! A secret leaves this crate only through [`SecretText::expose`]: the type has no `Debug`, no `Display` and no
//! `Serialize`, and writers pass it to a sealing function of the caller.

use std::fmt;

use crate::spec::{AppSpec, EnvValue, EnvVar, Source};
use crate::tree::Node;
use crate::value::{Reader, Rule, Shape, SpecValue, Writer};

/// The prefix of a sealed value: `EV[1:<nonce>:<ciphertext>]`.
const SEALED: &str = "EV[";

/// A text that cannot be shown by accident.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text as a secret.
    pub fn new(text: impl Into<String>) -> SecretText {
        SecretText(text.into())
    }

    /// The text itself. Call it only where the plain text is needed, and give the reason there.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `text` has the form of a sealed value. Only the store knows which key sealed it.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED) && text.ends_with(']')
}

/// A field that always holds a secret, such as registry credentials or a token.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// The secret itself.
    Open(SecretText),
    /// A sealed value, as App Platform returns it: `EV[1:…]`.
    Sealed(String),
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SecretValue::Open(_) => "Open(…)",
            SecretValue::Sealed(_) => "Sealed(…)",
        })
    }
}

impl SpecValue for SecretValue {
    fn shape() -> Shape {
        Shape::Text
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<SecretValue> {
        reader.hide(node);
        let text = reader.text(node, rule)?;
        Some(match is_sealed(&text) {
            true => SecretValue::Sealed(text),
            false => SecretValue::Open(SecretText::new(text)),
        })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<Node> {
        Some(Node::text(match self {
            SecretValue::Open(secret) => writer.sealed(secret),
            SecretValue::Sealed(sealed) => sealed.clone(),
        }))
    }

    fn is_zero(&self) -> bool {
        matches!(self, SecretValue::Open(secret) if secret.is_empty())
    }
}

impl AppSpec {
    /// Replaces sealed values (`EV[…]`) by their secrets. `open` gets the path by names, as for
    /// [`Seal`](crate::Seal), and the sealed text. Returns the paths of the values that it could not open; the user
    /// must supply those again.
    pub fn unseal(&mut self, open: &dyn Fn(&str, &str) -> Option<SecretText>) -> Vec<String> {
        let mut closed = Vec::new();
        let mut open = |path: String, sealed: &str| {
            let opened = open(&path, sealed);
            if opened.is_none() {
                closed.push(path);
            }
            opened
        };
        unseal_envs("envs", &mut self.envs, &mut open);
        for component in self.components_mut() {
            let path = component.path();
            if let Source::Image(image) = component.source
                && let Some(SecretValue::Sealed(sealed)) = &image.registry_credentials
                && let Some(secret) = open(format!("{path}.image.registry_credentials"), sealed)
            {
                image.registry_credentials = Some(SecretValue::Open(secret));
            }
            unseal_envs(&format!("{path}.envs"), component.envs, &mut open);
        }
        closed
    }
}

impl AppSpec {
    /// Replaces each secret that is given in plain text by another text, so that no comparison shows whether it is right.
    /// Sealed and missing ones stay.
    pub fn replace_secrets(&mut self, other: &SecretText) {
        let envs = |envs: &mut [EnvVar]| {
            for env in envs {
                if let EnvValue::Secret(secret) = &mut env.value {
                    *secret = other.clone();
                }
            }
        };
        envs(&mut self.envs);
        for component in self.components_mut() {
            if let Source::Image(image) = component.source
                && let Some(SecretValue::Open(secret)) = &mut image.registry_credentials
            {
                *secret = other.clone();
            }
            envs(component.envs);
        }
    }
}

fn unseal_envs(path: &str, envs: &mut [EnvVar], open: &mut impl FnMut(String, &str) -> Option<SecretText>) {
    for (index, env) in envs.iter_mut().enumerate() {
        let label = if env.key.is_empty() { index.to_string() } else { env.key.clone() };
        if let EnvValue::Sealed(sealed) = &env.value
            && let Some(secret) = open(format!("{path}.{label}.value"), sealed)
        {
            env.value = EnvValue::Secret(secret);
        }
    }
}
