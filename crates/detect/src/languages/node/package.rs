//! The file `package.json`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Start;
use crate::project::Project;
use crate::undetected::Undetected;

/// The names of scripts that an installation runs.
const INSTALLATION: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];

pub(super) struct Package {
    json: Value,
}

impl Package {
    /// Errors: [`Undetected::Unreadable`].
    pub fn read(project: &Project) -> Result<Self, Undetected> {
        Ok(Self { json: project.json("package.json")?.unwrap_or_default() })
    }

    /// A text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    pub fn script(&self, name: &str) -> Option<&str> {
        self.json.get("scripts")?.get(name)?.as_str().filter(|text| !text.trim().is_empty())
    }

    pub fn depends_on(&self, name: &str) -> bool {
        self.version_of(name).is_some()
    }

    /// The range of a dependency, of any kind.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        let kinds = ["dependencies", "devDependencies", "optionalDependencies"];
        kinds.iter().find_map(|kind| self.json.get(kind)?.get(name)?.as_str())
    }

    pub fn dev_dependencies(&self) -> impl Iterator<Item = &str> {
        self.json.get("devDependencies").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    pub fn has_workspaces(&self, project: &Project) -> bool {
        self.json.get("workspaces").is_some() || project.has("pnpm-workspace.yaml")
    }

    /// This file, and those of the packages in its workspaces.
    pub fn paths<'a>(&self, project: &'a Project) -> Vec<&'a str> {
        let has_workspaces = self.has_workspaces(project);
        project.named("package.json").filter(|path| has_workspaces || *path == "package.json").collect()
    }

    /// The scripts of this package that its installation runs, in that order.
    pub fn scripts_of_installation(&self) -> Vec<&'static str> {
        INSTALLATION.into_iter().filter(|name| self.script(name).is_some()).collect()
    }

    /// Whether the installation reads more than the files that name dependencies: packages in the source, or scripts of
    /// other packages in a workspace.
    pub fn needs_sources(&self, project: &Project) -> bool {
        let kinds = ["dependencies", "devDependencies", "optionalDependencies"];
        let ranges = kinds.iter().filter_map(|kind| self.json.get(kind)?.as_object()).flat_map(|it| it.values());
        let is_local = |it: &str| ["file:", "link:", "portal:"].iter().any(|scheme| it.starts_with(scheme));
        let mut others = self.paths(project).into_iter().filter(|path| *path != "package.json");
        ranges.filter_map(Value::as_str).any(is_local)
            || others.any(|path| {
                let json = project.json(path).ok().flatten().unwrap_or_default();
                !Self { json }.scripts_of_installation().is_empty()
            })
    }

    /// Starts a script. Its text runs without the package manager, so that signals reach the program, unless other
    /// scripts or variables of the package manager belong to it.
    pub fn start(&self, name: &str) -> Option<Start> {
        let text = self.script(name)?;
        let has_hooks = self.script(&format!("pre{name}")).is_some() || self.script(&format!("post{name}")).is_some();
        let command = if has_hooks || text.contains("npm_") { format!("npm run {name}") } else { text.to_owned() };
        Some(Start::new(command, format!("script \"{name}\" in package.json")))
    }

    /// A command and the scripts that it names, directly or through others.
    pub fn commands_behind<'a>(&'a self, command: &'a str) -> Vec<&'a str> {
        let scripts = self.json.get("scripts").and_then(Value::as_object);
        let mut commands = vec![command];
        let mut named = BTreeSet::new();
        let mut next = 0;
        while let Some(command) = commands.get(next).copied() {
            next += 1;
            for word in super::words(command) {
                if let Some(text) = scripts.and_then(|it| it.get(word)?.as_str())
                    && named.insert(word)
                {
                    commands.push(text);
                }
            }
        }
        commands
    }
}
