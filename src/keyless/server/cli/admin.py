"""`keyless admin`: the first admin, people and machines, and signing in (D13)."""

from __future__ import annotations

import argparse

from keyless.server.cli import admin_login, admin_people
from keyless.server.cli.parser import PageParser
from keyless.server.cli.store_access import run_handler

EPILOG = """\
examples:
  keyless admin bootstrap                                   # on the service's machine: a code for the first admin
  keyless admin login --url http://127.0.0.1:8081 --name alice
  keyless admin person add bob --role owner:acme --url http://127.0.0.1:8081
  keyless admin code --for bob --url http://127.0.0.1:8081  # bob signs in with it, once
  keyless admin person add plan-bot --machine --role viewer:acme
  keyless admin token --for plan-bot --expires 90d --file plan-bot.token

Without --url the verbs work on the store itself, which needs access to it. A login lasts 15 minutes.
exit codes: 0 done, 2 it cannot be so, 4 the login is not good, or not for that, 5 an outage, 1 anything else
"""


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(
        prog="keyless admin",
        description="Say who may manage trust, and sign in.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers()
    admin_login.add_verbs(verbs)
    admin_people.add_verbs(verbs)
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    return run_handler(_parser().parse_args(argv))
