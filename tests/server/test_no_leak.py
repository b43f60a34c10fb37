"""S8 at the service: nothing secret that a caller sends or gets appears in log, answer, audit or database."""

from __future__ import annotations

import io
import json
import logging
import string
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.server.log import configure_logging
from keyless.testing import unverified_claims
from tests.server.service import Service
from tests.support.asgi import ask

SLICE = 12
ALPHABET = string.ascii_letters + string.digits + "-_"
NAMES = ["subject_token", "actor_token", "client_secret", "token", "password", "id_token", "resource", "audience", "x"]

secrets_of_any_kind = st.text(ALPHABET, min_size=40, max_size=200)


@pytest.fixture
def log() -> io.StringIO:
    """Everything that our loggers say, at debug level."""
    stream = io.StringIO()
    configure_logging("debug", "console", stream=stream)
    logging.getLogger("keyless").setLevel(logging.DEBUG)
    return stream


def slices(secret: str) -> set[str]:
    """Every run of twelve characters of a secret."""
    return {secret[start : start + SLICE] for start in range(len(secret) - SLICE + 1)}


def assert_absent(secret: str, *places: str) -> None:
    """Assert that no slice of the secret stands anywhere."""
    for place in places:
        found = [piece for piece in slices(secret) if piece in place]
        assert not found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # one service for all examples is wanted
@given(
    members=st.dictionaries(st.sampled_from(NAMES[:6]), secrets_of_any_kind, min_size=1),
    filler=st.integers(0, 60_000),
    as_form=st.booleans(),
    path=st.sampled_from(["/oauth/token", "/oauth/revoke"]),
)
def test_what_strangers_send_is_nowhere(
    service: Service, log: io.StringIO, members: dict[str, str], filler: int, as_form: bool, path: str
) -> None:
    """S8, T97: random secrets in any member and order, form or JSON, big or small: not logged, not echoed, not kept."""
    content = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", **members, "padding": "p" * filler}
    content["subject_token_type"] = "urn:ietf:params:oauth:token-type:id_token"
    body = (urlencode(content) if as_form else json.dumps(content)).encode()
    kind = "application/x-www-form-urlencoded" if as_form else "application/json"
    answer = ask(service.app.public, "POST", path, body=body, headers={"Content-Type": kind})

    for secret in members.values():
        assert_absent(secret, log.getvalue(), answer.body.decode(), repr(dict(answer.headers)))


def test_tokens_of_a_whole_life_are_nowhere_on_the_disk(service: Service, log: io.StringIO) -> None:
    """S8, V18: an id token and the access token it bought are in neither log nor database, refusals included."""
    id_tokens = [service.mint() for _ in range(3)]
    granted = service.exchange(id_tokens[0])
    again = service.exchange(id_tokens[0])
    elsewhere = service.exchange(id_tokens[1], resource="acme/other")
    broken = service.exchange(id_tokens[2][:-9])
    access_token = str(granted.json["access_token"])
    ask(
        service.app.public,
        "POST",
        "/oauth/revoke",
        body=urlencode({"token": access_token}).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert [granted.status, again.status, elsewhere.status, broken.status] == [200, 400, 400, 400]
    kept = service.kept()
    answers = "".join(answer.body.decode() for answer in (again, elsewhere, broken))

    for token in (*id_tokens, access_token):
        # The header names algorithm and key; it is the same in every token and no secret.
        for segment in token.split(".")[1:]:
            assert_absent(segment, log.getvalue(), answers, kept)
    assert str(unverified_claims(id_tokens[0])["jti"]) not in kept


def test_broken_store_says_nothing_of_what_it_was_given(service: Service, log: io.StringIO) -> None:
    """S8, D9: a failure's traceback quotes no token."""
    token = service.mint()
    service.app.store.close()
    answer = service.exchange(token)

    assert answer.status == 503
    for segment in token.split(".")[1:]:
        assert_absent(segment, log.getvalue(), answer.body.decode())
