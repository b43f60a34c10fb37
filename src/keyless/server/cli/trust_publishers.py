"""`keyless trust add | list | show | enable | disable | remove`: Trusted Publishers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keyless.errors import ConfigurationError
from keyless.issuers import Profile, profile_for
from keyless.oidc.issuer import ReplayMode
from keyless.resource import HUB_TYPES, parse_resource
from keyless.server.cli import publisher_text
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import (
    add_store_arguments,
    parse_expiry,
    print_json,
    print_table,
    warn,
)
from keyless.server.representations.publisher import publisher_json
from keyless.server.store.admin import NewPublisher
from keyless.server.store.admin.rules import warnings_for
from keyless.trust.publisher import Operation

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
    job = add.add_argument_group("which job (all given ones must hold; give one twice for alternatives)")
    job.add_argument("--repository", metavar="OWNER/NAME", help="the repository or project the job runs in")
    for name, metavar, text in (
        ("branch", "NAME", "its branch; `*` stands for any characters but / and :"),
        ("tag", "NAME", "its tag; `*` as above"),
        ("workflow", "FILE", "file name of the workflow"),
        ("environment", "NAME", "its deployment environment"),
    ):
        job.add_argument(f"--{name}", metavar=metavar, action="append", default=[], help=text)
    job.add_argument("--claim", metavar="NAME=VALUE", action="append", default=[], help="any other claim")
    ids = add.add_argument_group("ids that never change (names can be given up and taken by others)")
    for name in ("repository-id", "repository-owner-id", "project-id", "namespace-id"):
        ids.add_argument(f"--{name}", metavar="N")
    ids.add_argument("--pin", metavar="NAME=VALUE", action="append", default=[], help="an issuer's immutable claim")
    ids.add_argument(
        "--pin-first-use",
        action="store_true",
        help="take the ids from the first job that matches the rest, within seven days",
    )
    grant = add.add_argument_group("what it gets")
    grant.add_argument("--operations", metavar="LIST", help="of read,write,create; default all, for a user read")
    grant.add_argument("--ttl", type=int, metavar="SECONDS", help="lifetime of its tokens, 60-3600")
    grant.add_argument("--expires", type=parse_expiry, metavar="WHEN", help="30d, 12h or a date: nothing after that")
    grant.add_argument("--replay", choices=[mode.value for mode in ReplayMode], help="how often an id token counts")
    grant.add_argument("--resource-server", metavar="NAME", help="which hub the tokens are for; default: the first one")
    add_store_arguments(add, url=True)

    listing = verbs.add_parser("list", help="list publishers")
    listing.set_defaults(handler=_list)
    listing.add_argument("resource", metavar="RESOURCE", nargs="?", help="only of this one")
    add_store_arguments(listing, url=True)

    for name, handler, text in (
        ("show", _show, "show one publisher"),
        ("enable", _enable, "switch a publisher on again"),
        ("disable", _disable, "switch a publisher off; its tokens stop working at once"),
        ("remove", _remove, "remove a publisher for good; its tokens stop working at once"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(handler=handler)
        verb.add_argument("publisher", metavar="PUBLISHER", help="its id, pub_…")
        add_store_arguments(verb, url=True)


def _add(options: argparse.Namespace) -> int:
    with open_desk(options, create=True) as desk:
        if options.provider is not None:
            profile = profile_for(options.provider)
            issuer_url = profile.default_url or ""
        else:
            issuer_url = options.issuer
            profile = profile_for(desk.issuer(issuer_url).kind)
        pins, claims = _pins(options), _claims(options, profile)
        for claim in profile.id_claims:  # an id is a pin, however it was given
            if claim in claims and len(claims[claim]) == 1 and claim not in pins:
                pins[claim] = claims.pop(claim)[0]
        publisher = desk.add_publisher(
            NewPublisher(
                resource=parse_resource(options.resource),
                issuer_url=issuer_url,
                claims=claims,
                pins=pins,
                pin_first_use=options.pin_first_use,
                operations=_operations(options.operations),
                ttl_seconds=options.ttl,
                expires_at=options.expires,
                replay=None if options.replay is None else ReplayMode(options.replay),
                resource_server=options.resource_server,
            )
        )
    warnings = list(warnings_for(profile, publisher.conditions))
    if publisher.resource.type in HUB_TYPES and options.ttl is not None and options.ttl <= SHORT_TTL_SECONDS:
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
        found = desk.publishers(resource)
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


def _enable(options: argparse.Namespace) -> int:
    return _switch(options, enabled=True)


def _disable(options: argparse.Namespace) -> int:
    return _switch(options, enabled=False)


def _switch(options: argparse.Namespace, *, enabled: bool) -> int:
    with open_desk(options) as desk:
        publisher = desk.set_publisher_enabled(options.publisher, enabled=enabled)
    if options.json:
        print_json(publisher_json(publisher))
    else:
        print(f"{publisher.id} is {'enabled' if enabled else 'disabled; its tokens do not work any more'}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    with open_desk(options) as desk:
        publisher = desk.remove_publisher(options.publisher)
    if options.json:
        print_json({"removed": publisher.id, "resource": str(publisher.resource)})
    else:
        print(f"{publisher.id} of {publisher.resource.short} is removed; its tokens do not work any more")
    return 0


def _pins(options: argparse.Namespace) -> dict[str, str]:
    pins = {}
    for claim in ("repository_id", "repository_owner_id", "project_id", "namespace_id"):
        if (value := getattr(options, claim)) is not None:
            pins[claim] = value
    for text in options.pin:
        claim, value = _assignment("--pin", text)
        if pins.setdefault(claim, value) != value:
            raise ConfigurationError(f"--pin {claim} is given twice")
    return pins


def _claims(options: argparse.Namespace, profile: Profile) -> dict[str, list[str]]:
    claims: dict[str, list[str]] = {}
    if options.repository is not None:
        if profile.repository_claim is None:
            raise ConfigurationError(
                f"--repository means nothing for {profile.kind} tokens", hint="Use --claim NAME=VALUE."
            )
        claims[profile.repository_claim] = [options.repository]
    named: Mapping[str, list[str]] = {
        name: getattr(options, name) for name in ("branch", "tag", "workflow", "environment")
    }
    for claim, values in named.items():
        if values:
            claims.setdefault(claim, []).extend(values)
    for text in options.claim:
        claim, value = _assignment("--claim", text)
        claims.setdefault(claim, []).append(value)
    return claims


def _assignment(option: str, text: str) -> tuple[str, str]:
    claim, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"{option} {text!r} is not NAME=VALUE")
    return claim, value


def _operations(text: str | None) -> tuple[Operation, ...]:
    if text is None:
        return ()
    try:
        return tuple(Operation(name.strip()) for name in text.split(","))
    except ValueError:
        raise ConfigurationError(f"--operations {text!r}: use read, write, create") from None
