"""A hub with stored tokens of its own and the service that ends them, over real HTTP (T93, T101)."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from keyless.errors import UnavailableError
from keyless.resource import parse_resource
from keyless.secret import Secret
from keyless.server.store import open_store
from keyless.server.store.admin import NewPublisher
from keyless.testing import FakeIssuer
from keyless.verifier import ResourceStates
from tests.support.running import RunningService

TOKEN = "alice-keeps-this-in-a-secret"
MODEL, NEW = parse_resource("acme/model"), parse_resource("acme/new")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with its hub, which takes two stored tokens, too; a publisher waits for acme/new."""
    directory: Path = tmp_path_factory.mktemp("service")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    other = hashlib.sha256(b"other").hexdigest()
    (directory / "tokens.toml").write_text(
        "".join(
            f'[[token]]\nsha256 = "{sha}"\nname = "alice"\nresource = "{name}"\noperations = ["write", "create"]\n'
            for sha, name in ((digest, "acme/model"), (other, "acme/new"))
        )
    )
    with FakeIssuer() as issuer:
        service = RunningService(directory, issuer, hub=True, settings='hub_tokens_file = "tokens.toml"\n')
        with service.administration() as administration:
            administration.add_publisher(
                NewPublisher(
                    resource=NEW,
                    issuer_url=issuer.url,
                    claims={"repository": ["acme/widgets"]},
                    pins={"repository_id": "456789", "repository_owner_id": "123456"},
                    pending=True,
                )
            )
        service.start()
        yield service
        service.stop()


def create(service: RunningService, token: str, name: str) -> tuple[int, str]:
    """Create a repository on the hub; return status and message."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    body = json.dumps({"name": name, "organization": "acme", "type": "model"})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/repos/create", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get("X-Error-Message", "")


@pytest.fixture
def states(service: RunningService) -> Iterator[ResourceStates]:
    """The seam of another hub of the same service."""
    with service.administration() as administration:
        names = {server.name for server in administration.resource_servers()}
        if "registry" in names:
            administration.remove_resource_server("registry")
        credential = administration.add_resource_server("registry", audience="https://registry.example.org")
    found = ResourceStates(service.inside_url, "registry", credential)
    yield found
    found.close()


def test_the_switch_ends_stored_tokens_at_once(service: RunningService, states: ResourceStates) -> None:
    """T101: the next request, and back again; other resources go on."""
    assert create(service, TOKEN, "model")[0] in {200, 409}
    assert not states.publishers_only(MODEL)
    with service.administration() as administration:
        administration.set_publishers_only(MODEL, publishers_only=True)

        status, said = create(service, TOKEN, "model")
        assert (status, "trusted publishers only" in said) == (403, True)
        assert states.publishers_only(MODEL)
        assert not states.publishers_only(NEW)
        administration.set_publishers_only(MODEL, publishers_only=False)
    assert create(service, TOKEN, "model")[0] == 409


def test_a_publishers_token_still_works(service: RunningService) -> None:
    """T101: that is what is left."""
    with service.administration() as administration:
        administration.set_publishers_only(MODEL, publishers_only=True)
        try:
            assert create(service, str(service.exchange()[1]["access_token"]), "model")[0] in {200, 409}
        finally:
            administration.set_publishers_only(MODEL, publishers_only=False)


def test_a_name_that_is_created_with_a_stored_token_is_taken(service: RunningService, states: ResourceStates) -> None:
    """T93: the hub tells by itself, and whoever waited for the name is gone; another registry cannot say so."""
    states.created(NEW)
    with service.administration() as administration:
        assert len(administration.publishers(NEW)) == 1
        assert create(service, "other", "new")[0] == 200

        assert administration.publishers(NEW) == []
        assert administration.resource_state(NEW).state == "active"
    with open_store(service.database) as store:
        reasons = [event.reason for event in store.audit_events() if event.kind == "publisher.removed"]
    assert reasons == ["name_taken"]


@pytest.mark.parametrize(
    ("members", "status"), [({}, 400), ({"resource": "a/b/c/d/e"}, 400), ({"resource": "acme/unknown"}, 200)]
)
@pytest.mark.parametrize("path", ["/resources/state", "/resources/created"])
def test_a_question_is_answered_or_refused(
    service: RunningService, states: ResourceStates, path: str, members: dict[str, str], status: int
) -> None:
    """V10: a resource nobody named is an ordinary one."""
    del states
    with service.administration() as administration:
        credential = administration.renew_resource_server_credential("registry")
    connection = http.client.HTTPConnection("127.0.0.1", service.inside_port, timeout=20)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic("registry", credential)}
    connection.request("POST", path, urlencode(members), headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()

    assert answer.status == status
    if status == 200:
        assert content["resource"] == "models/acme/unknown"
        assert not content.get("publishers_only", content.get("awaited"))


def basic(name: str, credential: Secret) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{name}:{credential.reveal()}".encode()).decode()


def test_a_stranger_is_refused(service: RunningService) -> None:
    """T106: the credential is the resource server's."""
    stranger = ResourceStates(service.inside_url, "registry", Secret("klrs_wrong"))
    with pytest.raises(UnavailableError, match="credential"):
        stranger.publishers_only(MODEL)
    stranger.close()


def test_without_an_answer_nothing_is_known(service: RunningService) -> None:
    """T96: an outage, never a yes or a no."""
    nobody = ResourceStates(f"{service.inside_url}/elsewhere", "registry", Secret("x"))
    with pytest.raises(UnavailableError):
        nobody.publishers_only(MODEL)
    nobody.close()
