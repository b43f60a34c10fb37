from __future__ import annotations

import base64

import pytest

from keyless.hub.errors import BAD_CREDENTIALS
from tests.hub.running import RunningHub

GOOD = "good:acme/model:read+write"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"user:{password}".encode()).decode()


@pytest.mark.parametrize("value", [f"Bearer {GOOD}", f"bearer {GOOD}", basic(GOOD)], ids=["bearer", "lower", "basic"])
def test_token_is_read_from_bearer_and_basic(hub: RunningHub, value: str) -> None:
    """D25: `hf` sends Bearer, git sends the token as a password."""
    assert hub.call("GET", "/api/whoami-v2", headers={"Authorization": value}).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "Bearer bad",
        "Bearer hf_abcdefgh",
        "Token x",
        GOOD,
        "Basic !!!",
        "Basic " + base64.b64encode(b"user:").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        basic("bad"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/api/whoami-v2", "/api/models", "/api/agent-harnesses"])
def test_bad_credential_is_refused_everywhere_in_the_clients_words(hub: RunningHub, value: str, path: str) -> None:
    """V20: a bad token is never read as "no token", and the text is the one the client shows as it is."""
    answer = hub.call("GET", path, headers={"Authorization": value})

    assert answer.status == 401
    assert answer.headers["x-error-message"] == BAD_CREDENTIALS == "Invalid credentials in Authorization header"
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.json == {"error": BAD_CREDENTIALS}


def test_revoked_token_is_refused_at_once(hub: RunningHub) -> None:
    """V20, D5: the verifier is asked for every request."""
    assert hub.call("GET", "/api/whoami-v2", token=GOOD).status == 200
    hub.verifier.revoked.add(GOOD)

    assert hub.call("GET", "/api/whoami-v2", token=GOOD).status == 401


def test_two_authorization_headers_are_refused(hub: RunningHub) -> None:
    """T09: a proxy and the hub could each read another one."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=5)
    connection.putrequest("GET", "/api/whoami-v2")
    connection.putheader("Authorization", f"Bearer {GOOD}")
    connection.putheader("Authorization", f"Bearer {GOOD}")
    connection.endheaders()

    assert connection.getresponse().status == 401
    connection.close()


def test_outage_of_the_verifier_is_503_with_the_time_to_wait(hub: RunningHub) -> None:
    """D9: the token service being down says nothing about the token."""
    hub.verifier.is_down = True

    answer = hub.call("GET", "/api/models", token=GOOD)

    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert hub.call("GET", "/api/models").status == 200  # anonymous callers do not need it


@pytest.mark.parametrize(
    "token, name, role",
    [
        ("good:acme/model:read+write", "acme", "write"),
        ("good:datasets/acme/data:read", "acme", "read"),
        ("good:alice:read", "alice", "read"),
    ],
)
def test_whoami_names_the_namespace_and_the_job(hub: RunningHub, token: str, name: str, role: str) -> None:
    """S10: the answer has what `hf auth whoami` reads, and says which CI job this is."""
    answer = hub.call("GET", "/api/whoami-v2", token=token).json

    assert (answer["name"], answer["orgs"], answer["auth"]["accessToken"]["role"]) == (name, [], role)
    assert answer["fullname"] == "[OIDC] repo:acme/train:ref:refs/heads/main"


def test_whoami_without_a_token_is_401(hub: RunningHub) -> None:
    """RFC 6750 3: no error code where no token was sent."""
    answer = hub.call("GET", "/api/whoami-v2")

    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
