"""What we publish about ourselves (RFC 8414, RFC 9728)."""

from __future__ import annotations

import pytest

from keyless.server.doors.documents import well_known
from keyless.server.doors.router import Router
from keyless.verifier.metadata import metadata_url, protected_resource_metadata
from tests.server.service import PUBLIC_URL, Service
from tests.support.asgi import ask

ORIGIN = "https://hub.example.org"


@pytest.mark.parametrize(
    "public_url, path",
    [
        (ORIGIN, "/.well-known/oauth-authorization-server"),
        (ORIGIN, "/.well-known/openid-configuration"),
        (f"{ORIGIN}/team/a", "/.well-known/oauth-authorization-server/team/a"),
        (f"{ORIGIN}/team/a", "/team/a/.well-known/oauth-authorization-server"),
        (f"{ORIGIN}/team/a", "/team/a/.well-known/openid-configuration"),
    ],
)
def test_metadata_is_where_clients_look(public_url: str, path: str) -> None:
    """RFC 8414 section 3: the issuer is the URL it was asked for, and everything lies below it."""
    document = ask(Router({}, roots=well_known(public_url)), "GET", path).json

    assert document["issuer"] == public_url
    assert {document[name] for name in ("token_endpoint", "revocation_endpoint", "jwks_uri")} == {
        f"{public_url}/oauth/{name}" for name in ("token", "revoke", "jwks")
    }
    assert document["protected_resources"] == [public_url]
    assert document["token_endpoint_auth_methods_supported"] == ["none"]


@pytest.mark.parametrize("public_url", [ORIGIN, f"{ORIGIN}/team/a"])
def test_resource_leads_to_its_token_service(public_url: str) -> None:
    """RFC 9728 sections 3.1 and 3.3: at the place that follows from the resource, and it names itself."""
    path = metadata_url(public_url).removeprefix(ORIGIN)
    document = ask(Router({}, roots=well_known(public_url)), "GET", path).json

    assert document == protected_resource_metadata(public_url, public_url)
    assert document["resource"] == public_url
    assert document["authorization_servers"] == [public_url]
    assert document["bearer_methods_supported"] == ["header"]


def test_running_service_serves_them(service: Service) -> None:
    """D19: on the public listener, without a token, never from a cache."""
    for name in ("oauth-authorization-server", "openid-configuration", "oauth-protected-resource"):
        answer = ask(service.app.public, "GET", f"/.well-known/{name}")

        assert answer.status == 200
        assert PUBLIC_URL in answer.json.values()
        assert answer.headers["cache-control"] == "no-store"
        assert ask(service.app.public, "POST", f"/.well-known/{name}").status == 405
