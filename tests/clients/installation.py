"""A separate installation of Boatyard, with an app that is built from a repository. Removed at the end."""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

# The contents of the file are built into the image, so each commit changes it.
DOCKERFILE = """\
FROM boatyard-local/testapp:1 AS app
FROM boatyard-local/python:3
COPY --from=app /bin/testapp /bin/testapp
COPY version /version
EXPOSE 8080
CMD ["/bin/testapp"]
"""
ENDED = ("ACTIVE", "SUPERSEDED", "ERROR", "CANCELED")
# Only ends waits for something that never happens.
ENDS_WITHIN = 300


class Installation:
    """`boatyard serve` on free ports, over HTTP and HTTPS."""

    def __init__(self, program, *arguments):
        self.program = program
        self.directory = Path(tempfile.mkdtemp(prefix="by-clients-"))
        self.sources = self.directory / "sources"
        self.repository = self.sources / "shop"
        self.data = self.directory / "data"
        self.arguments = arguments
        self.serve = None
        self.api_port, self.tls_port, self.http_port = free_ports(3)
        self.url, self.tls_url = f"http://127.0.0.1:{self.api_port}", f"https://127.0.0.1:{self.tls_port}"
        self.repository.mkdir(parents=True)
        (self.repository / "Dockerfile").write_text(DOCKERFILE)
        self._git("init", "--quiet", "--initial-branch=main")
        self.commit("1")

    def __enter__(self):
        # SIGTERM ends the program as Ctrl-C does, so that the installation is removed.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def start(self, *more):
        command = [
            self.program, "serve", "--data-dir", self.data, "--local-sources", self.sources,
            "--api", f"127.0.0.1:{self.api_port}", "--api-tls", f"127.0.0.1:{self.tls_port}",
            "--http", f"127.0.0.1:{self.http_port}",
        ]
        self.log = open(self.directory / "serve.log", "ab")
        self.serve = subprocess.Popen(
            [*command, *self.arguments, *more], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        deadline = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < deadline and self.serve.poll() is None:
            with contextlib.suppress(OSError):
                self.token = (self.data / "admin-token").read_text().strip()
                if self.api("GET", "/v2/account")[0] == 200:
                    return
            time.sleep(0.05)
        raise SystemExit(f"error: serve did not start:\n{(self.directory / 'serve.log').read_text()}")

    def stop(self):
        """Stops `serve`. The ingress and the apps keep running."""
        if self.serve is not None:
            self.serve.terminate()
            self.serve.wait(60)
            self.serve = None
            self.log.close()

    def kill(self):
        """Kills `serve`, as a crash would."""
        self.serve.kill()
        self.stop()

    def remove(self):
        self.stop()
        if self.data.exists():
            uninstall = [self.program, "uninstall", "--purge", "--data-dir", self.data]
            done = subprocess.run(uninstall, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"error: something may be left on the engine: {done.stderr}")
        shutil.rmtree(self.directory)

    @property
    def authority(self):
        """The certificate that clients have to trust."""
        return str(self.data / "tls" / "authority.pem")

    def api(self, method, path, body=None, **headers):
        """Calls the API over HTTP. Returns the status and the JSON."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in headers.items():
            request.add_header(name, value)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=ENDS_WITHIN) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ended(self, app, deployment):
        """Waits for the end of a deployment and returns it."""
        deadline = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < deadline:
            status, answer = self.api("GET", f"/v2/apps/{app}/deployments/{deployment}", Prefer="wait=45")
            if status == 200 and answer["deployment"]["phase"] in ENDED:
                return answer["deployment"]
            time.sleep(0.1)
        raise SystemExit(f"error: deployment {deployment} did not end: {answer}")

    def newest(self, app):
        return self.deployments(app)[0]

    def deployments(self, app):
        return self.api("GET", f"/v2/apps/{app}/deployments?per_page=200")[1].get("deployments", [])

    def until(self, what, condition):
        """Waits until the condition returns a true value, and returns it."""
        deadline = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.1)
        raise SystemExit(f"error: never happened: {what}")

    def commit(self, version):
        """Commits another version of the app's source and returns the commit."""
        (self.repository / "version").write_text(version)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", f"version {version}")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments):
        who = {f"GIT_{role}_{field}": value
               for role in ("AUTHOR", "COMMITTER")
               for field, value in (("NAME", "Boatyard tests"), ("EMAIL", "tests@boatyard.invalid"))}
        done = subprocess.run(["git", "-C", self.repository, *arguments], env={**os.environ, **who},
                              check=True, capture_output=True, text=True)
        return done.stdout

    def spec(self, name="shop", /, **web):
        """The spec of an app with a service, a worker, a job and an alert. `web`: more fields of the service."""
        source = {"git": {"repo_clone_url": str(self.repository), "branch": "main"}, "dockerfile_path": "Dockerfile"}
        service = {
            "name": "web", **source, "instance_count": 2, "routes": [{"path": "/"}],
            "health_check": {"http_path": "/health", "period_seconds": 1, "failure_threshold": 3},
            "envs": [{"key": "PRINT", "value": "web-is-open"}],
        }
        return {
            "name": name,
            "services": [{**service, **web}],
            "workers": [{"name": "mill", **source, "run_command": "/bin/testapp work"}],
            "jobs": [{"name": "migrate", **source, "kind": "PRE_DEPLOY", "run_command": "/bin/testapp job",
                      "envs": [{"key": "JOB_PRINT", "value": "tables-are-made"}]}],
            "alerts": [{"rule": "DEPLOYMENT_FAILED"}],
        }

    def open(self, url):
        """Gets an address that the API gave out, over TLS and without the token."""
        context = ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(url, timeout=ENDS_WITHIN, context=context) as answer:
            return answer.read().decode()


def free_ports(number):
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [it.getsockname()[1] for it in sockets]
