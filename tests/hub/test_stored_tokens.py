"""Stored tokens beside those of trusted publishers, and the end of them (T101)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keyless.errors import ConfigurationError, UnavailableError
from keyless.hub.errors import HubError
from keyless.hub.identity import AccessToken, identify
from keyless.hub.stored_tokens import StoredTokens, load_stored_tokens
from keyless.resource import Resource, parse_resource

MODEL = parse_resource("acme/model")
TOKEN = "a-stored-token"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
ENTRY = f'[[token]]\nsha256 = "{DIGEST}"\nname = "alice"\nresource = "acme/model"\noperations = ["read", "write"]\n'


class Other:
    """A verifier that tells what it was asked."""

    def verify(self, token: str) -> AccessToken:
        raise UnavailableError(f"asked about {token}")


def tokens(path: Path, *, only: bool = False) -> StoredTokens:
    (path / "tokens.toml").write_text(ENTRY)
    return StoredTokens(Other(), load_stored_tokens(path / "tokens.toml"), lambda _resource: only)


def test_a_stored_token_is_good_for_its_repository(tmp_path: Path) -> None:
    """T101: what a team comes from."""
    found = tokens(tmp_path).verify(TOKEN)

    assert (found.resource, found.operations, found.ci_subject) == (MODEL, {"read", "write"}, "alice")


def test_it_ends_with_the_switch(tmp_path: Path) -> None:
    """T101: 403 and what to do; never taken for no token at all."""
    with pytest.raises(HubError, match="trusted publishers only") as refused:
        identify([f"Bearer {TOKEN}"], tokens(tmp_path, only=True))

    assert refused.value.status == 403


def test_an_outage_lets_no_stored_token_through(tmp_path: Path) -> None:
    """T96, T101: who makes the service unreachable gains nothing."""

    def down(_resource: Resource) -> bool:
        raise UnavailableError("down", retry_after=7)

    (tmp_path / "tokens.toml").write_text(ENTRY)
    stored = StoredTokens(Other(), load_stored_tokens(tmp_path / "tokens.toml"), down)
    with pytest.raises(HubError) as refused:
        identify([f"Bearer {TOKEN}"], stored)

    assert refused.value.status == 503


def test_every_other_token_goes_to_the_verifier(tmp_path: Path) -> None:
    """V20: also one that nearly is stored."""
    for other in (TOKEN[:-1], DIGEST, TOKEN.upper(), "kl_x"):
        with pytest.raises(UnavailableError, match="asked about"):
            tokens(tmp_path).verify(other)


@pytest.mark.parametrize(
    "text",
    [
        "token = 1",
        "[[token]]\n",
        ENTRY.replace(DIGEST, "abc"),
        ENTRY.replace(DIGEST, "zz" * 32),
        ENTRY.replace("acme/model", "a/b/c/d/e"),
        ENTRY.replace('"write"', '"admin"'),
        ENTRY + "more = 1\n",
        "not toml",
    ],
)
def test_a_file_of_another_shape_stops_the_start(tmp_path: Path, text: str) -> None:
    """V10: nothing is guessed, and no hash is quoted."""
    (tmp_path / "tokens.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="hub_tokens_file") as refused:
        load_stored_tokens(tmp_path / "tokens.toml")

    assert DIGEST not in str(refused.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_stored_tokens(tmp_path / "missing.toml")
