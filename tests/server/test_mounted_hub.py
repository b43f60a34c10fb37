"""The hub behind the service it trusts: every token that is not quite right, refused over real HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from keyless.jose.algorithms import P256_ORDER
from keyless.jose.compact import b64url_decode, b64url_encode
from keyless.resource import parse_resource
from keyless.server.store.admin import NewPublisher
from keyless.testing import FakeIssuer
from keyless.trust.publisher import Operation
from tests.support.running import RunningService

PINS = {"repository_id": "456789", "repository_owner_id": "123456"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with its hub, a dataset's publisher, one that only reads, and one for another resource server."""
    with FakeIssuer() as issuer:
        directory: Path = tmp_path_factory.mktemp("service")
        service = RunningService(directory, issuer, hub=True)
        administration = service.administration()
        administration.add_resource_server("registry", audience="https://registry.example.org")
        for resource, changes in (
            ("datasets/acme/data", {}),
            ("acme/readable", {"operations": (Operation.READ,)}),
            ("acme/elsewhere", {"resource_server": "registry"}),
        ):
            claims = {"repository": ["acme/widgets"], "branch": ["main"]}
            administration.add_publisher(
                NewPublisher(
                    resource=parse_resource(resource), issuer_url=issuer.url, claims=claims, pins=PINS, **changes
                )
            )
        administration.close()
        service.start()
        yield service
        service.stop()


class Hub:
    """The hub as a client sees it."""

    def __init__(self, service: RunningService) -> None:
        self.service = service

    def ask(self, method: str, path: str, token: str | None, body: object = None) -> tuple[int, dict[str, str]]:
        """Send one request; return status and lower-case headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}

    def write(self, token: str, resource: str = "models/acme/model") -> int:
        """Ask to write one file, which is where writing is decided."""
        files = {"files": [{"path": "a.txt", "sample": "YQ==", "size": 1}]}
        return self.ask("POST", f"/api/{resource}/preupload/main", token, files)[0]

    def create(self, token: str, name: str, kind: str = "model") -> int:
        """Create a repository."""
        content = {"name": name, "organization": "acme", "type": kind}
        return self.ask("POST", "/api/repos/create", token, content)[0]


@pytest.fixture
def hub(service: RunningService) -> Hub:
    """The hub, with the two repositories in it."""
    hub = Hub(service)
    assert hub.create(token_for(service, "acme/model"), "model") in {200, 409}
    assert hub.create(token_for(service, "datasets/acme/data"), "data", "dataset") in {200, 409}
    return hub


def token_for(service: RunningService, resource: str) -> str:
    """Exchange a fresh id token for a token of the resource."""
    status, answer = service.exchange(resource=resource)
    assert status == 200
    return str(answer["access_token"])


def test_token_writes_its_own_repository_and_no_other(service: RunningService, hub: Hub) -> None:
    """S10, V18, T90: one token, one target."""
    token = token_for(service, "acme/model")

    assert hub.write(token) == 200
    assert hub.write(token, "datasets/acme/data") == 403


def test_reading_token_does_not_write(service: RunningService, hub: Hub) -> None:
    """V20: the operation counts, not only the resource."""
    token = token_for(service, "acme/readable")

    assert hub.create(token, "readable") == 403
    assert hub.ask("GET", "/api/whoami-v2", token)[0] == 200


def test_token_of_another_resource_server_is_refused(service: RunningService, hub: Hub) -> None:
    """T106, V13: made by the same service for somebody else."""
    status, headers = hub.ask("GET", "/api/whoami-v2", token_for(service, "acme/elsewhere"))

    assert (status, headers["x-error-message"]) == (401, "Invalid credentials in Authorization header")


def test_revocation_counts_at_the_next_request(service: RunningService, hub: Hub) -> None:
    """D5: the live check sees it at once."""
    token = token_for(service, "acme/model")
    assert hub.write(token) == 200
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/oauth/revoke", urlencode({"token": token}), form)
    assert connection.getresponse().status == 200
    connection.close()

    assert hub.write(token) == 401


def test_removal_of_the_publisher_counts_at_the_next_request(service: RunningService, hub: Hub) -> None:
    """D16, T91: in another process, for tokens that were given out before."""
    administration = service.administration()
    publisher = administration.add_publisher(
        NewPublisher(
            resource=parse_resource("acme/short-lived"),
            issuer_url=service.issuer.url,
            claims={"repository": ["acme/widgets"], "branch": ["main"]},
            pins=PINS,
        )
    )
    token = token_for(service, "acme/short-lived")
    assert hub.create(token, "short-lived") == 200
    administration.remove_publisher(publisher.id)
    administration.close()

    assert hub.write(token, "models/acme/short-lived") == 401
    assert service.exchange(resource="acme/short-lived")[0] == 400


def test_each_altered_byte_is_refused(service: RunningService, hub: Hub) -> None:
    """V09, T12: one character in every part of the token."""
    token = token_for(service, "acme/model")
    places = [0, 1, 4, 20, token.index(".") + 9, len(token) // 2, token.rindex(".") + 3, len(token) - 9]
    changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in places]

    assert {hub.write(text) for text in (*changed, token + "A", token[:-1], f"kl_{token}", token[3:])} == {401}


def test_second_spelling_of_the_signature_is_refused(service: RunningService, hub: Hub) -> None:
    """D5, D6, T12: (r, n - s) verifies as well as (r, s), and is not the token that was issued."""
    token = token_for(service, "acme/model")
    signing_input, _, segment = token.rpartition(".")
    signature = b64url_decode(segment)
    other = P256_ORDER - int.from_bytes(signature[32:], "big")
    twin = f"{signing_input}.{b64url_encode(signature[:32] + other.to_bytes(32, 'big'))}"

    assert hub.write(token) == 200
    assert hub.write(twin) == 401


def test_id_token_is_no_access_token(service: RunningService, hub: Hub) -> None:
    """T17: what the CI platform signed is not for the hub."""
    assert hub.write(service.mint()) == 401


def test_public_repository_is_readable_by_anybody(service: RunningService, hub: Hub) -> None:
    """D25: anonymous reads what is public; nobody writes without a token."""
    assert hub.ask("GET", "/api/models/acme/model", None)[0] == 200
    assert hub.ask("POST", "/api/models/acme/model/preupload/main", None, {"files": []})[0] == 401
