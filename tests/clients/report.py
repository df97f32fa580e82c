"""The table that each of these programs prints."""

import os
import textwrap


class Report:
    """Prints one line for each thing that was tried, and remembers whether all went as expected."""

    def __init__(self, title):
        self.unexpected = 0
        self.tried = 0
        print(f"\n== {title}")

    def add(self, what, outcome, expected):
        self.tried += 1
        self.unexpected += not expected
        mark = "  " if expected else "✗ "
        print(f"{mark}{what:<58} {textwrap.shorten(str(outcome), 150)}", flush=True)

    def note(self, text):
        print(f"  {text}", flush=True)

    def end(self):
        """Returns the exit code."""
        print(f"{self.tried} tried, {self.unexpected} not as expected")
        return 1 if self.unexpected else 0


def environment(**variables):
    """The environment without variables that would redirect the client or its credentials."""
    removed = ("DIGITALOCEAN_", "BOATYARD_", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return {**kept, **variables}
