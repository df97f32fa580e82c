//! Projects in Python. Those with a package manager depend on one package that depends on none.

use crate::{Registry, SAMPLE, Sample};

pub const PYPI: Registry = Registry {
    name: "PyPI",
    base: "boatyard-local/base-python:3.11",
    command: "pip download --no-deps --no-cache-dir --dest /tmp waitress==3.0.0",
};

/// It ends on the stop signal, as a program that is process 1 must.
const STANDARD_LIBRARY: &str = r#"
import http.server, os, signal
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello 1")
signal.signal(signal.SIGTERM, lambda *_: exit())
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const WAITRESS: &str = r#"
import os, signal, waitress
def app(environment, start_response):
    start_response("200 OK", [])
    return [b"hello 1"]
signal.signal(signal.SIGTERM, lambda *_: exit())
waitress.serve(app, port=os.environ["PORT"])
"#;

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "Python",
        files: &[("app.py", STANDARD_LIBRARY), (".python-version", "3.11")],
        changes: "app.py",
        ..SAMPLE
    },
    Sample {
        name: "pip, Flask",
        files: &[
            ("requirements.txt", "-r requirements/base.txt\n"),
            ("requirements/base.txt", "Flask==3.0.0\ngunicorn==22.0.0\n"),
            ("runtime.txt", "python-3.11.9\n"),
            (
                "app.py",
                "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef page():\n    return 'hello 1'\n",
            ),
        ],
        changes: "app.py",
        needs: Some(PYPI),
        ..SAMPLE
    },
    Sample {
        name: "pip, FastAPI",
        files: &[
            (
                "pyproject.toml",
                "[project]\nname = 'app'\nversion = '1'\nrequires-python = '>=3.10,<3.12'\ndependencies = ['fastapi==0.110.0', 'uvicorn==0.29.0']\n",
            ),
            (
                "app/main.py",
                "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef page():\n    return 'hello 1'\n",
            ),
        ],
        changes: "app/main.py",
        needs: Some(PYPI),
        ..SAMPLE
    },
    Sample {
        name: "pip, Django",
        files: &[
            ("requirements.txt", "Django==4.2.16\ngunicorn==22.0.0\n"),
            ("runtime.txt", "python-3.11.9\n"),
            (
                "manage.py",
                "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'site1.settings'\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
            ),
            ("site1/__init__.py", ""),
            (
                "site1/settings.py",
                "import os\nSECRET_KEY = os.environ['SECRET_KEY'] if 'collectstatic' in __import__('sys').argv else 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'site1.urls'\nINSTALLED_APPS = ['django.contrib.staticfiles']\nSTATIC_URL = 'static/'\nSTATIC_ROOT = 'collected'\nSTATICFILES_DIRS = ['assets']\n",
            ),
            (
                "site1/urls.py",
                "from django.http import HttpResponse\nfrom django.urls import path\nurlpatterns = [path('', lambda _: HttpResponse(open('collected/page.txt').read()))]\n",
            ),
            (
                "site1/wsgi.py",
                "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'site1.settings'\nfrom django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
            ),
            ("assets/page.txt", "hello 1"),
        ],
        changes: "assets/page.txt",
        needs: Some(PYPI),
        ..SAMPLE
    },
    Sample {
        name: "uv",
        files: &[
            (
                "pyproject.toml",
                "[project]\nname = \"app\"\nversion = \"1.0.0\"\nrequires-python = \">=3.9\"\ndependencies = [\"waitress==3.0.0\"]\n",
            ),
            (".python-version", "3.11.1\n"),
            (
                "uv.lock",
                r#"version = 1
revision = 2
requires-python = ">=3.9"

[[package]]
name = "app"
version = "1.0.0"
source = { virtual = "." }
dependencies = [
    { name = "waitress" },
]

[package.metadata]
requires-dist = [{ name = "waitress", specifier = "==3.0.0" }]

[[package]]
name = "waitress"
version = "3.0.0"
source = { registry = "https://pypi.org/simple" }
sdist = { url = "https://files.pythonhosted.org/packages/70/34/cb77e5249c433eb177a11ab7425056b32d3b57855377fa1e38b397412859/waitress-3.0.0.tar.gz", hash = "sha256:005da479b04134cdd9dd602d1ee7c49d79de0537610d653674cc6cbde222b8a1", size = 179393 }
wheels = [
    { url = "https://files.pythonhosted.org/packages/5b/a9/485c953a1ac4cb98c28e41fd2c7184072df36bbf99734a51d44d04176878/waitress-3.0.0-py3-none-any.whl", hash = "sha256:2a06f242f4ba0cc563444ca3d1998959447477363a2d7e9b8b4d75d35cfd1669", size = 56698 },
]
"#,
            ),
            ("main.py", WAITRESS),
            ("Procfile", "web: exec uv run main.py\n"),
        ],
        changes: "main.py",
        needs: Some(PYPI),
        ..SAMPLE
    },
    Sample {
        name: "Poetry",
        files: &[
            (
                "pyproject.toml",
                r#"[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = "^3.9"
waitress = "3.0.0"
[[tool.poetry.source]]
name = "simple"
url = "https://pypi.org/simple/"
priority = "primary"
"#,
            ),
            (
                "poetry.lock",
                r#"[[package]]
name = "waitress"
version = "3.0.0"
description = "Waitress WSGI server"
optional = false
python-versions = ">=3.8.0"
groups = ["main"]
files = [
    {file = "waitress-3.0.0-py3-none-any.whl", hash = "sha256:2a06f242f4ba0cc563444ca3d1998959447477363a2d7e9b8b4d75d35cfd1669"},
    {file = "waitress-3.0.0.tar.gz", hash = "sha256:005da479b04134cdd9dd602d1ee7c49d79de0537610d653674cc6cbde222b8a1"},
]

[package.source]
type = "legacy"
url = "https://pypi.org/simple"
reference = "simple"

[metadata]
lock-version = "2.1"
python-versions = "^3.9"
content-hash = "9a9fd91450dcfc6e7bb4a83516f3ce7a27976ca606c5dc03720d476ceb20ebb3"
"#,
            ),
            (".python-version", "3.11"),
            ("main.py", WAITRESS),
            ("Procfile", "web: poetry run python main.py\n"),
        ],
        changes: "main.py",
        needs: Some(PYPI),
        ..SAMPLE
    },
    Sample {
        name: "Pipenv",
        files: &[
            ("Pipfile", "[packages]\nwaitress = \"==3.0.0\"\n"),
            ("runtime.txt", "python-3.11.9\n"),
            (
                "Pipfile.lock",
                r#"{
    "_meta": {
        "hash": {"sha256": "da093b935b0729664f2eee61bb9f61604b0249e6742ee6e471373df38117146d"},
        "pipfile-spec": 6,
        "requires": {},
        "sources": [{"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": true}]
    },
    "default": {
        "waitress": {
            "hashes": [
                "sha256:005da479b04134cdd9dd602d1ee7c49d79de0537610d653674cc6cbde222b8a1",
                "sha256:2a06f242f4ba0cc563444ca3d1998959447477363a2d7e9b8b4d75d35cfd1669"
            ],
            "index": "pypi",
            "version": "==3.0.0"
        }
    },
    "develop": {}
}"#,
            ),
            ("main.py", WAITRESS),
        ],
        changes: "main.py",
        needs: Some(PYPI),
        ..SAMPLE
    },
];
