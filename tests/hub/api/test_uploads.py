from __future__ import annotations

import base64
import hashlib
import json

import pytest

from keyless.hub.store.blobs import MAX_FILE_BYTES
from keyless.resource import parse_resource
from tests.hub.running import RunningHub


@pytest.fixture
def repo(hub: RunningHub, name: str) -> str:
    hub.store.create(parse_resource(f"{name}/m"))
    return f"{name}/m"


@pytest.fixture
def token(repo: str) -> str:
    return f"good:{repo}:read+write"


def announced(path: str, size: int = 1) -> dict[str, object]:
    return {"path": path, "sample": "QQ==", "size": size}


def test_every_file_is_regular_up_to_the_limit(hub: RunningHub, repo: str, token: str) -> None:
    """D25: for `lfs` the 2.x client would speak Xet; 100 MB itself is still taken."""
    files = [announced("a", 0), announced("w.safetensors", MAX_FILE_BYTES)]
    answer = hub.call("POST", f"/api/models/{repo}/preupload/main", token=token, json_body={"files": files})

    assert answer.json == {
        "files": [
            {"path": "a", "uploadMode": "regular", "shouldIgnore": False},
            {"path": "w.safetensors", "uploadMode": "regular", "shouldIgnore": False},
        ]
    }


def test_file_above_the_limit_is_413_before_it_is_sent(hub: RunningHub, repo: str, token: str) -> None:
    """D25: a clear no, naming the file and the limit."""
    files = [announced("big.bin", MAX_FILE_BYTES + 1)]
    answer = hub.call("POST", f"/api/models/{repo}/preupload/main", token=token, json_body={"files": files})

    assert answer.status == 413
    assert (
        answer.headers["x-error-message"]
        == "The file 'big.bin' is larger than 100 MB, the most this hub stores per file"
    )


