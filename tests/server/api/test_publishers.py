"""Publishers over the API: what an owner does, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from keyless.issuers import profile_for
from tests.server.api.manager import Manager


def test_an_owner_adds_a_publisher_and_a_job_publishes(manager: Manager) -> None:
    """S10: from the API to an access token, and the audit names the person and the request."""
    answer = manager.call(
        "POST",
        "/publishers",
        manager.description("acme/new", claims={"repository": "acme/widgets"}, pins=PINS),
        who="owner",
    )
    assert answer.status == 201
    shown = manager.call("GET", answer.headers["location"].removeprefix("/api/v1"), who="owner")

    assert shown.json == {key: value for key, value in answer.json.items() if key != "warnings"}
    assert shown.headers["etag"] == answer.headers["etag"] == '"1"'
    assert manager.service.exchange(resource="acme/new").status == 200
    added = [event for event in manager.service.app.store.audit_events() if event.kind == "publisher.added"][-1]
    assert added.actor == "person:owner"
    assert added.request_id == answer.headers["x-request-id"]


PINS = {"repository_id": "456789", "repository_owner_id": "123456"}


def test_a_warning_comes_with_the_answer(manager: Manager) -> None:
    """M07: a publisher that any branch can use is allowed and told of."""
    added = manager.add(claims={"repository": "acme/train"})

    assert "branch" in added["warnings"][0]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"resource": "a/b/c/d"}, 422, "resource_syntax"),
        ({"resource": "acme/model", "pins": {}}, 422, "configuration"),
        ({"claims": {"nonsense": "x"}}, 422, "configuration"),
        ({"claims": {"repository": "acme/*"}}, 422, "configuration"),
        ({"claims": {"repository": []}}, 422, "body_invalid"),
        ({"claims": {"repository": 7}}, 422, "body_invalid"),
        ({"pins": {"repository_id": "eleven", "repository_owner_id": "22"}}, 422, "configuration"),
        ({"pins": {"repository_id": 11, "repository_owner_id": 22}}, 422, "body_invalid"),
        ({"issuer": "https://unknown.example"}, 422, "configuration"),
        ({"issuer": None}, 422, "configuration"),
        ({"provider": "github"}, 422, "configuration"),
        ({"issuer": None, "provider": "nobody"}, 422, "configuration"),
        ({"ttl_seconds": 59}, 422, "body_invalid"),
        ({"ttl_seconds": 3601}, 422, "body_invalid"),
        ({"ttl_seconds": True}, 422, "body_invalid"),
        ({"ttl_seconds": "600"}, 422, "body_invalid"),
        ({"expires_at": 1}, 422, "configuration"),
        ({"expires_at": 10**15}, 422, "body_invalid"),
        ({"operations": ["fly"]}, 422, "body_invalid"),
        ({"replay": "always"}, 422, "body_invalid"),
        ({"resource_server": "nobody"}, 422, "configuration"),
        ({"enabled": True}, 422, "body_invalid"),
        ({"claims": {"branch": "m\u0430in"}}, 422, "body_invalid"),
        ({"claims": {"branch": "main\n"}}, 422, "body_invalid"),
        ({"claims": {"branch": "x" * 256}}, 422, "body_invalid"),
    ],
)
def test_what_cannot_be_is_said_and_not_done(manager: Manager, changes: dict[str, Any], status: int, code: str) -> None:
    """M00, M04: refused with a stable code, and nothing is left behind - no resource, no audit row."""
    before = manager.kinds()
    answer = manager.call("POST", "/publishers", manager.description(**changes))

    assert (answer.status, answer.json["code"]) == (status, code)
    assert manager.kinds() == before


def test_a_wrong_member_is_pointed_at(manager: Manager) -> None:
    """RFC 9457 section 3: the pointer says where, the value is not echoed."""
    answer = manager.call("POST", "/publishers", manager.description(ttl_seconds="sixty-sixty-sixty"))

    assert [item["pointer"] for item in answer.json["errors"]] == ["/ttl_seconds"]
    assert "sixty-sixty" not in answer.body.decode()


def test_an_issuer_comes_with_an_admin(manager: Manager) -> None:
    """D13: which issuers are believed is not a namespace owner's choice, known ones included."""
    description = manager.description(issuer=None, provider="github")

    assert manager.call("POST", "/publishers", description, who="owner").status == 422
    assert manager.call("POST", "/publishers", description).status == 201
    assert manager.call("POST", "/publishers", {**description, "resource": "acme/b"}, who="owner").status == 201
    assert profile_for("github").default_url in {issuer.url for issuer in manager.service.administration.issuers()}


