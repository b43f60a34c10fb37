"""No page of the web UI, no list of the API and no door of the service reads a growing table from end to end."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.routing import Route, Router

from keyless.server.audit.reader import AuditFilter
from keyless.server.store.sqlite import SqliteDatabase
from keyless.server.ui.app import Parts, create_ui
from keyless.server.ui.pages.audit import GROUPS
from keyless.testing import Clock, FakeIssuer
from tests.server.api.manager import Manager, add_people
from tests.server.api.operations import OPERATIONS
from tests.server.service import Service
from tests.server.store.plans import EXPLAINING, fill, postgres_scans, sqlite_scans, traced
from tests.server.ui.browser import Browser
from tests.support.asgi import ask
from tests.support.postgres import running_postgres

_NOTHING = cast("Any", None)  # the table of pages does not touch what they stand on
REFUSALS = AuditFilter(kind="exchange.refused")
NOW = int(Clock()())


def prepare(service: Service) -> dict[str, str]:
    """Fill the database of a service; return the logins of its people, the credential of its hub, and a publisher."""
    publisher = service.add_publisher()
    logins = {**add_people(service), "publisher": publisher.id}
    logins["hub"] = service.administration.renew_resource_server_credential("hub").reveal()
    fill(service.app.store, NOW)
    return logins


def pages(service: Service, logins: dict[str, str]) -> set[str]:
    """Open every page as an admin and as the owner of a namespace; return the paths that were opened."""
    browser = Browser(service)
    manager = Manager(service, logins)
    opened: set[str] = set()

    def visit(path: str, **query: str) -> None:
        answer = browser.get(path, **query)
        assert answer.status == 200, (path, query, answer.status, answer.body[-2000:])
        opened.add(path)

    for name in ("admin", "owner"):
        browser.cookie = ""
        assert browser.sign_in(manager.people.make_login_code(name).reveal()).status == 303
        visit("/")
        for query in ({}, {"q": "models/"}, {"after": "models/acme/a"}):
            visit("/resources", **query)
        visit("/resources/models/acme/model")
        for group in ("", *GROUPS):
            for more in ({}, {"resource": "acme/model"}, {"publisher": "pub_1500"}, {"actor": "cli:test"}):
                visit("/audit", group=group, **more)
            visit("/audit", group=group, after=f"{NOW + 5000}:5000")
        for path in ("/audit/export", "/tokens", "/sessions"):
            visit(path)
        visit("/tokens", after=f"{NOW + 5000}:t5000")
        visit(f"/publishers/{logins['publisher']}")
        visit(f"/publishers/{logins['publisher']}/edit")
        visit("/publishers/new", resource="acme/model")
        event = service.app.store.audit_page(REFUSALS, limit=1).records[0].id
        visit(f"/audit/{event}")
        visit(f"/exchanges/{event}")
        if name == "admin":
            for path in ("/issuers", "/keys", "/people"):
                visit(path)
            visit("/people", after="p1500")
            visit("/audit", after=f"{NOW + 5000}:5000")
    return opened


def lists(service: Service, logins: dict[str, str]) -> set[str]:
    """Call every operation of the API that reads, as an admin and as an owner; return their names."""
    manager = Manager(service, logins)
    asked: set[str] = set()
    publisher = logins["publisher"]
    event = service.app.store.audit_page(REFUSALS, limit=1).records[0]
    concrete = {
        "publisher_id": publisher,
        "resource": "acme/model",
        "namespace": "acme",
        "name": "owner",
        "writer": event.writer,
        "sequence": str(event.sequence),
        "jti": "t1500",
        "issuer_id": "1",
        "server_name": "hub",
    }
    queries = {
        "listAudit": [
            *("resource=acme/model", "publisher=pub_1500", "kind=publisher", "kind=token.granted", "actor=cli:test"),
            f"since={NOW + 2000}&until={NOW + 3000}",
        ],
        "listTokens": [f"publisher={publisher}", "resource=acme/model"],
        "listPublishers": ["resource=acme/model"],
    }
    for operation in OPERATIONS:
        if operation.method != "GET":
            continue
        path = operation.path.replace(":path", "")
        for name, value in concrete.items():
            path = path.replace(f"{{{name}}}", value)
        if operation.id == "findAuditEvents":
            path = f"/audit/{event.request_id}"
        for query in ("", "limit=50", *queries.get(operation.id, ())):
            for who in ("admin", "owner"):
                answer = manager.call("GET", path, who=who, query=query)
                if answer.status == 200:
                    asked.add(operation.id)
                    following = answer.json.get("next")
                    if following:
                        assert manager.call("GET", path, who=who, query=f"{query}&after={following}").status == 200
                else:
                    assert answer.status in {400, 403, 404}, (path, query, answer.status, answer.body)
    return asked


def doors(service: Service, logins: dict[str, str]) -> None:
    """Exchange, be refused, ask why, look at a token, follow the feed, and take the token back."""
    answer = service.exchange()
    assert answer.status == 200, answer.body
    token = answer.json["access_token"]
    assert service.exchange(service.mint(ref="refs/heads/other")).status == 400
    service.post({"id_token": service.mint(), "resource": "acme/model"}, "/oauth/explain")
    basic = {"Authorization": "Basic " + base64.b64encode(f"hub:{logins['hub']}".encode()).decode()}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    looked = ask(service.app.inside, "POST", "/oauth/introspect", body=f"token={token}".encode(), headers=basic | form)
    assert looked.json["active"] is True
    assert ask(service.app.inside, "GET", "/oauth/feed", headers=basic).status == 200
    assert ask(service.app.public, "POST", "/oauth/revoke", body=f"token={token}".encode(), headers=form).status == 200


def pages_to_open() -> list[Route]:
    """Return the pages that show something; checking the chain reads all of the audit, and says so."""
    parts = Parts(
        store=_NOTHING,
        administration=_NOTHING,
        public_url="",
        registries={},
        secure=False,
        clock=lambda: 0.0,
        provider=None,
        keys_at_hand=_NOTHING,
        checkpoint_key=None,
        checkpoint_file=None,
    )
    routes = [route for route in cast("Router", create_ui(parts)).routes if isinstance(route, Route)]
    left = {"/ui/sign-in", "/ui/audit/verify"}
    return [r for r in routes if r.path not in left and "GET" in getattr(r.endpoint, "_handlers", ())]


def visit_everything(service: Service, logins: dict[str, str]) -> None:
    """Open all pages, call all lists, use the doors; whatever is added later has to be among them."""
    doors(service, logins)
    opened, asked = pages(service, logins), lists(service, logins)
    assert [r.path for r in pages_to_open() if not any(r.path_regex.fullmatch(f"/ui{path}") for path in opened)] == []
    assert {operation.id for operation in OPERATIONS if operation.method == "GET"} - asked == set()


def reopened(directory: Path, issuer: FakeIssuer, **changes: Any) -> Service:
    return Service(directory, issuer, fresh=False, **changes)


def closed(service: Service) -> None:
    service.administration.close()
    service.app.close()


def test_no_page_on_sqlite_reads_a_growing_table_from_end_to_end(
    tmp_path: Path, first_start: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: the plan of every statement of every page, list and door."""
    directory = tmp_path / "service"
    shutil.copytree(first_start, directory)
    service = Service(directory, issuer)
    logins = prepare(service)
    closed(service)
    with traced(monkeypatch) as statements:
        service = reopened(directory, issuer)
        visit_everything(service, logins)
        closed(service)

    assert len(statements) > 150
    assert sqlite_scans(SqliteDatabase(directory / "keyless.db"), statements) == {}


def test_no_page_on_postgres_reads_a_growing_table_from_end_to_end(
    tmp_path: Path, first_start: Path, issuer: FakeIssuer
) -> None:
    """D4: the same, as the server chose it for so many rows."""
    directory = tmp_path / "service"
    shutil.copytree(first_start, directory)
    with running_postgres(settings=EXPLAINING) as server:
        location = server.create(template="template0")
        service = Service(directory, issuer, database=location)
        logins = prepare(service)
        closed(service)
        begin = (server.folder / "log").stat().st_size
        service = reopened(directory, issuer, database=location)
        visit_everything(service, logins)
        closed(service)
        plans, scans = postgres_scans(server, begin)

    assert plans > 150
    assert not scans, "\n".join(scans)
