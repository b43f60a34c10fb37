"""Introspection and revocation through their endpoints."""

from __future__ import annotations

import base64
from urllib.parse import urlencode

import pytest

from keyless.secret import Secret
from tests.server.service import PUBLIC_URL, Service
from tests.support.asgi import Answer, ask

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def basic(name: str, credential: str) -> dict[str, str]:
    """An Authorization header of a resource server."""
    return {**FORM, "Authorization": "Basic " + base64.b64encode(f"{name}:{credential}".encode()).decode()}


@pytest.fixture
def credential(service: Service) -> Secret:
    """The credential of the resource server that stands for our own origin."""
    credential = service.app.store.renew_resource_server_credential("hub", actor="test")
    assert credential is not None
    return credential


def introspect(service: Service, token: str, credential: Secret, name: str = "hub") -> Answer:
    """Ask about a token."""
    return ask(
        service.app.inside,
        "POST",
        "/oauth/introspect",
        body=urlencode({"token": token}).encode(),
        headers=basic(name, credential.reveal()),
    )


def revoke(service: Service, token: str) -> Answer:
    """Withdraw a token."""
    body = urlencode({"token": token}).encode()
    return ask(service.app.public, "POST", "/oauth/revoke", body=body, headers=FORM)


def test_live_token_is_active_with_what_it_is_good_for(service: Service, credential: Secret) -> None:
    """D5, RFC 7662 section 2.2: the answer says which publisher, resource, operations and CI job."""
    publisher = service.administration.publishers()[0]
    answer = introspect(service, service.exchange().json["access_token"], credential)

    assert answer.json["active"] is True
    assert answer.json["client_id"] == publisher.id
    assert answer.json["resource"] == "models/acme/model"
    assert answer.json["aud"] == PUBLIC_URL
    assert answer.json["ci_iss"] == service.issuer.url
    assert answer.headers["cache-control"] == "no-store"


def test_revoked_token_is_inactive_at_once(service: Service, credential: Secret) -> None:
    """D5, RFC 7009: the token itself is the authority."""
    token = service.exchange().json["access_token"]

    assert revoke(service, token).status == 200
    assert introspect(service, token, credential).json == {"active": False}
    assert ("token.revoked", "revoked by its holder") in service.audit()


def test_token_dies_with_its_publisher(service: Service, credential: Secret) -> None:
    """V20, T91, D16: removing trust ends what it gave."""
    token = service.exchange().json["access_token"]
    service.administration.remove_publisher(service.administration.publishers()[0].id)

    assert introspect(service, token, credential).json == {"active": False}


def test_token_dies_with_its_issuer_and_its_resource(service: Service, credential: Secret) -> None:
    """T109, D16: switches count at use, and come back when switched on again."""
    token = service.exchange().json["access_token"]
    service.administration.set_issuer_enabled(service.issuer.url, enabled=False)
    assert introspect(service, token, credential).json == {"active": False}
    service.administration.set_issuer_enabled(service.issuer.url, enabled=True)
    assert introspect(service, token, credential).json["active"] is True
    service.administration.set_resource_state(service.administration.publishers()[0].resource, "locked")

    assert introspect(service, token, credential).json == {"active": False}


def test_token_is_inactive_the_second_it_expires(service: Service, credential: Secret) -> None:
    """V20: expiry has no grace."""
    token = service.exchange().json["access_token"]
    service.clock.advance(3599)
    assert introspect(service, token, credential).json["active"] is True
    service.clock.advance(1)

    assert introspect(service, token, credential).json == {"active": False}


def test_other_resource_server_learns_nothing(service: Service) -> None:
    """T106: a token is active only for the resource server it is meant for."""
    other = service.administration.add_resource_server("registry", audience="https://registry.example.org")
    token = service.exchange().json["access_token"]

    assert introspect(service, token, other, name="registry").json == {"active": False}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(FORM, id="none"),
        pytest.param(basic("hub", "wrong"), id="wrong credential"),
        pytest.param(basic("nobody", "x"), id="unknown name"),
        pytest.param({**FORM, "Authorization": "Basic !!!"}, id="not base64"),
        pytest.param({**FORM, "Authorization": "Basic /w=="}, id="not UTF-8"),
        pytest.param({**FORM, "Authorization": "Bearer x"}, id="another scheme"),
    ],
)
def test_stranger_may_not_ask(service: Service, credential: Secret, headers: dict[str, str]) -> None:
    """T106, RFC 7662 section 2.1: the caller is authenticated first."""
    del credential
    answer = ask(service.app.inside, "POST", "/oauth/introspect", body=b"token=x", headers=headers)

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("token", ["x", "kl_", "kl_a.b.c", "hf_jwt_a.b.c", "ü", "." * 9000])
def test_any_text_is_inactive_and_revocable_without_effect(service: Service, credential: Secret, token: str) -> None:
    """T106, RFC 7009 section 2.2: no oracle, and never a 5xx."""
    assert introspect(service, token, credential).json == {"active": False}
    assert revoke(service, token).status == 200


