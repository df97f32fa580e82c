//! The base images and their versions, in one table. An operator may replace each image, for hosts that reach no registry.

use std::collections::BTreeMap;

use thiserror::Error;

/// A kind of base image. Every image is based on Debian and has a shell, `useradd` and CA certificates.
#[derive(Debug)]
pub(crate) struct Base {
    /// The name that people know, for example "Node.js".
    pub title: &'static str,
    /// The name for replacements.
    name: &'static str,
    /// The official image for stages that build, with compilers. `{}` stands for the version.
    build: &'static str,
    /// The official image for the stage that runs.
    run: &'static str,
    /// The version if a source asks for none: a release with long-term support.
    pub default: &'static str,
    /// The versions that exist, the newest first. Sources that ask for a patch release get the newest one.
    pub versions: &'static [&'static str],
}

/// The base that runs has Node.js below `/usr/local`, from where it is copied to stages of other languages. If an operator's
/// image has it elsewhere, the images for the other languages need a Node.js of their own.
pub(crate) static NODE: Base = Base {
    title: "Node.js",
    name: "node",
    build: "node:{}",
    run: "node:{}-slim",
    default: "24",
    versions: &["26", "24", "22", "20", "18", "16", "14"],
};
pub(crate) static PYTHON: Base = Base {
    title: "Python",
    name: "python",
    build: "python:{}",
    run: "python:{}-slim",
    default: "3.13",
    versions: &["3.15", "3.14", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8"],
};
pub(crate) static PHP: Base = Base {
    title: "PHP",
    name: "php",
    build: "php:{}-apache",
    run: "php:{}-apache",
    default: "8.4",
    versions: &["8.5", "8.4", "8.3", "8.2", "8.1", "8.0", "7.4"],
};
/// Has the program `/usr/bin/composer`, which is copied to a stage of the base `php`.
pub(crate) static COMPOSER: Base = Base {
    title: "Composer",
    name: "composer",
    build: "composer:{}",
    run: "composer:{}",
    default: "2",
    versions: &["2"],
};
/// Programs in Go run on [`DEBIAN`].
pub(crate) static GO: Base = Base {
    title: "Go",
    name: "golang",
    build: "golang:{}",
    run: "golang:{}",
    default: "1.26",
    versions: &["1.27", "1.26", "1.25", "1.24", "1.23", "1.22", "1.21", "1.20"],
};
pub(crate) static RUBY: Base = Base {
    title: "Ruby",
    name: "ruby",
    build: "ruby:{}",
    run: "ruby:{}-slim",
    default: "3.4",
    versions: &["4.0", "3.4", "3.3", "3.2", "3.1", "3.0", "2.7"],
};
/// Programs in Rust run on [`DEBIAN`].
pub(crate) static RUST: Base =
    Base { title: "Rust", name: "rust", build: "rust:{}", run: "rust:{}", default: "1", versions: &["1"] };
/// Hugo comes from Debian's package if the image has no program `hugo`.
pub(crate) static HUGO: Base = Base {
    title: "Hugo",
    name: "hugo",
    build: "debian:13-slim",
    run: "debian:13-slim",
    default: "0.131",
    versions: &["0.131"],
};
/// Serves files.
pub(crate) static NGINX: Base =
    Base { title: "nginx", name: "nginx", build: "nginx:{}", run: "nginx:{}", default: "1", versions: &["1"] };
/// Runs programs that need no interpreter.
pub(crate) static DEBIAN: Base = Base {
    title: "Debian",
    name: "debian",
    build: "debian:{}",
    run: "debian:{}-slim",
    default: "13",
    versions: &["13"],
};

static ALL: [&Base; 10] = [&NODE, &PYTHON, &PHP, &COMPOSER, &GO, &RUBY, &RUST, &HUGO, &NGINX, &DEBIAN];

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

impl Bases {
    /// Reads replacements as `NAME=IMAGE` or `NAME:VERSION=IMAGE`. The image replaces both official images of this name,
    /// the one that builds and the one that runs. Errors: [`InvalidBase`].
    pub fn parse<'a>(replacements: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidBase> {
        let mut replaced = BTreeMap::new();
        for text in replacements {
            let parts = text.split_once('=').filter(|(name, image)| !name.is_empty() && !image.is_empty());
            let (name, image) = parts.ok_or_else(|| InvalidBase::Form(text.into()))?;
            let plain = name.split(':').next().unwrap_or(name);
            if !ALL.iter().any(|base| base.name == plain) {
                let known: Vec<_> = ALL.iter().map(|base| base.name).collect();
                return Err(InvalidBase::Unknown { name: name.into(), known: known.join(", ") });
            }
            replaced.insert(name.into(), image.into());
        }
        Ok(Self { replaced })
    }

    /// The image for a stage that builds: the replacement of this version, that of all versions, or the official one.
    pub(crate) fn build_image(&self, base: &Base, version: &str) -> String {
        self.replacement(base, version).unwrap_or_else(|| base.build.replace("{}", version))
    }

    /// The image for the stage that runs, likewise.
    pub(crate) fn run_image(&self, base: &Base, version: &str) -> String {
        self.replacement(base, version).unwrap_or_else(|| base.run.replace("{}", version))
    }

    fn replacement(&self, base: &Base, version: &str) -> Option<String> {
        let exact = self.replaced.get(&format!("{}:{version}", base.name));
        exact.or_else(|| self.replaced.get(base.name)).cloned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_operator_replaces_one_version_or_all() {
        let bases = Bases::parse(["node=local/node", "node:18=local/old"]).unwrap();
        assert_eq!(bases.build_image(&NODE, "22"), "local/node");
        assert_eq!(bases.run_image(&NODE, "22"), "local/node");
        assert_eq!(bases.run_image(&NODE, "18"), "local/old");
        assert_eq!(Bases::default().build_image(&NODE, "22"), "node:22");
        assert_eq!(Bases::default().run_image(&NODE, "22"), "node:22-slim");
    }

    #[test]
    fn a_wrong_replacement_is_refused() {
        for text in ["debian", "=x", "debian="] {
            assert_eq!(Bases::parse([text]), Err(InvalidBase::Form(text.into())));
        }
        let error = Bases::parse(["debain:12=x"]).unwrap_err().to_string();
        assert!(error.starts_with("no base image is named \"debain:12\"; the names are node, "), "{error}");
    }

    #[test]
    fn every_default_is_a_version() {
        for base in ALL {
            assert!(base.versions.contains(&base.default), "{}", base.name);
        }
    }
}