def test_content_above_the_limit_is_413_and_leaves_nothing(
    hub: RunningHub, repo: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D25: what was announced is not believed."""
    monkeypatch.setattr("keyless.hub.store.blobs.MAX_FILE_BYTES", 1000)

    assert hub.commit(f"models/{repo}", {"a": b"x" * 1000}, token=token).status == 200
    assert hub.commit(f"models/{repo}", {"a": b"x" * 1001}, token=token).status == 413
    assert list((hub.store.directory / "incoming").iterdir()) == []


def test_commit_above_the_limit_of_a_body_is_413(
    hub: RunningHub, repo: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T11: by its announced length, and by what really comes."""
    monkeypatch.setattr("keyless.hub.api.uploads.MAX_COMMIT_BYTES", 2000)

    assert hub.commit(f"models/{repo}", {"a": b"x" * 2000}, token=token).status == 413
    chunks = b"".join(b"%x\r\n%s\r\n" % (500, b"\n" * 500) for _ in range(5)) + b"0\r\n\r\n"
    import socket

    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as raw:
        head = f"POST /api/models/{repo}/commit/main HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        raw.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_stored_file_is_named_by_its_git_id(hub: RunningHub, repo: str, token: str) -> None:
    """D25: equal to the client's own id, so nothing is sent twice."""
    hub.commit(f"models/{repo}", {"a": b"hello\n"}, token=token)
    files = [announced("a"), announced("b")]
    answer = hub.call("POST", f"/api/models/{repo}/preupload/main", token=token, json_body={"files": files}).json[
        "files"
    ]

    assert answer[0]["oid"] == hashlib.sha1(b"blob 6\0hello\n").hexdigest()
    assert "oid" not in answer[1]


def test_gitignore_of_the_upload_is_obeyed(hub: RunningHub, repo: str, token: str) -> None:
    """D25: what the author keeps out stays out, even when it is too large anyway."""
    body = {
        "files": [announced(".env"), announced("keep"), announced("x.log", MAX_FILE_BYTES * 2)],
        "gitIgnore": ".env\n*.log\n",
    }
    answer = hub.call("POST", f"/api/models/{repo}/preupload/main", token=token, json_body=body).json["files"]

    assert [entry["shouldIgnore"] for entry in answer] == [True, False, True]


@pytest.mark.parametrize(
    "file",
    [
        announced("../a"),
        announced("a", -1),
        {"path": "a"},
        {"path": "a", "size": True},
        {"size": 1},
        [],
        announced("\ud800x"),
    ],
    ids=str,
)
def test_announcement_that_cannot_be_is_400(hub: RunningHub, repo: str, token: str, file: object) -> None:
    """T14, T18."""
    answer = hub.call("POST", f"/api/models/{repo}/preupload/main", token=token, json_body={"files": [file]})

    assert answer.status == 400


@pytest.mark.parametrize(
    "path", ["preupload/main?create_pr=1", "commit/main?create_pr=1", "discussions", "discussions/1"]
)
def test_pull_requests_are_refused_in_words(hub: RunningHub, repo: str, token: str, path: str) -> None:
    """D25: `--create-pr` ends with what to do instead."""
    answer = hub.call("POST", f"/api/models/{repo}/{path}", token=token, body=b"{}")

    assert answer.status == 400
    assert "without --create-pr" in answer.headers["x-error-message"]


def test_commit_is_signed_with_the_ci_job(hub: RunningHub, repo: str, token: str) -> None:
    """S10: who did it is in the history: the CI's subject and our publisher."""
    receipt = hub.commit(f"models/{repo}", {"a": b"1"}, token=token).json

    assert receipt["commitUrl"] == f"{hub.url}/{repo}/commit/{receipt['commitOid']}"
    newest = hub.call("GET", f"/api/models/{repo}/commits/main").json[0]
    assert newest["id"] == receipt["commitOid"]
    assert newest["authors"] == [{"user": "[OIDC] repo:acme/train:ref:refs/heads/main"}]
    assert newest["publisher"] == "pub-1"


def test_unchanged_commit_answers_with_the_head(hub: RunningHub, repo: str, token: str) -> None:
    """D25: no empty commits."""
    first = hub.commit(f"models/{repo}", {"a": b"1"}, token=token).json["commitOid"]

    assert hub.commit(f"models/{repo}", {"a": b"1"}, token=token).json["commitOid"] == first


def test_moved_head_is_412(hub: RunningHub, repo: str, token: str) -> None:
    """D25: `parentCommit`."""
    first = hub.commit(f"models/{repo}", {"a": b"1"}, token=token).json["commitOid"]

    assert hub.commit(f"models/{repo}", {"a": b"2"}, token=token, parent="0" * 40).status == 412
    assert hub.commit(f"models/{repo}", {"a": b"2"}, token=token, parent=first).status == 200


HEADER = {"key": "header", "value": {"summary": "x", "description": ""}}
FILE = {"key": "file", "value": {"content": "QQ==", "path": "a", "encoding": "base64"}}


SENSELESS: dict[str, list[object]] = {
    "nothing": [],
    "no-header": [FILE],
    "two-headers": [HEADER, HEADER],
    "late-header": [FILE, HEADER],
    "title-number": [{"key": "header", "value": {"summary": 7}}],
    "parent-number": [{"key": "header", "value": {"summary": "x", "parentCommit": 7}}],
    "long-title": [{"key": "header", "value": {"summary": "x" * 1001}}],
    "header-with-content": [{"key": "header", "value": {"summary": "x", "content": "QQ=="}}],
    "unknown-key": [HEADER, {"key": "mystery", "value": {}}],
    "no-content": [HEADER, {"key": "file", "value": {"path": "a"}}],
    "content-number": [HEADER, {"key": "file", "value": {"path": "a", "content": 7, "encoding": "base64"}}],
    "other-encoding": [HEADER, {"key": "file", "value": {"path": "a", "content": "QQ==", "encoding": "utf-8"}}],
    "path-leaves": [HEADER, {"key": "file", "value": {"path": "../a", "content": "QQ==", "encoding": "base64"}}],
    "file-twice": [HEADER, FILE, FILE],
    "delete-absent-file": [HEADER, {"key": "deletedFile", "value": {"path": "absent"}}],
    "delete-nothing": [HEADER, {"key": "deletedFile", "value": {}}],
    "delete-root": [HEADER, {"key": "deletedFolder", "value": {"path": "/"}}],
    "delete-number": [HEADER, {"key": "deletedFolder", "value": {"path": 7}}],
    "copy-of-a-path": [HEADER, {"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": "../../repo.json"}}],
    "copy-of-nothing": [HEADER, {"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": "0" * 64}}],
    "copy-by-md5": [HEADER, {"key": "lfsFile", "value": {"path": "a", "algo": "md5", "oid": "0" * 64}}],
}


