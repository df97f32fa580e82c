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

    /// Whether there is a value at a JSON pointer.
    pub fn has(&self, pointer: &str) -> bool {
        self.json.pointer(pointer).is_some()
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

    /// The program that a script ends with, without what only starts it: variables, `npx`, `cross-env` and other scripts.
    pub fn program<'a>(&'a self, script: &'a str) -> Option<&'a str> {
        let mut named = BTreeSet::from([script]);
        let mut command = last_program(self.script(script)?);
        while let Some(name) = run_script(command).filter(|it| named.insert(it))
            && let Some(text) = self.script(name)
        {
            command = last_program(text);
        }
        Some(command)
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

/// The last of several commands, from its program on: without variables and programs that start others.
fn last_program(command: &str) -> &str {
    let last = command.trim().trim_end_matches(['&', ';']).rsplit(['&', ';']).next().unwrap_or(command);
    let mut rest = last.split('|').next().unwrap_or(last).trim();
    while let Some((word, after)) = rest.split_once(' ') {
        let is_variable = word.split_once('=').is_some_and(|(name, _)| !name.starts_with('-') && !name.contains('/'));
        let starts_others = matches!(
            word,
            "npx" | "pnpx" | "bunx" | "cross-env" | "cross-env-shell" | "env" | "exec" | "dotenv" | "--"
        );
        if !is_variable && !starts_others {
            break;
        }
        // A value in quotes may contain spaces.
        let quote =
            word.split_once('=').and_then(|(_, value)| value.chars().next()).filter(|it| matches!(it, '"' | '\''));
        let is_open = quote.filter(|it| word.matches(*it).count() == 1);
        rest = is_open.and_then(|it| after.split_once(it)).map_or(after, |(_, after)| after).trim_start();
    }
    rest
}

/// The script that a command such as `npm run dev` or `yarn dev` runs.
fn run_script(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace().filter(|word| !word.starts_with('-'));
    let manager = words.next().filter(|it| matches!(*it, "npm" | "pnpm" | "yarn" | "bun"))?;
    match words.next()? {
        "run" | "run-script" => words.next(),
        "start" => Some("start"),
        name => Some(name).filter(|_| manager != "npm"),
    }
}
