"""The feed through its endpoint (D5, D19, T106)."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from keyless.server.services.key_rotation import distrust, rotate_now
from tests.server.service import Service
from tests.support.asgi import Answer, ask


def basic(name: str, credential: str) -> dict[str, str]:
    """The header of a resource server."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{credential}".encode()).decode()}


@pytest.fixture
def headers(service: Service) -> dict[str, str]:
    """The credential of the resource server that stands for our own origin."""
    credential = service.app.store.renew_resource_server_credential("hub", actor="test")
    assert credential is not None
    return basic("hub", credential.reveal())


def read(service: Service, headers: dict[str, str], cursor: str | None = None) -> Answer:
    """Ask for news."""
    query = "" if cursor is None else f"cursor={quote(cursor, safe='')}"
    return ask(service.app.inside, "GET", "/oauth/feed", headers=headers, query=query)


def test_news_since_a_cursor(service: Service, headers: dict[str, str]) -> None:
    """D5: the first answer is all there is, the next ones what came since; a restart forgets nothing."""
    first = read(service, headers).json
    publisher = service.administration.publishers()[0]
    token = str(service.exchange().json["access_token"])
    assert service.post({"token": token}, "/oauth/revoke").status == 200
    service.administration.set_publisher_enabled(publisher.id, enabled=False)
    second = read(service, headers, first["cursor"])

    assert (first["snapshot"], first["entries"], first["more"]) == (True, [], False)
    assert (second.json["snapshot"], second.json["more"]) == (False, False)
    kinds = {(entry["kind"], entry["live"]) for entry in second.json["entries"]}
    assert kinds == {("token", False), ("publisher", False)}
    assert second.headers["cache-control"] == "no-store"
    assert read(service, headers, second.json["cursor"]).json["entries"] == []
    assert read(service, headers).json["entries"] == second.json["entries"]


def test_live_publisher_says_what_it_may(service: Service, headers: dict[str, str]) -> None:
    """T91: a publisher that was narrowed narrows its tokens, offline as well."""
    publisher = service.administration.publishers()[0]
    service.administration.set_publisher_enabled(publisher.id, enabled=False)
    service.administration.set_publisher_enabled(publisher.id, enabled=True)

    assert read(service, headers).json["entries"] == [
        {"kind": "publisher", "id": publisher.id, "live": True, "resource": "models/acme/model",
         "scope": "read write create"}
    ]  # fmt: skip


@pytest.mark.parametrize("headers", [{}, basic("hub", "wrong"), basic("nobody", "x"), {"Authorization": "Bearer x"}])
def test_stranger_may_not_ask(service: Service, headers: dict[str, str]) -> None:
    """T106: the caller is authenticated first."""
    answer = read(service, headers)

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("query", ["cursor=" + "x" * 300, "cursor=%ff", "cursor=1&cursor=2", "&" * 100], ids=range(4))
def test_query_that_cannot_be_read_is_400(service: Service, headers: dict[str, str], query: str) -> None:
    """V01: bounded, and never a 5xx."""
    answer = ask(service.app.inside, "GET", "/oauth/feed", headers=headers, query=query)

    assert (answer.status, answer.json["reason"]) == (400, "request_malformed")


def test_outage_is_503(service: Service, headers: dict[str, str]) -> None:
    """D9: not knowing is never "nothing was withdrawn"."""
    service.app.store.close()

    assert read(service, headers).status == 503


def test_not_on_the_public_listener(service: Service) -> None:
    """D19: what was withdrawn is nobody else's business."""
    assert ask(service.app.public, "GET", "/oauth/feed").status == 404


@pytest.mark.parametrize("which", ["signing", "retired"])
def test_key_that_is_distrusted_ends_its_tokens_offline(service: Service, headers: dict[str, str], which: str) -> None:
    """T114, D21: verifiers that follow the feed hear of a leaked key before their copy of the key set is old."""
    keys = service.app.signing_keys
    leaked = keys.active().kid
    if which == "retired":
        rotate_now(keys, actor="test")
        assert {entry["live"] for entry in read(service, headers).json["entries"]} == {True}
    distrust(keys, leaked, actor="test")

    entries = {entry["id"]: entry["live"] for entry in read(service, headers).json["entries"]}
    assert entries[leaked] is False
    assert entries.get(keys.active().kid, True) is True
