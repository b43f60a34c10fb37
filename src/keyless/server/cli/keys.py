"""`keyless keys`: the service's own signing keys."""

from __future__ import annotations

import argparse

from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.remote_desk import RemoteDesk
from keyless.server.cli.store_access import (
    add_store_arguments,
    moment,
    open_local,
    print_json,
    print_table,
    run_handler,
)
from keyless.server.representations.signing_key import signing_key_json
from keyless.server.services.certificates import certificate_of
from keyless.server.services.keys import ACCESS_TOKEN_PURPOSE, SigningKeys
from keyless.server.settings import load_settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keyless keys", description="List the service's own signing keys.")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="list signing keys; private parts are never shown")
    listing.set_defaults(handler=_list)
    add_store_arguments(listing, url=True)
    certificates = verbs.add_parser(
        "certificates", help="print the published keys as certificates: the rootcertbundle of a distribution registry"
    )
    certificates.set_defaults(handler=_certificates)
    add_store_arguments(certificates)
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    return run_handler(_parser().parse_args(argv))


def _certificates(options: argparse.Namespace) -> int:
    settings = load_settings(options.config)
    with open_local(options, create=True) as (store, _settings):
        keys = SigningKeys.open(store, settings).published()
    found = [certificate_of(key, name=settings.public_url) for key in keys]
    if options.json:
        print_json(found)
    else:
        print("".join(found), end="")
    return 0


def _list(options: argparse.Namespace) -> int:
    if options.api_url is not None:
        rows = RemoteDesk(ApiClient.signed_in(options.api_url)).signing_keys()
    else:
        with open_local(options) as (store, _settings):
            rows = list(store.signing_keys(ACCESS_TOKEN_PURPOSE))
    if options.json:
        print_json([signing_key_json(row) for row in rows])
        return 0
    print_table(
        ("KID", "ALGORITHM", "STATE", "CREATED", "RETIRED"),
        [
            (row.kid, row.algorithm, row.state, moment(row.created_at), moment(row.retired_at, never="-"))
            for row in rows
        ],
    )
    return 0
