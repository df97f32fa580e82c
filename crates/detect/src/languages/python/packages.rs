//! The package manager of a Python project, its direct dependencies, and the commands that install them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::languages::{Finding, quoted};
use crate::project::Project;
use crate::undetected::Undetected;

/// How dependencies are installed into the virtual environment, whose programs are in the `PATH`.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// Direct dependencies, in lower case and with hyphens.
    names: BTreeSet<String>,
    /// What was decided.
    pub findings: Vec<Finding>,
    /// The package manager, if it is not pip. It is installed with pip.
    pub tool: Option<&'static str>,
    /// Variables for the tool.
    pub env: &'static str,
    /// The files that installing dependencies needs.
    pub files: Vec<String>,
    /// Installing dependencies needs the whole source, for example because one is a directory in it.
    pub needs_source: bool,
    /// Installs dependencies. Empty: there are none.
    pub dependencies: String,
    /// Installs the project itself, if it is a package.
    pub project: Option<String>,
    /// The programs of the package: `[project.scripts]`.
    pub scripts: Vec<String>,
}

/// Programs of the tool and of pip keep their downloads below this directory.
pub(super) const CACHE: &str = "/root/.cache";

impl Packages {
    /// Reads the files in the order in which App Platform prefers them: a requirements.txt is often exported for it from
    /// the lock file of another package manager.
    pub fn read(project: &Project) -> Result<Self, Undetected> {
        let manifest = project.toml("pyproject.toml")?;
        let poetry = manifest.as_ref().and_then(|it| it.pointer("/tool/poetry"));
        let mut packages = if project.has("Pipfile.lock") {
            pipenv(project)?
        } else if project.has("requirements.txt") {
            requirements(project)
        } else if let (true, Some(manifest)) = (project.has("poetry.lock"), &manifest) {
            with_poetry(project, manifest)
        } else if let (true, Some(manifest)) = (project.has("uv.lock"), &manifest) {
            with_uv(project, manifest)
        } else if project.has("Pipfile") {
            pipenv(project)?
        } else if let (Some(_), Some(manifest)) = (poetry.and_then(|it| it.get("dependencies")), &manifest) {
            with_poetry(project, manifest)
        } else if let Some(declared) = manifest.as_ref().and_then(|it| it.get("project")) {
            declared_in_pyproject(declared, manifest.as_ref().and_then(|it| it.get("build-system")).is_some())
        } else if project.has("setup.py") {
            setup_py(project)
        } else {
            Self::default()
        };
        let scripts = manifest.as_ref().and_then(|it| it.pointer("/project/scripts"));
        packages.scripts = keys(scripts.or_else(|| poetry?.get("scripts"))).map(str::to_owned).collect();
        Ok(packages)
    }

    /// Whether this is a direct dependency.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Adds a requirement such as `fastapi[standard]>=0.110 ; python_version > "3.8"`.
    fn add(&mut self, requirement: &str) {
        let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
        let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
        let name = name.to_lowercase().replace(['_', '.'], "-");
        // These extras of FastAPI contain its server.
        let extras = rest.trim_start().strip_prefix('[').and_then(|it| it.split_once(']')).map_or("", |(it, _)| it);
        if name == "fastapi" && extras.split(',').any(|it| matches!(it.trim(), "standard" | "all")) {
            self.names.insert("uvicorn".into());
        }
        if !name.is_empty() {
            self.names.insert(name);
        }
    }

    fn add_all<'a>(&mut self, requirements: impl IntoIterator<Item = &'a str>) {
        requirements.into_iter().for_each(|it| self.add(it));
    }
}

