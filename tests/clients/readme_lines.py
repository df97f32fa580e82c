"""Runs the lines of the README's section about clients, as printed there, except for the data directory and the port.
Lines of doctl are left out without doctl, and the Python block without pydo. Usage: readme_lines.py BOATYARD [DOCTL]"""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

from installation import ENDS_WITHIN, Installation
from report import Report, environment

README = Path(__file__).parents[2] / "README.md"
HEADING = "## With doctl, pydo, Terraform and curl\n"


def main(program, doctl=None):
    report = Report("README: " + HEADING.strip("#\n "))
    section = README.read_text().split(HEADING)[1].split("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.S)
    with Installation(program) as at:
        # YAML contains JSON.
        (at.directory / "shop.yaml").write_text(json.dumps(at.spec()))
        if not doctl:
            # The first line of doctl creates the app.
            at.api("POST", "/v2/apps", {"spec": at.spec()})
            at.ended("shop", at.newest("shop")["id"])
        exports = []
        for kind, block in blocks:
            block = block.replace("/var/lib/boatyard", str(at.data)).replace("https://127.0.0.1:7443", at.tls_url)
            if kind == "python":
                if importlib.util.find_spec("pydo"):
                    run(at, report, exports, block, [sys.executable, "-c"], block)
                continue
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("export "):
                    exports.append(line)
                elif line.startswith("doctl ") and doctl:
                    run(at, report, exports, line, ["bash", "-euc"], line.replace("doctl", doctl, 1))
                elif line.startswith("curl "):
                    run(at, report, exports, line, ["bash", "-euc"], line)
    return report.end()


def run(at, report, exports, shown, command, text):
    """Runs text in a shell that has the exports. The app must serve afterwards."""
    script = "\n".join([*exports, 'exec "$@"'])
    done = subprocess.run(["bash", "-euc", script, "bash", *command, text], cwd=at.directory, env=environment(HOME=str(at.directory)),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENDS_WITHIN)
    deployments = at.deployments("shop")
    phase = at.ended("shop", deployments[0]["id"])["phase"] if deployments else "no deployment"
    last = (done.stdout.strip() or done.stderr.strip() or "(no output)").splitlines()[-1]
    expected = done.returncode == 0 and phase in ("ACTIVE", "no deployment")
    report.add(f"{done.returncode} {shown.strip().splitlines()[-1][:56]}", f"{phase}: {last}", expected)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