def test_nobody_adds_to_another_namespace(manager: Manager) -> None:
    """T113: neither for a name that exists nor for one that does not."""
    for resource in ("acme/model", "acme/unknown", "datasets/acme/model", "acme"):
        answer = manager.call("POST", "/publishers", manager.description(resource), who="other")

        assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_a_change_needs_the_version_it_is_meant_for(manager: Manager) -> None:
    """RFC 9110 section 13.1.1, RFC 6585 section 3: 428 without, 412 with another, and then nothing happens."""
    path = f"/publishers/{manager.publisher.id}"
    for method, body in (("PATCH", {"enabled": False}), ("DELETE", None)):
        assert manager.call(method, path, body).status == 428
        assert manager.call(method, path, body, match='"7"').status == 412
        assert manager.call(method, path, body, match='W/"1"').status == 412
    assert manager.publisher.enabled

    changed = manager.call("PATCH", path, {"enabled": False}, match='"7", "1"')
    assert (changed.status, changed.json["enabled"], changed.headers["etag"]) == (200, False, '"2"')
    assert manager.call("PATCH", path, {"enabled": True}, match='"1"').status == 412
    assert manager.service.exchange().status == 400
    assert manager.call("DELETE", path, match='"2"').status == 204
    assert manager.call("GET", path).status == 404
    assert manager.call("DELETE", path, match="*").status == 404


def test_what_is_not_mine_looks_like_what_is_not_there(manager: Manager) -> None:
    """T94, T113: the same answer, but for the request id."""
    bodies = []
    for publisher_id in (manager.publisher.id, "pub_" + "a" * 20, "x"):
        for method, body in (("GET", None), ("PATCH", {"enabled": False}), ("DELETE", None)):
            answer = manager.call(method, f"/publishers/{publisher_id}", body, who="other", match="*")
            assert answer.status == 404
            bodies.append({key: value for key, value in answer.json.items() if key != "request_id"})

    assert all(body == bodies[0] for body in bodies)


def test_a_viewer_sees_and_does_not_change(manager: Manager) -> None:
    """D13: 403, for it is no secret from them."""
    path = f"/publishers/{manager.publisher.id}"

    for who in ("viewer", "auditor", "machine"):
        assert manager.call("GET", path, who=who).status == 200
        assert manager.call("DELETE", path, who=who, match="*").status == 403


def test_a_list_shows_what_is_mine_page_after_page(manager: Manager) -> None:
    """T113, D4: by key; every publisher once, in the order of namespace, type and name; none of somebody else's."""
    for number in range(5):
        manager.add(f"acme/m{number}")
        manager.add(f"other/m{number}")
    manager.add("datasets/acme/d")
    manager.add("acme", operations=["read"])

    def listed(who: str, limit: int, **query: str) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            parts = [f"limit={limit}", *(f"{name}={value}" for name, value in query.items())]
            page = manager.call(
                "GET", "/publishers", who=who, query="&".join([*parts, *([f"after={after}"] * bool(after))])
            )
            assert page.status == 200, page.body
            found += [item["resource"] for item in page.json["items"]]
            assert len(page.json["items"]) <= limit
            if (after := page.json["next"]) is None:
                return found

    acme = ["datasets/acme/d", *(f"models/acme/m{n}" for n in range(5)), "models/acme/model", "users/acme"]
    other = [f"models/other/m{n}" for n in range(5)]
    for limit in (1, 3, 200):
        assert listed("owner", limit) == acme
        assert listed("other", limit) == other
        assert listed("admin", limit) == listed("auditor", limit) == acme + other
    assert listed("admin", 50, resource="acme/model") == ["models/acme/model"]
    assert listed("owner", 50, resource="acme/unknown") == []
    assert manager.call("GET", "/publishers", who="other", query="resource=acme/model").status == 404


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "query_invalid"),
        ("limit=201", "query_invalid"),
        ("limit=x", "query_invalid"),
        ("limit=1&limit=2", "query_invalid"),
        ("page=2", "query_invalid"),
        ("after=", "query_invalid"),
        ("after=%00", "query_invalid"),
        ("after=bm90aGluZw", "cursor_invalid"),
        ("after=W10", "cursor_invalid"),
        ("after=WzEsImEiLCJiIiwzXQ", "cursor_invalid"),
        ("after=WzEwMDAwMDAwMDAwMDAwMDAwMDAwMCwiYSIsImIiLCJjIl0", "cursor_invalid"),
        ("resource=a/b/c/d", "resource_syntax"),
        ("resource=%ff", "query_invalid"),
    ],
)
def test_a_query_that_cannot_be_is_a_4xx(manager: Manager, query: str, code: str) -> None:
    """V05: whatever is written into the query, it is understood or refused."""
    answer = manager.call("GET", "/publishers", query=query)

    assert answer.status in {400, 422}
    assert answer.json["code"] == code


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"resource": "acme/a", "resource": "acme/b"}', 400),
        (b'{"a": ' * 30 + b"1" + b"}" * 30, 400),
        (b'{"a": NaN}', 400),
        (b'{"a": "\\ud800"}', 400),
        (b"\xff", 400),
        (b"{" + b" " * 70_000 + b"}", 413),
    ],
)
def test_a_body_that_is_no_json_object_is_a_4xx(manager: Manager, body: bytes, status: int) -> None:
    """V05, T09: strict JSON, bounded."""
    assert manager.call("POST", "/publishers", body).status == status


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_says_that_it_is_json(manager: Manager, content_type: str) -> None:
    """T104: what a form of another site can send is not taken."""
    answer = manager.call("POST", "/publishers", manager.description(), content_type=content_type)

    assert (answer.status, answer.json["code"]) == (415, "media_type")
