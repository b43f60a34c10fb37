"""What the pages tell those who answer for the service: issuers' keys, the audit's seal, who changed trust."""

from __future__ import annotations

import re

import pytest

from keyless.jose.signing import SigningKey
from keyless.server.audit.statement import Checkpoint
from keyless.server.people.principal import PrincipalKind, Role, RoleGrant
from keyless.server.store.admin import People
from tests.server.service import Service
from tests.server.ui.browser import Browser, text_of
from tests.server.ui.conftest import signed_in


def test_an_issuers_keys_and_their_age_are_shown(service: Service, admin: Browser) -> None:
    """K15, T109: not needed yet, fetched, and how long ago."""
    assert "not needed yet" in text_of(admin.get("/issuers"))
    assert service.exchange().status == 200
    service.clock.advance(120)
    service.monotonic.advance(120)
    page = text_of(admin.get("/issuers"))

    assert "fetched 2 minutes ago" in page
    assert service.issuer.key.kid in page


def test_a_failing_issuer_is_shown(service: Service, admin: Browser) -> None:
    """K05: keys that are used although nobody could confirm them are named as such."""
    service.issuer.misbehave("unavailable")
    try:
        assert service.exchange().status == 503
        assert "the last fetch failed none is at hand" in text_of(admin.get("/issuers"))
    finally:
        service.issuer.behave()


def test_a_key_is_distrusted_and_trusted_again(service: Service, admin: Browser) -> None:
    """K15, T109: a button for each key, that counts at the next exchange; and one for a key that is not listed."""
    kid, url = service.issuer.key.kid, service.issuer.url
    assert service.exchange().status == 200
    assert f"Distrust the key {kid} of" in admin.get("/issuers").body.decode()
    assert admin.post("/issuers/distrust", issuer=url, kid=kid, to="distrusted").status == 303
    assert service.exchange().status == 400
    page = admin.get("/issuers")
    assert f"Trust the key {kid} of" in page.body.decode()
    assert admin.post("/issuers/distrust", issuer=url, kid=kid, to="trusted").status == 303
    assert service.exchange().status == 200
    assert admin.post("/issuers/distrust", issuer=url, kid=" ", to="distrusted").status == 422
    assert admin.post("/issuers/distrust", issuer=url, kid="<b>gone", to="distrusted").status == 303
    page = admin.get("/issuers")
    assert "not published when last asked" in text_of(page)
    assert "<b>gone" not in page.body.decode()


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)  # beside a file there is a key by default
def test_the_audit_says_what_sealed_it(service: Service, admin: Browser) -> None:
    """D15: the last checkpoint's signature is checked with the service's own key, at every look."""
    assert service.app._sealer is not None
    service.app._sealer.seal()
    assert re.search(r"Sealed .* by checkpoint \d+, whose signature is good", text_of(admin.get("/audit")))
    page = text_of(admin.get("/audit/verify"))
    assert re.search(r"Whole: \d+ events of \d+ writers, held against \d+ signed checkpoints", page)
    assert "signature good" in page
    assert "yes, and the chain fits it" in page


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_a_checkpoint_of_a_stranger_seals_nothing(service: Service, admin: Browser) -> None:
    """D15, T108: whoever can write into the database cannot sign."""
    assert service.app._sealer is not None
    service.app._sealer.seal()
    forged = Checkpoint(10_000, int(service.clock()), "", True, {}).sign(SigningKey.generate("Ed25519"))
    with service.administration.together() as change:
        change.connection.exec_driver_sql(
            "INSERT INTO checkpoint (number, at, last_id, statement) VALUES (10000, 1, 1, ?)", (forged,)
        )

    assert "is not signed by our key" in text_of(admin.get("/audit"))
    assert "Broken." in text_of(admin.get("/audit/verify"))


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
def test_an_audit_without_a_key_is_said_to_be_unsealed(service: Service, admin: Browser) -> None:
    """D15: beside PostgreSQL nobody makes a key by himself; the page does not pretend."""
    assert "Not sealed: this service has no key" in text_of(admin.get("/audit"))
    assert "not where this service can see it" in text_of(admin.get("/audit/verify"))


