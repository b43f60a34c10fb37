"""`keyless trust add | list | show | edit | pause | resume | remove`: Trusted Publishers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keyless.issuers import profile_for
from keyless.resource import HUB_TYPES, parse_resource
from keyless.server.cli import publisher_text, trust_edit
from keyless.server.cli.publisher_options import (
    add_grant_options,
    add_job_options,
    chosen,
    claims_of,
    days,
    operations_of,
    pins_of,
)
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import (
    add_store_arguments,
    print_json,
    print_table,
    warn,
)
from keyless.server.representations.publisher import publisher_json
from keyless.server.store.admin import NewPublisher
from keyless.server.store.admin.rules import warnings_for
from keyless.trust.lint import DAY_SECONDS
from keyless.trust.publisher import Publisher

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

SHORT_TTL_SECONDS = 300  # D7: the Hub's client exchanges again on every call below this


def add_verbs(verbs: Verbs, *, providers: Sequence[str]) -> None:
    """Add the verbs about publishers."""
    add = verbs.add_parser("add", help="trust a CI job with a repository or an account")
    add.set_defaults(handler=_add)
    add.add_argument(
        "resource",
        metavar="RESOURCE",
        help="acme/model, datasets/acme/data, spaces/…, a user name, pypi/NAME, npm/@SCOPE/NAME or oci/PATH",
    )
    who = add.add_mutually_exclusive_group(required=True)
    who.add_argument("--provider", choices=providers, help="a platform with one issuer for everybody")
    who.add_argument("--issuer", metavar="URL", help="an issuer added with `keyless trust issuer add`")
    add_job_options(add)
    add_grant_options(add)
    add.add_argument("--resource-server", metavar="NAME", help="which hub the tokens are for; default: the first one")
    add.add_argument(
        "--pending",
        action="store_true",
        help="the repository does not exist yet: the first use within 30 days may create it; reserves nothing",
    )
    add_store_arguments(add, url=True)

    listing = verbs.add_parser("list", help="list publishers")
    listing.set_defaults(handler=_list)
    listing.add_argument("resource", metavar="RESOURCE", nargs="?", help="only of this one")
    add_store_arguments(listing, url=True)

    listing.add_argument("--unused-for", metavar="DAYS", type=days, help="only those nobody used for so long, as 90d")
    for name, text in (("pending", "that wait for their repository"), ("paused", "that are paused or disabled")):
        listing.add_argument(f"--{name}", action="store_true", help=f"only those {text}")

    for name, aliases, handler, text in (
        ("show", (), _show, "show one publisher"),
        ("edit", (), trust_edit.edit, "change a publisher; what is not named stays"),
        ("resume", ("enable",), _resume, "let a paused publisher grant again"),
        ("pause", ("disable",), _pause, "stop a publisher; its tokens stop working at once"),
        ("remove", (), _remove, "remove a publisher for good; its tokens stop working at once"),
    ):
        verb = verbs.add_parser(name, aliases=aliases, help=text)
        verb.set_defaults(handler=handler)
        verb.add_argument("publisher", metavar="PUBLISHER", help="its id, pub_…")
        if name == "edit":
            add_job_options(verb)
            add_grant_options(verb)
        if name == "pause":
            verb.add_argument("--reason", metavar="TEXT", help="why; `trust show` and the audit say it")
        add_store_arguments(verb, url=True)


def _add(options: argparse.Namespace) -> int:
    with open_desk(options, create=True) as desk:
        if options.provider is not None:
            profile = profile_for(options.provider)
            issuer_url = profile.default_url or ""
        else:
            issuer_url = options.issuer
            profile = profile_for(desk.issuer(issuer_url).kind)
        claims = claims_of(options, profile)
        pins = pins_of(options, profile, claims)
        publisher = desk.add_publisher(
            NewPublisher(
                resource=parse_resource(options.resource),
                issuer_url=issuer_url,
                claims=claims,
                pins=pins,
                pin_first_use=options.pin_first_use,
                operations=operations_of(options.operations),
                ttl_seconds=chosen(options.ttl),
                expires_at=chosen(options.expires),
                replay=chosen(options.replay),
                resource_server=options.resource_server,
                pending=options.pending,
                max_live_tokens=chosen(options.max_live_tokens),
                max_grants_per_hour=chosen(options.max_grants_per_hour),
                max_run_attempt=chosen(options.max_run_attempt),
            )
        )
    warnings = list(warnings_for(profile, publisher.conditions))
    ttl = publisher.ttl_seconds
    if publisher.resource.type in HUB_TYPES and ttl is not None and ttl <= SHORT_TTL_SECONDS:
        warnings.append(f"with tokens of {SHORT_TTL_SECONDS} s or less the Hub's client exchanges again on every call")
    if options.json:
        print_json({**publisher_json(publisher), "warnings": warnings})
    else:
        print("\n".join(publisher_text.describe(publisher)))
        if job := publisher_text.job_lines(publisher):
            print("\nin the job:\n")
            print("\n".join(f"  {line}" if line else "" for line in job))
    for warning in warnings:
        warn(warning)
    return 0


def _list(options: argparse.Namespace) -> int:
    resource = None if options.resource is None else parse_resource(options.resource)
    with open_desk(options) as desk:
        found = [item for item in desk.publishers(resource) if _is_listed(item, options)]
    if options.json:
        print_json([publisher_json(publisher) for publisher in found])
    else:
        print_table(publisher_text.HEADER, [publisher_text.table_row(publisher) for publisher in found])
    return 0


def _show(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        publisher = desk.publisher(options.publisher)
    if options.json:
        print_json(publisher_json(publisher))
    else:
        print("\n".join(publisher_text.describe(publisher)))
    return 0


def _is_listed(publisher: Publisher, options: argparse.Namespace) -> bool:
    if options.pending and publisher.pending_until is None:
        return False
    if options.paused and publisher.enabled:
        return False
    since = max(publisher.last_used_at or 0, publisher.created_at)
    return options.unused_for is None or since <= time.time() - options.unused_for * DAY_SECONDS


def _pause(options: argparse.Namespace) -> int:
    return _switch(options, enabled=False, reason=options.reason)


def _resume(options: argparse.Namespace) -> int:
    return _switch(options, enabled=True, reason=None)


def _switch(options: argparse.Namespace, *, enabled: bool, reason: str | None) -> int:
    with open_desk(options) as desk:
        publisher = desk.set_publisher_enabled(options.publisher, enabled=enabled, reason=reason)
    if options.json:
        print_json(publisher_json(publisher))
    else:
        print(f"{publisher.id} {'grants again' if enabled else 'is paused; its tokens do not work any more'}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        publisher = desk.remove_publisher(options.publisher)
    if options.json:
        print_json({"removed": publisher.id, "resource": str(publisher.resource)})
    else:
        print(f"{publisher.id} of {publisher.resource.short} is removed; its tokens do not work any more")
    return 0
