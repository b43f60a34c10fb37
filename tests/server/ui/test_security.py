"""What a page never does, whoever sends it what: forged forms, frames, scripts in claims, other people's things."""

from __future__ import annotations

import json
import re

import pytest

from keyless.server.store.admin import People
from tests.server.service import Service
from tests.server.ui.browser import HOST, Browser
from tests.support.asgi import ask

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}javascript:alert(1)"
FORGED = [
    {"Host": HOST, "Origin": "https://evil.example"},
    {"Host": HOST, "Origin": f"http://{HOST}.evil.example"},
    {"Host": HOST, "Origin": "null"},
    {"Host": HOST},
    {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "cross-site"},
    {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-site"},
    {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "none"},
]


def forms(publisher: str) -> dict[str, dict[str, str]]:
    return {
        "/sign-in": {"code": "x"},
        "/sign-out": {},
        "/publishers/new": {"resource": "acme/x"},
        f"/publishers/{publisher}/switch": {"to": "off"},
        f"/publishers/{publisher}/remove": {},
        "/resources/models/acme/model/lock": {"to": "locked"},
        "/tokens/tok_x/revoke": {},
        "/issuers/switch": {"issuer": "x", "to": "off"},
        "/issuers/refresh": {"issuer": "x"},
        "/issuers/distrust": {"issuer": "x", "kid": "k"},
        "/people": {"name": "mallory", "role": "admin"},
        "/people/code": {"name": "alex"},
        "/people/switch": {"name": "olga", "to": "off"},
    }


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: ",".join(f"{k}={v}" for k, v in headers.items())[18:])
def test_no_form_of_another_site_counts(service: Service, admin: Browser, headers: dict[str, str]) -> None:
    """CSRF (T104): the browser says where a form was, and whoever does not say is no browser."""
    publisher = service.administration.publishers()[0]
    before = len(service.audit())
    for path, fields in forms(publisher.id).items():
        answer = admin.forge(path, headers, **fields)
        assert answer.status == 403, path

    assert len(service.audit()) == before
    assert service.administration.publisher(publisher.id).enabled


def test_an_old_browser_says_it_by_origin(service: Service, admin: Browser) -> None:
    """`Sec-Fetch-Site` is younger than `Origin`, which is enough."""
    publisher = service.administration.publishers()[0]
    headers = {"Host": HOST, "Origin": f"http://{HOST}"}

    assert admin.forge(f"/publishers/{publisher.id}/switch", headers, to="off").status == 303


@pytest.mark.parametrize("page", ["/", "/sign-in", "/resources", "/nothing", "/audit"])
def test_every_page_is_shut_to_scripts_and_frames(admin: Browser, page: str) -> None:
    """Clickjacking and injected scripts: nothing inline, nothing from elsewhere, in nobody's frame; never cached."""
    answer = admin.get(page)
    policy = answer.headers["content-security-policy"]

    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'; style-src 'self'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    body = answer.body.decode()
    assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=|\sstyle=|javascript:", body)


def test_claims_of_a_hostile_job_are_shown_as_text(service: Service, admin: Browser) -> None:
    """Stored XSS (T18): through claims, names, the run's number, both user agents, and what was typed into a form."""
    hostile = dict.fromkeys(("ref", "workflow_ref", "job_workflow_ref", "environment", "sha", "actor"), HOSTILE)
    token = service.mint(sub=HOSTILE, run_id=HOSTILE, repository=HOSTILE, **hostile)
    headers = {"Content-Type": "application/json", "User-Agent": HOSTILE}
    sent = json.dumps(service.members(token)).encode()
    assert ask(service.app.public, "POST", "/oauth/token", body=sent, headers=headers).status == 400
    admin.agent = HOSTILE
    admin.sign_in(People(service.administration).make_login_code("alex").reveal())
    (first,) = re.findall(r"/ui/exchanges/(\d+)", admin.get("/resources/models/acme/model").body.decode())
    pages = [
        admin.get(f"/exchanges/{first}"),
        admin.get(f"/audit/{first}"),
        admin.get("/audit"),
        admin.get("/"),
        admin.get("/audit", actor=HOSTILE, publisher=HOSTILE, group=HOSTILE),
        admin.get("/resources", q=HOSTILE),
        admin.get("/publishers/new", url=HOSTILE, resource=HOSTILE, provider="github", branch=HOSTILE, preview="1"),
        admin.get("/publishers/new", **{"claim." + HOSTILE: HOSTILE, "provider": "github"}),
        admin.get("/sessions"),
    ]

    for answer in pages:
        body = answer.body.decode()
        assert answer.status in {200, 422}
        assert "<script>alert" not in body
        assert "<img src=x" not in body
        assert "49javascript" not in body
        assert not re.search(r'href="\s*javascript:', body)


