"""`keyless trust issuer add | list | enable | disable`: whose id tokens are believed, and what of their keys."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES
from keyless.oidc.issuer import Network, ReplayMode
from keyless.server.cli import trust_issuer_keys
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import add_store_arguments, print_json, print_table
from keyless.server.representations.issuer import issuer_json
from keyless.server.store.admin import NewIssuer
from keyless.server.store.records import network_text, parse_network

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verbs(verbs: Verbs) -> None:
    """Add `issuer` and its verbs."""
    parser = verbs.add_parser("issuer", help="issuers of id tokens")
    inner = parser.add_subparsers()
    add = inner.add_parser("add", help="believe an issuer's id tokens")
    add.set_defaults(handler=_add)
    add.add_argument("url", metavar="URL", help="its `iss`, byte for byte")
    add.add_argument("--kind", choices=sorted(PROFILES), help="claim profile; default: by the URL, else generic")
    add.add_argument(
        "--network",
        default="public",
        metavar="WHERE",
        help="where its keys may be fetched from: public, loopback, or private=10.0.0.0/8,…",
    )
    add.add_argument(
        "--outbound-proxy",
        metavar="URL",
        help="fetch its keys through http://host:port; weaker: only the proxy sees which addresses are visited",
    )
    add.add_argument(
        "--outbound-host",
        metavar="HOST",
        action="append",
        default=[],
        help="a host that may be asked for there, besides the issuer's and the key set's",
    )
    trust_issuer_keys.add_pin_arguments(add, required=False)
    add.add_argument("--no-fetch", action="store_true", help="do not fetch its keys once to see whether that works")
    add.add_argument("--algorithms", metavar="LIST", help="accepted signature algorithms, for example RS256,ES256")
    add.add_argument("--replay", choices=[mode.value for mode in ReplayMode], help="how often an id token counts")
    add.add_argument("--max-lifetime", type=int, metavar="SECONDS", help="longest lifetime of an id token")
    add.add_argument("--jwks-uri", metavar="URL", help="its key set, instead of discovery")
    add.add_argument("--multiple-audiences", action="store_true", help="accept `aud` lists with other members")
    add.add_argument(
        "--immutable-claim",
        metavar="NAME",
        action="append",
        default=[],
        help="of a generic issuer: claim that names an identity for good; publishers must pin it",
    )
    add_store_arguments(add, url=True)
    listing = inner.add_parser("list", help="list issuers")
    listing.set_defaults(handler=_list)
    add_store_arguments(listing, url=True)
    trust_issuer_keys.add_verbs(inner)
    for name, handler, text in (
        ("enable", _enable, "switch an issuer on again"),
        ("disable", _disable, "switch an issuer off; tokens that came from it stop working at once"),
    ):
        verb = inner.add_parser(name, help=text)
        verb.set_defaults(handler=handler)
        verb.add_argument("url", metavar="URL")
        add_store_arguments(verb, url=True)


def _add(options: argparse.Namespace) -> int:
    new = NewIssuer(
        url=options.url,
        kind=options.kind,
        algorithms=None if options.algorithms is None else [a.strip() for a in options.algorithms.split(",")],
        network=_network(options),
        replay=None if options.replay is None else ReplayMode(options.replay),
        max_lifetime_seconds=options.max_lifetime,
        jwks_uri=options.jwks_uri,
        allow_multiple_audiences=options.multiple_audiences,
        immutable_claims=options.immutable_claim,
        pinned_keys=trust_issuer_keys.read_pinned(options),
    )
    with open_desk(options, create=True) as desk:
        issuer = desk.add_issuer(new)
    # Saved first: an issuer that is down or slow today must not keep an operator from configuring it (T39).
    found = None if options.no_fetch or options.api_url is not None else trust_issuer_keys.probe(options, issuer)
    if options.json:
        print_json({**issuer_json(issuer), "keys": None if found is None else trust_issuer_keys.probe_json(found)})
    else:
        print(f"issuer {issuer.url} is added: {issuer.kind}, {','.join(issuer.algorithms)}, replay {issuer.replay}")
        if found is not None:
            print("\n".join(trust_issuer_keys.probe_text(found)))
    return 0


def _network(options: argparse.Namespace) -> Network:
    if options.outbound_proxy is None:
        if options.outbound_host:
            raise ConfigurationError("--outbound-host is for an issuer with --outbound-proxy")
        return parse_network(options.network)
    if options.network != "public":
        raise ConfigurationError(
            "--network and --outbound-proxy exclude each other: behind a proxy no address can be checked",
            hint="Name the hosts instead: --outbound-host.",
        )
    return parse_network(f"proxy={','.join([options.outbound_proxy, *options.outbound_host])}")


def _list(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        found = desk.issuers()
    if options.json:
        print_json([issuer_json(issuer) for issuer in found])
        return 0
    header = ("URL", "KIND", "ALGORITHMS", "REPLAY", "MAX LIFETIME", "NETWORK", "STATE")
    print_table(
        header,
        [
            (
                issuer.url,
                issuer.kind,
                ",".join(issuer.algorithms),
                issuer.replay.value,
                f"{issuer.max_lifetime_seconds} s",
                network_text(issuer.network),
                "enabled" if issuer.enabled else "disabled",
            )
            for issuer in found
        ],
    )
    return 0


def _enable(options: argparse.Namespace) -> int:
    return _switch(options, enabled=True)


def _disable(options: argparse.Namespace) -> int:
    return _switch(options, enabled=False)


def _switch(options: argparse.Namespace, *, enabled: bool) -> int:
    with open_desk(options) as desk:
        issuer = desk.set_issuer_enabled(options.url, enabled=enabled)
    if options.json:
        print_json(issuer_json(issuer))
    else:
        print(f"issuer {issuer.url} is {'enabled' if enabled else 'disabled; tokens that came from it do not work'}")
    return 0
