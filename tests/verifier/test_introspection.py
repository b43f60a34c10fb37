from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from keyless.errors import ConfigurationError, InvalidClaimError, RevokedTokenError, UnavailableError
from keyless.secret import Secret
from keyless.verifier import Introspection
from tests.verifier.endpoint import Endpoint
from tests.verifier.tokens import Mint

CREDENTIAL = "kl_rs_0123456789abcdef0123456789abcdef"


@pytest.fixture
def introspection(endpoint: Endpoint) -> Iterator[Introspection]:
    made = Introspection(f"{endpoint.url}/oauth/introspect", "hub", Secret(CREDENTIAL), timeout_seconds=10)
    yield made
    made.close()


def active(**overrides: Any) -> dict[str, object]:
    answer = {
        "active": True,
        "jti": "jti-1",
        "client_id": "pub-1",
        "resource": "models/acme/model",
        "scope": "read write",
        **overrides,
    }
    return {name: value for name, value in answer.items() if value is not None}


def test_standing_token_passes(introspection: Introspection, endpoint: Endpoint, mint: Mint) -> None:
    """RFC 7662 2.1: the question is a form with the token, asked under the resource server's own credential."""
    endpoint.answer(active())
    token = mint.token()
    verified = mint.verify(token)

    assert introspection.check(token, verified) == verified
    assert endpoint.asked[0]["form"]["token"] == [token]
    basic = base64.b64encode(f"hub:{CREDENTIAL}".encode()).decode()
    assert endpoint.asked[0]["headers"]["Authorization"] == f"Basic {basic}"


def test_withdrawn_token_is_refused(introspection: Introspection, endpoint: Endpoint, mint: Mint) -> None:
    """V20: `active: false` is a refusal."""
    endpoint.answer({"active": False})

    with pytest.raises(RevokedTokenError):
        introspection.check(mint.token(), mint.verify(mint.token()))


@pytest.mark.parametrize(
    "overrides",
    [
        {"jti": "jti-2"},
        {"jti": None},
        {"client_id": "pub-2"},
        {"client_id": None},
        {"resource": "models/acme/other"},
        {"resource": None},
    ],
    ids=str,
)
def test_answer_about_another_token_is_refused(
    introspection: Introspection, endpoint: Endpoint, mint: Mint, overrides: dict[str, Any]
) -> None:
    """T106: a confused endpoint, or a cache in between, does not make a withdrawn token good."""
    endpoint.answer(active(**overrides))

    with pytest.raises(InvalidClaimError):
        introspection.check(mint.token(), mint.verify(mint.token()))


@pytest.mark.parametrize(
    "scope, expected",
    [("read", {"read"}), ("read write create", {"read", "write"}), ("", set())],
    ids=["less", "more", "nothing"],
)
def test_answer_can_only_take_operations_away(
    introspection: Introspection, endpoint: Endpoint, mint: Mint, scope: str, expected: set[str]
) -> None:
    """T106: more than what was signed is never granted, less is obeyed."""
    endpoint.answer(active(scope=scope))

    assert introspection.check(mint.token(), mint.verify(mint.token())).operations == expected


@pytest.mark.parametrize(
    "status, body",
    [
        (401, b'{"error": "invalid_client"}'),
        (403, b"{}"),
        (400, b'{"error": "invalid_request"}'),
        (404, b"{}"),
        (302, b""),
        (429, b"{}"),
        (500, b"oops"),
        (503, b"{}"),
        (200, b"<html>"),
        (200, b""),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"active": "true"}'),
        (200, b'{"active": 1}'),
        (200, b'{"active": false, "active": true}'),
        (200, b'{"active": true, "jti": "jti-1", "client_id": "pub-1", "resource": "models/acme/model"}'),
        (200, b"[" * 70_000),
    ],
)
def test_any_other_answer_is_an_outage(
    introspection: Introspection, endpoint: Endpoint, mint: Mint, status: int, body: bytes
) -> None:
    """D9: neither a refusal nor a pass."""
    endpoint.status, endpoint.body = status, body

    with pytest.raises(UnavailableError):
        introspection.check(mint.token(), mint.verify(mint.token()))


