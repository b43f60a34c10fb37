"""The issuer of a run: `keyless.testing`'s, on loopback, for the servers to fetch its keys from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keyless.testing import FakeIssuer
from keyless.testing.claims import github_claims


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer that runs, and what it takes to sign in its name."""

    url: str
    jwks_uri: str
    jwks: bytes
    kid: str
    private_der: bytes
    claims: dict[str, object]
    """Of a job on the main branch of one repository; `aud` and what belongs to one token are to be added."""


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Run an issuer until the block ends."""
    with FakeIssuer(algorithm="RS256") as issuer:
        keys = json.dumps({"keys": [issuer.key.public_jwk()]}).encode()
        claims = github_claims(repository="acme/train")
        yield Issuer(issuer.url, issuer.jwks_uri, keys, issuer.key.kid, issuer.key.to_pkcs8(), claims)
