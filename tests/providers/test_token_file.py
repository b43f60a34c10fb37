"""A token in a file: read anew each time, and every way in which a file can be wrong."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.errors import AudienceError, Error, MintError
from tests.providers.asking import AUDIENCE, claims_of, failure, find, mint
from tests.support.job import make_id_token


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with a good token."""
    path = tmp_path / "id-token"
    path.write_text(make_id_token(AUDIENCE) + "\n")
    return path


def environ(path: Path | str) -> dict[str, str]:
    return {"KEYLESS_ID_TOKEN_FILE": str(path)}


def test_the_file_is_read_at_every_mint(token_file: Path) -> None:
    """Re-read on change: a kubelet or a sidecar rotates it."""
    found = find(environ(token_file))
    first = claims_of(environ(token_file))
    token_file.write_text(make_id_token(AUDIENCE))

    assert claims_of(environ(token_file)) != first
    assert (found.provider, found.mints_anew) == ("file", True)


def test_detection_does_not_touch_the_file(tmp_path: Path) -> None:
    """Detection reads variables only."""
    assert find(environ(tmp_path / "not-there")).provider == "file"


def test_symbolic_links_are_followed(token_file: Path, tmp_path: Path) -> None:
    """A projected volume is made of them."""
    link = tmp_path / "link"
    link.symlink_to(token_file)

    assert mint(environ(link)) == token_file.read_text().strip()


def test_each_mistake_has_its_own_words(tmp_path: Path, token_file: Path) -> None:
    """File absent, directory, pipe, empty, too large, two tokens."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "large").write_text("x" * 70_000)
    (tmp_path / "two").write_text("one two")
    (tmp_path / "binary").write_bytes(b"\xff\x00\xfe")
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "absent": "does not exist",
        "id-token/below": "does not exist",
        ".": "not a regular file",
        "pipe": "not a regular file",
        "empty": "empty",
        "large": "more than",
        "two": "one token",
        "binary": "one token",
    }

    assert {name: word for name, word in expected.items() if word not in str(failure(environ(tmp_path / name)))} == {}


def test_an_unreadable_file(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File unreadable: the mode or the owner is named. Root reads everything, so the system's answer is played."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    error = failure(environ(token_file))

    assert "may not read" in str(error)
    assert "fsGroup" in (error.hint or "")


def test_a_token_pasted_into_the_path_is_not_shown() -> None:
    """S8: a likely mistake with a costly message."""
    token = make_id_token(AUDIENCE)
    error = failure(environ(token))

    assert token[:20] not in f"{error} {error.hint}"


def test_a_wrong_audience_is_reported_before_anything_is_sent(token_file: Path) -> None:
    """design.md 5."""
    token_file.write_text(make_id_token("https://kubernetes.default.svc"))
    error = failure(environ(token_file))

    assert isinstance(error, AudienceError)
    assert AUDIENCE in (error.hint or "")


@pytest.mark.parametrize("path", ["\0", "a" * 5000, "\ud800"])
def test_impossible_paths(path: str) -> None:
    """No OSError or ValueError comes out."""
    assert isinstance(failure({"KEYLESS_ID_TOKEN_FILE": f"/tmp/{path}"}), MintError)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_content_ends_in_a_token_or_our_error(tmp_path: Path, content: bytes) -> None:
    """Any bytes never crash minting."""
    path = tmp_path / "any"
    path.write_bytes(content)
    with suppress(Error):
        mint(environ(path))