def test_request_without_token_is_malformed(service: Service, credential: Secret) -> None:
    """RFC 7009 section 2.1: the parameter is required."""
    answer = ask(service.app.public, "POST", "/oauth/revoke", body=b"", headers=FORM)
    inside = ask(service.app.inside, "POST", "/oauth/introspect", body=b"", headers=basic("hub", credential.reveal()))

    assert (answer.status, answer.json["reason"]) == (400, "request_malformed")
    assert (inside.status, inside.json["reason"]) == (400, "request_malformed")


def test_introspection_is_not_on_the_public_listener(service: Service) -> None:
    """D19: what only resource servers and operators need is not where everybody is."""
    assert ask(service.app.public, "POST", "/oauth/introspect").status == 404
    assert ask(service.app.public, "GET", "/readyz").status == 404


def test_store_outage_is_503_and_not_inactive(service: Service, credential: Secret) -> None:
    """D9: not knowing is an outage, never "inactive"."""
    token = service.exchange().json["access_token"]
    service.app.store.close()

    answer = introspect(service, token, credential)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_documents_lead_to_each_other(service: Service) -> None:
    """D19, RFC 8414: the metadata names the endpoints, the key set verifies our tokens, readiness is truthful."""
    metadata = ask(service.app.public, "GET", "/.well-known/oauth-authorization-server").json
    keys = ask(service.app.public, "GET", metadata["jwks_uri"].removeprefix(PUBLIC_URL)).json

    assert metadata["issuer"] == PUBLIC_URL
    assert metadata["token_endpoint"] == f"{PUBLIC_URL}/oauth/token"
    assert keys["keys"][0]["kid"] == service.app.signing_keys.active().kid
    assert "d" not in keys["keys"][0]
    assert ask(service.app.inside, "GET", "/readyz").json == {"status": "ok"}
    service.app.store.close()
    assert ask(service.app.inside, "GET", "/readyz").json == {"status": "failing", "failing": ["store"]}


def test_token_scanning_is_slowed_down_and_good_tokens_are_not(service: Service, credential: Secret) -> None:
    """T106, RFC 7662 section 4: asking about tokens that are not one's own costs allowance; a good one is answered."""
    good = service.exchange().json["access_token"]
    answers = [introspect(service, f"kl_{number}.b.c", credential).status for number in range(1502)]

    assert answers[:1400] == [200] * 1400
    assert answers[-1] == 429
    assert introspect(service, "kl_a.b.c", credential).headers["retry-after"] == "1"
    assert introspect(service, good, credential).json["active"] is True


def test_trying_credentials_is_slowed_down(service: Service, credential: Secret) -> None:
    """T106: an address that is wrong all the time is told to wait; the right credential still works from there."""
    wrong = [introspect(service, "x", Secret("wrong")).status for _ in range(40)]

    assert wrong[:30] == [401] * 30
    assert wrong[-1] == 429
    assert introspect(service, "x", credential).status == 200


def test_revoking_nothing_is_slowed_down_and_revoking_something_is_not(service: Service) -> None:
    """T106, RFC 7009 section 2.2: strangers learn nothing, and cannot keep the service busy."""
    good = service.exchange().json["access_token"]
    answers = [revoke(service, f"kl_{number}.b.c").status for number in range(310)]

    assert answers[:290] == [200] * 290
    assert answers[-1] == 429
    assert revoke(service, good).status == 200
    assert ("token.revoked", "revoked by its holder") in service.audit()


def test_outage_of_the_store_is_no_revocation(service: Service) -> None:
    """D9, RFC 7009 section 2.2.1: 503 with `Retry-After`, so that the client knows the token still stands."""
    token = service.exchange().json["access_token"]
    service.app.store.close()
    answer = revoke(service, token)

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_revocation_takes_the_token_in_either_encoding_and_only_in_the_body(service: Service) -> None:
    """RFC 7009 section 2.1: never in the address, where logs would keep it (T97); hints are hints."""
    token = service.exchange().json["access_token"]

    assert ask(service.app.public, "GET", "/oauth/revoke", query=f"token={token}").status == 405
    assert ask(service.app.public, "POST", "/oauth/revoke", query=f"token={token}", headers=FORM).status == 400
    assert service.post({"token": token, "token_type_hint": "refresh_token"}, "/oauth/revoke").status == 200
    assert ("token.revoked", "revoked by its holder") in service.audit()
