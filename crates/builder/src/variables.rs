//! How a build gets the variables of its component.

use std::collections::BTreeMap;

use engine::Secret;

use crate::recipe::BuildSecrets;

/// The variables of one build.
#[derive(Debug)]
pub(crate) struct Variables {
    /// All build arguments.
    pub args: BTreeMap<String, String>,
    /// What the steps can mount.
    pub secrets: BTreeMap<String, Secret>,
    /// Distinguishes builds with other secrets. `None`: the build does not depend on secrets.
    pub identity: Option<String>,
    /// Of all secrets.
    names: String,
    are_arguments: bool,
    is_generated: bool,
}

impl Variables {
    /// `dockerfile`: its text. `is_generated`: it is not from the repository.
    pub fn of(args: &BTreeMap<String, String>, given: &BuildSecrets, dockerfile: &str, is_generated: bool) -> Self {
        let are_arguments = given.as_arguments && !is_generated && !given.values.is_empty();
        let mut args = args.clone();
        if are_arguments {
            let secrets = given.values.iter();
            args.extend(secrets.map(|(name, value)| (name.clone(), value.expose().to_owned())));
        }
        // Most secrets are for the running app. A Dockerfile that mentions none is not built again when they change.
        let mounts = dockerfile.to_ascii_lowercase().contains("secret");
        let secrets = if mounts { given.values.clone() } else { BTreeMap::new() };
        let identity = match (secrets.is_empty(), are_arguments) {
            (true, false) => None,
            (false, false) => Some(given.key.clone()),
            (_, true) => Some(format!("{} as arguments", given.key)),
        };
        let names = given.values.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Self { args, secrets, identity, names, are_arguments, is_generated }
    }

    /// What the log of a build says about the secrets. `None`: there are none.
    pub fn log_line(&self, app: &str) -> Option<String> {
        let names = &self.names;
        let first = names.split(',').next().filter(|name| !name.is_empty())?;
        Some(if self.is_generated {
            format!(
                "Secrets of the build: {names}. Its steps have them as variables, and the image does not contain them"
            )
        } else if self.are_arguments {
            format!(
                "Warning: secrets are build arguments, because this app allows it: {names}. They stay readable in the \
                 image's history. To stop that: boatyard apps build-secrets {app} --as-arguments=false"
            )
        } else {
            format!(
                "Secrets of the build: {names}. They are no build arguments, which stay readable in the image's history. A \
                 step that needs one mounts it as a file: RUN --mount=type=secret,id={first} cat /run/secrets/{first}. If \
                 the Dockerfile needs build arguments: boatyard apps build-secrets {app} --as-arguments"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "FROM a\nRUN --mount=type=SECRET,id=TOKEN make";
    const PLAIN: &str = "FROM a\nARG TOKEN\nRUN make";

    fn variables(value: &str, as_arguments: bool, dockerfile: &str, is_generated: bool) -> Variables {
        let args = [("MODE".to_owned(), "fast".to_owned())].into();
        let values = match value {
            "" => BTreeMap::new(),
            value => [("TOKEN".to_owned(), Secret::new(value))].into(),
        };
        let secrets = BuildSecrets { values, key: format!("keyof{value}"), as_arguments };
        Variables::of(&args, &secrets, dockerfile, is_generated)
    }

    #[test]
    fn secrets_are_mounted_and_become_arguments_only_where_the_app_allows_it() {
        // As arguments, Dockerfile, generated: the names of the arguments, the number of mounts, the identity.
        let cases = [
            ((false, MOUNTS, false), "MODE", 1, Some("keyofx")),
            ((false, PLAIN, false), "MODE", 0, None),
            ((true, PLAIN, false), "MODE TOKEN", 0, Some("keyofx as arguments")),
            ((true, MOUNTS, false), "MODE TOKEN", 1, Some("keyofx as arguments")),
            ((false, MOUNTS, true), "MODE", 1, Some("keyofx")),
            ((true, MOUNTS, true), "MODE", 1, Some("keyofx")),
        ];
        for ((as_arguments, dockerfile, is_generated), args, mounts, identity) in cases {
            let found = variables("x", as_arguments, dockerfile, is_generated);
            let names: Vec<_> = found.args.keys().map(String::as_str).collect();
            let seen = (names.join(" "), found.secrets.len(), found.identity.as_deref());
            assert_eq!(seen, (args.to_owned(), mounts, identity), "{as_arguments} {dockerfile} {is_generated}");
        }
    }

    #[test]
    fn the_log_says_how_to_use_a_secret_and_warns_of_arguments() {
        let line = |as_arguments, is_generated| {
            let line = variables("canary", as_arguments, MOUNTS, is_generated).log_line("shop").expect("a secret");
            assert!(line.contains("TOKEN") && !line.contains("canary"), "{line}");
            line
        };
        assert!(line(false, true).contains("variables"));
        let mounted = line(false, false);
        assert!(mounted.contains("RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN"), "{mounted}");
        assert!(mounted.ends_with("boatyard apps build-secrets shop --as-arguments"), "{mounted}");
        let arguments = line(true, false);
        assert!(arguments.starts_with("Warning: ") && arguments.ends_with("--as-arguments=false"), "{arguments}");
        assert_eq!(variables("", true, MOUNTS, false).log_line("shop"), None);
    }
}