@pytest.mark.parametrize("lines", SENSELESS.values(), ids=SENSELESS.keys())
def test_commit_that_makes_no_sense_is_400_and_changes_nothing(
    hub: RunningHub, repo: str, token: str, lines: list[object]
) -> None:
    """D25: unknown keys are errors, not ignored."""
    before = hub.call("GET", f"/api/models/{repo}").json["sha"]

    assert hub.commit_lines(f"models/{repo}", lines, token=token).status == 400
    assert hub.call("GET", f"/api/models/{repo}").json["sha"] == before
    assert list((hub.store.directory / "incoming").iterdir()) == []


def test_commit_to_a_branch_that_does_not_exist_is_404(hub: RunningHub, repo: str, token: str) -> None:
    """D25: with the code that makes the client create it."""
    answer = hub.commit(f"models/{repo}", {"a": b"1"}, token=token, revision="nope")

    assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_read_token_writes_nothing(hub: RunningHub, repo: str) -> None:
    """V20: other operation."""
    answer = hub.commit(f"models/{repo}", {"a": b"1"}, token=f"good:{repo}:read")

    assert answer.status == 403
    assert "does not allow 'write'" in answer.json["error"]


def test_readme_check_asks_for_a_token_and_finds_nothing_wrong(hub: RunningHub, token: str) -> None:
    """D25: a 404 here would stop every upload with a README."""
    body = {"repoType": "model", "content": "---\nlicense: mit\n---\n"}

    assert hub.call("POST", "/api/validate-yaml", token=token, json_body=body).json == {"errors": [], "warnings": []}
    assert hub.call("POST", "/api/validate-yaml", json_body=body).status == 401
    assert hub.call("POST", "/api/validate-yaml", token=token, body=b"x" * 4_000_001).status == 413


def test_many_small_and_one_large_file_arrive_byte_equal(hub: RunningHub, repo: str, token: str) -> None:
    """D25: 300 files in one commit, one of 5 MB."""
    files = {f"dir{number % 7}/f{number}": hashlib.sha256(b"%d" % number).digest() for number in range(300)}
    files["large"] = bytes(range(256)) * 20_000

    assert hub.commit(f"models/{repo}", files, token=token).status == 200
    assert hub.call("GET", f"/{repo}/resolve/main/large").body == files["large"]
    assert hub.call("GET", f"/{repo}/resolve/main/dir3/f3").body == files["dir3/f3"]


def test_client_that_hangs_up_leaves_nothing(hub: RunningHub, repo: str, token: str) -> None:
    """T11: half a commit is no commit and no temporary file."""
    import socket
    import time

    body = json.dumps(HEADER).encode() + b'\n{"key":"file","value":{"content":"' + base64.b64encode(b"x" * 2_000_000)
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as raw:
        head = f"POST /api/models/{repo}/commit/main HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        raw.sendall(head.encode() + b"Content-Length: 9000000\r\n\r\n" + body)

    deadline = time.monotonic() + 5
    while (left := list((hub.store.directory / "incoming").iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert left == []
    assert hub.call("GET", f"/api/models/{repo}").json["siblings"] == []
