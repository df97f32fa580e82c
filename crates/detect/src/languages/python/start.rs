//! The start command of a Python project: Django, other web frameworks, or a script.

use super::packages::Packages;
use crate::languages::{Start, quoted};
use crate::project::Project;
use crate::request::{Kind, Request};

/// How a server calls an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    Wsgi,
    Asgi,
}

/// A framework: its name, its package, the class of its apps, and how a server calls them.
struct Framework(&'static str, &'static str, &'static str, Interface);

const FRAMEWORKS: &[Framework] = &[
    Framework("FastAPI", "fastapi", "FastAPI", Interface::Asgi),
    Framework("Flask", "flask", "Flask", Interface::Wsgi),
    Framework("Litestar", "litestar", "Litestar", Interface::Asgi),
    Framework("Quart", "quart", "Quart", Interface::Asgi),
    Framework("Starlette", "starlette", "Starlette", Interface::Asgi),
];

/// The names of modules that often contain the app or are the program, in the order in which they are tried. Their texts
/// are read, at most two directories deep.
pub(crate) const MODULES: &[&str] =
    &["wsgi.py", "asgi.py", "main.py", "app.py", "server.py", "application.py", "api.py", "run.py", "__init__.py"];

/// The directory with the manage.py of a Django project: the root, or one below it. Other frameworks have such a file too.
pub(super) fn django<'a>(project: &'a Project, packages: &Packages) -> Option<&'a str> {
    let is_of_django = |path: &&str| packages.has("django") || mentions_django(project, path);
    let mut found: Vec<_> = project.named("manage.py").filter(|path| depth(path) <= 1).filter(is_of_django).collect();
    found.sort_by_key(|path| depth(path));
    found.first().map(|path| path.rsplit_once('/').map_or("", |(directory, _)| directory))
}

pub(super) fn mentions_django(project: &Project, path: &str) -> bool {
    project.text(path).is_some_and(|text| text.contains("django"))
}

/// The detected command. Errors: what to add, as an imperative sentence without a period.
pub(super) fn command(project: &Project, request: &Request<'_>, packages: &Packages) -> Result<Start, Help> {
    if request.kind == Kind::Service {
        if let Some(directory) = django(project, packages) {
            return django_server(project, packages, directory);
        }
        if let Some(app) = App::find(project, packages) {
            return app.server(project, packages);
        }
    }
    if let ([script], true) = (&packages.scripts[..], packages.project.is_some()) {
        return Ok(Start::new(script, "the only script of pyproject.toml"));
    }
    let own = format!("{}.py", request.component);
    let scripts: &[&str] = match request.kind {
        Kind::Service | Kind::StaticSite => &["main.py", "app.py", "server.py", "run.py", "src/main.py"],
        Kind::Worker | Kind::Job => &[&own, "worker.py", "main.py", "bot.py", "app.py", "run.py", "src/main.py"],
    };
    let script = project
        .first(scripts)
        .ok_or_else(|| Help { project: "Python".into(), help: format!("Add a {}, or a Procfile", scripts[0]) })?;
    Ok(Start::new(format!("python {script}"), script.to_owned()))
}

/// What is missing.
pub(super) struct Help {
    /// The language or framework.
    pub project: String,
    pub help: String,
}

impl Help {
    fn server(framework: &str, interface: Interface) -> Self {
        let server = match interface {
            Interface::Wsgi => "gunicorn",
            Interface::Asgi => "uvicorn",
        };
        Self { project: framework.into(), help: format!("Add {server} to the dependencies, or a Procfile") }
    }
}

fn django_server(project: &Project, packages: &Packages, directory: &str) -> Result<Start, Help> {
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let find = |name: &'static str| {
        let below = project.named(name).filter_map(|path| path.strip_prefix(prefix.as_str()));
        below.min_by_key(|path| depth(path)).map(|path| path.trim_end_matches(".py").replace('/', "."))
    };
    let is_asynchronous = ["channels", "daphne"].iter().any(|it| packages.has(it));
    let (wsgi, asgi) = (find("wsgi.py"), find("asgi.py"));
    let candidates = [(Interface::Wsgi, wsgi), (Interface::Asgi, asgi)];
    let mut candidates: Vec<_> = candidates.into_iter().filter_map(|(it, module)| Some((it, module?))).collect();
    if is_asynchronous {
        candidates.reverse();
    }
    for (interface, module) in candidates {
        if let Some(command) = serve(packages, interface, &format!("{module}:application"), false) {
            let command =
                if prefix.is_empty() { command } else { format!("cd {} && exec {command}", quoted(directory)) };
            return Ok(Start::new(command, format!("{prefix}manage.py")));
        }
    }
    Err(Help::server("Django", if is_asynchronous { Interface::Asgi } else { Interface::Wsgi }))
}

