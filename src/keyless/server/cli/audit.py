"""`keyless audit`: what happened, and whether the record of it is whole."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from keyless.resource import parse_resource
from keyless.server.audit.reader import AuditRecord
from keyless.server.cli.store_access import add_store_arguments, moment, open_local, print_json, run_handler, visible

EPILOG = """\
examples:
  keyless audit list --resource acme/model
  keyless audit list --limit 500 --json
  keyless audit verify

exit status: 0 done, for verify: and the chains are whole; 1 a chain is broken; 2 settings; 5 the database is down
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keyless audit",
        description="Read the audit and check its chains.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="show the latest events, the newest last")
    listing.set_defaults(handler=_list)
    listing.add_argument("--resource", metavar="RESOURCE", help="only about this one")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many (default 50)")
    add_store_arguments(listing)
    verify = verbs.add_parser("verify", help="check the chain of every writer")
    verify.set_defaults(handler=_verify)
    add_store_arguments(verify)
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    return run_handler(_parser().parse_args(argv))


def _list(options: argparse.Namespace) -> int:
    resource = None if options.resource is None else parse_resource(options.resource)
    with open_local(options) as (store, _settings):
        records = store.audit_events(resource=resource, limit=max(1, options.limit))
    if options.json:
        print_json([asdict(record) for record in records])
    else:
        for record in records:
            print("\n".join(_lines(record)))
    return 0


def _lines(record: AuditRecord) -> list[str]:
    """Return an event for people: what happened, then who and why, then the claims."""
    what = [moment(record.at), record.kind]
    what += [word for word in (record.reason, record.resource, record.publisher_id) if word]
    lines = [visible("  ".join(what))]
    for name, value in (
        ("by", record.actor or record.ci_subject),
        ("issuer", record.issuer),
        ("token", record.jti),
        ("from", record.address),
        ("request", record.request_id),
    ):
        if value:
            lines.append(f"    {name}: {visible(value)}")
    return lines + [f"    {visible(name)}: {visible(_flat(item))}" for name, item in record.data.items()]


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_flat(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(_flat(item) for item in value)
    return str(value)


def _verify(options: argparse.Namespace) -> int:
    with open_local(options) as (store, _settings):
        found = store.verify_chain()
    if options.json:
        print_json(asdict(found))
    else:
        for problem in found.problems:
            print(visible(problem))
        state = "whole" if found.intact else "BROKEN"
        print(f"{found.events} events of {found.writers} writers: the audit is {state}")
    return 0 if found.intact else 1
