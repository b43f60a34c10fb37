"""Proven identities and publishers for the tests of matching: real tokens, really verified."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from keyless.issuers import profile_for
from keyless.issuers.profile import Attributes
from keyless.oidc.id_token import VerifiedIdToken, read_unverified, verify_id_token
from keyless.oidc.issuer import Issuer
from keyless.resource import parse_resource
from keyless.testing.claims import github_claims, gitlab_claims, merge
from keyless.testing.clock import NOON
from keyless.trust.match import Verdict, judge, judge_all
from keyless.trust.publisher import Condition, Operation, Operator, Pin, Publisher
from tests.jose.keys import signing_key

NOW = int(NOON)
AUDIENCE = "https://hub.example.com"
GITHUB_COM = Issuer(id=1, url="https://token.actions.githubusercontent.com", kind="github", algorithms=("ES256",))
GITLAB_COM = Issuer(id=2, url="https://gitlab.example.com", kind="gitlab", algorithms=("ES256",))
OTHER_GITHUB = Issuer(id=3, url="https://ghes.evil.example/_services/token", kind="github", algorithms=("ES256",))
GENERIC = Issuer(id=4, url="https://ci.example", kind="generic", algorithms=("ES256",))
IDS = (Pin("repository_id", "456789"), Pin("repository_owner_id", "123456"))


def _generic_claims(**overrides: object) -> dict[str, object]:
    return {"sub": "job", **overrides}


def proven(
    issuer: Issuer = GITHUB_COM, *, claims: Mapping[str, object] = MappingProxyType({}), **more: object
) -> VerifiedIdToken:
    """Return the proven id token of a job of `acme/widgets`, claims changed."""
    base = {"github": github_claims, "gitlab": gitlab_claims, "generic": _generic_claims}[issuer.kind]
    key = signing_key("ES256")
    text = key.sign(merge({"iss": issuer.url, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300}, base(**claims, **more)))
    return verify_id_token(read_unverified(text), issuer=issuer, keys=[key.public_key()], audience=AUDIENCE, now=NOW)


def is_exactly(claim: str, *values: str) -> Condition:
    """Return an exact condition, or a one-of with several values."""
    return Condition(claim, Operator.EQUALS if len(values) == 1 else Operator.ONE_OF, values)


def is_like(claim: str, *patterns: str) -> Condition:
    """Return a glob condition."""
    return Condition(claim, Operator.GLOB, patterns)


def publisher(
    *conditions: Condition,
    pins: tuple[Pin, ...] = IDS,
    issuer: Issuer = GITHUB_COM,
    id: str = "pub-1",  # noqa: A002  # the field's name
    enabled: bool = True,
    expires_at: int | None = None,
    created_at: int = 0,
    operations: tuple[Operation, ...] = (Operation.READ, Operation.WRITE),
) -> Publisher:
    """Return a publisher of `acme/model` with these conditions, pinned to `acme/widgets`."""
    return Publisher(
        id=id,
        version=1,
        resource=parse_resource("acme/model"),
        issuer_id=issuer.id,
        issuer_url=issuer.url,
        issuer_kind=issuer.kind,
        operations=operations,
        conditions=conditions,
        pins=pins,
        audience=AUDIENCE,
        token_prefix="kl_",
        enabled=enabled,
        expires_at=expires_at,
        created_at=created_at,
    )


def seen(token: VerifiedIdToken) -> Attributes:
    """Return what conditions compare."""
    return profile_for(token.issuer.kind).attributes(token.claims)


def verdict(record: Publisher, token: VerifiedIdToken | None = None, *, now: int = NOW) -> Verdict:
    """Judge one publisher."""
    token = token or proven()
    return judge(record, seen(token), token, profile_for(token.issuer.kind), now)


def verdicts(*records: Publisher, token: VerifiedIdToken | None = None) -> list[Verdict]:
    """Judge several."""
    token = token or proven()
    return judge_all(records, seen(token), token, profile_for(token.issuer.kind), NOW)


def differing(result: Verdict) -> list[str]:
    """Return the claims that a verdict names."""
    return [mismatch.claim for mismatch in result.mismatches]
