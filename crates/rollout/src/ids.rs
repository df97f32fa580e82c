//! Types for names and ids, so that the compiler rejects one kind in place of another.

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text unchanged.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text inside.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// The id of an app: a lower-case UUID.
    AppId
);
text_id!(
    /// The id of a deployment: a lower-case UUID.
    DeploymentId
);
text_id!(
    /// A component's name, unique among all components of its app.
    ComponentName
);
text_id!(
    /// The identity of what a component's instances run: a hash over image, command, environment, ports, probe and
    /// limits.
    RevisionId
);
text_id!(
    /// An instance's name, which is also its container's name. Names are never reused.
    InstanceName
);
