from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.hub import create_hub
from keyless.hub.errors import printable
from keyless.resource import parse_resource
from tests.hub.running import FakeVerifier, RunningHub, serve_hub

TOKEN = "good:acme/model:read+write+create"


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/", 400),
        ("GET", "/nothing", 404),
        ("GET", "/api", 404),
        ("GET", "/api/kernels/acme/k", 404),
        ("GET", "/api/models/acme/model/xet-write-token/main", 404),
        ("POST", "/acme/model.git/info/lfs/objects/batch", 404),
        ("GET", "/api/models/acme/..%2fmodel", 400),
        ("GET", "/api/models/acme/model.git", 400),
        ("GET", "/api/models//model", 400),
        ("GET", "/api/models/acme/model/../x", 400),
        ("GET", "/acme/model/resolve/main/%2e%2e/x", 400),
        ("GET", "/acme/model/resolve/main/..%2f..%2frepo.json", 400),
        ("GET", "/%ff", 400),
        ("POST", "/api/models/acme/model", 405),
        ("DELETE", "/acme/model/resolve/main/a", 405),
        ("GET", "/api/repos/create", 405),
        ("PUT", "/api/models/acme/model/settings", 404),
    ],
)
def test_other_address_is_refused_in_the_one_form(hub: RunningHub, method: str, path: str, status: int) -> None:
    """D25, D9: JSON, `X-Error-Message` equal to the body's `error`, a request id, never cached."""
    answer = hub.call(method, path, token=TOKEN)

    assert answer.status == status
    assert answer.json == {"error": answer.headers["x-error-message"]}
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


def test_wrong_method_is_told_the_right_one(hub: RunningHub) -> None:
    """RFC 9110 15.5.6."""
    assert hub.call("POST", "/api/whoami-v2").headers["allow"] == "GET"


def test_head_has_the_headers_of_get_and_no_body(hub: RunningHub) -> None:
    """RFC 9110 9.3.2."""
    assert (hub.call("HEAD", "/api/models").status, hub.call("HEAD", "/api/models").body) == (200, b"")


def test_telemetry_question_is_answered(hub: RunningHub) -> None:
    """D25: a 200 object is cached by the client for a day; a 404 would come back in every process."""
    assert hub.call("GET", "/api/agent-harnesses").json == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    tail=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=" #"), max_size=60),
    body=st.binary(max_size=60),
)
def test_no_request_ends_in_a_server_error(hub: RunningHub, method: str, tail: str, body: bytes) -> None:
    """Style 4.4: what an outsider can send ends below 500."""
    for start in ("/", "/api/models/acme/model/", "/acme/model/resolve/main/", "/api/models/acme/model/commit/main?"):
        answer = hub.call(method, start + tail, token=TOKEN, body=body if method == "POST" else None)

        assert answer.status < 500


@pytest.mark.parametrize("path", ["commit/main", "preupload/main", "branch/x", "tag/main", "paths-info/main"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"a":1,"a":2}',
        b"\xff",
        b"[" * 30_000,
        b'{"files": 7}',
        b'{"files": [7]}',
        b'{"tag": 7}',
    ],
    ids=lambda body: repr(body[:12]),
)
def test_no_body_ends_in_a_server_error(hub: RunningHub, path: str, body: bytes) -> None:
    """T09, T11: any body where JSON is expected."""
    if hub.store.find(parse_resource("acme/model")) is None:
        hub.store.create(parse_resource("acme/model"))

    assert hub.call("POST", f"/api/models/acme/model/{path}", token=TOKEN, body=body).status < 500


def test_hub_lives_below_a_path(tmp_path: Path) -> None:
    """D19: a public URL with a path: requests carry it, and every URL handed out begins with it."""
    with serve_hub(tmp_path, prefix="/team/hub") as hub:
        body = {"name": "model", "organization": "acme"}
        made = hub.call("POST", "/api/repos/create", token=TOKEN, json_body=body)

        assert made.json["url"] == f"{hub.url}/acme/model"
        receipt = hub.commit("models/acme/model", {"a": b"1"}, token=TOKEN)
        assert receipt.json["commitUrl"].startswith(f"{hub.url}/acme/model/commit/")
        assert hub.call("GET", "/acme/model/resolve/main/a").body == b"1"
        hub.prefix = ""
        assert hub.call("GET", "/api/models").status == 404
        assert hub.call("GET", "/team/hubs/api/models").status == 404


@pytest.mark.parametrize("text, safe", [("a\r\nX: y", "a??X: y"), ("ü\u202e", "\\xfc\\u202e"), ("x" * 900, "x" * 500)])
def test_messages_are_safe_as_headers(text: str, safe: str) -> None:
    """T18: no header is split and no terminal is painted by a name somebody chose."""
    assert printable(text) == safe


def test_request_id_of_the_server_around_is_kept(tmp_path: Path) -> None:
    """D9: one id per request, whoever gave it."""
    hub = create_hub(tmp_path, FakeVerifier(), public_url="http://127.0.0.1:1")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/nothing",
        "raw_path": b"/nothing",
        "query_string": b"",
        "headers": [],
        "state": {"request_id": "abc123"},
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(hub(scope, receive, send))

    assert dict(sent[0]["headers"])[b"x-request-id"] == b"abc123"


def test_failure_of_ours_is_a_500_that_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Style 4.4: the client reads JSON, the operator reads the log."""
    with serve_hub(tmp_path) as hub:
        hub.store.create(parse_resource("acme/model")).directory.joinpath("refs.json").write_bytes(b"{broken")

        answer = hub.call("GET", "/api/models/acme/model")

    assert answer.status == 500
    assert "broken" not in answer.body.decode()
    assert answer.headers["x-request-id"] in caplog.text
