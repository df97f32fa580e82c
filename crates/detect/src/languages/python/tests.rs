#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{assert_order, detected, service};
use crate::{Bases, detect};

const FLASK: (&str, &str) = ("app.py", "import flask\napp = flask.Flask(__name__)\n");
const FASTAPI: &str = "from fastapi import FastAPI\n\napp: FastAPI = FastAPI(\n    title='x',\n)\n";

#[test]
fn projects_are_known_by_their_dependencies_or_a_program() {
    let linters = ("pyproject.toml", "[tool.ruff]\nline-length = 100\n");
    let node = ("package.json", r#"{"scripts": {"start": "node ."}}"#);
    for (files, expected) in [
        (&[("requirements.txt", ""), ("main.py", "")][..], Language::Python),
        (&[("requirements.txt", ""), node, ("main.py", "")], Language::Python),
        (&[linters, ("main.py", "")], Language::Python),
        (&[linters, node], Language::Node),
        (&[node, ("main.py", "")], Language::Node),
        (&[("app.py", ""), ("index.html", "")], Language::Python),
        (&[("pyproject.toml", "[project]\nname = 'x'\n"), ("Cargo.toml", ""), ("main.py", "")], Language::Python),
    ] {
        assert_eq!(service(files).language, expected, "{files:?}");
    }
}

#[test]
fn a_script_manage_py_is_of_django_only_if_it_uses_django() {
    let django = ("manage.py", "from django.core.management import execute_from_command_line\n");
    let other = ("manage.py", "from flask_script import Manager\n");
    let requirements = ("requirements.txt", "flask\ngunicorn\n");
    let start = |files: &[(&str, &str)]| service(files).start.unwrap();
    assert!(start(&[requirements, FLASK, other, ("shop/wsgi.py", "")]).ends_with(" app:app"));
    assert!(start(&[requirements, FLASK, django, ("shop/wsgi.py", "")]).ends_with(" shop.wsgi:application"));
    let node = ("package.json", r#"{"scripts": {"start": "node ."}}"#);
    assert_eq!(service(&[node, other]).language, Language::Node);
    let error = detected("web", Kind::Service, &[node, django]).unwrap_err().to_string();
    assert!(error.starts_with("this is a Django project"), "{error}");
}

#[test]
fn dependencies_come_before_the_sources_and_the_last_stage_copies_them() {
    let detected =
        service(&[FLASK, ("requirements.txt", "flask\ngunicorn\n"), ("Aptfile", "# fonts\nfonts-dejavu\n$(x)\n")]);
    assert_order(
        &detected.dockerfile,
        &[
            "FROM python:3.13 AS build\n",
            "apt-get install --yes --no-install-recommends fonts-dejavu ",
            "python3 -m venv /opt/venv\n",
            "COPY [\"requirements.txt\",\"./\"]\n",
            "target=/root/.cache,sharing=locked pip install -r requirements.txt\n",
            "COPY . .\n",
            "printf '%s\\n' fonts-dejavu)",
            "FROM python:3.13-slim\n",
            "COPY --from=build /opt/venv /opt/venv\n",
            "COPY --from=build --chown=app:app /workspace ./\n",
            "USER app\n",
            "CMD [\"/bin/sh\",\"-c\",\"exec gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT app:app\"]\n",
        ],
    );
    assert!(!detected.dockerfile.contains("$(x)"), "{}", detected.dockerfile);
}

#[test]
fn the_package_manager_comes_from_the_lock_file() {
    let poetry =
        "[tool.poetry]\nname = 'my-shop'\n[tool.poetry.dependencies]\npython = '^3.11'\nflask = '*'\ngunicorn = '*'\n";
    let project = "[project]\nname = 'shop'\ndependencies = ['flask', 'gunicorn>=20']\n";
    let package = &*format!("{project}[build-system]\nrequires = ['hatchling']\n");
    let pipfile = "[packages]\nflask = '*'\ngunicorn = '*'\n";
    for (files, finding, install) in [
        (
            &[("Pipfile", pipfile), ("Pipfile.lock", "{}"), ("requirements.txt", "")][..],
            "package manager Pipenv (Pipfile.lock)",
            &["pip install pipenv\n", "COPY [\"Pipfile\",\"Pipfile.lock\",\"./\"]\n", "pipenv sync\n", "COPY . .\n"][..],
        ),
        (
            &[("requirements.txt", "flask\ngunicorn\n"), ("pyproject.toml", poetry), ("poetry.lock", "")],
            "package manager pip (requirements.txt; poetry.lock is not used)",
            &["pip install -r requirements.txt\n"],
        ),
        (
            &[("pyproject.toml", poetry), ("poetry.lock", ""), ("my_shop/__init__.py", "")],
            "package manager Poetry (poetry.lock)",
            &["poetry install --only main --no-root\n", "COPY . .\n", "poetry install --only-root\n"],
        ),
        (
            &[("pyproject.toml", poetry)],
            "package manager Poetry (pyproject.toml, without a poetry.lock)",
            &["poetry install --only main --no-root\n", "COPY . .\n# "],
        ),
        (
            &[("pyproject.toml", package), ("uv.lock", "")],
            "package manager uv (uv.lock)",
            &[
                "COPY [\"pyproject.toml\",\"uv.lock\",\"./\"]\n",
                "uv sync --locked --no-dev --no-install-project\n",
                "COPY . .\n",
                "uv sync --locked --no-dev\n",
            ],
        ),
        (&[("pyproject.toml", project), ("uv.lock", "")], "package manager uv (uv.lock)", &["COPY . .\n# "]),
        (
            &[("Pipfile", pipfile)],
            "package manager Pipenv (Pipfile, without a Pipfile.lock)",
            &["pipenv install --skip-lock\n"],
        ),
        (
            &[("pyproject.toml", package), ("pdm.lock", "")],
            "package manager pip ([project] in pyproject.toml, without a known lock file)",
            &["pip install flask 'gunicorn>=20'\n", "COPY . .\n", "pip install --no-deps -e .\n"],
        ),
        (
            &[("setup.py", "setup(install_requires=['flask>=2', \"gunicorn\"])\n")],
            "package manager pip (setup.py)",
            &["COPY . .\n", "pip install -e .\n"],
        ),
    ] {
        let files = [&[FLASK], files].concat();
        let detected = service(&files);
        assert!(detected.findings.iter().any(|it| it.to_string() == finding), "{:?}", detected.findings);
        assert_order(&detected.dockerfile, install);
        assert_eq!(detected.dockerfile.matches("COPY . .").count(), 1, "{}", detected.dockerfile);
    }
}

#[test]
fn requirements_are_read_with_the_files_that_they_include() {
    let files = [
        FLASK,
        ("requirements.txt", "-r requirements/prod.txt\n--index-url https://example.com/simple\n"),
        ("requirements/prod.txt", "-c ../constraints.txt\n-r base.txt\nFlask[async] == 3.0 # web\n"),
        ("requirements/base.txt", "gunicorn ; python_version > '3.8'\nshop @ git+https://example.com/shop.git\n"),
        ("constraints.txt", "idna==3\n"),
    ];
    assert_order(
        &service(&files).dockerfile,
        &[
            "COPY [\"requirements.txt\",\"constraints.txt\",\"./\"]",
            "COPY [\"requirements/prod.txt\",\"requirements/base.txt\",\"./requirements/\"]\n",
        ],
    );
    // Directories of the source, and included files that are missing, need the whole source.
    for line in ["-e .", "./shop", "shop @ file:///workspace/shop", "-r requirements/absent.txt"] {
        let text = service(&[FLASK, ("requirements.txt", &format!("flask\ngunicorn\n{line}\n"))]).dockerfile;
        assert_order(&text, &["COPY . .\n", "pip install -r requirements.txt\n"]);
    }
}

#[test]
fn every_wish_for_a_version_counts() {
    for (files, expected) in [
        (&[][..], "Python 3.13 (the default)"),
        (&[("runtime.txt", "python-3.11.4\n")], "Python 3.11 (runtime.txt: 3.11.4)"),
        (&[("runtime.txt", "python-3.15.0\n")], "Python 3.15 (runtime.txt: 3.15.0)"),
        (&[(".python-version", "# pin\n3.12\n")], "Python 3.12 (.python-version: 3.12)"),
        (&[(".python-version", "shop-venv\n")], "Python 3.13 (the default)"),
        (
            &[("pyproject.toml", "[project]\nname = 'x'\nrequires-python = '>=3.9,<3.12'\n")],
            "Python 3.11 (requires-python in pyproject.toml: >=3.9,<3.12)",
        ),
        (&[("Pipfile", "[requires]\npython_version = '3.10'\n")], "Python 3.10 (Pipfile: 3.10)"),
    ] {
        let files = [&[("main.py", "")], files].concat();
        assert_eq!(service(&files).findings[1].to_string(), expected);
    }
    let error = detected("web", Kind::Service, &[("main.py", ""), ("runtime.txt", "python-2.7.18")]).unwrap_err();
    assert!(error.to_string().starts_with("runtime.txt asks for Python 2.7.18, but Boatyard has 3."), "{error}");
}

#[test]
fn web_frameworks_start_with_the_server_among_the_dependencies() {
    let factory = "from flask import Flask\n\ndef create_app():\n    app = Flask(__name__)\n    return app\n";
    for (requirements, files, expected) in [
        (
            "flask\ngunicorn",
            &[("wsgi.py", "from shop import create_app\napplication = create_app()\n"), ("shop/__init__.py", factory)]
                [..],
            "gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT wsgi:application",
        ),
        (
            "flask\ngunicorn",
            &[("shop/__init__.py", factory)],
            "exec gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT 'shop:create_app()'",
        ),
        (
            "flask\nwaitress",
            &[("shop/__init__.py", factory)],
            "waitress-serve --listen=0.0.0.0:$PORT --call shop:create_app",
        ),
        ("flask\nwaitress", &[FLASK], "waitress-serve --listen=0.0.0.0:$PORT app:app"),
        ("fastapi\nuvicorn", &[("app/main.py", FASTAPI)], "uvicorn --host 0.0.0.0 --port $PORT app.main:app"),
        ("fastapi[standard]", &[("main.py", FASTAPI)], "uvicorn --host 0.0.0.0 --port $PORT main:app"),
        ("fastapi\nhypercorn", &[("src/main.py", FASTAPI)], "hypercorn --bind 0.0.0.0:$PORT src.main:app"),
        (
            "flask",
            &[(
                "app.py",
                "app = Flask(__name__)\nif __name__ == '__main__':\n    app.run('0.0.0.0', os.environ['PORT'])\n",
            )],
            "python app.py",
        ),
        (
            "django\ngunicorn",
            &[("manage.py", ""), ("shop/wsgi.py", ""), ("shop/asgi.py", "")],
            "gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT shop.wsgi:application",
        ),
        (
            "django\nchannels\ndaphne",
            &[("manage.py", ""), ("shop/wsgi.py", ""), ("shop/asgi.py", "")],
            "daphne -b 0.0.0.0 -p $PORT shop.asgi:application",
        ),
        (
            "django\nuvicorn",
            &[("manage.py", ""), ("config/wsgi.py", ""), ("config/asgi.py", "")],
            "uvicorn --host 0.0.0.0 --port $PORT config.asgi:application",
        ),
        (
            "django\ngunicorn",
            &[("site/manage.py", ""), ("site/shop/wsgi.py", "")],
            "cd site && exec gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT shop.wsgi:application",
        ),
        (
            "django",
            &[("manage.py", ""), ("shop/wsgi.py", ""), ("Procfile", "web: python manage.py runserver")],
            "python manage.py runserver",
        ),
        ("", &[("main.py", "")], "python main.py"),
        (
            "django\ngunicorn",
            &[("my site/manage.py", ""), ("my site/shop/wsgi.py", "")],
            "cd 'my site' && exec gunicorn --worker-tmp-dir /dev/shm --bind 0.0.0.0:$PORT shop.wsgi:application",
        ),
    ] {
        let files = [&[("requirements.txt", requirements)], files].concat();
        assert_eq!(service(&files).start.as_deref(), Some(expected), "{files:?}");
    }
}

#[test]
fn a_missing_server_is_named() {
    for (requirements, files, expected) in [
        (
            "flask",
            &[FLASK][..],
            "this is a Flask project, but nothing says how it starts. Add gunicorn to the dependencies",
        ),
        ("fastapi", &[("main.py", FASTAPI)], "this is a FastAPI project, but nothing says how it starts. Add uvicorn"),
        (
            "django",
            &[("manage.py", ""), ("x/wsgi.py", "")],
            "this is a Django project, but nothing says how it starts. Add gunicorn",
        ),
        ("requests", &[("lib.py", "")], "this is a Python project, but nothing says how it starts. Add a main.py"),
    ] {
        let files = [&[("requirements.txt", requirements)], files].concat();
        let error = detected("web", Kind::Service, &files).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn workers_and_jobs_run_scripts() {
    let files = [FLASK, ("requirements.txt", "flask\ngunicorn"), ("import.py", ""), ("worker.py", "")];
    for (component, expected) in [("import", "python import.py"), ("mail", "python worker.py")] {
        assert_eq!(detected(component, Kind::Worker, &files).unwrap().start.as_deref(), Some(expected));
    }
}

#[test]
fn static_files_of_django_are_collected_unless_the_app_spec_does_it() {
    let files = [
        ("requirements.txt", "django\ngunicorn"),
        ("manage.py", ""),
        ("shop/wsgi.py", ""),
        ("shop/settings/base.py", "STATIC_ROOT = BASE_DIR / 'static'\n"),
    ];
    let project = Project::of(&files);
    let bases = Bases::default();
    let mut request = Request::new("web", Kind::Service, &bases);
    let collects =
        |request: &Request<'_>| detect(&project, request).unwrap().dockerfile.contains("manage.py collectstatic");
    assert!(collects(&request));
    request.build_command = Some("make translations");
    assert!(collects(&request));
    request.build_args = vec!["DISABLE_COLLECTSTATIC"];
    assert!(!collects(&request));
    assert!(!service(&files[..3]).dockerfile.contains("collectstatic"));
}

#[test]
fn a_start_command_that_needs_the_package_manager_gets_it() {
    let files = [("pyproject.toml", "[project]\nname = 'x'\n"), ("uv.lock", ""), ("main.py", "")];
    let project = Project::of(&files);
    let bases = Bases::default();
    let mut request = Request::new("web", Kind::Service, &bases);
    let last = |request: &Request<'_>| {
        detect(&project, request).unwrap().dockerfile.split_once("FROM python:3.13-slim").unwrap().1.to_owned()
    };
    assert!(!last(&request).contains("/opt/tools"));
    request.run_command = Some("uv run main.py");
    assert!(
        last(&request).contains("COPY --from=build /opt/tools /opt/tools\nENV PATH=/opt/venv/bin:/opt/tools/bin:$PATH")
    );
}

#[test]
fn scripts_and_styles_are_built_with_node() {
    let text = service(&[
        FLASK,
        ("requirements.txt", "flask\ngunicorn"),
        ("package.json", r#"{"scripts": {"build": "vite build"}}"#),
        ("package-lock.json", "{}"),
    ])
    .dockerfile;
    assert_order(
        &text,
        &[
            "COPY --from=node:",
            "npm ci",
            "pip install",
            "COPY . .\n",
            "npm run build",
            "RUN rm -rf node_modules\n",
            "FROM python:",
        ],
    );
}
