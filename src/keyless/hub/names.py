"""Names that come from outside: the request path, file paths inside a repository, revisions (T11, T18).

A repository's files end up on other people's disks, so a path that could leave a folder never enters the hub. Nothing
here is repaired: what is not in its plain form is refused. Pure.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from keyless.hub.errors import bad_request

MAX_PATH_CHARS: Final = 1024
MAX_COMPONENT_BYTES: Final = 255  # what ext4, APFS and NTFS allow for one name
# Control characters, line separators, halves of surrogate pairs, and the characters that turn the direction of text:
# they forge log lines and make one name look like another.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BRANCH: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-/+@]{0,253}[A-Za-z0-9_\-+])?")
_COMMIT_ID: Final = re.compile(r"[0-9a-f]{40}")


def split_path(raw_path: bytes) -> tuple[str, ...]:
    """Split a request path at its slashes, then decode each segment.

    In this order `refs%2Fpr%2F1` stays one segment, and no encoded slash or dot changes which handler is asked.

    Args:
        raw_path: The path as sent, percent-encoded, with its leading slash and without the query.

    Raises:
        HubError: 400 for an empty segment, `.`, `..`, bytes that are not UTF-8, or unsafe characters.
    """
    segments = []
    for raw in raw_path.removeprefix(b"/").split(b"/"):
        try:
            segment = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise bad_request("The address is not UTF-8") from None
        if segment in {"", ".", ".."} or _UNSAFE.search(segment) or "\\" in segment:
            raise bad_request("The address has an empty, relative or unprintable segment")
        segments.append(segment)
    return tuple(segments)


def check_file_path(path: object) -> str:
    """Return a file's path inside its repository, if it is a safe relative one.

    Raises:
        HubError: 400; the message shows the path.
    """
    if not isinstance(path, str) or not 1 <= len(path) <= MAX_PATH_CHARS:
        raise bad_request(f"A file path is a text of 1-{MAX_PATH_CHARS} characters")
    if _UNSAFE.search(path) or "\\" in path:
        raise bad_request(f"The file path {path!a} holds a backslash or a character that cannot be shown")
    for component in path.split("/"):
        if component in {"", ".", ".."} or component.lower() == ".git":
            raise bad_request(f"The file path {path!a} is not a plain relative path")
        if len(component.encode()) > MAX_COMPONENT_BYTES:
            raise bad_request(f"The file path {path!a} has a part of more than {MAX_COMPONENT_BYTES} bytes")
    return path


def is_commit_id(revision: str) -> bool:
    """Tell whether a revision is written as a commit id."""
    return _COMMIT_ID.fullmatch(revision) is not None


def check_new_ref(name: object) -> str:
    """Return the name for a new branch or tag, if it can be one (a narrow reading of git-check-ref-format).

    Raises:
        HubError: 400; the message shows the name.
    """
    if (
        not isinstance(name, str)
        or not _BRANCH.fullmatch(name)
        or any(bad in name for bad in ("..", "//", "/.", "./", "@{"))
        or name.endswith(".lock")
        or name.startswith("refs/")
        or is_commit_id(name)
    ):
        raise bad_request(f"{name!a} cannot be the name of a branch or tag"[:200])
    return name
