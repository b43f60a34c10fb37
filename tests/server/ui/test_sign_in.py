"""Signing in to the pages: with a code and nothing else, into a session that nobody else can have made."""

from __future__ import annotations

import pytest

from keyless.server.people.attempts import FAILURES_PER_ADDRESS
from keyless.server.people.credentials import LOGIN_SECONDS
from keyless.server.store.admin import People
from keyless.server.store.admin.web_sessions import SESSION_SECONDS
from tests.server.service import Service
from tests.server.ui.browser import HOST, SAME_ORIGIN, Browser, text_of
from tests.server.ui.conftest import signed_in

PAGES = ["/", "/resources", "/audit", "/tokens", "/issuers", "/keys", "/people", "/sessions", "/publishers/new"]


@pytest.mark.parametrize("page", [*PAGES, "/publishers/pub_x", "/exchanges/1", "/audit/1", "/resources/models/a/b"])
def test_a_stranger_is_asked_to_sign_in(service: Service, page: str) -> None:
    """D13: nothing is shown before, and where one wanted to go is remembered."""
    answer = Browser(service).get(page)

    assert answer.status == 401
    assert f'name="next" value="/ui{page}"' in answer.body.decode()
    assert "One-time code" in text_of(answer)


def test_the_bootstrap_code_makes_the_first_admin(service: Service) -> None:
    """D13: with the name that the audit will show; the code is good once."""
    code = People(service.administration).make_bootstrap_code().reveal()
    browser, late = Browser(service), Browser(service)

    assert "Your name" in text_of(browser.get("/sign-in"))
    assert browser.sign_in(code, name="alex").status == 303
    assert "alex" in text_of(browser.get("/"))
    assert late.sign_in(code, name="mallory").status == 401
    assert not late.cookie


def test_the_cookie_is_for_this_browser_alone(service: Service, people: People) -> None:
    """T104: no script reads it, no other site sends it, and only its hash is stored."""
    browser = Browser(service)
    line = browser.sign_in(people.make_login_code("alex").reveal()).headers["set-cookie"]

    assert "; HttpOnly; SameSite=Lax" in line
    assert "Path=/ui;" in line
    with service.administration.reading() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM web_session").all()
    assert len(stored) == 1
    assert browser.cookie not in str(stored)


@pytest.mark.parametrize(
    ("pages_url", "secure"), [("https://trust.example.org", True), ("http://127.0.0.1:8081", False)]
)
def test_behind_tls_the_cookie_goes_over_tls_only(
    service: Service, people: People, pages_url: str, *, secure: bool
) -> None:
    """The setting says how people reach the pages; nothing is believed of a header."""
    service.app.settings.__dict__["pages_url"] = pages_url
    line = Browser(service).sign_in(people.make_login_code("alex").reveal()).headers["set-cookie"]

    assert ("; Secure" in line) is secure


def test_a_session_that_was_planted_is_worth_nothing(service: Service, people: People) -> None:
    """Session fixation: whoever signs in gets a cookie that nobody knew before, and the old one ends."""
    browser = signed_in(service, people, "alex")
    planted = browser.cookie
    browser.sign_in(people.make_login_code("alex").reveal())

    assert browser.cookie != planted
    thief = Browser(service)
    thief.cookie = planted
    assert thief.get("/").status == 401


def test_a_made_up_cookie_is_nobody(service: Service) -> None:
    """Neither of the right form nor of any other."""
    for cookie in ("A" * 43, "x", "../..", "A" * 5000):
        browser = Browser(service)
        browser.cookie = cookie
        assert browser.get("/").status == 401


def test_signing_out_ends_the_session_everywhere(service: Service, people: People) -> None:
    """The cookie is deleted here and worthless elsewhere."""
    browser = signed_in(service, people, "alex")
    copy = Browser(service)
    copy.cookie = browser.cookie
    answer = browser.post("/sign-out")

    assert (answer.status, answer.headers["location"]) == (303, "/ui/sign-in")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert copy.get("/").status == 401


