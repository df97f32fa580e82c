//! Python: dependencies go into a virtual environment, which the last stage copies.

mod packages;
pub(crate) mod start;

use packages::{CACHE, Packages};

use super::node::assets::Assets;
use super::{DEPENDENCIES_FIRST, Detected, Finding, Language, Module, Start, mentions, quoted, static_files};
use crate::bases::PYTHON;
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;
use crate::versions::{self, Wish};

pub(super) const MODULE: Module = Module {
    language: Language::Python,
    slugs: &["python"],
    looks_for: "requirements.txt, pyproject.toml, Pipfile, setup.py, manage.py, main.py or app.py",
    evidence,
    build,
};

fn evidence(project: &Project) -> Option<String> {
    // Other projects configure linters in pyproject.toml, or contain a script in Python.
    let is_tools_only = |file: &str| {
        let manifest = project.toml(file).ok().flatten();
        file == "pyproject.toml"
            && manifest.is_some_and(|it| it.get("project").is_none() && it.pointer("/tool/poetry").is_none())
    };
    let manifests = ["requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "manage.py"];
    let is_of_other = |file: &str| file == "manage.py" && !start::mentions_django(project, file);
    let strong = manifests.into_iter().find(|file| project.has(file) && !is_tools_only(file) && !is_of_other(file));
    let has_other = ["package.json", "composer.json", "Cargo.toml", "index.php"].iter().any(|it| project.has(it));
    let weak = || project.first(&["main.py", "app.py", "server.py", "wsgi.py", "manage.py"]).filter(|_| !has_other);
    strong.or_else(weak).map(str::to_owned)
}

/// Libraries that packages load by name at run time, so that no file refers to them.
const LOADED_BY_NAME: &[(&str, &str)] = &[
    ("psycopg", "libpq5"),
    ("python-magic", "libmagic1"),
    ("pyzbar", "libzbar0"),
    ("weasyprint", "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"),
    ("opencv-python", "libgl1 libglib2.0-0"),
];

/// Every program finds the modules of the app, wherever the program lies.
const VARIABLES: &str = "VIRTUAL_ENV=/opt/venv PYTHONPATH=/workspace PYTHONUNBUFFERED=1";

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let packages = Packages::read(project)?;
    let wishes = wishes(project)?;
    let wishes: Vec<_> = wishes.iter().map(|(place, range)| Wish { place, range }).collect();
    let version = versions::choose(&PYTHON, &wishes)?;
    let loaded = LOADED_BY_NAME.iter().filter(|(name, _)| packages.has(name)).flat_map(|(_, it)| it.split(' '));
    let system = SystemPackages::new(project, loaded);
    let mut assets = Assets::of(project, request)?;
    let mut findings = vec![version.finding];
    findings.extend(packages.findings.iter().cloned());
    findings.extend(system.finding());

    let manager = packages.findings.first().map(|it| it.what.replace("package manager ", ", ")).unwrap_or_default();
    let mut dockerfile = Dockerfile::new(project, request, &format!("Python {}{manager}", version.version));
    dockerfile.build_stage(&PYTHON, version.version, "build");
    system.install(&mut dockerfile);
    if let Some(assets) = &assets {
        assets.before_sources(&mut dockerfile, project);
    }
    install_dependencies(&mut dockerfile, &packages);
    if let Some(assets) = &mut assets {
        assets.after_sources(&mut dockerfile);
        findings.append(&mut assets.findings);
    }
    if let Some(command) = request.build_command {
        dockerfile.run(command, &[CACHE]);
        findings.push(Finding::new(format!("build command \"{command}\""), "build_command"));
    }
    if let Some(assets) = &assets {
        assets.remove(&mut dockerfile);
    }
    if request.kind == Kind::StaticSite {
        // Where Sphinx, MkDocs and Pelican write.
        let own = &["_build/html", "docs/_build/html", "site", "output"];
        let site = static_files::Site { own, fallback: static_files::Fallback::NotFound };
        return Ok(static_files::serve(dockerfile, request, Language::Python, site, findings));
    }

    let start = start(project, request, &packages)?;
    findings.push(start.finding());
    if let Some((command, finding)) = collect_static(project, request, &packages) {
        dockerfile.run(&command, &[]);
        findings.push(finding);
    }
    system.record(&mut dockerfile, "/opt/venv");

    dockerfile.final_stage(&PYTHON, version.version);
    dockerfile.user();
    system.install_recorded(&mut dockerfile);
    dockerfile.line("COPY --from=build /opt/venv /opt/venv");
    let mut env = format!("ENV PATH=/opt/venv/bin:$PATH {VARIABLES}");
    // Start commands such as `uv run` need the package manager.
    if let Some(tool) = packages.tool.filter(|tool| mentions(&start.command, tool)) {
        dockerfile.line("COPY --from=build /opt/tools /opt/tools");
        env = env.replace("$PATH", "/opt/tools/bin:$PATH");
        env.push_str(&format!(" {} UV_NO_SYNC=1", packages.env));
        findings.push(Finding::new(format!("{tool} in the image"), "the start command"));
    }
    dockerfile.line(&env);
    dockerfile.copy_app("build", "/workspace", "./");
    dockerfile.start(start.for_image(request));
    let start = start.for_image(request).map(str::to_owned);
    Ok(Detected { language: Language::Python, findings, dockerfile: dockerfile.text(), start })
}

