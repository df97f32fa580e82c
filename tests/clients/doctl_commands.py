"""Runs doctl's commands against Boatyard over HTTPS, unmodified. Usage: doctl_commands.py BOATYARD DOCTL"""

import datetime
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

from installation import ENDS_WITHIN, Installation
from report import Report, environment


class Doctl:
    """doctl, set up by environment variables as the README says."""

    def __init__(self, program, at, report):
        self.program, self.at, self.report = program, at, report
        self.config = at.directory / "doctl.yaml"

    def environment(self):
        return environment(
            DIGITALOCEAN_API_URL=self.at.tls_url, DIGITALOCEAN_ACCESS_TOKEN=self.at.token, SSL_CERT_FILE=self.at.authority
        )

    def run(self, *arguments, exit=0, out="", err="", lacks=None, environment=None, stdin=""):
        """Runs a command and reports it. `out`, `err`: regular expressions that its output must match. `lacks`: one that
        standard output must not match. Returns standard output."""
        command = [self.program, "-c", self.config, *arguments]
        done = subprocess.run(command, env=environment or self.environment(), input=stdin, capture_output=True, text=True,
                              timeout=ENDS_WITHIN)
        as_expected = (
            done.returncode == exit
            and re.search(out, done.stdout, re.S)
            and re.search(err, done.stderr, re.S)
            and not (lacks and re.search(lacks, done.stdout, re.S))
        )
        shown = " ".join(brief(str(it)).replace(self.at.token, "TOKEN") for it in arguments)
        last = (done.stdout.strip() or done.stderr.strip() or "(no output)").splitlines()[-1]
        self.report.add(f"{done.returncode} doctl {shown}", " ".join(last.split()), as_expected)
        if not as_expected:
            self.report.note(done.stdout + done.stderr)
        return done.stdout

    def start(self, *arguments):
        return subprocess.Popen([self.program, "-c", self.config, *arguments], env=self.environment(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def brief(word):
    word = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", word)
    return re.sub(r"^/\S*/(\S+)$", r"\1", word)


def main(program, doctl):
    version = subprocess.run([doctl, "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    report = Report(f"{version}, over HTTPS")
    with Installation(program) as at:
        run = Doctl(doctl, at, report)
        set_up(run)
        first_app(run)
        changes(run)
        reads(run)
        logs(run)
        refusals(run)
        crash(run)
        delays(run, "held polls")
        at.stop()
        at.start("--no-held-polls")
        delays(run, "--no-held-polls")
        run.run("apps", "delete", "shop", "--force", err="App deleted")
        run.run("apps", "delete", "shop", "--force", exit=1, err="404")
    return report.end()


def write(at, name, content):
    path = at.directory / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def set_up(doctl):
    """The three ways to point doctl at Boatyard."""
    at, run = doctl.at, doctl.run
    run("account", "get", out="admin")
    plain = environment()
    run("-u", at.url, "-t", at.token, "apps", "list", environment=plain)
    # With this server, doctl does not send the token to the hosted service.
    init = ["auth", "init", "--token-validation-server", at.url]
    run("-u", at.url, "-t", "wrong", *init, exit=1, err="admin-token", environment=plain)
    run("-u", at.url, "-t", at.token, *init, out="✔", environment=plain)
    run("apps", "list", environment=plain)
    doctl.config.unlink()
    run("apps", "list", exit=1, err="certificate", environment={**doctl.environment(), "SSL_CERT_FILE": "/dev/null"})


def first_app(doctl):
    at, run = doctl.at, doctl.run
    spec = write(at, "shop.yaml", at.spec())
    run("apps", "list", out="^ID .*Spec Name")
    run("apps", "spec", "validate", spec, out="name: shop")
    run("apps", "propose", "--spec", spec, out="yes")
    run("projects", "list", out="default|Default|boatyard")
    project = json.loads(run("projects", "list", "-o", "json", out="id"))[0]["id"]
    run("apps", "create", "--spec", spec, "--project-id", project, "--wait", out="shop", err="App created")
    run("apps", "create", "--spec", spec, exit=1, err="409")
    run("apps", "create", "--spec", "-", "--upsert", stdin=spec.read_text(), out="shop")
    run("apps", "create", "--spec", write(at, "other.yaml", at.spec("other")), "--project-id",
        "00000000-0000-4000-8000-000000000000", exit=1, err="project")


def commit_of(at, deployment):
    return deployment["services"][0]["source_commit_hash"]


def changes(doctl):
    """Restart, rebuild and update: what they do, besides their exit codes."""
    at, run = doctl.at, doctl.run
    first = commit_of(at, at.newest("shop"))

    def deployments():
        return at.deployments("shop")

    def expect(what, condition, shown):
        doctl.report.add(f"  → {what}", shown, condition)

    run("apps", "restart", "shop", "--components", "web", "--wait", out="ACTIVE")
    run("apps", "restart", "shop", "--components", "web", "--format", "ID,Phase", "--wait", out="ACTIVE")
    # DigitalOcean's guide prints these two, with a column that doctl does not have. The request takes effect.
    for guide in (["restart", "shop", "--components", "web"], ["create-deployment", "shop", "--force-rebuild"]):
        before = len(deployments())
        run("apps", *guide, "--format", "ID,Status", exit=1, err='unknown column "Status"')
        expect("one deployment", len(deployments()) == before + 1, f"{len(deployments()) - before} started")
        at.ended("shop", at.newest("shop")["id"])

    second = at.commit("2")
    run("apps", "restart", "shop", "--wait", out="ACTIVE")
    expect("restarted from the commit that served", commit_of(at, at.newest("shop")) == first, first[:12])
    spec = write(at, "shop.yaml", at.spec(envs=[{"key": "PRINT", "value": "changed"}]))
    run("apps", "update", "shop", "--spec", spec, "--wait", out="shop", err="App updated")
    expect("an update keeps the commit", commit_of(at, at.newest("shop")) == first, first[:12])
    before = len(deployments())
    run("apps", "update", "shop", "--spec", spec, "--wait", err="App updated")
    expect("an equal update starts nothing", len(deployments()) == before, f"{len(deployments()) - before} started")
    run("apps", "update", "shop", "--spec", spec, "--update-sources", "--wait", err="App updated")
    expect("the newest commit", commit_of(at, at.newest("shop")) == second, second[:12])
    third = at.commit("3")
    run("apps", "create", "--spec", spec, "--upsert", "--update-sources", "--wait", err="App created")
    expect("the newest commit", commit_of(at, at.newest("shop")) == third, third[:12])
    fourth = at.commit("4")
    run("apps", "create-deployment", "shop", "--wait", out="ACTIVE")
    expect("the newest commit", commit_of(at, at.newest("shop")) == fourth, fourth[:12])
    run("apps", "create-deployment", "shop", "--force-rebuild", "--wait", out="ACTIVE")


def reads(doctl):
    at, run = doctl.at, doctl.run
    newest = at.newest("shop")["id"]
    app = at.api("GET", "/v2/apps/shop")[1]["app"]["id"]
    run("apps", "list", "--with-projects", out="shop")
    run("apps", "list", "--format", "Spec.Name,ActiveDeployment.ID", "--no-header", out=f"^shop +{newest}")
    run("apps", "get", app, out="shop")
    run("apps", "get", "shop", "-o", "json", out='"project_id"')
    run("apps", "get", "shpo", exit=1, err="404")
    run("apps", "list-deployments", "shop", out="ACTIVE")
    run("apps", "get-deployment", "shop", newest, "--format", "ID,Progress,Phase", out="ACTIVE")
    run("apps", "spec", "get", "shop", out="name: shop")
    run("apps", "spec", "get", "shop", "--deployment", newest, "--format", "json", out='"name": "shop"')
    run("apps", "list-instances", "shop", out="web-0")
    run("apps", "list-regions", out="local")
    run("apps", "list-buildpacks", out="ID")
    run("apps", "tier", "list", out="Name")
    run("apps", "tier", "instance-size", "list", out="apps-s-1vcpu-0.5gb")
    run("apps", "tier", "instance-size", "get", "apps-s-1vcpu-0.5gb", out="0.5gb|512")

    run("apps", "list-alerts", "shop", out="DEPLOYMENT_FAILED")
    alert = at.api("GET", "/v2/apps/shop/alerts")[1]["alerts"][0]["id"]
    destinations = write(at, "destinations.yaml", {"emails": ["ops@example.com"]})
    run("apps", "update-alert-destinations", "shop", alert, "--app-alert-destinations", destinations, out="DEPLOYMENT_FAILED")

    run("apps", "list-job-invocations", "shop", "--job-name", "migrate", out="SUCCEEDED")
    invocation = at.api("GET", "/v2/apps/shop/job-invocations")[1]["job_invocations"][0]["id"]
    run("apps", "get-job-invocation", "shop", invocation, out="migrate")
    run("apps", "logs", "shop", "migrate", "--job-invocation", invocation, out="tables-are-made")
    run("apps", "list-events", "shop", out="DEPLOYMENT")
    run("apps", "list-events", "shop", "--event-type", "AUTOSCALING", lacks="DEPLOYMENT_")
    run("apps", "get-event", "shop", newest, out="DEPLOYMENT")
    run("apps", "cancel-event", "shop", newest, exit=1, err="400")
    run("apps", "logs", "shop", "--event-id", newest, exit=1, err="400")
    # Images are built from Dockerfiles, so no component uses a buildpack.
    run("apps", "upgrade-buildpack", "shop", "--buildpack", "digitalocean/node")
    run("apps", "cancel-job-invocation", "shop", invocation, exit=1, err="409")


def logs(doctl):
    at, run = doctl.at, doctl.run
    deployments = at.deployments("shop")
    run("apps", "logs", "shop", "web", out="^web \\S+ changed")
    run("apps", "logs", "shop", "web", "--no-prefix", out="^changed")
    run("apps", "logs", "shop", "mill", "--tail", "1", out="^mill \\S+ [^\n]+\n$")
    run("apps", "logs", "shop", "web", "--tail", "0", lacks=".")
    run("apps", "logs", "shop", "--type", "build", out="COPY version")
    run("apps", "logs", "shop", "--type", "deploy", out="tables-are-made")
    run("apps", "logs", "shop", "migrate", out="tables-are-made")
    run("apps", "logs", "shop", "--deployment", deployments[-1]["id"], "--type", "build", out="COPY version")
    # The instances of the first deployment are gone.
    run("apps", "logs", "shop", "web", "--deployment", deployments[-1]["id"], exit=1, err="400")
    run("apps", "logs", "shop", "wbe", exit=1, err="Did you mean")

    follow = doctl.start("apps", "logs", "shop", "mill", "--follow", "--tail", "1")
    lines = [follow.stdout.readline() for _ in range(3)]
    follow.send_signal(2)
    rest, code = follow.communicate(timeout=ENDS_WITHIN)[0], follow.returncode
    doctl.report.add("0 doctl apps logs shop mill --follow, then Ctrl-C", " ".join(lines[-1].split()),
                     code == 0 and all(it.startswith("mill ") for it in lines) and "rror" not in rest)

    container = at.until("instances of mill", lambda: next(iter(
        it["container_id"] for it in at.api("GET", "/v2/boatyard/apps/shop/status")[1]["status"]["instances"]
        if it["component_name"] == "mill" and it["container_id"]), None))
    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
    restarted = ["apps", "logs", "shop", "mill", "--type", "run_restarted"]
    at.until("lines of the killed process", lambda: subprocess.run(
        [doctl.program, "-c", doctl.config, *restarted], env=doctl.environment(), capture_output=True).stdout)
    run(*restarted, out="^mill ")
    console(doctl)


def console(doctl):
    """A console needs a terminal."""
    what = "doctl apps console shop web"
    master, slave = pty.openpty()
    client = subprocess.Popen([doctl.program, "-c", doctl.config, "apps", "console", "shop", "web"], env=doctl.environment(),
                              stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    typed, text, deadline = False, "", time.monotonic() + ENDS_WITHIN
    try:
        while client.poll() is None and time.monotonic() < deadline:
            if select.select([master], [], [], 0.2)[0]:
                text += os.read(master, 4096).decode(errors="replace")
            # The shell has printed its prompt.
            if not typed and text.rstrip().endswith(("#", "$")):
                os.write(master, b"echo sum-$((40+2))\rexit\r")
                typed = True
    except OSError:
        pass  # The terminal ends with the client.
    if client.poll() is None:
        client.kill()
    code = client.wait()
    doctl.report.add(f"{code} {what}", " ".join(text.split()), code == 0 and "sum-42" in text)


def refusals(doctl):
    """Specs that cannot run here, and mistakes: exit code 1 and a reason."""
    at, run = doctl.at, doctl.run
    static = {"name": "pages", "static_sites": [{"name": "site", "git": {"repo_clone_url": str(at.repository), "branch": "main"}}]}
    static = write(at, "static.yaml", static)
    run("apps", "spec", "validate", static, exit=1, err="static")
    run("apps", "propose", "--spec", static, exit=1, err="static")
    run("apps", "create", "--spec", static, exit=1, err="static")
    run("apps", "create", "--spec", write(at, "empty.yaml", ""), exit=1, err="name")
    run("apps", "propose", "--spec", write(at, "shop.yaml", at.spec()), out="shop-2")
    run("apps", "update", "shop", "--spec", write(at, "renamed.yaml", at.spec("stall")), exit=1, err="name")
    run("apps", "restart", "shop", "--components", "migrate", exit=1, err="job")
    run("apps", "restart", "shop", "--components", "wbe", exit=1, err="Did you mean")
    run("apps", "restart", "shpo", exit=1, err="404")

    # An app of the same name can be created as soon as the old one is deleted.
    brief_app = write(at, "brief.yaml", at.spec("brief", instance_count=1))
    run("apps", "create", "--spec", brief_app, "--wait", err="App created")
    run("apps", "delete", "brief", "--force", err="App deleted")
    run("apps", "create", "--spec", brief_app, "--wait", err="App created")
    run("apps", "delete", "brief", exit=1)
    run("apps", "delete", "brief", "--force", err="App deleted")


def crash(doctl):
    """`--wait` goes on when the server does."""
    at = doctl.at
    before = at.newest("shop")["id"]
    client = doctl.start("apps", "restart", "shop", "--wait")
    at.until("a restart", lambda: at.newest("shop")["id"] != before)
    at.kill()
    at.start()
    output = client.communicate(timeout=ENDS_WITHIN)[0]
    doctl.report.add(f"{client.returncode} doctl apps restart shop --wait, and serve is killed and started",
                     " ".join(output.split()), client.returncode == 0 and "ACTIVE" in output)


def delays(doctl, title):
    """How long after the end of a deployment `doctl … --wait` exits, for each final phase."""
    at = doctl.at
    doctl.report.note(f"Time from the end of a deployment to the exit of doctl ({title}):")
    spec = at.spec()
    spec["jobs"][0]["run_command"] = "sleep 3600"
    endless = write(at, "endless.yaml", spec)
    spec = at.spec()
    spec["jobs"][0]["envs"] = [{"key": "JOB_EXIT", "value": "3"}]
    failing = write(at, "failing.yaml", spec)
    good = write(at, "shop.yaml", at.spec())

    def under_way(phase):
        """The newest deployment, once it is in this phase."""
        newest = at.newest("shop")
        return newest if newest["phase"] == phase else None

    def cancel(deployment):
        at.api("POST", f"/v2/apps/shop/deployments/{deployment['id']}/cancel")
        return at.ended("shop", deployment["id"])

    def report(client, deployment, phase):
        output = client.communicate(timeout=ENDS_WITHIN)[0]
        exited = time.time()
        ended = at.ended("shop", deployment["id"])
        since = datetime.datetime.fromisoformat(ended["phase_last_updated_at"].replace("Z", "+00:00")).timestamp()
        learned = client.returncode == (0 if phase == "ACTIVE" else 1) and output
        doctl.report.add(f"{client.returncode} doctl apps {' '.join(map(brief, client.args[4:]))}: {ended['phase']}",
                         f"{exited - since:.1f} s", learned and ended["phase"] == phase)

    def newer_than(before):
        return at.until("a new deployment", lambda: next(iter(it for it in at.deployments("shop")[:1] if it["id"] != before), None))

    before = at.newest("shop")["id"]
    client = doctl.start("apps", "restart", "shop", "--wait")
    report(client, newer_than(before), "ACTIVE")

    before = at.newest("shop")["id"]
    client = doctl.start("apps", "update", "shop", "--spec", str(failing), "--wait")
    report(client, newer_than(before), "ERROR")

    before = at.newest("shop")["id"]
    client = doctl.start("apps", "update", "shop", "--spec", str(endless), "--wait")
    running = newer_than(before)
    at.until("a job that runs", lambda: under_way("DEPLOYING"))
    client.stdout.readline()  # doctl says that it waits, and polls.
    cancel(running)
    report(client, running, "CANCELED")

    # A deployment that waits behind another one is superseded by a newer request.
    at.api("POST", "/v2/apps/shop/deployments", {"force_build": False})
    blocking = at.until("a job that runs", lambda: under_way("DEPLOYING"))
    client = doctl.start("apps", "create-deployment", "shop", "--wait")
    waiting = newer_than(blocking["id"])
    client.stdout.readline()
    at.api("PUT", "/v2/apps/shop", {"spec": json.loads(good.read_text())})
    report(client, waiting, "SUPERSEDED")
    newest = at.newest("shop")
    cancel(blocking)
    at.ended("shop", newest["id"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
