"""`keyless trust explain`: what each publisher of a resource makes of a CI job, expected against received.

Whoever may read the store may see what publishers expect (D12); the wire never shows that.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keyless.cli.output import EXIT_OK, EXIT_REFUSED
from keyless.cli.terminal import visible
from keyless.errors import ConfigurationError
from keyless.resource import Resource, parse_resource
from keyless.server.cli.api_client import ApiClient
from keyless.server.cli.remote_desk import RemoteDesk
from keyless.server.cli.store_access import add_store_arguments, print_json, print_table
from keyless.server.cli.trust_snapshot import (
    TrustSnapshot,
    open_snapshot,
    read_input,
    read_json_object,
)
from keyless.server.representations import reading
from keyless.server.representations.explanation import explanation_json
from keyless.server.representations.new_publisher import provider_url
from keyless.trust.explain import Explanation

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

HEADER = ("CLAIM", "EXPECTED", "RECEIVED", "")


def add_verbs(verbs: Verbs, *, providers: Sequence[str]) -> None:
    """Add `explain`."""
    parser = verbs.add_parser("explain", help="say what each publisher makes of a job, claim by claim")
    parser.set_defaults(handler=_explain)
    parser.add_argument("resource", metavar="RESOURCE", help="what the job wants to publish to")
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("--claims", metavar="FILE", help="a job's claims as a JSON object; - reads standard input")
    job.add_argument("--id-token-file", metavar="FILE", help="a job's id token, which is verified as in an exchange")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--provider", choices=providers, help="where the claims come from; else their `iss`")
    who.add_argument("--issuer", metavar="URL", help="as above, any other issuer")
    add_store_arguments(parser, url=True)


def _explain(options: argparse.Namespace) -> int:
    resource = parse_resource(options.resource)
    if options.id_token_file is not None and (options.provider is not None or options.issuer is not None):
        raise ConfigurationError("an id token names its issuer itself", hint="Leave --provider or --issuer out.")
    content = _ask(options, resource) if options.api_url is not None else _judge(options, resource)
    if options.json:
        print_json(content)
    else:
        _print(resource, content)
    return EXIT_OK if content["accepted"] else EXIT_REFUSED


def _ask(options: argparse.Namespace, resource: Resource) -> Mapping[str, object]:
    question: dict[str, object] = {"provider": options.provider, "issuer": options.issuer}
    if options.claims is not None:
        question["claims"] = read_json_object(options.claims)
    else:
        question["id_token"] = _read_token(options.id_token_file)
    given = {name: value for name, value in question.items() if value is not None}
    return RemoteDesk(ApiClient.signed_in(options.api_url)).explain(resource, given)


def _judge(options: argparse.Namespace, resource: Resource) -> Mapping[str, object]:
    now = int(time.time())
    with open_snapshot(options) as snapshot:
        if options.claims is not None:
            explanation = _of_claims(options, snapshot, resource, now)
        else:
            explanation = asyncio.run(_of_token(_read_token(options.id_token_file), snapshot, resource, now))
    return explanation_json(resource, explanation)


def _read_token(path: str) -> str:
    return read_input(path).decode("ascii", "replace").strip()


def _of_claims(options: argparse.Namespace, snapshot: TrustSnapshot, resource: Resource, now: int) -> Explanation:
    claims = read_json_object(options.claims)
    named = claims.get("iss")
    chosen = provider_url(options.provider) if options.provider is not None else options.issuer
    issuer_url = chosen if chosen is not None else named
    if not isinstance(issuer_url, str):
        raise ConfigurationError("the claims name no issuer", hint="Add --provider NAME or --issuer URL.")
    if named not in (None, issuer_url):
        raise ConfigurationError(f"the claims are from {named!r}, not from {issuer_url}")
    return snapshot.explain(resource, issuer_url, claims, now=now)


async def _of_token(token: str, snapshot: TrustSnapshot, resource: Resource, now: int) -> Explanation:
    """Verify a token as the exchange does; a token that is over is compared all the same, and refused.

    Raises:
        ConfigurationError: The settings do not say which audience is ours.
        UnavailableError: The issuer's keys cannot be had now.
    """
    from keyless.http.guarded import GuardedFetcher
    from keyless.oidc.jwks_cache import JwksCache
    from keyless.server.services.verification import IdTokenVerification

    if snapshot.settings.public_url is None:
        raise ConfigurationError(
            "public_url is not set, so nobody can say whether the token is for this service",
            hint="Name the service's settings with --config FILE, or set KEYLESS_PUBLIC_URL.",
        )
    verification = IdTokenVerification(
        audience=snapshot.settings.public_url,
        issuers=snapshot.store,
        keys=JwksCache(GuardedFetcher()),
        fixed_audiences=snapshot.settings.fixed_audiences,
        leeway_seconds=snapshot.settings.leeway_seconds,
    )
    try:
        return await snapshot.judge.of_token(resource, token, verification, now=now)
    finally:
        verification.close()


def _print(resource: Resource, content: Mapping[str, object]) -> None:
    word = "accepted" if content["accepted"] else f"refused, {reading.text(content, 'reason')}"
    print(visible(f"{resource.short}: {word}: {reading.text(content, 'detail')}"))
    for item in reading.objects(content, "publishers"):
        findings = reading.objects(item, "claims")
        differing = dict.fromkeys(reading.text(found, "claim") for found in findings if not found["matches"])
        verdict = "accepts it" if item["accepted"] else f"does not accept it: {', '.join(differing)}"
        print()
        print(visible(f"publisher {reading.text(item, 'publisher')} of {reading.text(item, 'issuer')} {verdict}"))
        print_table(HEADER, [_row(found) for found in findings])


def _row(found: Mapping[str, object]) -> tuple[str, str, str, str]:
    received = reading.maybe_text(found, "received")
    return (
        reading.text(found, "claim"),
        reading.text(found, "expected"),
        "(absent)" if received is None else received,
        "" if found["matches"] else "differs",
    )
