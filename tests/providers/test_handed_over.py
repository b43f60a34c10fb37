"""An id token that somebody else put into a variable."""

from __future__ import annotations

import pytest

from keyless.errors import IdTokenPermissionError
from keyless.providers.base import CannotMint
from keyless.providers.handed_over import detect
from tests.support.job import make_id_token

AUDIENCE = "https://hub.example.org"


def test_a_token_in_the_place_of_its_variables_name_is_not_shown() -> None:
    """S8: people do put the token itself there; the error must help them without quoting it."""
    token = make_id_token(AUDIENCE)
    found = detect({"KEYLESS_ID_TOKEN_VAR": token}, AUDIENCE)

    assert isinstance(found, CannotMint)
    assert isinstance(found.error, IdTokenPermissionError)
    shown = f"{found!r} {found.error} {found.error.hint}"
    assert not [token[at : at + 12] for at in range(len(token) - 11) if token[at : at + 12] in shown]
    assert "HF_OIDC_ID_TOKEN" in shown


@pytest.mark.parametrize("name", ["a b", "A=B", "1X", "X" * 129, "ü-1"])
def test_what_is_no_variables_name_is_said_to_be_none(name: str) -> None:
    """S5: a pointer that cannot point is an error, never "no token"."""
    assert isinstance(detect({"KEYLESS_ID_TOKEN_VAR": name}, AUDIENCE), CannotMint)