def test_links_out_go_to_the_platforms_pages_only(service: Service, admin: Browser) -> None:
    """A run's URL is made of names and numbers, never taken from a claim."""
    service.exchange(service.mint(repository="acme/widgets/../../evil", run_id="1/../../x"))
    page = admin.get("/audit").body.decode()
    outside = [url for url in re.findall(r'href="(https?://[^"]*)"', page) if service.issuer.url not in url]

    assert not [url for url in re.findall(r'href="([^"]*)"', page) if ".." in url]
    assert outside == []


OTHERS_PAGES = [
    "/resources/models/acme/model",
    "/publishers/{publisher}",
    "/exchanges/{exchange}",
    "/audit/{exchange}",
]


@pytest.mark.parametrize("page", OTHERS_PAGES)
def test_what_belongs_to_others_is_not_there(service: Service, other: Browser, owner: Browser, page: str) -> None:
    """IDOR (T94, T113): by any id it is 404, as what does not exist is."""
    publisher = service.administration.publishers()[0]
    service.exchange(service.mint(ref="refs/heads/dev"))
    found = re.findall(r"/ui/exchanges/(\d+)", owner.get("/resources/models/acme/model").body.decode())
    path = page.format(publisher=publisher.id, exchange=found[0])

    assert owner.get(path).status == 200
    assert other.get(path).status == 404


def test_nobody_changes_what_belongs_to_others(service: Service, other: Browser, viewer: Browser) -> None:
    """IDOR (T113): by id it is 404; who may only look is told so."""
    publisher = service.administration.publishers()[0]
    assert service.exchange().status == 200
    with service.administration.reading() as connection:
        jti = connection.exec_driver_sql("SELECT jti FROM token").scalar_one()
    changes = {
        f"/publishers/{publisher.id}/switch": {"to": "off"},
        f"/publishers/{publisher.id}/remove": {},
        "/resources/models/acme/model/lock": {"to": "locked"},
        f"/tokens/{jti}/revoke": {},
    }
    for path, fields in changes.items():
        assert other.post(path, **fields).status == 404, path
        assert viewer.post(path, **fields).status == 403, path
    made = other.post("/publishers/new", resource="acme/new", provider="github", repository="a/b", pin_first_use="1")

    assert made.status == 404
    assert service.administration.publisher(publisher.id).enabled
    state = service.app.store.token_state(jti)
    assert state is not None
    assert state.revoked_at is None


def test_lists_show_ones_own(service: Service, other: Browser) -> None:
    """An owner of one namespace sees nothing of another, in no list and no export."""
    service.exchange()
    service.exchange(service.mint(ref="refs/heads/dev"))

    for page in ("/", "/resources", "/audit", "/tokens", "/audit/export"):
        assert "acme" not in other.get(page).body.decode(), page
    for page in ("/issuers", "/keys", "/people", "/audit/verify"):
        assert other.get(page).status == 403, page


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/issuers/switch", {"to": "off"}),
        ("/issuers/refresh", {}),
        ("/issuers/distrust", {"kid": "k"}),
        ("/people", {"name": "mallory", "role": "admin"}),
        ("/people/code", {"name": "alex"}),
        ("/people/switch", {"name": "alex", "to": "off"}),
    ],
)
def test_only_an_admin_changes_what_is_everybodys(
    service: Service, owner: Browser, path: str, fields: dict[str, str]
) -> None:
    """T99: an owner of a namespace is not one."""
    assert owner.post(path, issuer=service.issuer.url, **fields).status == 403


@pytest.mark.parametrize("body", ["%ff%fe=1", "a=1&" * 500, "x" * 70_000])
def test_a_form_that_cannot_be_read_is_refused(admin: Browser, body: str) -> None:
    """No 5xx, whatever is sent."""
    assert admin.post("/people", **{body: "1"}).status in {400, 403, 413, 422}


def test_a_method_that_a_page_does_not_take(admin: Browser) -> None:
    """405, as a page."""
    assert admin.post("/audit").status == 405
    assert admin.get("/sign-out").status == 405
