"""How the tests of this folder ask for an id token: through the order, as the client does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from keyless.errors import OIDCError
from keyless.http.deadline import Deadline
from keyless.providers.base import CanMint
from keyless.providers.detect import find_mint
from keyless.testing import unverified_claims

AUDIENCE = "https://hub.example.org"


def find(environ: Mapping[str, str], audience: str = AUDIENCE) -> CanMint:
    """Return the way to mint."""
    return find_mint(environ, audience)


def mint(environ: Mapping[str, str], audience: str = AUDIENCE, *, seconds: float = 10) -> str:
    """Find the way to mint and go it."""
    return find(environ, audience).mint(audience, deadline=Deadline(seconds), environ=environ).reveal()


def claims_of(environ: Mapping[str, str], audience: str = AUDIENCE) -> dict[str, object]:
    """Mint and read the claims."""
    return unverified_claims(mint(environ, audience))


def failure(environ: Mapping[str, str], audience: str = AUDIENCE, *, seconds: float = 10) -> OIDCError:
    """Return the error of a mint that fails; no secret of the job may be in it."""
    with pytest.raises(OIDCError) as caught:
        mint(environ, audience, seconds=seconds)
    shown = f"{caught.value!r} {caught.value} {caught.value.hint}"
    secrets = [value for name, value in environ.items() if "TOKEN" in name and len(value) > 30 and "/" not in value]
    assert [secret for secret in secrets if secret in shown] == []
    return caught.value


def hint_of(environ: Mapping[str, str], audience: str = AUDIENCE, *, seconds: float = 10) -> str:
    """Return what a user is told to do."""
    return failure(environ, audience, seconds=seconds).hint or ""
