"""The door of a crates.io-like registry: the two calls of its login action, and every refusal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.resource import parse_resource
from keyless.server.settings import DoorSettings
from keyless.testing import FakeIssuer
from tests.server.service import Service
from tests.support.asgi import Answer, ask

URL = "https://crates.example.org/index"
AUDIENCE = "crates.example.org/index"
TOKENS = "/api/v1/trusted_publishing/tokens"


@pytest.fixture
def service(tmp_path: Path, first_start: Path, issuer: FakeIssuer) -> Iterator[Service]:
    """A service with this door that trusts the job with one crate."""
    shutil.copytree(first_start, tmp_path / "service")
    service = Service(tmp_path / "service", issuer, doors={"cargo": DoorSettings(url=URL)})
    service.add_publisher("cargo/acme_core")
    yield service
    service.administration.close()
    service.app.close()


def exchange(service: Service, token: str) -> Answer:
    """Ask for a token as the login action does."""
    return ask(service.app.public, "POST", TOKENS, body=json.dumps({"jwt": token}).encode())


def test_job_gets_a_token_and_hands_it_back(service: Service) -> None:
    """S10, RFC 7009: half an hour, for the crates that trust the job, and dead after the action's last step."""
    service.add_publisher("cargo/acme_macros")
    token = exchange(service, service.mint(aud=AUDIENCE)).json["token"]
    verified = service.app.live.introspect(token, audience=URL)

    assert token.startswith("cio_tp_")
    assert verified is not None
    assert verified.expires_at - verified.issued_at == 1800
    assert all(verified.allows("write", parse_resource(f"cargo/{name}")) for name in ("acme_core", "acme_macros"))
    assert not verified.allows("write", parse_resource("cargo/other"))
    assert ask(service.app.public, "DELETE", TOKENS, headers={"Authorization": f"Bearer {token}"}).status == 200
    assert service.app.live.introspect(token, audience=URL) is None


@pytest.mark.parametrize(
    "changes", [{"repository_id": "1"}, {"ref": "refs/heads/dev"}, {"aud": URL}, {"lifetime_seconds": -60}], ids=str
)
def test_one_change_is_refused(service: Service, changes: dict[str, Any]) -> None:
    """S10, V11, V13: with a `detail` for people."""
    answer = exchange(service, service.mint(**{"aud": AUDIENCE, **changes}))

    assert (answer.status, bool(answer.json["errors"][0]["detail"])) == (400, True)
    assert exchange(service, service.mint(aud=AUDIENCE)).status == 200


def test_replay_is_refused(service: Service) -> None:
    """V17, D8: GitHub's id tokens count once."""
    token = service.mint(aud=AUDIENCE)

    assert exchange(service, token).status == 200
    assert "already exchanged" in exchange(service, token).json["errors"][0]["detail"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"jwt": 7}', b'{"jwt": "x"}', b"\xff"])
def test_anything_else_is_a_400(service: Service, body: bytes) -> None:
    """V01: whatever an outsider sends."""
    answer = ask(service.app.public, "POST", TOKENS, body=body)

    assert (answer.status, bool(answer.json["errors"][0]["detail"])) == (400, True)
    assert ask(service.app.public, "DELETE", TOKENS).status == 400
