"""`keyless keys`: the service's own signing keys."""

from __future__ import annotations

import argparse

from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.parser import PageParser
from keyless.server.cli.remote_desk import RemoteDesk
from keyless.server.cli.store_access import (
    actor,
    add_store_arguments,
    moment,
    open_local,
    print_json,
    print_table,
    run_handler,
)
from keyless.server.representations.signing_key import signing_key_json
from keyless.server.services.certificates import certificate_of
from keyless.server.services.key_rotation import NoSuchKeyError, distrust, rotate_now
from keyless.server.services.keys import ACCESS_TOKEN_PURPOSE, SigningKeys
from keyless.server.settings import load_settings
from keyless.server.store import open_store


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(prog="keyless keys", description="List and change the service's own signing keys.")
    verbs = parser.add_subparsers()
    listing = verbs.add_parser("list", help="list signing keys; private parts are never shown")
    listing.set_defaults(handler=_list)
    add_store_arguments(listing, url=True)
    certificates = verbs.add_parser(
        "certificates", help="print the published keys as certificates: the rootcertbundle of a distribution registry"
    )
    certificates.set_defaults(handler=_certificates)
    add_store_arguments(certificates)
    rotating = verbs.add_parser("rotate", help="publish the next key now; it signs in a day, or at once with --now")
    rotating.add_argument("--now", action="store_true", help="sign at once; verifiers fetch the key when they meet it")
    rotating.set_defaults(handler=_rotate)
    add_store_arguments(rotating)
    retiring = verbs.add_parser("retire", help="withdraw a published key that has not signed yet")
    retiring.add_argument("kid", metavar="KID")
    retiring.set_defaults(handler=_retire)
    add_store_arguments(retiring)
    distrusting = verbs.add_parser("distrust", help="withdraw a key and all it signed; replace one that signs")
    distrusting.add_argument("kid", metavar="KID")
    distrusting.set_defaults(handler=_distrust)
    add_store_arguments(distrusting)
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
        ("KID", "ALGORITHM", "STATE", "CREATED", "SIGNS SINCE", "RETIRED"),
        [
            (
                row.kid,
                row.algorithm,
                row.shown_state,
                moment(row.created_at),
                moment(row.activated_at, never="-"),
                moment(row.retired_at or None, never="-"),
            )
            for row in rows
        ],
    )
    return 0


def _rotate(options: argparse.Namespace) -> int:
    settings = load_settings(options.config)
    with open_store(settings.database) as store:
        keys = SigningKeys.open(store, settings)
        kid = rotate_now(keys, actor=actor()) if options.now else keys.publish_next(actor=actor())
    if kid is None:
        raise NoSuchKeyError("the next key is published already", hint="See when it signs: keyless keys list.")
    said = "signs from now on" if options.now else "is published and signs in a day"
    _say(options, {"kid": kid}, f"key {kid} {said}")
    return 0


def _retire(options: argparse.Namespace) -> int:
    settings = load_settings(options.config)
    with open_store(settings.database) as store:
        if not SigningKeys.open(store, settings).retire(options.kid, actor=actor()):
            raise NoSuchKeyError(
                f"there is no pending key {options.kid}",
                hint="A key that signs is retired by the next one: keyless keys rotate.",
            )
    _say(options, {"kid": options.kid}, f"key {options.kid} is withdrawn")
    return 0


def _distrust(options: argparse.Namespace) -> int:
    settings = load_settings(options.config)
    with open_store(settings.database) as store:
        successor = distrust(SigningKeys.open(store, settings), options.kid, actor=actor())
    text = f"key {options.kid} and every token it signed are worth nothing"
    _say(options, {"kid": options.kid, "successor": successor}, f"{text}; {successor} signs" if successor else text)
    return 0


def _say(options: argparse.Namespace, content: dict[str, object], text: str) -> None:
    if options.json:
        print_json(content)
    else:
        print(text)
