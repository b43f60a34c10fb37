"""One test per advisory about trusting CI identities: the attack that others fell to, against the whole service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import pytest

from keyless.errors import ConfigurationError, TransportError
from keyless.http.guarded import Fetched
from keyless.issuers import kind_of
from keyless.oidc.discovery import fetch_discovery
from keyless.oidc.issuer import Issuer, Network, NetworkKind, ReplayMode
from keyless.resource import parse_resource
from keyless.server.store.admin import NewIssuer
from keyless.testing import FakeIssuer, Fault, unverified_claims
from tests.server.doors.test_live import basic, introspect
from tests.server.service import GRANT, PUBLIC_URL, Service
from tests.support.asgi import ask, request

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LOOPBACK = Network(NetworkKind.LOOPBACK)


@pytest.mark.parametrize("shape", ["{url}@evil.example", "{url}.evil.example", "{url}/../x", "{url}%00", "{url}x"])
def test_an_issuer_that_begins_like_ours_is_another(service: Service, shape: str) -> None:
    """S09, T21, CVE-2026-14336 (Eclipse PIA): `startswith` let user information and suffixes through, and fetched."""
    before = dict(service.issuer.fetches)
    answer = service.exchange(service.mint(iss=shape.format(url=service.issuer.url)))

    assert answer.json["reason"] == "token_rejected"
    assert service.issuer.fetches == before


@pytest.mark.parametrize(
    "url",
    [
        "https://token.actions.githubusercontent.com.evil.example",
        "https://evil.example/https://token.actions.githubusercontent.com/acme",
        "https://token.actions.githubusercontent.com/acme/more",
        "https://xtoken.actions.acme.ghe.com",
        "https://token.actions.acme.ghe.com.evil.example",
        "https://token.actions.a.b.ghe.com",
    ],
)
def test_the_shape_of_an_issuer_is_the_whole_url(url: str) -> None:
    """S09, T23, CVE-2026-22772 (Fulcio): a pattern that was not anchored let other hosts in, and fetched from them."""
    assert kind_of(url) is None


def test_a_token_makes_us_fetch_nothing_and_a_failure_tells_nothing(
    service: Service, other_issuer: FakeIssuer, issuer: FakeIssuer
) -> None:
    """S01, S06, T24, CVE-2026-45796 (Coder): the caller chose what was fetched and read the answer in the error."""
    before = dict(other_issuer.fetches)
    claims = {**unverified_claims(service.mint()), "iss": other_issuer.url}
    refused = service.exchange(other_issuer.mint(claims))
    issuer.misbehave(Fault.HTML)
    try:
        down = service.exchange()
    finally:
        issuer.behave()

    assert (refused.json["reason"], down.status) == ("token_rejected", 503)
    assert other_issuer.fetches == before
    for answer in (refused, down):
        assert b"html" not in answer.body.lower()
        assert other_issuer.url.encode() not in answer.body
        assert issuer.url.encode() not in answer.body


class _Elsewhere:
    """Stand for a host whose discovery document points inside."""

    def fetch(self, url: str, **_options: object) -> Fetched:
        issuer = url.removesuffix("/.well-known/openid-configuration")
        return Fetched(json.dumps({"issuer": issuer, "jwks_uri": "https://keys.evil.example/jwks"}).encode())


def test_discovery_does_not_lead_to_another_host() -> None:
    """K09, T25, TOB-RGM-12 (RubyGems): the key set's address was followed wherever it led."""
    with pytest.raises(TransportError):
        fetch_discovery(_Elsewhere(), Issuer(1, "https://ci.example.org", "generic"))


def test_keys_that_nobody_confirmed_for_a_day_count_no_more(service: Service, issuer: FakeIssuer) -> None:
    """K02, T33, TOB-RGM-14 (RubyGems): keys of a provider that was not refreshed stayed good for ever."""
    assert service.exchange().status == 200
    issuer.misbehave(Fault.UNAVAILABLE)
    try:
        for _hour in range(23):
            service.monotonic.advance(3600)
            assert service.exchange().status in {200, 503}
        service.monotonic.advance(2 * 3600)
        assert service.exchange().status == 503
    finally:
        issuer.behave()


@pytest.mark.parametrize("advisory", ["CVE-2026-37979", "CVE-2026-8922"])
def test_a_resource_server_learns_of_its_own_tokens_only(service: Service, advisory: str) -> None:
    """T106, CVE-2026-37979, CVE-2026-8922 (Keycloak): introspection ignored for whom a token was, or who asked."""
    token = service.exchange().json["access_token"]
    credential = service.administration.add_resource_server("other", audience="https://other.example.org")
    if advisory == "CVE-2026-8922":
        body = urlencode({"token": token}).encode()
        assert ask(service.app.inside, "POST", "/oauth/introspect", body=body, headers=FORM).status == 401
        wrong = basic("hub", credential.reveal())
        assert ask(service.app.inside, "POST", "/oauth/introspect", body=body, headers=wrong).status == 401
    else:
        assert introspect(service, token, credential, name="other").json == {"active": False}


def test_a_pull_requests_identity_publishes_nothing_unless_named(service: Service) -> None:
    """V15, T74, CVE-2026-45321 (TanStack): a workflow on `pull_request_target` ran a stranger's input."""
    answer = service.exchange(service.mint(event_name="pull_request_target"))
    assert answer.json["reason"] == "no_matching_publisher"
    service.add_publisher(
        "datasets/acme/data",
        claims={"repository": ["acme/widgets"], "branch": ["main"], "event_name": ["pull_request_target"]},
    )

    assert service.exchange(service.mint(event_name="pull_request_target"), resource="datasets/acme/data").status == 200