def test_sessions_are_listed_and_can_be_ended(service: Service, people: People) -> None:
    """One's own, and nobody else's."""
    here, there = signed_in(service, people, "alex"), signed_in(service, people, "alex")
    stranger = signed_in(service, people, "otto")
    page = here.get("/sessions").body.decode()
    other_id = page.partition("/ui/sessions/")[2].partition("/end")[0]

    assert stranger.post(f"/sessions/{other_id}/end").status == 404
    assert there.get("/").status == 200
    assert here.post(f"/sessions/{other_id}/end").status == 303
    assert there.get("/").status == 401
    assert here.get("/").status == 200


def test_a_session_ends_by_itself(service: Service, people: People) -> None:
    """After two idle hours, and after half a day whatever happens."""
    idle, busy = signed_in(service, people, "alex"), signed_in(service, people, "alex")
    for _ in range(SESSION_SECONDS // 3600 - 1):
        service.clock.advance(3600)
        assert busy.get("/").status == 200

    assert idle.get("/").status == 401
    service.clock.advance(3600)
    assert busy.get("/").status == 401


def test_who_is_switched_off_is_out_at_once(service: Service, people: People) -> None:
    """T92: rights are read anew with each page."""
    browser = signed_in(service, people, "olga")
    people.set_enabled("olga", enabled=False)

    assert browser.get("/").status == 401


def test_changing_trust_wants_a_fresh_proof(service: Service, people: People) -> None:
    """D13: reading goes on; after a quarter of an hour a change asks for a code, and comes back to where it was."""
    publisher = service.administration.publishers()[0]
    browser = signed_in(service, people, "olga")
    service.clock.advance(LOGIN_SECONDS)
    refused = browser.forge(
        f"/publishers/{publisher.id}/switch",
        {**SAME_ORIGIN, "Referer": f"http://{HOST}/ui/publishers/{publisher.id}"},
        to="off",
    )

    assert refused.status == 401
    assert "Prove again who you are" in text_of(refused)
    assert f'name="next" value="/ui/publishers/{publisher.id}"' in refused.body.decode()
    assert "prove again who you are" in text_of(browser.get(f"/publishers/{publisher.id}"))
    assert service.administration.publisher(publisher.id).enabled
    back = browser.sign_in(people.make_login_code("olga").reveal(), to=f"/ui/publishers/{publisher.id}")
    assert back.headers["location"] == f"/ui/publishers/{publisher.id}"
    assert browser.post(f"/publishers/{publisher.id}/switch", to="off").status == 303
    assert not service.administration.publisher(publisher.id).enabled


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/ui//evil.example",
        "/ui/\\evil.example",
        "/ui/ x",
        "/elsewhere",
        "javascript:alert(1)",
        "/ui/\nSet-Cookie: a=b",
        "/ui/sign-out",
    ],
)
def test_signing_in_leads_to_pages_of_ours_only(service: Service, people: People, wanted: str) -> None:
    """Open redirect: anything else is the first page."""
    answer = Browser(service).sign_in(people.make_login_code("alex").reveal(), to=wanted)

    assert (answer.status, answer.headers["location"]) == (303, "/ui/")


def test_guessing_is_slowed_down(service: Service, people: People) -> None:
    """Brute force: after ten wrong codes a minute even the right one has to wait."""
    browser = Browser(service)
    statuses = [browser.sign_in(f"klc-aaaaaaaa-aaaaa-aaaaa-aaaaa-aaa{i:02}").status for i in range(22, 22 + 12)]
    right = people.make_login_code("alex").reveal()

    assert statuses[:FAILURES_PER_ADDRESS] == [401] * FAILURES_PER_ADDRESS
    assert statuses[FAILURES_PER_ADDRESS:] == [429, 429]
    assert browser.sign_in(right).status == 429
    service.clock.advance(60)
    assert browser.sign_in(right).status == 303


def test_five_wrong_tries_end_the_bootstrap_code(service: Service) -> None:
    """D13: whoever guesses while the first admin is awaited uses that code up."""
    code = People(service.administration).make_bootstrap_code().reveal()
    browser = Browser(service)
    for _ in range(5):
        assert browser.sign_in(code[:-1] + ("2" if code[-1] != "2" else "3")).status == 401

    assert browser.sign_in(code, name="alex").status == 401
