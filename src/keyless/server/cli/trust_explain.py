"""`keyless trust explain`: what each publisher of a resource makes of a CI job, expected against received.

Whoever may read the store may see what publishers expect (D12); the wire never shows that.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keyless.cli.output import EXIT_OK, EXIT_REFUSED
from keyless.errors import ConfigurationError
from keyless.resource import Resource, parse_resource
from keyless.server.cli.store_access import add_store_arguments, print_json, print_table, visible
from keyless.server.cli.trust_snapshot import (
    TrustSnapshot,
    open_snapshot,
    read_input,
    read_json_object,
)
from keyless.server.representations.explanation import explanation_json
from keyless.server.representations.new_publisher import provider_url
from keyless.trust.explain import Explanation, Finding

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
    add_store_arguments(parser)


def _explain(options: argparse.Namespace) -> int:
    resource = parse_resource(options.resource)
    now = int(time.time())
    with open_snapshot(options) as snapshot:
        if options.claims is not None:
            explanation = _of_claims(options, snapshot, resource, now)
        else:
            if options.provider is not None or options.issuer is not None:
                raise ConfigurationError(
                    "an id token names its issuer itself", hint="Leave --provider or --issuer out."
                )
            token = read_input(options.id_token_file).decode("ascii", "replace").strip()
            explanation = asyncio.run(_of_token(token, snapshot, resource, now))
    if options.json:
        print_json(explanation_json(resource, explanation))
    else:
        _print(resource, explanation)
    return EXIT_OK if explanation.accepted else EXIT_REFUSED


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
        leeway_seconds=snapshot.settings.leeway_seconds,
    )
    try:
        return await snapshot.judge.of_token(resource, token, verification, now=now)
    finally:
        verification.close()


def finding_row(finding: Finding) -> tuple[str, str, str, str]:
    """Return the cells of one demand."""
    received = "(absent)" if finding.received is None else finding.received
    return finding.claim, finding.expected, received, "" if finding.matches else "differs"


def _print(resource: Resource, explanation: Explanation) -> None:
    word = "accepted" if explanation.accepted else f"refused, {explanation.reason}"
    print(visible(f"{resource.short}: {word}: {explanation.detail}"))
    for item in explanation.publishers:
        verdict = "accepts it" if item.accepted else f"does not accept it: {', '.join(item.differing)}"
        print(visible(f"\npublisher {item.publisher.id} of {item.publisher.issuer_url} {verdict}"))
        print_table(HEADER, [finding_row(finding) for finding in item.findings])
