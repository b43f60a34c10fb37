"""The npm door: what npm, pnpm and yarn send, and every refusal in a form that each of them reads."""

from __future__ import annotations

from typing import Any

import pytest

from keyless.resource import parse_resource
from tests.server.doors.registries import URLS, Registries
from tests.support.asgi import Answer, ask

ROOT = "/-/npm/v1/oidc/token/exchange/package/"
BELOW = "/registry" + ROOT


def exchange(registries: Registries, package: str, token: str, *, path: str = ROOT) -> Answer:
    """Exchange for a package; the server in front of us has decoded the path."""
    return ask(registries.app.public, "POST", path + package, headers={"Authorization": f"Bearer {token}"})


def refused(answer: Answer, status: int) -> str:
    """Return the text of a refusal, which npm and pnpm look for in different places."""
    assert answer.status == status
    assert answer.json["message"] == answer.json["body"]["message"]
    return str(answer.json["message"])


@pytest.mark.parametrize("path", [ROOT, BELOW])
@pytest.mark.parametrize("audience", ["npm:npm.example.org", "npm:npm.example.org:4873"])
@pytest.mark.parametrize("package", ["@acme/ui", "ui"])
def test_job_gets_a_token_for_its_package(registries: Registries, package: str, audience: str, path: str) -> None:
    """S10: at the root or below the registry's path, with or without the port in the audience."""
    registries.add_publisher(f"npm/{package}")
    answer = exchange(registries, package, registries.mint(aud=audience), path=path)

    assert (answer.status, answer.json["token_type"]) == (201, "oidc")
    assert answer.json["token"].startswith("npm_")
    verified = registries.app.live.introspect(answer.json["token"], audience=URLS["npm"])
    assert verified is not None
    assert verified.allows("create", parse_resource(f"npm/{package}"))
    assert verified.expires_at - verified.issued_at == 900


@pytest.mark.parametrize(
    ("package", "changes", "status"),
    [
        ("other", {}, 404),
        ("ui", {"repository_id": "1"}, 404),
        ("ui", {"ref": "refs/heads/dev"}, 404),
        ("ui", {"aud": "npm:registry.example.org"}, 401),
        ("ui", {"aud": "npm:npm.example.org:1"}, 401),
        ("ui", {"aud": ["npm:npm.example.org", "npm:npm.example.org:4873"]}, 401),
        ("ui", {"aud": "pypi-example-org"}, 401),
        ("ui", {"lifetime_seconds": -60}, 401),
        ("UI", {}, 400),
        ("a/b/c", {}, 400),
        ("", {}, 400),
    ],
    ids=str,
)
def test_one_change_is_refused(registries: Registries, package: str, changes: dict[str, Any], status: int) -> None:
    """S10, V11, V13: and what an outsider can send ends in a 4xx."""
    registries.add_publisher("npm/ui")
    good = registries.mint(aud="npm:npm.example.org")
    assert exchange(registries, "ui", good).status == 201

    refused(exchange(registries, package, registries.mint(**{"aud": "npm:npm.example.org", **changes})), status)


def test_replay_is_refused(registries: Registries) -> None:
    """V17, D8: GitHub's id tokens count once."""
    registries.add_publisher("npm/ui")
    token = registries.mint_for("npm")

    assert exchange(registries, "ui", token).status == 201
    assert "already exchanged" in refused(exchange(registries, "ui", token), 409)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer x", "Bearer " + "x" * 40_000])
def test_anything_else_is_refused(registries: Registries, header: str) -> None:
    """V01: without a proper Bearer token."""
    answer = ask(registries.app.public, "POST", ROOT + "ui", headers={"Authorization": header} if header else {})

    assert answer.status in {400, 401}
    assert answer.json["message"]


def test_no_package_is_public(registries: Registries) -> None:
    """The answer that keeps npm from a public provenance service, for packages known and unknown."""
    for path in ("/-/package/ui/visibility", "/registry/-/package/@acme/ui/visibility"):
        assert ask(registries.app.public, "GET", path).json == {"public": False}
    assert ask(registries.app.public, "GET", "/-/package/ui/other").status == 404
