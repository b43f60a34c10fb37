"""Every path of the pages, whoever asks: a route that is added later has to be put into one of these tables.

`otto` owns another namespace and knows every id of acme's.
"""

from __future__ import annotations

import re
from typing import cast

import pytest
from starlette.routing import Route, Router

from keyless.server.doors.late import LateDoor
from tests.journeys.browser import PICTURED, PICTURED_AT_A_PROVIDER
from tests.server.service import Service
from tests.server.ui.browser import HOST, Browser, text_of

# With ids of somebody else's: as if it were not there (T94, T113).
OTHERS = {
    ("GET", "/resources/{resource:path}"),
    ("POST", "/resources/{resource:path}/lock"),
    ("GET", "/publishers/{publisher}"),
    ("GET", "/publishers/{publisher}/edit"),
    ("POST", "/publishers/{publisher}/edit"),
    ("POST", "/publishers/{publisher}/switch"),
    ("POST", "/publishers/{publisher}/remove"),
    ("POST", "/publishers/new"),
    ("GET", "/exchanges/{event}"),
    ("GET", "/audit/{event}"),
    ("POST", "/tokens/{jti}/revoke"),
    ("POST", "/sessions/{session}/end"),
}
# Each shows one's own.
OWN = {
    ("GET", "/"),
    ("GET", "/resources"),
    ("GET", "/audit"),
    ("GET", "/audit/export"),
    ("GET", "/tokens"),
    ("GET", "/sessions"),
    ("GET", "/publishers/new"),
}
# Only who may look, or change, everywhere.
EVERYWHERE = {
    ("GET", "/audit/verify"),
    ("GET", "/issuers"),
    ("POST", "/issuers/switch"),
    ("POST", "/issuers/refresh"),
    ("POST", "/issuers/distrust"),
    ("GET", "/keys"),
    ("GET", "/people"),
    ("POST", "/people"),
    ("POST", "/people/code"),
    ("POST", "/people/switch"),
}
# Nobody has to be signed in.
OPEN = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out")}
OPEN_AT_A_PROVIDER = {("GET", "/sign-in/provider"), ("GET", "/sign-in/callback"), ("GET", "/signed-out")}
FORMS = {
    "/publishers/new": {"resource": "acme/new", "provider": "github", "repository": "a/b", "pin_first_use": "1"},
    "/people": {"name": "mallory", "role": "admin"},
    "/people/code": {"name": "alex"},
}


def routes_of(service: Service) -> set[tuple[str, str]]:
    """Return method and path of every page there is."""
    Browser(service).get("/sign-in")  # the pages are made at the first request
    late = cast("LateDoor", service.app.inside._mounts["/ui/"])
    found = cast("Router", late._door).routes
    return {
        (method, route.path.removeprefix("/ui"))
        for route in found
        if isinstance(route, Route) and hasattr(route.endpoint, "_handlers")
        for method in route.endpoint._handlers
    }


def ids_of(service: Service, owner: Browser) -> dict[str, str]:
    """Return the ids of acme's: a publisher, an exchange, a token and a session."""
    assert service.exchange().status == 200
    assert service.exchange(service.mint(ref="refs/heads/dev")).status == 400
    page = owner.get("/resources/models/acme/model").body.decode()
    sessions = service.rows("SELECT s.id, p.name FROM web_session s JOIN principal p ON p.id = s.principal_id")
    return {
        "resource:path": "models/acme/model",
        "publisher": service.administration.publishers()[0].id,
        "event": re.findall(r"/ui/exchanges/(\d+)", page)[0],
        "jti": str(service.rows("SELECT jti FROM token")[0][0]),
        "session": next(str(session) for session, name in sessions if name in {"olga", "alex"}),
    }


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{([^}]*)\}", lambda match: ids[match[1]], path)


def ask(browser: Browser, method: str, path: str, ids: dict[str, str]) -> tuple[int, str]:
    """Open a page, or send its form; return status and text."""
    where = filled(path, ids)
    answer = browser.get(where) if method == "GET" else browser.post(where, **FORMS.get(path, {}))
    return answer.status, answer.body.decode()


TABLES = (OTHERS, OWN, EVERYWHERE, OPEN)


def test_every_route_stands_in_one_table(service: Service) -> None:
    """A page that nobody thought about does not pass."""
    assert sum(map(len, TABLES)) == len(set().union(*TABLES))
    assert routes_of(service) == set().union(*TABLES)


def test_a_provider_adds_what_is_open_alone(sso: Service) -> None:
    """As above, where people sign in at an identity provider."""
    assert routes_of(sso) == set().union(*TABLES) | OPEN_AT_A_PROVIDER


