from __future__ import annotations

import hashlib

import pytest

from keyless.resource import parse_resource
from tests.hub.running import RunningHub

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def repo(hub: RunningHub, name: str) -> str:
    hub.store.create(parse_resource(f"{name}/m"))
    files = {"w.bin": CONTENT, "empty": b"", "sub/ünï cöde.txt": b"u", "page.html": b"<script>alert(1)</script>"}
    assert hub.commit(f"models/{name}/m", files, token=f"good:{name}/m:write").status == 200
    return f"{name}/m"


def test_download_has_the_headers_the_client_needs(hub: RunningHub, repo: str) -> None:
    """D25: HEAD and GET agree; the ETag is strong and the file's git id."""
    head, get = hub.call("HEAD", f"/{repo}/resolve/main/w.bin"), hub.call("GET", f"/{repo}/resolve/main/w.bin")

    assert get.body == CONTENT
    assert head.body == b""
    for answer in (head, get):
        assert answer.status == 200
        assert answer.headers["etag"] == f'"{hashlib.sha1(b"blob %d" % len(CONTENT) + bytes(1) + CONTENT).hexdigest()}"'
        assert answer.headers["content-length"] == str(len(CONTENT))
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["x-repo-commit"] == hub.call("GET", f"/api/models/{repo}").json["sha"]
        assert "location" not in answer.headers
        assert "x-xet-hash" not in answer.headers


@pytest.mark.parametrize(
    "value, status, expected, content_range",
    [
        ("bytes=0-9", 206, CONTENT[:10], f"bytes 0-9/{len(CONTENT)}"),
        ("bytes=100-", 206, CONTENT[100:], f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=-5", 206, CONTENT[-5:], f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}"),
        (f"bytes={len(CONTENT)}-", 416, b"", f"bytes */{len(CONTENT)}"),
    ],
)
def test_broken_download_can_go_on(
    hub: RunningHub, repo: str, value: str, status: int, expected: bytes, content_range: str
) -> None:
    """D25: 2.x resumes with Range, `datasets` streams with it."""
    answer = hub.call("GET", f"/{repo}/resolve/main/w.bin", headers={"Range": value})

    assert (answer.status, answer.body, answer.headers["content-range"]) == (status, expected, content_range)


def test_nothing_an_uploader_wrote_runs_on_this_origin(hub: RunningHub, repo: str) -> None:
    """D19: the hub shares its origin with the token service; files are downloads, never pages."""
    answer = hub.call("GET", f"/{repo}/resolve/main/page.html")

    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]


def test_names_with_spaces_and_letters_of_any_alphabet(hub: RunningHub, repo: str) -> None:
    """D25: percent-encoded on the way, equal at the end."""
    assert hub.call("GET", f"/{repo}/resolve/main/sub/%C3%BCn%C3%AF%20c%C3%B6de.txt").body == b"u"


def test_missing_file_carries_the_commit(hub: RunningHub, repo: str) -> None:
    """D25: the client caches the absence under it."""
    for method in ("HEAD", "GET"):
        answer = hub.call(method, f"/{repo}/resolve/main/nope")
        assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")
        assert len(answer.headers["x-repo-commit"]) == 40
    assert hub.call("GET", f"/{repo}/resolve/nope/w.bin").headers["x-error-code"] == "RevisionNotFound"
    assert hub.call("GET", f"/{repo}x/resolve/main/w.bin").headers["x-error-code"] == "RepoNotFound"


