//! References to fetch, and ids of commits and trees.
//!
//! A value of these types is safe to pass to git: it contains no option, no refspec syntax and no control character.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GitRef {
    /// The branch that the repository's HEAD names.
    DefaultBranch,
    /// A branch, without `refs/heads/`. Create one with [`GitRef::branch`].
    Branch(RefName),
    /// A tag, without `refs/tags/`. Create one with [`GitRef::tag`].
    Tag(RefName),
    /// A commit by its full id.
    Commit(CommitId),
}

impl GitRef {
    /// A branch by its short name. Errors: [`InvalidRef`] when git would not accept the name.
    pub fn branch(name: &str) -> Result<Self, InvalidRef> {
        RefName::parse(name).map(Self::Branch)
    }

    /// A tag by its short name. Errors: [`InvalidRef`] when git would not accept the name.
    pub fn tag(name: &str) -> Result<Self, InvalidRef> {
        RefName::parse(name).map(Self::Tag)
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultBranch => f.write_str("the default branch"),
            Self::Branch(name) => write!(f, "branch \"{name}\""),
            Self::Tag(name) => write!(f, "tag \"{name}\""),
            Self::Commit(id) => write!(f, "commit {id}"),
        }
    }
}

/// Why a branch, tag or id is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRef {
    /// git does not accept the name.
    #[error("{name:?} is not a branch or tag name: {why}")]
    Name {
        /// The refused name.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Not a full object id.
    #[error("{text:?} is not a full commit id: 40 hexadecimal digits are needed, as `git rev-parse HEAD` prints them")]
    Id {
        /// The refused text.
        text: String,
    },
}

/// The short name of a branch or tag that satisfies git's rules (git-check-ref-format).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(String);

impl RefName {
    fn parse(name: &str) -> Result<Self, InvalidRef> {
        match broken_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(why) => Err(InvalidRef::Name { name: name.chars().take(80).collect(), why }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first rule of git-check-ref-format that `name` breaks. One more rule: no leading dash, because git programs have
/// mistaken such names for options.
fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 255 {
        return Some("it must have 1 to 255 characters");
    }
    if name.starts_with('-') {
        return Some("it must not start with a dash");
    }
    if name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
        return Some("it must not contain spaces, control characters or any of ~ ^ : ? * [ \\");
    }
    if name.contains("..") || name.contains("@{") || name.contains("//") || name == "@" {
        return Some("it must not contain \"..\", \"@{\" or \"//\"");
    }
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if name.ends_with('.') || name.split('/').any(bad_part) {
        return Some("no part of it may be empty, start with a dot, or end with a dot or \".lock\"");
    }
    None
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RefName {
    type Error = InvalidRef;
    fn try_from(name: String) -> Result<Self, InvalidRef> {
        Self::parse(&name)
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        name.0
    }
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Accepts exactly 40 hexadecimal digits; keeps them in lower case. Errors: [`InvalidRef::Id`].
            pub fn parse(text: &str) -> Result<Self, InvalidRef> {
                if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Ok(Self(text.to_ascii_lowercase()));
                }
                Err(InvalidRef::Id { text: text.chars().take(80).collect() })
            }

            /// All 40 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 7 digits, for display.
            pub fn short(&self) -> &str {
                &self.0[..7]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidRef;
            fn try_from(text: String) -> Result<Self, InvalidRef> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

object_id!(
    /// The id of a commit: 40 lower-case hexadecimal digits.
    CommitId
);
object_id!(
    /// The id of a tree or blob: equal ids mean equal content. 40 lower-case hexadecimal digits.
    TreeId
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_that_git_accepts_are_accepted() {
        for name in
            ["main", "feature/x", "v1.2.3", "user@host", "ünïcode", "a-b_c", "release/1.x", "dependabot/npm/a-1.0"]
        {
            assert_eq!(GitRef::branch(name).unwrap(), GitRef::Branch(RefName(name.into())));
        }
    }

    #[test]
    fn names_that_could_be_options_refspecs_or_paths_are_refused() {
        let hostile = [
            "",
            "-x",
            "--upload-pack=touch /tmp/x",
            "a b",
            "a..b",
            "../x",
            "a/../b",
            "+main",
            "main:refs/heads/x",
            "a^",
            "a~1",
            "a\nb",
            "a\0b",
            "a\\b",
            "@",
            "@{-1}",
            ".hidden",
            "a/.b",
            "a.lock",
            "a/b.lock/c",
            "a.",
            "/a",
            "a/",
            "a//b",
            "a*",
            "a?",
            "[a]",
        ];
        for name in hostile {
            // A plus is legal in a name. The refspec is built so that it cannot mean "force".
            assert_eq!(GitRef::tag(name).is_err(), name != "+main", "{name:?}");
        }
        assert!(GitRef::branch(&"a".repeat(256)).is_err());
    }

    #[test]
    fn only_full_ids_are_commits() {
        assert!(CommitId::parse("abc1234").is_err());
        assert!(CommitId::parse("HEAD").is_err());
        assert!(CommitId::parse(&"g".repeat(40)).is_err());
        assert_eq!(CommitId::parse(&"AB".repeat(20)).unwrap().as_str(), "ab".repeat(20));
    }

    #[test]
    fn invalid_names_and_ids_are_refused_in_json() {
        assert!(serde_json::from_str::<CommitId>("\"--exec=x\"").is_err());
        assert!(serde_json::from_str::<RefName>("\"--exec=x\"").is_err());
    }
}