@pytest.mark.parametrize(
    "grant", ["authorization_code", "client_credentials", "refresh_token", "password", f"{GRANT}x"]
)
def test_there_is_no_second_grant_with_checks_of_its_own(service: Service, grant: str) -> None:
    """T115, GHSA-7qjx-gp9h-65qj (Dex): the allow-lists of one grant were missing in another."""
    assert service.exchange(grant_type=grant).json["reason"] == "unsupported_grant_type"
    service.administration.set_resource_state(parse_resource("acme/model"), "locked")

    assert service.exchange().json["reason"] == "no_matching_publisher"
    assert service.post(service.members(service.mint()), "/oauth/explain").json["accepted"] is False


def test_a_replay_claim_outlives_every_moment_in_which_its_token_is_accepted(service: Service) -> None:
    """T46, TOB-PYPI26-1: the claim ended with `exp`, the token only with `exp` and the leeway."""
    token = service.mint()
    assert service.exchange(token).status == 200
    for seconds in (299, 20, 10, 0.9):
        service.clock.advance(seconds)
        service.app.store.purge()
        assert service.exchange(token).json["reason"] in {"token_replayed", "token_expired"}


def test_twenty_exchanges_of_one_token_at_once_give_one(service: Service) -> None:
    """T47, TOB-PYPI26-2: two requests passed the check before either had set the claim."""
    body = json.dumps(service.members(service.mint())).encode()

    async def all_at_once() -> list[int]:
        headers = {"Content-Type": "application/json"}
        asked = [request(service.app.public, "POST", "/oauth/token", body=body, headers=headers) for _ in range(20)]
        return [answer.status for answer in await asyncio.gather(*asked)]

    assert sorted(asyncio.run(all_at_once())) == [200] + [400] * 19


@pytest.fixture
def without_audit(service: Service) -> Iterator[Service]:
    """A service whose audit table takes no row any more."""
    with closing(service.app.store.database.connect()) as connection:
        if service.app.store.database.engine == "sqlite":
            begin = "CREATE TRIGGER full_disk BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'no room'); END"
            end = "DROP TRIGGER full_disk"
        else:
            begin = "ALTER TABLE audit_event ADD CONSTRAINT full_disk CHECK (false) NOT VALID"
            end = "ALTER TABLE audit_event DROP CONSTRAINT full_disk"
        connection.execute(begin)
        yield service
        connection.execute(end)


@pytest.mark.parametrize("advisory", ["TOB-PYPI26-4", "TOB-PYPI26-14"])
def test_no_token_without_its_audit_row(without_audit: Service, advisory: str) -> None:
    """T108, TOB-PYPI26-4, TOB-PYPI26-14: events were written after the fact, or not at all on failure."""
    changes = {} if advisory == "TOB-PYPI26-4" else {"ref": "refs/heads/dev"}

    assert without_audit.exchange(without_audit.mint(**changes)).status == 503
    assert without_audit.rows("SELECT count(*) FROM token") == [(0,)]
    assert without_audit.rows("SELECT count(*) FROM replay_use") == [(0,)]


def test_a_publisher_is_removed_through_its_own_resource_only(service: Service) -> None:
    """T113, TOB-PYPI26-11: an id was enough to delete what belongs to somebody else."""
    publisher = service.administration.publishers()[0]
    with pytest.raises(ConfigurationError):
        service.administration.remove_publisher(publisher.id, resource=parse_resource("evil/model"))

    assert service.administration.publisher(publisher.id) == publisher


def test_another_issuer_does_not_speak_for_the_publishers_of_one(service: Service, other_issuer: FakeIssuer) -> None:
    """T35, T112, TOB-PYPI26-12: a customer's own issuer signed claims that matched publishers of the public one."""
    service.administration.add_issuer(NewIssuer(url=other_issuer.url, kind="github", network=LOOPBACK))
    claims = {**unverified_claims(service.mint()), "iss": other_issuer.url}

    assert service.exchange(other_issuer.mint(claims)).json["reason"] == "no_matching_publisher"


def test_a_publisher_does_not_follow_its_repository_to_a_new_owner(service: Service) -> None:
    """T61, T92, TOB-PYPI26-13: links that belonged to an organisation outlived the transfer."""
    moved = service.mint(repository="newcomer/widgets", repository_owner="newcomer", repository_owner_id="999")
    same_name = service.mint(repository_owner_id="999")

    assert service.exchange(moved).json["reason"] == "no_matching_publisher"
    assert service.exchange(same_name).json["reason"] == "no_matching_publisher"


def test_the_service_never_starts_without_an_audience_of_its_own(service: Service) -> None:
    """T41, T43, CVE-2024-5798, HCSEC-2024-11: and tokens for everybody are refused."""
    for audience in ("", "sigstore", f"{PUBLIC_URL}.evil.example", "api://AzureADTokenExchange"):
        assert service.exchange(service.mint(aud=audience)).json["reason"] in {"token_rejected", "audience_mismatch"}


def test_the_mode_in_which_a_token_counts_once_is_the_default(service: Service) -> None:
    """D8, T45: GitHub's tokens, of which a job can mint as many as it needs."""
    assert service.administration.issuer(service.issuer.url).replay is ReplayMode.ONCE
