"""Access tokens for the tests of this room: good ones, and any one change away from good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keyless.jose.jwk import KeySet
from keyless.jose.signing import SigningKey
from keyless.resource import parse_resource
from keyless.verifier.access_token import (
    ACCESS_TOKEN_TYP,
    VerifiedAccessToken,
    access_token_claims,
    verify_access_token,
)

ISSUER = "https://keyless.example.org"
AUDIENCE = "https://hub.example.org"
NOW = 1_800_000_000
RESOURCE = parse_resource("acme/model")


@dataclass
class Mint:
    """Sign access tokens with one key."""

    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def keys(self) -> KeySet:
        return KeySet.of([self.key.public_key()])

    @property
    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.key.public_jwk()]}).encode()

    def claims(self, **overrides: Any) -> dict[str, object]:
        """Return good claims; an override of `None` leaves the claim out."""
        claims = access_token_claims(
            issuer=ISSUER,
            audience=AUDIENCE,
            publisher_id="pub-1",
            jti="jti-1",
            issued_at=NOW,
            expires_at=NOW + 3600,
            resource=RESOURCE,
            operations=["read", "write"],
            ci_issuer="https://ci.example.org",
            ci_subject="repo:acme/train:ref:refs/heads/main",
            prefix="kl_",
        )
        return {name: value for name, value in {**claims, **overrides}.items() if value is not None}

    def token(
        self,
        *,
        prefix: str = "kl_",
        typ: str = ACCESS_TOKEN_TYP,
        header: Mapping[str, object] | None = None,
        **overrides: Any,
    ) -> str:
        """Return a token, good unless something is overridden."""
        claims = self.claims(**{"prefix": prefix, **overrides})
        return prefix + self.key.sign(claims, typ=typ, header=header)

    def verify(self, token: str, **overrides: Any) -> VerifiedAccessToken:
        """Verify as the resource server would at `NOW`."""
        arguments: dict[str, Any] = {
            "keys": self.keys,
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "prefixes": ("kl_",),
            "now": NOW,
        }
        return verify_access_token(token, **{**arguments, **overrides})
