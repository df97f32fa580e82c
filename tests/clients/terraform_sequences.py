"""Runs Terraform with DigitalOcean's provider against Boatyard over HTTPS, unmodified.
Usage: terraform_sequences.py BOATYARD TERRAFORM PROVIDER"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from installation import ENDS_WITHIN, Installation
from report import Report, environment

CONFIGURATION = """
terraform {
  required_providers { digitalocean = { source = "digitalocean/digitalocean" } }
}

resource "digitalocean_app" "shop" {
  %(project)s
  spec {
    name   = "%(name)s"
    region = "fra"
    %(alert)s
    service {
      name               = "web"
      git {
        repo_clone_url = "%(repository)s"
        branch         = "main"
      }
      dockerfile_path    = "Dockerfile"
      instance_count     = %(count)d
      instance_size_slug = "apps-s-1vcpu-0.5gb"
      http_port          = 8080
      health_check {
        http_path         = "/health"
        period_seconds    = 1
        failure_threshold = 3
      }
      env {
        key   = "PRINT"
        value = "%(greeting)s"
      }
    }
    worker {
      name        = "mill"
      git {
        repo_clone_url = "%(repository)s"
        branch         = "main"
      }
      dockerfile_path = "Dockerfile"
      run_command     = "/bin/testapp work"
    }
    job {
      name        = "migrate"
      kind        = "PRE_DEPLOY"
      git {
        repo_clone_url = "%(repository)s"
        branch         = "main"
      }
      dockerfile_path = "Dockerfile"
      run_command     = "%(job)s"
    }
    ingress {
      rule {
        component { name = "web" }
        match {
          path { prefix = "/" }
        }
      }
    }
    %(more)s
  }
}

data "digitalocean_app" "shop" {
  app_id = digitalocean_app.shop.id
}

output "url" { value = data.digitalocean_app.shop.live_url }
output "id" { value = digitalocean_app.shop.id }
"""
DEFAULTS = {"name": "shop", "project": "", "alert": "", "count": 1, "greeting": "first", "job": "/bin/testapp job", "more": ""}
DESTINATIONS = 'alert {\n rule = "DEPLOYMENT_FAILED"\n destinations {\n emails = ["%s"]\n }\n }'


class Terraform:
    def __init__(self, program, provider, at, report):
        self.program, self.at, self.report = program, at, report
        self.directory = at.directory / "terraform"
        self.directory.mkdir()
        # Terraform looks for the provider in this directory, and nowhere else.
        overrides = self.directory / "provider"
        overrides.mkdir()
        (overrides / "terraform-provider-digitalocean").symlink_to(Path(provider).absolute())
        self.settings = self.directory / "terraform.rc"
        self.settings.write_text(
            'provider_installation {\n dev_overrides {\n "digitalocean/digitalocean" = "%s"\n }\n direct {}\n}\n' % overrides
        )

    def configure(self, **changed):
        values = {**DEFAULTS, "repository": self.at.repository, **changed}
        (self.directory / "main.tf").write_text(CONFIGURATION % values)

    def run(self, what, *arguments, exit=0, says=""):
        """Runs a command. `says`: a regular expression that its output must match."""
        variables = environment(
            DIGITALOCEAN_API_URL=self.at.tls_url, DIGITALOCEAN_TOKEN=self.at.token, SSL_CERT_FILE=self.at.authority,
            TF_CLI_CONFIG_FILE=str(self.settings), TF_IN_AUTOMATION="1",
        )
        began = time.monotonic()
        done = subprocess.run([self.program, *arguments, "-no-color"], cwd=self.directory, env=variables,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * ENDS_WITHIN)
        took = time.monotonic() - began
        text = done.stdout + done.stderr
        result = next((it for it in re.findall(r"Error: .*|Apply complete.*|Destroy complete.*|No changes.*|Plan: .*", text)), "")
        expected = done.returncode == exit and re.search(says, " ".join(text.split()))
        self.report.add(f"{done.returncode} terraform {arguments[0]}: {what}", f"{took:.1f} s  {result}", expected)
        if not expected:
            self.report.note(text)
        return done.stdout

    def apply(self, what, *arguments, **expected):
        return self.run(what, "apply", "-auto-approve", *arguments, **expected)

    def no_changes(self, what):
        self.run(what, "plan", "-detailed-exitcode", says="No changes")


def main(program, terraform, provider):
    version = json.loads(subprocess.run([terraform, "version", "-json"], capture_output=True, text=True).stdout)
    report = Report(f"Terraform {version['terraform_version']} with DigitalOcean's provider, over HTTPS")
    with Installation(program) as at:
        sequences(at, Terraform(terraform, provider, at, report))
    return report.end()


def sequences(at, it):
    it.configure()
    it.apply("create", says="1 added")
    it.no_changes("after create")
    it.run("the address", "output", "-raw", "url", says="http")
    app = it.run("the id", "output", "-raw", "id", says=".")

    it.configure(greeting="second", count=2)
    it.apply("update", says="1 changed")
    it.no_changes("after update")

    it.configure(greeting="second", count=2, alert=DESTINATIONS % "ops@example.com")
    it.apply("alert with destinations", says="1 changed")
    before = len(at.deployments(app))
    it.configure(greeting="second", count=2, alert=DESTINATIONS % "dev@example.com")
    it.apply("other destinations", says="1 changed")
    it.report.add("  → no deployment", f"{len(at.deployments(app)) - before} started", len(at.deployments(app)) == before)
    alert = at.api("GET", f"/v2/apps/{app}/alerts")[1]["alerts"][0]
    it.report.add("  → the destinations", alert["emails"], alert["emails"] == ["dev@example.com"])
    # The provider sends destinations, but never reads them back (`flattenAppAlerts`).
    it.run("destinations differ for ever", "plan", "-detailed-exitcode", exit=2, says=r"\+ destinations")

    it.configure(greeting="second", count=2, job="sh -c 'exit 3'")
    it.apply("a failing job", exit=1, says="migrate")
    it.configure(greeting="second", count=2)
    it.apply("the next good one", says="complete")
    it.no_changes("after the good one")

    # Destroys the app and creates one of the same name at once.
    it.apply("replace", "-replace=digitalocean_app.shop", says="1 added.*1 destroyed")
    it.no_changes("after replace")
    project = at.api("GET", "/v2/projects")[1]["projects"][0]["id"]
    it.configure(greeting="second", count=2, project=f'project_id = "{project}"')
    it.apply("with a project", says="complete")
    it.no_changes("after the project")

    app = it.run("the id", "output", "-raw", "id", says=".")
    it.run("forget", "state", "rm", "digitalocean_app.shop", says="removed")
    it.run("the app", "import", "digitalocean_app.shop", app, says="successful")
    it.apply("after import", says="complete")
    it.no_changes("after import")

    it.configure(greeting="second", count=2, more='domain {\n name = "shop.example.com"\n }')
    it.apply("a domain", exit=1, says="400.*domain")
    it.configure(greeting="second", count=2, name="stall")
    it.apply("another name", exit=1, says="400.*name")

    it.configure(greeting="second", count=2, project=f'project_id = "{project}"')
    # Terraform has recorded the refused values.
    it.apply("back to the configuration", says="complete")
    at.api("DELETE", "/v2/apps/shop")
    it.run("an app that vanished", "plan", "-detailed-exitcode", exit=2, says="1 to add")
    it.apply("create it again", says="1 added")
    it.run("everything", "destroy", "-auto-approve", says="1 destroyed")
    it.run("again", "destroy", "-auto-approve", says="0 destroyed|No objects need to be destroyed")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
