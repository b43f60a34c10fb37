"""The form of a publisher: all that it can say, and changing one in place."""

from __future__ import annotations

import html
import re

import pytest

from keyless.issuers import profile_for
from keyless.oidc.issuer import Network, NetworkKind
from keyless.server.store.admin import NewIssuer
from keyless.testing import FakeIssuer
from tests.server.platforms import TWELVE, Platform
from tests.server.service import Service
from tests.server.ui.browser import Browser, text_of


def fields_on(page: str) -> dict[str, str]:
    """Return what the form of a page would send."""
    form = page.rpartition('<form method="get"')[2].partition("</form>")[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and value and value[1] and ('type="checkbox"' not in tag or " checked" in tag):
            found[html.unescape(name[1])] = html.unescape(value[1])
    return found


def test_a_publisher_can_be_changed_in_place(service: Service, owner: Browser) -> None:
    """S10: its id and history stay; the form begins with what is, several values and a pattern included."""
    publisher = service.add_publisher(
        "acme/changing",
        claims={"repository": ["acme/widgets"], "branch": ["main", "release/*"], "environment": ["Prod, east"]},
        ttl_seconds=600,
        max_live_tokens=3,
    )
    path = f"/publishers/{publisher.id}/edit"
    fields = fields_on(owner.get(path).body.decode())
    assert {fields["branch"], fields["branch~2"]} == {"main", "release/*"}
    assert (fields["environment"], fields["ttl"], fields["max_live_tokens"]) == ("Prod, east", "600", "3")
    assert owner.post(path, **fields).status == 303
    assert service.administration.publisher(publisher.id) == publisher  # nothing was changed, so nothing was written
    changed = {**fields, "max_live_tokens": "7", "expires": "30d", "max_grants_per_hour": "0", "branch~2": ""}
    preview = owner.get(path, **changed)
    assert "It would require" in text_of(preview)
    assert service.administration.publisher(publisher.id) == publisher
    answer = owner.post(path, **changed)

    assert (answer.status, answer.headers["location"]) == (303, f"/ui/publishers/{publisher.id}?made=2")
    found = service.administration.publisher(publisher.id)
    assert (found.max_live_tokens, found.max_grants_per_hour, found.ttl_seconds) == (7, 0, 600)
    assert found.expires_at == int(service.clock()) + 30 * 86400
    assert {condition.claim: condition.values for condition in found.conditions}["branch"] == ("main",)
    assert [pin.value for pin in found.pins] == [pin.value for pin in publisher.pins]
    late = owner.post(path, **changed)
    assert late.status == 422
    assert "was changed meanwhile" in text_of(late)


def test_a_changed_publisher_stays_what_and_whose_it_is(service: Service, owner: Browser) -> None:
    """T113: neither its resource nor its issuer comes out of a form."""
    publisher = service.administration.publishers()[0]
    path = f"/publishers/{publisher.id}/edit"
    fields = {**fields_on(owner.get(path).body.decode()), "ttl": "900", "resource": "other/x", "issuer": "https://x.y"}

    assert owner.post(path, **fields).status == 303
    found = service.administration.publisher(publisher.id)
    assert (found.resource, found.issuer_url, found.ttl_seconds) == (publisher.resource, publisher.issuer_url, 900)


def test_a_publisher_may_wait_for_its_resource(service: Service, owner: Browser) -> None:
    """T93: the form has what the command line has: waiting, an end, and the caps."""
    fields = {
        "resource": "acme/not-yet",
        "issuer": service.issuer.url,
        "repository": "acme/widgets",
        "branch": "main",
        "pin_first_use": "1",
        "pending": "1",
        "expires": "2027-01-31",
        "max_grants_per_hour": "20",
        "max_run_attempt": "1",
    }
    assert "It would require" in text_of(owner.get("/publishers/new", **fields, preview="1"))
    made = owner.post("/publishers/new", **fields)
    publisher = service.administration.publisher(made.headers["location"].rpartition("/")[2].partition("?")[0])

    assert (publisher.max_grants_per_hour, publisher.max_run_attempt) == (20, 1)
    assert publisher.pending_until is not None
    assert publisher.expires_at == 1_801_353_600
    assert "Waits for its resource" in text_of(owner.get(f"/publishers/{publisher.id}"))
    assert "waits" in text_of(owner.get("/resources/models/acme/not-yet"))


@pytest.mark.parametrize(
    ("name", "value"), [("expires", "soon"), ("expires", "2020-01-01"), ("max_live_tokens", "-1"), ("ttl", "1e3")]
)
def test_a_bound_that_cannot_be_is_named(service: Service, owner: Browser, name: str, value: str) -> None:
    """Bad input is a sentence on the form, and nothing is written."""
    publisher = service.administration.publishers()[0]
    path = f"/publishers/{publisher.id}/edit"
    answer = owner.post(path, **{**fields_on(owner.get(path).body.decode()), name: value})

    assert answer.status == 422
    assert 'role="alert"' in answer.body.decode()
    assert service.administration.publisher(publisher.id) == publisher


def test_a_paused_publisher_says_since_when_and_why(service: Service, owner: Browser) -> None:
    """T78: whoever comes next sees it, and can resume it."""
    publisher = service.administration.publishers()[0]
    owner.post(f"/publishers/{publisher.id}/switch", to="off", reason="odd <b>runs</b>")
    page = owner.get(f"/publishers/{publisher.id}")

    assert "odd <b>runs</b>" in text_of(page).replace("&lt;", "<")
    assert "<b>runs" not in page.body.decode()
    assert "Resume" in text_of(page)
    assert service.exchange().status == 400
    owner.post(f"/publishers/{publisher.id}/switch", to="on")
    assert service.exchange().status == 200


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
@pytest.mark.parametrize("platform", TWELVE, ids=lambda platform: str(platform.name))
def test_the_form_of_every_platform_holds_all_that_its_publisher_says(
    service: Service, owner: Browser, platform: Platform
) -> None:
    """S11: opened and sent as it is, the form changes nothing: no claim, no id and no bound is without a field."""
    with FakeIssuer(path=platform.path) as issuer:
        url = issuer.url
    service.administration.add_issuer(
        NewIssuer(url=url, kind=platform.kind, network=Network(NetworkKind.LOOPBACK), max_lifetime_seconds=86400)
    )
    profile = profile_for(platform.kind)
    claims = {name: [value, f"{value}-2"] for name, value in platform.claims.items()}
    for name in (profile.repository_claim, "branch", "environment"):
        if name is not None and profile.may_condition(name) and name not in {*platform.pins, *claims}:
            claims[name] = ["acme/one", "acme/two"]
    publisher = service.add_publisher(
        "acme/by-form", issuer_url=url, claims=claims, pins=dict(platform.pins), max_live_tokens=0, ttl_seconds=600
    )
    path = f"/publishers/{publisher.id}/edit"
    fields = fields_on(owner.get(path).body.decode())
    answer = owner.post(path, **fields)

    assert answer.status == 303, text_of(answer)
    assert service.administration.publisher(publisher.id) == publisher
