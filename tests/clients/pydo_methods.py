"""Drives all methods of pydo's `client.apps` against Boatyard over HTTPS, unmodified: it gets only an endpoint, and the
authority's certificate in REQUESTS_CA_BUNDLE. Needs pydo. Usage: pydo_methods.py BOATYARD"""

import importlib.metadata
import os
import sys

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from pydo import Client

from installation import Installation
from report import Report


class Methods:
    """Calls methods of `client.apps` and reports each outcome."""

    def __init__(self, client, report):
        self.apps = client.apps
        self.report = report
        self.called = set()

    def call(self, method, *arguments, expect, **keywords):
        """`expect`: a function that returns what to show of the result and fails if it is wrong, or the error's status.
        Returns the result, or `None` after an error."""
        self.called.add(method)
        shown = f"{method}({', '.join([*map(brief, arguments), *(f'{k}={brief(v)}' for k, v in keywords.items())])})"
        try:
            result = getattr(self.apps, method)(*arguments, **keywords)
        except HttpResponseError as error:
            outcome = f"{type(error).__name__} {error.status_code}: {error.message.splitlines()[0]}"
            self.report.add(shown, outcome, error.status_code == expect)
            return None
        # pydo returns the body of a 404 as if it were the result.
        status = 404 if isinstance(result, dict) and result.get("id") == "not_found" else 200
        if isinstance(expect, int):
            self.report.add(shown, f"{status} {result}", status == expect)
            return None
        try:
            self.report.add(shown, expect(result), True)
        except (KeyError, IndexError, TypeError, AssertionError) as error:
            self.report.add(shown, f"{error!r} in {result}", False)
            return None
        return result

    def missing(self):
        """Methods of this pydo that were not called."""
        public = {name for name in dir(self.apps) if not name.startswith("_") and callable(getattr(self.apps, name))}
        return sorted(public - self.called)


def brief(value):
    text = repr(value)
    if isinstance(value, str):
        # Ids are long, and their length says that they are ids.
        return "ID" if len(value) == 36 else text
    return text if len(text) < 40 else "{…}"


def has(*path, equal=None):
    """Expects a value under these keys and shows it."""
    def expect(result):
        for key in path:
            result = result[key]
        assert result is not None and (equal is None or result == equal), f"not {equal!r}: {result!r}"
        return f"{'.'.join(map(str, path))}: {result}"
    return expect


def main(program):
    report = Report(f"pydo {importlib.metadata.version('pydo')}: client.apps over HTTPS")
    with Installation(program) as at:
        # What a user does: one variable, an endpoint and a token.
        os.environ["REQUESTS_CA_BUNDLE"] = at.authority
        methods = Methods(Client(token=at.token, endpoint=at.tls_url), report)
        drive(at, methods)
        errors(at, report)
    for name in methods.missing():
        report.add(name, "this pydo has a method that is not tried here", False)
    return report.end()