def test_run_and_commit_are_one_click_away(service: Service, admin: Browser) -> None:
    """S10: from the list, from the event and from the exchange."""
    service.exchange(service.mint(ref="refs/heads/dev", sha="a" * 40, run_id="77"))
    page = admin.get("/audit", group="exchanges").body.decode()
    event = re.findall(r"/ui/audit/(\d+)", page)[0]
    for body in (page, admin.get(f"/audit/{event}").body.decode(), admin.get(f"/exchanges/{event}").body.decode()):
        assert f'href="{service.issuer.url}/acme/widgets/actions/runs/77"' in body
        assert f'href="{service.issuer.url}/acme/widgets/commit/{"a" * 40}"' in body


def test_a_back_door_is_seen_by_the_others(service: Service, people: People, owner: Browser) -> None:
    """T110: whoever adds a publisher proves itself first; the next owner finds it on the first page, by name.

    The webhook is told by the same row of the audit.
    """
    people.add("second", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.OWNER, "acme")])
    fields = {"resource": "acme/model", "issuer": service.issuer.url, "repository": "evil/repo", "pin_first_use": "1"}
    waiting = "SELECT count(*) FROM outbox"
    before = service.rows(waiting)[0][0]
    service.clock.advance(900)
    assert owner.post("/publishers/new", **fields).status == 401
    assert owner.sign_in(people.make_login_code("olga").reveal()).status == 303
    assert owner.post("/publishers/new", **fields, branch="main").status == 303
    page = text_of(signed_in(service, people, "second").get("/"))

    assert "publisher.added models/acme/model person:olga not you" in page
    assert "person:olga not you" not in text_of(owner.get("/"))
    assert service.rows(waiting)[0][0] > before
    assert "person:olga" not in text_of(signed_in(service, people, "otto").get("/"))


def test_what_nobody_needs_is_on_the_first_page(service: Service, admin: Browser) -> None:
    """T92: stale beside loose, each by its lint code."""
    publisher = service.add_publisher("acme/old", expires_at=int(service.clock()) + 60)
    service.add_publisher("acme/wide", claims={"repository": ["acme/widgets"]})
    service.clock.advance(91 * 86400)
    browser = admin
    browser.sign_in(People(service.administration).make_login_code("alex").reveal())
    page = text_of(browser.get("/"))
    loose, _, stale = page.partition("That do nothing any more")

    assert "acme/wide" in loose
    assert "expired acme/old" in stale
    assert publisher.id in browser.get("/").body.decode()


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_a_second_person_lets_in_what_the_first_asked_for(service: Service, people: People, owner: Browser) -> None:
    """T110: the page says for whom it waits; who asked has no button, and the form of it is refused."""
    people.add("second", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.OWNER, "acme")])
    service.app._open_administration()._second_person = True
    fields = {
        "resource": "acme/model",
        "issuer": service.issuer.url,
        "repository": "acme/widgets",
        "branch": "dev",
        "pin_first_use": "1",
    }
    made = owner.post("/publishers/new", **fields).headers["location"]
    path = made.removeprefix("/ui").partition("?")[0]
    second = signed_in(service, people, "second")
    file = "acme/widgets/.github/workflows/train.yml@refs/heads/dev"
    dev = {"ref": "refs/heads/dev", "workflow_ref": file, "job_workflow_ref": file}

    assert "person:olga asked for it" in text_of(owner.get(path))
    assert "Let it in" not in text_of(owner.get(path))
    assert owner.post(f"{path}/switch", to="on").status == 422
    assert service.exchange(service.mint(**dev)).status == 400
    assert "Let it in" in text_of(second.get(path))
    assert "waits for somebody else" in text_of(second.get("/resources/models/acme/model"))
    assert second.post(f"{path}/switch", to="on").status == 303
    assert service.exchange(service.mint(**dev)).status == 200
