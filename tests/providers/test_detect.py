"""Which platform is this, and may the job mint (S2)?"""

from __future__ import annotations

import pytest

from keyless.errors import IdTokenPermissionError, ProviderNotFoundError
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.detect import ORDER, detect_provider, find_mint
from tests.support.job import make_id_token

AUDIENCE = "https://hub.example.org"
GITHUB = {"GITHUB_ACTIONS": "true"}
REQUEST = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://mint.example/?a=b", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
EMPTY_REQUEST = {"ACTIONS_ID_TOKEN_REQUEST_URL": "", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        ({"CI": "true"}, None),
        (GITHUB, "github"),
        ({**GITHUB, **REQUEST}, "github"),
        ({"GITHUB_ACTIONS": "True"}, None),
        ({"GITHUB_ACTIONS": "1", **REQUEST}, None),
        (REQUEST, None),
        ({**GITHUB, "ACT": "true"}, None),
        ({**GITHUB, "ACT": "true", **REQUEST}, "github"),
        ({**GITHUB, "FORGEJO_ACTIONS": "true"}, None),
        ({**GITHUB, "GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true", **EMPTY_REQUEST}, None),
        ({**GITHUB, "GITEA_ACTIONS": "true", **REQUEST}, None),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"GITLAB_CI": "true", "HF_OIDC_ID_TOKEN": "x"}, "gitlab"),
        ({"GITLAB_CI": "1"}, None),
        ({"HF_OIDC_ID_TOKEN": "x"}, None),
    ],
)
def test_detect_provider(environ: dict[str, str], name: str | None) -> None:
    """S2: `github` also without the permission, `None` under act without it and under Forgejo's markers."""
    assert detect_provider(environ) == name


def test_detect_provider_reads_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read at call time."""
    assert detect_provider() is None
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    assert detect_provider() == "github"


@pytest.mark.parametrize(
    ("environ", "provider", "anew"),
    [
        ({**GITHUB, **REQUEST}, "github", True),
        ({**GITHUB, **REQUEST, "HF_OIDC_ID_TOKEN": "x"}, "handed-over", False),
        ({"GITLAB_CI": "true", "HF_OIDC_ID_TOKEN": "x"}, "handed-over", False),
        ({"GITLAB_CI": "true", "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN": "x"}, "gitlab", False),
        ({"HF_OIDC_ID_TOKEN": "x", "FORGEJO_ACTIONS": "true", **GITHUB}, "handed-over", False),
    ],
)
def test_who_gives_the_token(environ: dict[str, str], provider: str, anew: bool) -> None:
    """A token handed over wins over minting (protocols.md 1.4), and every source says whether it can mint again."""
    found = find_mint(environ, AUDIENCE)

    assert (found.provider, found.mints_anew) == (provider, anew)


def test_absent_unable_and_able_are_three_types() -> None:
    """A job without permission is not a job on another platform."""
    github = next(entry for entry in ORDER if entry.NAME == "github")

    assert github.detect({}, AUDIENCE) is None
    assert isinstance(github.detect(GITHUB, AUDIENCE), CannotMint)
    assert isinstance(github.detect({**GITHUB, **REQUEST}, AUDIENCE), CanMint)


def test_what_cannot_mint_is_final() -> None:
    """S6: a GitHub job without the permission does not fall through to what else may be there."""
    with pytest.raises(IdTokenPermissionError):
        find_mint({**GITHUB, "GITLAB_CI": "true", "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN": "x"}, AUDIENCE)


@pytest.mark.parametrize(
    ("environ", "word"),
    [({}, "HF_OIDC_ID_TOKEN"), ({**GITHUB, "ACT": "true"}, "act"), ({**GITHUB, "GITEA_ACTIONS": "true"}, "Gitea")],
)
def test_no_provider_says_what_to_do(environ: dict[str, str], word: str) -> None:
    """S6: the hint fits where the job runs."""
    with pytest.raises(ProviderNotFoundError) as caught:
        find_mint(environ, AUDIENCE)

    assert word in (caught.value.hint or "")


def test_one_provider_can_be_insisted_on() -> None:
    """An explicit choice beats detection (providers.md 1.2)."""
    environ = {**GITHUB, **REQUEST, "HF_OIDC_ID_TOKEN": make_id_token(AUDIENCE)}

    assert find_mint(environ, AUDIENCE, only="github").provider == "github"


def test_no_repr_shows_a_token() -> None:
    """S8."""
    found = find_mint({"HF_OIDC_ID_TOKEN": "secret-token-of-the-job"}, AUDIENCE)

    assert "secret-token" not in repr(found)
    assert "secret-token" not in repr(found.identity)
