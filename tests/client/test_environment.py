"""Reading the job's variables."""

from __future__ import annotations

import pytest

from keyless.client.environment import read_endpoint, read_timeout_seconds, token_path
from keyless.errors import OIDCConfigurationError


@pytest.mark.parametrize(
    ("environ", "given", "expected"),
    [
        ({}, None, "https://huggingface.co"),
        ({"HF_ENDPOINT": ""}, None, "https://huggingface.co"),
        ({"HF_ENDPOINT": " https://hub.x/ \n"}, None, "https://hub.x"),
        ({"HF_ENDPOINT": "https://hub.x/prefix/"}, "", "https://hub.x/prefix"),
        ({"HF_ENDPOINT": "https://hub.x"}, "https://hub.y//", "https://hub.y"),
    ],
)
def test_endpoint(environ: dict[str, str], given: str | None, expected: str) -> None:
    """protocols.md 1.4: the trailing slash is cut, a path prefix kept, the Hub is the default."""
    assert read_endpoint(environ, given) == expected


def test_a_wrong_endpoint_names_where_it_came_from() -> None:
    """Variable or argument."""
    with pytest.raises(OIDCConfigurationError, match="HF_ENDPOINT"):
        read_endpoint({"HF_ENDPOINT": "hub.x"})
    with pytest.raises(OIDCConfigurationError, match="the endpoint"):
        read_endpoint({"HF_ENDPOINT": "https://hub.x"}, "hub.y")


def test_timeout() -> None:
    """30 seconds unless the job says otherwise."""
    assert (read_timeout_seconds({}), read_timeout_seconds({"KEYLESS_TIMEOUT": " 2.5 "})) == (30, 2.5)


def test_token_path_expands_like_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` and variables in HF_TOKEN_PATH and HF_HOME."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WHERE", "there")

    assert token_path({"HF_TOKEN_PATH": "~/$WHERE/t"}) == "/home/me/there/t"
    assert token_path({"HF_HOME": "~/$WHERE"}) == "/home/me/there/token"
