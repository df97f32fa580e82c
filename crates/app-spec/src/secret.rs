//! Secret text, and the values that may hold one.
//!
//! A secret leaves this crate by [`SecretText::expose`] alone: it has no `Debug`, no `Display`, no `Serialize`, and the
//! writers hand it to a sealing function that the caller gives.

use std::fmt;

use crate::tree::Node;
use crate::value::{Reader, Rule, Shape, SpecValue, Unsealer, Writer};

/// How a sealed value begins: `EV[1:<nonce>:<ciphertext>]`.
const SEALED: &str = "EV[";

/// A text that is not shown by accident.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct SecretText(String);

impl SecretText {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> SecretText {
        SecretText(text.into())
    }

    /// The text itself. Name the reason at each use.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `text` has the form of a sealed value. Which key sealed it is known to the store alone.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED) && text.ends_with(']')
}

/// A field that always holds a secret: registry credentials, tokens.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// The secret itself.
    Open(SecretText),
    /// Sealed, as App Platform returns it: `EV[1:…]`.
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

    fn read(node: &Node, _: &Rule, reader: &mut Reader) -> Option<SecretValue> {
        reader.hide(node);
        let text = reader.text(node)?;
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

    fn unseal(&mut self, unsealer: &mut Unsealer<'_>) {
        if let SecretValue::Sealed(sealed) = self
            && let Some(secret) = unsealer.open(sealed)
        {
            *self = SecretValue::Open(secret);
        }
    }
}