/// Installs the dependencies, copies the source and installs the project.
fn install_dependencies(dockerfile: &mut Dockerfile<'_>, packages: &Packages) {
    let variables = format!("ENV PATH=/opt/venv/bin:/opt/tools/bin:$PATH {VARIABLES} {}", packages.env);
    dockerfile.line(variables.trim_end());
    dockerfile.line("RUN python3 -m venv /opt/venv");
    if let Some(tool) = packages.tool {
        dockerfile.run(&format!("python3 -m venv /opt/tools && /opt/tools/bin/pip install {tool}"), &[CACHE]);
    }
    if packages.needs_source {
        dockerfile.copy_sources();
    } else {
        dockerfile.comment(DEPENDENCIES_FIRST);
        dockerfile.copy_each(packages.files.iter().map(String::as_str));
    }
    if !packages.dependencies.is_empty() {
        dockerfile.run(&packages.dependencies, &[CACHE]);
    }
    if !packages.needs_source {
        dockerfile.copy_sources();
    }
    if let Some(command) = &packages.project {
        dockerfile.run(command, &[CACHE]);
    }
}

fn start(project: &Project, request: &Request<'_>, packages: &Packages) -> Result<Start, Undetected> {
    let mut help = None;
    let detect = || start::command(project, request, packages).map_err(|it| help = Some(it)).ok();
    Start::of(project, request, detect).ok_or_else(|| {
        let help = help.expect("without a command there is help");
        Undetected::NoStart { language: help.project, help: help.help }
    })
}

/// Every version that the source asks for, with its place.
fn wishes(project: &Project) -> Result<Vec<(&'static str, String)>, Undetected> {
    let line = |file: &str| {
        let lines = project.text(file)?.lines().map(str::trim);
        lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let number = |text: &str| {
        let version = text.trim_start_matches("python-").trim();
        // A name such as `pypy3.10` or that of a virtual environment is no version.
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
    };
    let manifest = project.toml("pyproject.toml")?;
    let pipfile = project.toml("Pipfile")?;
    let text =
        |table: &Option<serde_json::Value>, path: &str| Some(table.as_ref()?.pointer(path)?.as_str()?.to_owned());
    let all = [
        ("runtime.txt", line("runtime.txt").and_then(number)),
        (".python-version", line(".python-version").and_then(number)),
        (
            "Pipfile",
            text(&pipfile, "/requires/python_full_version").or_else(|| text(&pipfile, "/requires/python_version")),
        ),
        ("requires-python in pyproject.toml", text(&manifest, "/project/requires-python")),
        ("the dependency python in pyproject.toml", text(&manifest, "/tool/poetry/dependencies/python")),
    ];
    Ok(all.into_iter().filter_map(|(place, range)| Some((place, range?))).collect())
}

/// Collects the static files of a Django project, as App Platform does.
fn collect_static(project: &Project, request: &Request<'_>, packages: &Packages) -> Option<(String, Finding)> {
    let directory = start::django(project, packages).filter(|_| request.kind == Kind::Service)?;
    let is_assignment = |line: &str| line.trim_start().starts_with("STATIC_ROOT");
    let file = project.paths().find(|path| project.text(path).is_some_and(|it| it.lines().any(is_assignment)))?;
    let by_user = request.build_command.is_some_and(|it| it.contains("collectstatic"));
    if by_user || request.build_args.contains(&"DISABLE_COLLECTSTATIC") {
        return None;
    }
    let manage = if directory.is_empty() { "manage.py".to_owned() } else { format!("{directory}/manage.py") };
    // Settings may refuse to load without a key. This one signs nothing: only the build has it.
    let command = format!(
        "for key in SECRET_KEY DJANGO_SECRET_KEY; do eval \"export $key=\\\"\\${{$key:-only-for-the-build}}\\\"\"; done; \
         python {} collectstatic --noinput",
        quoted(&manage)
    );
    Some((command, Finding::new("collectstatic", format!("STATIC_ROOT in {file}"))))
}

#[cfg(test)]
mod tests;
