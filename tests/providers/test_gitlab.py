"""Fixed tokens on GitLab, in the order of the design (S5, S11)."""

from __future__ import annotations

import pytest

from keyless.errors import AudienceError, IdTokenPermissionError
from keyless.http.deadline import Deadline
from keyless.providers.detect import find_mint
from keyless.providers.gitlab import variable_names
from tests.support.job import make_id_token

AUDIENCE = "https://hub.example.org"
URL_VARIABLE = "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN"
GITLAB = {"GITLAB_CI": "true"}


def token_from(environ: dict[str, str]) -> str:
    return find_mint(environ, AUDIENCE).mint(AUDIENCE, deadline=Deadline(5), environ=environ).reveal()


def test_the_order_of_the_variables() -> None:
    """design.md 5: the named variable, HF's, ours, then the one named for the audience."""
    tokens = {
        name: make_id_token(AUDIENCE) for name in ["MY_TOKEN", "HF_OIDC_ID_TOKEN", "KEYLESS_ID_TOKEN", URL_VARIABLE]
    }
    environ = {**GITLAB, "KEYLESS_ID_TOKEN_VAR": "MY_TOKEN", **tokens}
    found = []
    for name in ["MY_TOKEN", "HF_OIDC_ID_TOKEN", "KEYLESS_ID_TOKEN", URL_VARIABLE]:
        found.append(token_from(environ) == tokens[name])
        if name == "MY_TOKEN":
            del environ["KEYLESS_ID_TOKEN_VAR"]
        environ[name] = " "  # blank counts as unset

    assert found == [True, True, True, True]


@pytest.mark.parametrize(
    ("audience", "names"),
    [
        ("pypi", ("PYPI_ID_TOKEN",)),
        ("https://hub.example.org", (URL_VARIABLE,)),
        ("7hills", ("7HILLS_ID_TOKEN", "_HILLS_ID_TOKEN")),
        ("häb", ("H_B_ID_TOKEN",)),
    ],
)
def test_the_variable_named_for_the_audience(audience: str, names: tuple[str, ...]) -> None:
    """protocols.md 6: upper case, everything but letters and digits becomes an underscore."""
    assert variable_names(audience) == names


def test_no_token_holds_the_yaml_with_the_endpoint() -> None:
    """S6: the lines to add, ready to paste."""
    with pytest.raises(IdTokenPermissionError) as caught:
        token_from(GITLAB)

    assert f"    id_tokens:\n      HF_OIDC_ID_TOKEN:\n        aud: {AUDIENCE}" in (caught.value.hint or "")


def test_a_wrong_audience_holds_the_yaml_too() -> None:
    """AudienceError, before anything is sent, with the lines that mend it."""
    with pytest.raises(AudienceError, match=r"https://gitlab\.example") as caught:
        token_from({**GITLAB, "HF_OIDC_ID_TOKEN": make_id_token("https://gitlab.example")})

    assert f"aud: {AUDIENCE}" in (caught.value.hint or "")


def test_a_named_variable_that_is_empty_is_shown_with_the_yaml_for_it() -> None:
    """KEYLESS_ID_TOKEN_VAR is an explicit choice, so nothing else is tried."""
    with pytest.raises(IdTokenPermissionError, match="MY_TOKEN") as caught:
        token_from({**GITLAB, "KEYLESS_ID_TOKEN_VAR": "MY_TOKEN", "HF_OIDC_ID_TOKEN": make_id_token(AUDIENCE)})

    assert "      MY_TOKEN:\n" in (caught.value.hint or "")