@pytest.mark.parametrize(
    "value, seconds", [("7", 7.0), ("99999", 300.0), ("0", 1.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 5.0), ("-1", 5.0)]
)
def test_retry_after_is_passed_on_within_bounds(
    introspection: Introspection, endpoint: Endpoint, mint: Mint, value: str, seconds: float
) -> None:
    """D9: the service says when; an absurd value does not stop a hub for a day."""
    endpoint.status, endpoint.headers = 503, {"Retry-After": value}

    with pytest.raises(UnavailableError) as caught:
        introspection.check(mint.token(), mint.verify(mint.token()))

    assert caught.value.retry_after == seconds


def test_silence_is_an_outage_within_the_time_limit(endpoint: Endpoint, mint: Mint) -> None:
    """T28, D9: a hub's worker is not held by a silent endpoint."""
    endpoint.delay_seconds = 1.0
    slow = Introspection(f"{endpoint.url}/oauth/introspect", "hub", Secret(CREDENTIAL), timeout_seconds=0.1)

    with pytest.raises(UnavailableError):
        slow.check(mint.token(), mint.verify(mint.token()))


def test_nobody_there_is_an_outage(mint: Mint) -> None:
    """D9: connection refused."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nobody = Introspection(f"http://127.0.0.1:{port}/oauth/introspect", "hub", Secret(CREDENTIAL))

    with pytest.raises(UnavailableError):
        nobody.check(mint.token(), mint.verify(mint.token()))


def test_connections_are_used_again(introspection: Introspection, endpoint: Endpoint, mint: Mint) -> None:
    """A live check per request costs no connection per request."""
    endpoint.answer(active())
    for _ in range(10):
        introspection.check(mint.token(), mint.verify(mint.token()))

    assert len(endpoint.connections) == 1


def test_connection_the_server_closed_is_replaced(introspection: Introspection, endpoint: Endpoint, mint: Mint) -> None:
    """A server may close an idle connection at any time; that is not an outage."""
    endpoint.answer(active())
    introspection.check(mint.token(), mint.verify(mint.token()))
    endpoint.drop_next = True

    introspection.check(mint.token(), mint.verify(mint.token()))

    assert len(endpoint.connections) == 2


def test_connection_that_says_close_is_not_kept(introspection: Introspection, endpoint: Endpoint, mint: Mint) -> None:
    """RFC 9112 9.6."""
    endpoint.answer(active())
    endpoint.keep_alive = False
    for _ in range(3):
        introspection.check(mint.token(), mint.verify(mint.token()))

    assert len(endpoint.connections) == 3


def test_threads_do_not_mix_answers(introspection: Introspection, endpoint: Endpoint, mint: Mint) -> None:
    """Each question has a connection of its own while it lasts."""
    endpoint.answer(active())
    endpoint.delay_seconds = 0.01
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(5):
                introspection.check(mint.token(), mint.verify(mint.token()))
        except BaseException as error:  # noqa: BLE001  # shown below
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(endpoint.asked) == 100


def test_plain_http_to_another_machine_is_refused() -> None:
    """D27: the credential and every token would be readable on the way."""
    with pytest.raises(ConfigurationError):
        Introspection("http://keyless.example.org/oauth/introspect", "hub", Secret(CREDENTIAL))


def test_errors_and_repr_keep_the_credential(
    introspection: Introspection, endpoint: Endpoint, mint: Mint, caplog: pytest.LogCaptureFixture
) -> None:
    """S8: neither the credential nor the token is in what may be logged."""
    endpoint.status = 401
    token = mint.token()

    with pytest.raises(UnavailableError) as caught:
        introspection.check(token, mint.verify(token))

    said = repr(caught.value) + str(caught.value) + repr(introspection.__dict__) + caplog.text
    assert CREDENTIAL not in said
    assert token not in said