fn keys(table: Option<&Value>) -> impl Iterator<Item = &str> {
    table.and_then(Value::as_object).into_iter().flat_map(|it| it.keys().map(String::as_str))
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn those_there(project: &Project, files: &[&str]) -> Vec<String> {
    files.iter().filter(|file| project.has(file)).map(|file| (*file).to_owned()).collect()
}

fn pipenv(project: &Project) -> Result<Packages, Undetected> {
    let (because, dependencies) = if project.has("Pipfile.lock") {
        ("Pipfile.lock", "pipenv sync")
    } else {
        ("Pipfile, without a Pipfile.lock", "pipenv install --skip-lock")
    };
    let mut packages = Packages {
        findings: vec![Finding::new("package manager Pipenv", because)],
        tool: Some("pipenv"),
        env: "PIPENV_VERBOSITY=-1",
        files: those_there(project, &["Pipfile", "Pipfile.lock"]),
        dependencies: dependencies.into(),
        ..Packages::default()
    };
    let manifest = project.toml("Pipfile")?;
    packages.add_all(keys(manifest.as_ref().and_then(|it| it.get("packages"))));
    Ok(packages)
}

/// A requirements.txt, and the files that it includes.
fn requirements(project: &Project) -> Packages {
    let mut packages = Packages { dependencies: "pip install -r requirements.txt".into(), ..Packages::default() };
    let unused = those_there(project, &["Pipfile", "poetry.lock", "uv.lock", "pdm.lock"]);
    let mut because = "requirements.txt".to_owned();
    if !unused.is_empty() {
        because.push_str(&format!("; {} is not used", unused.join(", ")));
    }
    packages.findings.push(Finding::new("package manager pip", because));
    let mut files = vec!["requirements.txt".to_owned()];
    let mut known = BTreeSet::from_iter(files.clone());
    let mut next = 0;
    while let Some(file) = files.get(next).cloned() {
        next += 1;
        let Some(text) = project.text(&file) else {
            packages.needs_source = true;
            continue;
        };
        for line in text.lines().map(str::trim) {
            if let Some(included) = included(line) {
                let path = join(parent(&file), included);
                if known.insert(path.clone()) {
                    files.push(path);
                }
                continue;
            }
            // An editable package, or a path.
            let is_path = line.starts_with("-e") || line.starts_with("--editable") || line.starts_with(['.', '/']);
            packages.needs_source |= line.contains("file:") || (is_path && !line.contains("://"));
            if let Some((_, name)) = line.rsplit_once("#egg=") {
                packages.add(name);
            } else if line.starts_with(|c: char| c.is_ascii_alphanumeric()) && !line.starts_with("git+") {
                packages.add(line);
            }
        }
    }
    packages.files = files;
    packages
}

/// The file that a line such as `-r base.txt` or `--constraint=limits.txt` names.
fn included(line: &str) -> Option<&str> {
    let options = ["--requirement", "--constraint", "-r", "-c"];
    let rest = options.iter().find_map(|option| line.strip_prefix(option))?;
    Some(rest.trim_start_matches('=').split('#').next().unwrap_or(rest).trim())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<_> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn with_poetry(project: &Project, manifest: &Value) -> Packages {
    let because = if project.has("poetry.lock") { "poetry.lock" } else { "pyproject.toml, without a poetry.lock" };
    let mut packages = Packages {
        findings: vec![Finding::new("package manager Poetry", because)],
        tool: Some("poetry"),
        env: "POETRY_NO_INTERACTION=1",
        files: those_there(project, &["pyproject.toml", "poetry.lock"]),
        dependencies: "poetry install --only main --no-root".into(),
        ..Packages::default()
    };
    let dependencies = manifest.pointer("/tool/poetry/dependencies");
    packages.add_all(keys(dependencies));
    let mut tables = dependencies.and_then(Value::as_object).into_iter().flat_map(|it| it.values());
    packages.needs_source = tables.any(|it| it.get("path").is_some());
    packages.add_all(strings(manifest.pointer("/project/dependencies")));
    if is_poetry_package(project, manifest) {
        packages.project = Some("poetry install --only-root".into());
    }
    packages
}

/// Whether Poetry can install the project: Poetry fails if there is no directory with the name of the project.
fn is_poetry_package(project: &Project, manifest: &Value) -> bool {
    let poetry = manifest.pointer("/tool/poetry");
    let setting = |name: &str| poetry.and_then(|it| it.get(name));
    if setting("package-mode").and_then(Value::as_bool) == Some(false) {
        return false;
    }
    let name = manifest.pointer("/project/name").or_else(|| setting("name")).and_then(Value::as_str);
    let directory = name.unwrap_or_default().to_lowercase().replace(['-', '.'], "_");
    let modules = [format!("{directory}/"), format!("src/{directory}/"), format!("{directory}.py")];
    setting("packages").is_some() || project.paths().any(|path| modules.iter().any(|it| path.starts_with(it.as_str())))
}

fn with_uv(project: &Project, manifest: &Value) -> Packages {
    let mut packages = Packages {
        findings: vec![Finding::new("package manager uv", "uv.lock")],
        tool: Some("uv"),
        // The interpreter of the image is used, whatever patch release .python-version asks for.
        env: "UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON=/opt/venv/bin/python3 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
              UV_COMPILE_BYTECODE=1",
        files: those_there(project, &["pyproject.toml", "uv.lock"]),
        dependencies: "uv sync --locked --no-dev --no-install-project".into(),
        ..Packages::default()
    };
    packages.add_all(strings(manifest.pointer("/project/dependencies")));
    let is_package = manifest.pointer("/tool/uv/package").and_then(Value::as_bool);
    if is_package.unwrap_or(manifest.get("build-system").is_some()) {
        packages.project = Some("uv sync --locked --no-dev".into());
    }
    // uv checks the lock file against local packages too.
    let sources =
        manifest.pointer("/tool/uv/sources").and_then(Value::as_object).into_iter().flat_map(|it| it.values());
    packages.needs_source = manifest.pointer("/tool/uv/workspace").is_some()
        || sources.into_iter().any(|it| it.get("path").is_some() || it.get("workspace").is_some());
    packages
}

/// The dependencies of `[project]` are written into the Dockerfile, so that other changes of the file install nothing.
fn declared_in_pyproject(declared: &Value, is_package: bool) -> Packages {
    let mut packages = Packages {
        findings: vec![Finding::new("package manager pip", "[project] in pyproject.toml, without a known lock file")],
        ..Packages::default()
    };
    packages.add_all(strings(declared.get("dependencies")));
    if strings(declared.get("dynamic")).any(|it| it == "dependencies") {
        packages.dependencies = "pip install -e .".into();
        packages.needs_source = true;
        return packages;
    }
    let quoted: Vec<_> = strings(declared.get("dependencies")).map(quoted).collect();
    if !quoted.is_empty() {
        packages.dependencies = format!("pip install {}", quoted.join(" "));
    }
    packages.project = is_package.then(|| "pip install --no-deps -e .".into());
    packages
}

fn setup_py(project: &Project) -> Packages {
    let mut packages = Packages {
        findings: vec![Finding::new("package manager pip", "setup.py")],
        dependencies: "pip install -e .".into(),
        needs_source: true,
        ..Packages::default()
    };
    // Every quoted text counts as a requirement: more would need an interpreter.
    let text = project.text("setup.py").unwrap_or_default().replace('"', "'");
    packages.add_all(text.split('\'').skip(1).step_by(2));
    packages
}