/// A server: its package, what it serves, its command, and how it names a function that makes the app.
struct Server(&'static str, &'static [Interface], &'static str, &'static str);

const SERVERS: &[Server] = &[
    // Workers of gunicorn show by a file that they live, which must not be on a disk.
    Server("gunicorn", &[Interface::Wsgi], "gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT", "'{}()'"),
    Server("waitress", &[Interface::Wsgi], "waitress-serve --listen=0.0.0.0:$PORT", "--call {}"),
    Server("uvicorn", &[Interface::Asgi], "uvicorn --host 0.0.0.0 --port $PORT", "--factory {}"),
    Server("hypercorn", &[Interface::Asgi, Interface::Wsgi], "hypercorn --bind 0.0.0.0:$PORT", "'{}()'"),
    Server("daphne", &[Interface::Asgi], "daphne -b 0.0.0.0 -p $PORT", ""),
];

/// The command of the first server among the dependencies that can serve the app.
fn serve(packages: &Packages, interface: Interface, app: &str, is_function: bool) -> Option<String> {
    let can_serve = |it: &&Server| packages.has(it.0) && it.1.contains(&interface) && !(is_function && it.3.is_empty());
    let Server(_, _, command, function) = SERVERS.iter().find(can_serve)?;
    Some(match function.replace("{}", app) {
        _ if !is_function => format!("{command} {app}"),
        app if app.starts_with('\'') => format!("exec {command} {app}"),
        app => format!("{command} {app}"),
    })
}

/// The app of a web framework, in a module.
struct App<'a> {
    framework: &'static Framework,
    path: &'a str,
    /// A variable, or a function that makes the app.
    name: String,
    is_function: bool,
}

impl<'a> App<'a> {
    /// Looks for a variable first, then for a function. Files near the root come first.
    fn find(project: &'a Project, packages: &Packages) -> Option<Self> {
        let framework = FRAMEWORKS.iter().find(|it| packages.has(it.1))?;
        let mut paths: Vec<_> = project.paths().filter_map(|path| Some((depth(path), rank(path)?, path))).collect();
        paths.sort_unstable();
        let lines = || paths.iter().filter_map(|(_, _, path)| Some((*path, project.text(path)?)));
        let variable = lines().find_map(|(path, text)| Some((path, variable(text, framework.2)?, false)));
        let found = variable.or_else(|| lines().find_map(|(path, text)| Some((path, function(text)?, true))));
        found.map(|(path, name, is_function)| Self { framework, path, name: name.into(), is_function })
    }

    fn server(&self, project: &Project, packages: &Packages) -> Result<Start, Help> {
        let &Framework(title, _, _, interface) = self.framework;
        let module = module(self.path, packages.project.is_some());
        if let Some(command) = serve(packages, interface, &format!("{module}:{}", self.name), self.is_function) {
            return Ok(Start::new(command, format!("{title} in {}", self.path)));
        }
        // A program that reads the variable PORT starts a server itself.
        let text = project.text(self.path).unwrap_or_default();
        if text.contains("__main__") && text.contains("PORT") {
            return Ok(Start::new(format!("python {}", quoted(self.path)), format!("{} starts a server", self.path)));
        }
        Err(Help::server(title, interface))
    }
}

fn depth(path: &str) -> usize {
    path.matches('/').count()
}

/// The place of a file among [`MODULES`].
fn rank(path: &str) -> Option<usize> {
    let name = path.rsplit('/').next()?;
    MODULES.iter().position(|it| *it == name)
}

/// `app/main.py` is `app.main`, and `app/__init__.py` is `app`. A package below `src` is imported without it if the project
/// is installed.
fn module(path: &str, is_installed: bool) -> String {
    let path = path.trim_end_matches(".py").trim_end_matches("/__init__");
    let below = path.strip_prefix("src/").filter(|below| is_installed && below.contains('/'));
    below.unwrap_or(path).replace('/', ".")
}

/// The global variable that has an app of this class, or the app that a function of this project made.
fn variable<'a>(text: &'a str, class: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let called = value.trim().split('(').next()?.rsplit('.').next()?;
        let name = name.split(':').next()?.trim_end();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_name && value.contains('(') && (called == class || FACTORIES.contains(&called))).then_some(name)
    })
}

const FACTORIES: &[&str] = &["create_app", "make_app", "get_app", "build_app"];

fn function(text: &str) -> Option<&'static str> {
    let defined = |name: &&&str| text.lines().any(|line| line.starts_with(&format!("def {name}(")));
    FACTORIES.iter().find(defined).copied()
}