def drive(at, methods):
    call = methods.call
    deployment = has("deployment", "id")

    def until_active(answer, phase="ACTIVE"):
        if answer is None:
            return None
        found = at.ended(app, answer["deployment"]["id"])
        methods.report.add("  → the deployment", found["phase"], found["phase"] == phase)
        return found["id"]

    def opens(*, contains):
        """Expects addresses of logs that can be opened once and contain this text."""
        def expect(result):
            for url in (result["historic_urls"][0], result["live_url"]):
                assert url.startswith(at.tls_url), url
                text = at.open(url)
                assert contains in text, f"{contains!r} is not in {text!r}"
            return f"both addresses open: {text.splitlines()[0]}"
        return expect

    created = call("create", {"spec": at.spec()}, expect=has("app", "pending_deployment", "id"))
    app = created["app"]["id"]
    first = until_active({"deployment": created["app"]["pending_deployment"]})

    # The two calls of DigitalOcean's guide, as printed there.
    until_active(call("restart", app, body={"components": ["web"]}, expect=deployment))
    rebuilt = until_active(call("create_deployment", app, body={"force_build": True}, expect=deployment))

    call("list", expect=has("apps", 0, "spec", "name", equal="shop"))
    call("get", app, expect=has("app", "active_deployment", "id", equal=rebuilt))
    call("get", "shop", expect=has("app", "id", equal=app))
    call("validate_app_spec", {"spec": at.spec()}, expect=has("app_name_available", equal=False))
    updated = call("update", app, {"spec": at.spec(envs=[{"key": "PRINT", "value": "second"}])},
                   expect=has("app", "pending_deployment", "phase"))
    active = until_active({"deployment": updated["app"]["pending_deployment"]})
    until_active(call("restart", app, expect=deployment))
    active = until_active(call("restart", app, body={}, expect=deployment))
    call("restart", app, body={"components": ["wbe"]}, expect=400)
    call("list_deployments", app, expect=has("deployments", 0, "id", equal=active))
    call("list_deployments", app, deployment_types=["DEPLOY_ON_PUSH"], expect=has("deployments", equal=[]))
    call("get_deployment", app, active, expect=has("deployment", "phase", equal="ACTIVE"))
    call("get_instances", app, expect=has("instances", 0, "instance_alias"))
    call("get_health", app, expect=has("app_health", "components", 0, "name"))

    call("get_logs_active_deployment", app, "web", type="RUN", expect=opens(contains="second"))
    call("get_logs_active_deployment_aggregate", app, expect=opens(contains="second"))
    call("get_logs", app, rebuilt, "web", type="BUILD", expect=opens(contains="COPY version"))
    call("get_logs_aggregate", app, rebuilt, type="DEPLOY", expect=opens(contains="tables-are-made"))
    console = has("url")
    call("get_exec_active_deployment", app, "web", expect=console)
    call("get_exec", app, active, "web", expect=console)

    call("list_alerts", app, expect=has("alerts", 0, "spec", "rule", equal="DEPLOYMENT_FAILED"))
    alert = at.api("GET", f"/v2/apps/{app}/alerts")[1]["alerts"][0]["id"]
    call("assign_alert_destinations", app, alert, {"emails": ["ops@example.com"]},
         expect=has("alert", "emails", equal=["ops@example.com"]))

    call("list_job_invocations", app, job_names=["migrate"], expect=has("job_invocations", 0, "phase", equal="SUCCEEDED"))
    invocation = at.api("GET", f"/v2/apps/{app}/job-invocations")[1]["job_invocations"][0]["id"]
    call("get_job_invocation", app, invocation, job_name="migrate", expect=has("job_invocation", "job_name"))
    call("get_job_invocation_logs", app, "migrate", invocation, type="JOB_INVOCATION",
         expect=opens(contains="tables-are-made"))

    call("list_events", app, expect=has("events", 0, "type", equal="DEPLOYMENT"))
    call("get_event", app, active, expect=has("event", "deployment_id", equal=active))
    # App Platform's answer too: only events of autoscaling can be canceled, or have logs.
    call("cancel_event", app, active, expect=400)
    call("get_event_logs", app, active, expect=400)

    call("list_regions", expect=has("regions", 0, "slug"))
    call("list_instance_sizes", expect=has("instance_sizes", 0, "slug"))
    call("get_instance_size", "apps-s-1vcpu-0.5gb", expect=has("instance_size", "memory_bytes"))
    call("get_metrics_bandwidth_daily", app, expect=has("app_bandwidth_usage", 0, "bandwidth_bytes"))
    call("list_metrics_bandwidth_daily", {"app_ids": [app]}, expect=has("app_bandwidth_usage", 0, "app_id", equal=app))

    roll_back = {"deployment_id": first, "skip_pin": False}
    call("validate_rollback", app, roll_back, expect=has("valid", equal=True))
    until_active(call("create_rollback", app, roll_back, expect=deployment))
    until_active(call("revert_rollback", app, expect=deployment))
    until_active(call("create_rollback", app, roll_back, expect=deployment))
    call("commit_rollback", app, expect=lambda result: f"{result}")

    # A deployment that stays under way, because its job does not end.
    spec = at.spec()
    spec["jobs"][0]["run_command"] = "sleep 3600"
    endless = call("update", app, {"spec": spec}, expect=has("app", "pending_deployment", "id"))
    endless = endless["app"]["pending_deployment"]["id"]
    running = at.until("a running job", lambda: next(iter(
        it["id"] for it in at.api("GET", f"/v2/apps/{app}/job-invocations?deployment_id={endless}")[1]["job_invocations"]
        if it["phase"] == "RUNNING"), None))
    call("cancel_job_invocation", app, running, job_name="migrate", expect=has("job_invocation", "id", equal=running))
    until_active({"deployment": {"id": endless}}, "ERROR")
    endless = call("create_deployment", app, body={}, expect=deployment)["deployment"]["id"]
    call("cancel_deployment", app, endless, expect=has("deployment", "id", equal=endless))
    until_active({"deployment": {"id": endless}}, "CANCELED")
    call("cancel_deployment", app, endless, expect=409)

    call("delete", app, expect=has("id", equal=app))
    call("delete", app, expect=404)
    call("get", app, expect=404)


def errors(at, report):
    """The exceptions of pydo that scripts catch."""
    client = Client(token=at.token, endpoint=at.tls_url)
    client.apps.create({"spec": at.spec("twice", instance_count=1)})
    stranger = Client(token="wrong", endpoint=at.tls_url)
    for what, call, expected in [
        ("a name that is taken", lambda: client.apps.create({"spec": at.spec("twice")}), ResourceExistsError),
        ("a wrong field", lambda: client.apps.create({"spec": {"name": "x", "servces": []}}), HttpResponseError),
        ("a wrong token", lambda: stranger.apps.list(), ClientAuthenticationError),
    ]:
        try:
            report.add(what, f"no error: {call()}", False)
        except HttpResponseError as error:
            report.add(what, f"{type(error).__name__}: {error.message.splitlines()[0]}", type(error) is expected)
    client.apps.delete("twice")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
