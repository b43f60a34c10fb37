from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.hub.errors import HubError
from keyless.hub.names import check_file_path, check_new_ref, split_path


@pytest.mark.parametrize(
    "path",
    ["a", "a/b.txt", ".gitignore", "..a", "a..", "a b", "ünïcode/文.txt", "a%2e", "x" * 255, ".github/workflows/a.yml"],
)
def test_plain_relative_path_is_kept_as_it_is(path: str) -> None:
    """D25: real repositories hold such names."""
    assert check_file_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "..\\a",
        "a\0b",
        "a\nb",
        "\x1b[31m",
        "a\u202eb",
        "a\u2028b",
        "\ud800",
        ".git/config",
        "a/.GIT/hooks/x",
        "x" * 256,
        "é" * 128,
        "a/" * 600 + "b",
        None,
        7,
    ],
    ids=repr,
)
def test_path_that_could_leave_a_folder_or_mislead_is_refused(path: object) -> None:
    """T18: files of a repository end up on other people's disks and terminals."""
    with pytest.raises(HubError) as caught:
        check_file_path(path)
    assert caught.value.status == 400


@given(st.text())
def test_accepted_path_stays_below_its_folder(text: str) -> None:
    """T18: as a property over any text."""
    from pathlib import PurePosixPath, PureWindowsPath

    try:
        path = check_file_path(text)
    except HubError:
        return

    assert str(PurePosixPath(path)) == path
    assert ".." not in PureWindowsPath(path).parts
    assert not PureWindowsPath(path).is_absolute()
    assert path.encode()


@pytest.mark.parametrize(
    "raw, segments",
    [
        (b"/api/models", ("api", "models")),
        (b"/a/b/resolve/refs%2Fpr%2F1/c", ("a", "b", "resolve", "refs/pr/1", "c")),
        (b"/a/b/resolve/main/x%20y", ("a", "b", "resolve", "main", "x y")),
        (b"/a/b/resolve/main/%252e%252e", ("a", "b", "resolve", "main", "%2e%2e")),
    ],
    ids=repr,
)
def test_path_is_split_before_it_is_decoded(raw: bytes, segments: tuple[str, ...]) -> None:
    """D25: an encoded slash stays inside its segment, and nothing is decoded twice."""
    assert split_path(raw) == segments


@pytest.mark.parametrize(
    "raw",
    [b"/", b"/a//b", b"/a/", b"/a/../b", b"/a/%2e%2e/b", b"/a/%2E/b", b"/a%00", b"/%ff", b"/a%5cb", b"/%0d%0ax"],
    ids=repr,
)
def test_address_that_is_not_canonical_is_refused(raw: bytes) -> None:
    """D25: what a proxy might read otherwise is not served."""
    with pytest.raises(HubError) as caught:
        split_path(raw)
    assert caught.value.status == 400


@pytest.mark.parametrize("name", ["main", "feature/x", "v1.0", "a-b_c", "release+1"])
def test_ref_names_of_real_life(name: str) -> None:
    """D25."""
    assert check_new_ref(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a..b",
        "/a",
        "a/",
        "a//b",
        "a.lock",
        "refs/heads/x",
        "a b",
        "a\n",
        ".a",
        "a/.b",
        "a@{1}",
        "0" * 40,
        None,
    ],
    ids=repr,
)
def test_ref_name_that_git_would_refuse_or_that_looks_like_a_commit_is_refused(name: object) -> None:
    """D25: a branch called like a commit id would give one revision two meanings."""
    with pytest.raises(HubError):
        check_new_ref(name)
