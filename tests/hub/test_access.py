from __future__ import annotations

import pytest

from keyless.hub import HubError, HubStore
from keyless.hub.access import may_see, require_files, require_operation, require_visible
from keyless.hub.identity import ANONYMOUS, Identity
from keyless.hub.store.repository import RepositoryInfo
from keyless.resource import parse_resource
from tests.hub.running import FakeToken, RunningHub

MODEL = parse_resource("acme/model")


def caller(text: str) -> Identity:
    """Return an identity from `resource:operations`, or the anonymous one from an empty text."""
    if not text:
        return ANONYMOUS
    resource, _, operations = text.partition(":")
    return Identity(FakeToken(parse_resource(resource), frozenset(operations.split("+"))))


def allowed(check: object, *arguments: object) -> bool:
    try:
        check(*arguments)  # type: ignore[operator]
    except HubError:
        return False
    return True


# who | sees private | reads the files of a gated | writes | creates
TABLE = [
    ("", False, False, False, False),
    ("acme/model:read", True, True, False, False),
    ("acme/model:write", True, True, True, False),
    ("acme/model:read+write+create", True, True, True, True),
    ("acme/model:create", False, False, False, True),
    ("acme/model:nothing", False, False, False, False),
    ("acme/other:read+write+create", False, False, False, False),
    ("datasets/acme/model:read+write+create", False, False, False, False),
    ("other/model:read+write+create", False, False, False, False),
    ("acme:read", True, True, False, False),
    ("acme:read+write+create", True, True, False, False),
    ("acme:create", False, False, False, False),
    ("alice:read", False, True, False, False),
]


@pytest.mark.parametrize("who, private, gated, writes, creates", TABLE, ids=[row[0] or "anonymous" for row in TABLE])
def test_who_may_do_what(who: str, private: bool, gated: bool, writes: bool, creates: bool) -> None:
    """S10, V20, D25: the whole table of `access`, one row per kind of caller."""
    identity = caller(who)

    assert may_see(identity, RepositoryInfo(MODEL, private=True, gated=False, created_at=0)) is private
    assert may_see(identity, RepositoryInfo(MODEL, private=False, gated=True, created_at=0))
    assert allowed(require_files, identity, RepositoryInfo(MODEL, private=False, gated=True, created_at=0)) is gated
    assert allowed(require_files, identity, RepositoryInfo(MODEL, private=False, gated=False, created_at=0))
    assert allowed(require_operation, identity, MODEL, "write") is writes
    assert allowed(require_operation, identity, MODEL, "create") is creates


def test_private_looks_like_absent(hub: RunningHub, name: str) -> None:
    """T94: the two answers differ in nothing but the repository's name and the request id."""
    hub.store.create(parse_resource(f"{name}/hidden"), private=True)

    answers = [hub.call("GET", f"/api/models/{name}/{repo}") for repo in ("hidden", "absent")]

    assert {answer.status for answer in answers} == {404}
    assert {answer.headers["x-error-code"] for answer in answers} == {"RepoNotFound"}
    assert answers[0].body.replace(b"hidden", b"absent") == answers[1].body


@pytest.mark.parametrize("method, path", [("POST", "preupload/main"), ("POST", "commit/main"), ("POST", "branch/b")])
def test_stranger_learns_nothing_by_writing(hub: RunningHub, name: str, method: str, path: str) -> None:
    """T94: a token for something else is told so before anything is looked up."""
    hub.store.create(parse_resource(f"{name}/hidden"), private=True)
    token = "good:acme/other:read+write+create"

    answers = [
        hub.call(method, f"/api/models/{name}/{repo}/{path}", token=token, body=b"{}") for repo in ("hidden", "absent")
    ]

    assert {answer.status for answer in answers} == {403}
    assert answers[0].body.replace(b"hidden", b"absent") == answers[1].body
    assert f"HF_OIDC_RESOURCE={name}/hidden" in answers[0].json["error"]


def test_user_token_is_told_to_ask_for_a_repository_token(hub: RunningHub, name: str) -> None:
    """S10: a user publisher reads; the message says what to do to write."""
    answer = hub.call("POST", f"/api/models/{name}/m/commit/main", token=f"good:{name}:read+write", body=b"")

    assert answer.status == 403
    assert f"HF_OIDC_RESOURCE={name}/m" in answer.headers["x-error-message"]
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


def test_visible_repository_is_returned(tmp_path: object) -> None:
    """D25: the same function finds and guards."""
    from pathlib import Path

    store = HubStore(Path(str(tmp_path)))
    made = store.create(MODEL, private=True)

    assert require_visible(caller("acme/model:read"), MODEL, made) is made
    with pytest.raises(HubError):
        require_visible(ANONYMOUS, MODEL, made)
    with pytest.raises(HubError):
        require_visible(caller("acme/model:read"), MODEL, None)