def test_gated_files_need_a_user_or_the_repository_itself(hub: RunningHub, repo: str) -> None:
    """D25: the list is public, the bytes are not."""
    hub.store.set_visibility(parse_resource(repo), gated=True)
    path = f"/{repo}/resolve/main/w.bin"

    anonymous, stranger = hub.call("GET", path), hub.call("GET", path, token="good:other/x:read+write")
    assert (anonymous.status, anonymous.headers["x-error-code"]) == (401, "GatedRepo")
    assert (stranger.status, stranger.headers["x-error-code"]) == (403, "GatedRepo")
    for token in ("good:alice:read", f"good:{repo}:write"):
        assert hub.call("GET", path, token=token).body == CONTENT
    assert hub.call("GET", f"/api/models/{repo}/tree/main").status == 200
    assert hub.call("GET", f"/api/models/{repo}").json["gated"] == "auto"


def test_private_files_do_not_exist_for_strangers(hub: RunningHub, repo: str) -> None:
    """T94."""
    hub.store.set_visibility(parse_resource(repo), private=True)
    path = f"/{repo}/resolve/main/w.bin"

    for token in (None, "good:alice:read", "good:other/x:read+write"):
        answer = hub.call("GET", path, token=token)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")
        assert "x-repo-commit" not in answer.headers
    assert hub.call("GET", path, token=f"good:{repo.partition('/')[0]}:read").body == CONTENT


def test_shortened_content_is_not_served(hub: RunningHub, repo: str) -> None:
    """D25: half a file must not look like a whole one."""
    repository = hub.store.find(parse_resource(repo))
    assert repository is not None
    blob = repository.blob_path(repository.resolve("main").files["w.bin"])
    blob.write_bytes(CONTENT[:-1])

    answer = hub.call("GET", f"/{repo}/resolve/main/w.bin")

    assert (answer.status, answer.json["error"]) == (500, "The stored content of 'w.bin' is damaged")


def test_tree_lists_files_and_folders(hub: RunningHub, repo: str) -> None:
    """D25: every entry has what the client pops from it."""
    whole = hub.call("GET", f"/api/models/{repo}/tree/main?recursive=true&expand=false").json
    root = hub.call("GET", f"/api/models/{repo}/tree/main").json
    below = hub.call("GET", f"/api/models/{repo}/tree/main/sub").json

    assert [entry["path"] for entry in whole] == ["empty", "page.html", "sub", "sub/ünï cöde.txt", "w.bin"]
    assert [entry["path"] for entry in root] == ["empty", "page.html", "sub", "w.bin"]
    assert [entry["path"] for entry in below] == ["sub/ünï cöde.txt"]
    assert {entry["type"] for entry in whole} == {"file", "directory"}
    assert all(len(entry["oid"]) == 40 and isinstance(entry["size"], int) for entry in whole)
    missing = hub.call("GET", f"/api/models/{repo}/tree/main/nope")
    assert (missing.status, missing.headers["x-error-code"]) == (404, "EntryNotFound")


@pytest.mark.parametrize(
    "body, content_type",
    [
        (b"paths=w.bin&paths=sub&paths=nope&expand=False", "application/x-www-form-urlencoded"),
        (b'{"paths": ["w.bin", "sub", "nope", "w.bin"]}', "application/json"),
    ],
)
def test_entries_of_some_paths(hub: RunningHub, repo: str, body: bytes, content_type: str) -> None:
    """D25: what does not exist is left out."""
    answer = hub.call("POST", f"/api/models/{repo}/paths-info/main", body=body, headers={"Content-Type": content_type})

    assert [(entry["path"], entry["type"]) for entry in answer.json] == [("w.bin", "file"), ("sub", "directory")]


def test_old_commit_stays_readable(hub: RunningHub, repo: str) -> None:
    """D25: a download by commit id is not changed by later commits."""
    before = hub.call("GET", f"/api/models/{repo}").json["sha"]
    hub.commit(f"models/{repo}", {"w.bin": b"new"}, token=f"good:{repo}:write", deleted=("empty",))

    assert hub.call("GET", f"/{repo}/resolve/{before}/w.bin").body == CONTENT
    assert hub.call("GET", f"/{repo}/resolve/main/w.bin").body == b"new"
    assert hub.call("GET", f"/{repo}/resolve/main/empty").status == 404
