"""`keyless trust`: which CI jobs may publish what."""

from __future__ import annotations

import argparse

from keyless.issuers import PROFILES
from keyless.server.cli import (
    trust_explain,
    trust_issuers,
    trust_lint,
    trust_locks,
    trust_policy,
    trust_publishers,
    trust_resource_servers,
    trust_test,
)
from keyless.server.cli.parser import PageParser
from keyless.server.cli.store_access import run_handler

EPILOG = """\
examples:
  keyless trust add acme/model --provider github --repository acme/train --workflow release.yml --branch main \\
      --repository-id 123456 --repository-owner-id 7890
  keyless trust add datasets/acme/data --provider gitlab --repository acme/train --branch main --pin-first-use
  keyless trust issuer distrust https://ci.example.org 2024-11-key
  keyless trust add acme/model --issuer https://ci.example.org --claim sub=pipeline:release
  keyless trust list
  keyless trust edit pub_… --max-run-attempt 1 --ttl default
  keyless trust pause pub_… --reason "the workflow leaked"
  keyless trust lock --namespace acme
  keyless trust remove pub_…
  keyless trust explain acme/model --claims job.json --provider github
  keyless trust lint --strict
  keyless trust test trust-test.toml
  keyless trust plan policy.toml
  keyless trust apply policy.toml --prune

A change counts at a running server's next exchange.
exit codes: 0 done, 2 it cannot be so, 5 the database does not answer, 1 anything else;
explain: 4 refused; lint: 1 errors were found; test: 1 an expectation is not met
"""


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(
        prog="keyless trust",
        description="Say which CI jobs may publish what.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers()
    providers = sorted(k for k, p in PROFILES.items() if p.default_url)
    trust_publishers.add_verbs(verbs, providers=providers)
    trust_explain.add_verbs(verbs, providers=providers)
    trust_locks.add_verbs(verbs)
    trust_lint.add_verbs(verbs)
    trust_test.add_verbs(verbs)
    trust_policy.add_verbs(verbs)
    trust_issuers.add_verbs(verbs)
    trust_resource_servers.add_verbs(verbs)
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    return run_handler(_parser().parse_args(argv))
