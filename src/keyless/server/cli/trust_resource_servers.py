"""`keyless trust resource-server add | list | credential | remove`: who accepts our tokens and may ask about them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from keyless.secret import Secret
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import (
    add_store_arguments,
    print_json,
    print_table,
)
from keyless.server.representations.resource_server import resource_server_json
from keyless.server.store.resource_servers import PROFILES

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: Verbs) -> None:
    """Add `resource-server` and its verbs."""
    parser = verbs.add_parser("resource-server", help="hubs and registries that accept our tokens")
    inner = parser.add_subparsers()
    add = inner.add_parser("add", help="add one and print its credential, this once")
    add.set_defaults(handler=_add)
    add.add_argument("name", metavar="NAME")
    add.add_argument("--audience", metavar="URL", required=True, help="its own URL: `aud` of its tokens")
    add.add_argument("--profile", choices=sorted(PROFILES), default="keyless", help="token prefixes")
    add_store_arguments(add, url=True)
    listing = inner.add_parser("list", help="list them")
    listing.set_defaults(handler=_list)
    add_store_arguments(listing, url=True)
    renew = inner.add_parser("credential", help="make a new credential and print it, this once; the old one ends")
    renew.set_defaults(handler=_renew)
    renew.add_argument("name", metavar="NAME")
    add_store_arguments(renew, url=True)
    remove = inner.add_parser("remove", help="remove one that no publisher names")
    remove.set_defaults(handler=_remove)
    remove.add_argument("name", metavar="NAME")
    add_store_arguments(remove, url=True)


def _add(options: argparse.Namespace) -> int:
    with open_desk(options, create=True) as desk:
        credential = desk.add_resource_server(options.name, audience=options.audience, profile=options.profile)
    _print_credential(options, credential)
    return 0


def _renew(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        credential = desk.renew_resource_server_credential(options.name)
    _print_credential(options, credential)
    return 0


def _print_credential(options: argparse.Namespace, credential: Secret) -> None:
    # The one place that shows it; the store keeps a hash.
    if options.json:
        print_json({"name": options.name, "credential": credential.reveal()})
    else:
        print(f"resource server {options.name}; its credential, shown this once:\n{credential.reveal()}")


def _list(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        found = desk.resource_servers()
    if options.json:
        print_json([resource_server_json(server) for server in found])
        return 0
    print_table(
        ("NAME", "KIND", "AUDIENCE", "PREFIXES", "INTROSPECTION"),
        [
            (
                server.name,
                server.kind,
                server.audience,
                f"{server.token_prefix} {server.user_token_prefix}",
                "with its credential" if server.may_introspect else "no credential",
            )
            for server in found
        ],
    )
    return 0


def _remove(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        desk.remove_resource_server(options.name)
    if options.json:
        print_json({"removed": options.name})
    else:
        print(f"resource server {options.name} is removed")
    return 0
