"""A secret scanner that never cries wolf."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.verifier.access_token import PREFIXES
from keyless.verifier.scan import find_tokens, token_pattern
from tests.verifier.tokens import ISSUER, NOW, Mint


def found(mint: Mint, text: str) -> list[str]:
    """Scan a text."""
    return [secret.reveal() for secret in find_tokens(text, keys=mint.keys, issuer=ISSUER, now=NOW)]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_token_is_found_wherever_it_leaked(mint: Mint, prefix: str) -> None:
    """T118, T97: in a URL, a shell line, JSON, at the ends of a text; by its prefix, proven by its signature."""
    token = mint.token(prefix=prefix)
    for text in (
        token,
        f"curl -H 'Authorization: Bearer {token}' https://x",
        f'{{"t":"{token}"}}',
        f"u:{token}@host\n",
    ):
        assert found(mint, text) == [token]


def lookalikes(mint: Mint) -> list[str]:
    """What has the shape of a token and is none."""
    token = mint.token()
    at = len(token) - 40
    return [
        token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :],
        Mint().token(),
        mint.token(iss="https://other.example.org"),
        mint.token(typ="JWT"),
        mint.token(iat=NOW - 3600, exp=NOW - 1),
        token.replace("kl_", "hf_jwt_"),
        f"x{token}",
        f"{token}A",
        f"{token[:60]}\n{token[60:]}",
    ]


def test_what_only_looks_like_a_token_is_not_reported(mint: Mint) -> None:
    """T118: a flipped character, another key, issuer or kind, one that is over: no revocation is set off."""
    assert found(mint, " ".join(lookalikes(mint) * 50)) == []
    assert sum(bool(re.search(token_pattern(), text)) for text in lookalikes(mint)) >= 6


@given(st.text("kl_eyJ.-AZ09 \n", max_size=400))
def test_any_text_gives_an_answer(text: str) -> None:
    """T118."""
    mint = Mint()

    assert found(mint, text) == []
