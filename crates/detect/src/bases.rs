//! The base images, in one table. An operator may replace each of them, for hosts that reach no registry.

use std::collections::BTreeMap;

use thiserror::Error;

/// The replacements of an operator. Empty: the official images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bases {
    replaced: BTreeMap<String, String>,
}

/// What is wrong with a replacement.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidBase {
    /// It does not have the form `NAME=IMAGE`.
    #[error("\"{0}\" does not have the form NAME=IMAGE, for example node:22=registry.example.com/node:22")]
    Form(String),
    /// No base image has this name.
    #[error("no base image is named \"{name}\"; the names are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
}

/// Name, and official image with `{}` for the version. Every image is based on Debian and has a shell, `useradd` and CA
/// certificates; a replacement must have them too. Names with a version are replaced as `node` or as `node:22`.
const TABLE: &[(&str, &str)] = &[("debian", "debian:{}-slim"), ("nginx", "nginx:{}")];

impl Bases {
    /// Reads replacements as `NAME=IMAGE` or `NAME:VERSION=IMAGE`. Errors: [`InvalidBase`].
    pub fn parse<'a>(replacements: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidBase> {
        let mut replaced = BTreeMap::new();
        for text in replacements {
            let parts = text.split_once('=').filter(|(name, image)| !name.is_empty() && !image.is_empty());
            let (name, image) = parts.ok_or_else(|| InvalidBase::Form(text.into()))?;
            let plain = name.split(':').next().unwrap_or(name);
            if !TABLE.iter().any(|(known, _)| *known == plain) {
                let known: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
                return Err(InvalidBase::Unknown { name: name.into(), known: known.join(", ") });
            }
            replaced.insert(name.into(), image.into());
        }
        Ok(Self { replaced })
    }

    /// The image for `name` at `version`: the replacement of this version, that of all versions, or the official one.
    pub(crate) fn image(&self, name: &str, version: &str) -> String {
        let exact = self.replaced.get(&format!("{name}:{version}"));
        if let Some(image) = exact.or_else(|| self.replaced.get(name)) {
            return image.clone();
        }
        let official = TABLE.iter().find(|(known, _)| *known == name);
        official.expect("modules name images of the table only").1.replace("{}", version)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_operator_replaces_one_version_or_all() {
        let bases = Bases::parse(["debian=local/debian", "debian:12=local/bookworm"]).unwrap();
        assert_eq!(bases.image("debian", "13"), "local/debian");
        assert_eq!(bases.image("debian", "12"), "local/bookworm");
        assert_eq!(Bases::default().image("debian", "13"), "debian:13-slim");
    }

    #[test]
    fn a_wrong_replacement_is_refused() {
        for text in ["debian", "=x", "debian="] {
            assert_eq!(Bases::parse([text]), Err(InvalidBase::Form(text.into())));
        }
        let error = Bases::parse(["debain:12=x"]).unwrap_err().to_string();
        assert!(error.starts_with("no base image is named \"debain:12\"; the names are debian, "), "{error}");
    }
}