def test_every_page_is_looked_at_in_a_browser(sso: Service) -> None:
    """S10: the accessibility rules and the pictures leave no page out; a download and a way to elsewhere are none."""
    looked_at = [path.partition("?")[0] for path in (*PICTURED.values(), *PICTURED_AT_A_PROVIDER.values())]
    patterns = {
        path: re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(path)) for method, path in routes_of(sso) if method == "GET"
    }
    missing = {path for path, pattern in patterns.items() if not any(re.fullmatch(pattern, one) for one in looked_at)}

    assert missing == {"/audit/export", "/sign-in/provider"}


def test_the_ids_of_others_open_nothing(service: Service, owner: Browser, other: Browser) -> None:
    """IDOR (T94, T113): on every page and for every action, 404 as for what does not exist, and nothing happens."""
    ids = ids_of(service, owner)
    before = service.rows("SELECT count(*) FROM audit_event")
    for method, path in sorted(OTHERS):
        status, body = ask(other, method, path, ids)
        assert status == 404, (method, path, status)
        assert "train.yml" not in body, (method, path)
        made_up = {**ids, "publisher": "pub_none", "event": "999999", "jti": "none", "session": "ses_none"}
        if path not in {"/publishers/new", "/resources/{resource:path}", "/resources/{resource:path}/lock"}:
            missing = ask(other, method, path, made_up)
            assert (missing[0], text(missing[1])) == (status, text(body)), (method, path)

    assert service.rows("SELECT count(*) FROM audit_event") == before
    assert owner.get("/").status == 200


def text(body: str) -> str:
    """Return a page without its request's own id."""
    return re.sub(r"request id <code>[^<]*</code>", "", body)


def test_lists_hold_ones_own(service: Service, owner: Browser, other: Browser) -> None:
    """IDOR (T94): no list, no chart, no export tells of acme to who has no part in it."""
    ids = ids_of(service, owner)
    for method, path in sorted(OWN):
        status, body = ask(other, method, path, ids)
        assert status == 200, path
        assert "acme" not in body, path
        for name in ("publisher", "jti", "session"):
            assert ids[name] not in body, (path, name)


def test_what_is_everybodys_is_for_who_may_see_everything(
    service: Service, owner: Browser, other: Browser, viewer: Browser
) -> None:
    """T99: an owner of one namespace, or who may look into one, gets 403 and changes nothing."""
    ids = ids_of(service, owner)
    before = service.rows("SELECT count(*) FROM audit_event")
    for browser in (owner, other, viewer):
        for method, path in sorted(EVERYWHERE):
            assert ask(browser, method, path, ids)[0] == 403, (method, path)

    assert service.rows("SELECT count(*) FROM audit_event") == before


def test_who_may_look_changes_nothing(service: Service, owner: Browser, viewer: Browser) -> None:
    """A viewer of acme opens its pages; every form is refused."""
    ids = ids_of(service, owner)
    for method, path in sorted(OTHERS - {("POST", "/sessions/{session}/end")}):
        expected = 403 if method == "POST" or path.endswith("/edit") else 200
        assert ask(viewer, method, path, ids)[0] == expected, (method, path)


def test_a_stranger_is_sent_to_the_sign_in_from_everywhere(service: Service, owner: Browser) -> None:
    """D13: whether what was asked for exists is not told."""
    ids = ids_of(service, owner)
    for method, path in sorted(OTHERS | OWN | EVERYWHERE):
        status, body = ask(Browser(service), method, path, ids)
        assert (status, "One-time code" in body) == (401, True), (method, path)
        assert "acme/model" not in body.replace("models/acme/model", "")


def test_no_form_of_another_site_counts_anywhere(service: Service, owner: Browser, admin: Browser) -> None:
    """CSRF (T104): every form there is, sent by another site with an admin's cookie."""
    ids = ids_of(service, owner)
    before = service.rows("SELECT count(*) FROM audit_event")
    for method, path in sorted(OTHERS | OWN | EVERYWHERE | OPEN):
        if method == "POST":
            for headers in ({"Host": HOST, "Origin": "https://evil.example"}, {"Host": HOST}):
                answer = admin.forge(filled(path, ids), headers, **FORMS.get(path, {}))
                assert answer.status == 403, path
                assert "not sent by a page of this service" in text_of(answer)

    assert service.rows("SELECT count(*) FROM audit_event") == before


@pytest.mark.parametrize("session", ["fresh", "stale"])
def test_no_change_without_a_fresh_proof(service: Service, admin: Browser, session: str) -> None:
    """T110: every form that changes trust asks for a proof when the last one is a quarter of an hour old."""
    ids = ids_of(service, admin)
    if session == "stale":
        service.clock.advance(15 * 60)
    forms = {path for method, path in OTHERS | EVERYWHERE if method == "POST"} - {"/sessions/{session}/end"}
    statuses = {path: ask(admin, "POST", path, ids)[0] for path in sorted(forms)}

    assert {path for path, status in statuses.items() if status == 401} == (forms if session == "stale" else set())
