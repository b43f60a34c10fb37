"""The PyPI door: its calls as tools make them, and every refusal in its dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyless.errors import ConfigurationError, UnavailableError
from keyless.oidc.issuer import ReplayMode
from keyless.resource import parse_resource
from keyless.server.services.group_commit import GroupCommit
from keyless.server.services.selection import MAX_COVERED
from keyless.verifier.access_token import VerifiedAccessToken
from tests.server.doors.registries import MINT, URLS, Registries
from tests.server.service import Service
from tests.support.asgi import ask


def good(registries: Registries, token: str) -> VerifiedAccessToken | None:
    """Return the token if it is good at the index right now."""
    return registries.app.live.introspect(token, audience=URLS["pypi"])


def code(answer: Any) -> str:
    """Return the code of a refusal, whose form no tool gets by without."""
    assert answer.status == 422
    assert answer.json["message"]
    [error] = answer.json["errors"]
    assert error["description"]
    return str(error["code"])


def test_job_gets_a_token_for_its_project(registries: Registries) -> None:
    """S10, D6, D7: audience, mint, a token `pypi-…` of 900 s that is good at the index for that project."""
    publisher = registries.add_publisher("pypi/acme-wheel")
    audience = ask(registries.app.public, "GET", "/_/oidc/audience").json["audience"]
    answer = registries.mint_pypi(registries.mint(aud=audience))

    assert audience == "pypi-example-org"
    assert (answer.status, answer.json["success"]) == (200, True)
    assert answer.json["expires"] == int(registries.clock()) + 900
    assert answer.json["token"].startswith("pypi-")
    assert answer.headers["cache-control"] == "no-store"
    verified = good(registries, answer.json["token"])
    assert verified is not None
    assert (verified.publisher_id, verified.audience) == (publisher.id, URLS["pypi"])
    assert verified.allows("create", parse_resource("pypi/Acme.Wheel"))
    assert not verified.allows("create", parse_resource("pypi/other"))


def test_older_path_mints_too(registries: Registries) -> None:
    """Maturin still calls the mint by its older name."""
    registries.add_publisher("pypi/acme-wheel")

    assert registries.mint_pypi(path="/_/oidc/github/mint-token").status == 200


def test_one_mint_covers_the_projects_of_one_job(registries: Registries) -> None:
    """T90: the token lists what it is for: projects that trust this repository, workflow and environment."""
    for name in ("one", "two", "three"):
        registries.add_publisher(f"pypi/{name}")
    registries.add_publisher("pypi/elsewhere", pins={"repository_id": "1", "repository_owner_id": "123456"})
    registries.add_publisher(
        "pypi/released", claims={"repository": ["acme/widgets"], "workflow": ["train.yml", "release.yml"]}
    )
    registries.add_publisher("model/of-the-hub")
    verified = good(registries, registries.mint_pypi().json["token"])

    assert verified is not None
    assert {verified.resource, *verified.also} == {parse_resource(f"pypi/{name}") for name in ("one", "two", "three")}
    events = registries.app.store.audit_events(limit=10)
    granted = {event.resource for event in events if event.kind == "token.granted"}
    assert granted == {"pypi/one", "pypi/two", "pypi/three"}


def test_environment_keeps_projects_apart(registries: Registries) -> None:
    """T90: who trusts the job only in an environment shares no token with who trusts it anywhere."""
    claims = {"repository": ["acme/widgets"], "branch": ["main"], "workflow": ["train.yml"]}
    registries.add_publisher("pypi/anywhere")
    registries.add_publisher("pypi/guarded", claims={**claims, "environment": ["release"]})

    plain = good(registries, registries.mint_pypi().json["token"])
    release = good(registries, registries.mint_pypi(environment="release").json["token"])
    assert plain is not None
    assert release is not None
    assert ({plain.resource.name}, plain.also) == ({"anywhere"}, frozenset())
    assert ({release.resource.name}, release.also) == ({"guarded"}, frozenset())


def test_too_many_projects_are_refused_not_cut(registries: Registries) -> None:
    """T90: at most 25 projects in one token; nobody gets a token that lacks one without being told."""
    for number in range(MAX_COVERED):
        registries.add_publisher(f"pypi/p{number}")
    assert registries.mint_pypi().status == 200
    registries.add_publisher("pypi/one-too-many")
    answer = registries.mint_pypi()

    assert code(answer) == "invalid-publisher"
    assert "25" in answer.json["errors"][0]["description"]
    assert registries.audit()[-1] == ("exchange.refused", "no_matching_publisher")


def test_first_uploads_bring_their_projects_into_being(registries: Registries) -> None:
    """T93: pending publishers of new projects beside one that is there; each becomes an ordinary one with the grant."""
    registries.add_publisher("pypi/there")
    for name in ("new-one", "new-two"):
        registries.add_publisher(f"pypi/{name}", pending=True)
    verified = good(registries, registries.mint_pypi().json["token"])

    assert verified is not None
    assert {r.name for r in (verified.resource, *verified.also)} == {"there", "new-one", "new-two"}
    assert all(publisher.pending_until is None for publisher in registries.administration.publishers())
    assert [kind for kind, _ in registries.audit()].count("publisher.activated") == 2
    again = good(registries, registries.mint_pypi().json["token"])
    assert again is not None
    assert len(again.also) == 2


def test_strictest_cap_of_projects_that_grant_together_counts(registries: Registries) -> None:
    """T117: a project with a cap of its own is not drawn beyond it by another's."""
    registries.add_publisher("pypi/capped", max_live_tokens=1)
    registries.add_publisher("pypi/free")

    assert registries.mint_pypi().status == 200
    answer = registries.mint_pypi()
    assert answer.status == 429
    assert answer.json["errors"][0]["description"]


@pytest.mark.parametrize("change", ["removed", "disabled", "locked"])
def test_token_dies_with_the_trust_of_any_of_its_projects(registries: Registries, change: str) -> None:
    """T91, D16: no project's removal leaves a token that still names it."""
    publishers = [registries.add_publisher(f"pypi/{name}") for name in ("one", "two")]
    token = registries.mint_pypi().json["token"]
    verified = good(registries, token)
    assert verified is not None
    [other] = [p for p in publishers if p.resource in verified.also]
    match change:
        case "removed":
            registries.administration.remove_publisher(other.id)
        case "disabled":
            registries.administration.set_publisher_enabled(other.id, enabled=False)
        case _:
            registries.administration.set_resource_state(other.resource, "locked")

    assert good(registries, token) is None


def test_replay_is_refused_with_its_own_code(registries: Registries) -> None:
    """V17, D8: GitHub's id tokens count once."""
    registries.add_publisher("pypi/acme-wheel")
    token = registries.mint_for("pypi")

    assert registries.mint_pypi(token).status == 200
    assert code(registries.mint_pypi(token)) == "invalid-reuse-token"


def test_strictest_publisher_decides_about_replay(registries: Registries) -> None:
    """D8: a project that lets an id token count often does not open another one's."""
    registries.add_publisher("pypi/one", replay=ReplayMode.COUNTED)
    registries.add_publisher("pypi/two")
    token = registries.mint_for("pypi")

    assert registries.mint_pypi(token).status == 200
    assert code(registries.mint_pypi(token)) == "invalid-reuse-token"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"repository_id": "1"}, "invalid-publisher"),
        ({"repository": "acme/other"}, "invalid-publisher"),
        ({"ref": "refs/heads/dev"}, "invalid-publisher"),
        ({"aud": "another-word"}, "invalid-token"),
        ({"aud": "http://127.0.0.1:8080"}, "invalid-token"),
        ({"aud": "npm:npm.example.org"}, "invalid-token"),
        ({"lifetime_seconds": -60}, "invalid-token"),
    ],
    ids=lambda value: str(value),
)
def test_one_change_of_a_good_token_is_refused(registries: Registries, claims: dict[str, Any], expected: str) -> None:
    """S10, V11, V13, T43: each in the dialect, with `errors`."""
    registries.add_publisher("pypi/acme-wheel")
    assert registries.mint_pypi().status == 200

    assert code(registries.mint_pypi(registries.mint(**{"aud": "pypi-example-org", **claims}))) == expected


def test_publishers_of_other_registries_open_nothing(registries: Registries) -> None:
    """T90: trust with a model, a package or an image of the same name is not trust with the project."""
    for resource in ("acme/wheel", "npm/wheel"):
        registries.add_publisher(resource)

    assert code(registries.mint_pypi()) == "invalid-publisher"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": ""}', b'{"token": "x"}', b"\xff", b'{"token":"a.b.c"}']
)
def test_anything_else_is_an_invalid_payload(registries: Registries, body: bytes) -> None:
    """V01: what an outsider can send ends in the dialect's 422."""
    assert code(ask(registries.app.public, "POST", MINT, body=body)) == "invalid-payload"


def test_body_is_bounded(registries: Registries) -> None:
    """V01: 64 KiB, and the refusal still has the form that tools read."""
    answer = ask(registries.app.public, "POST", MINT, body=b"x" * 70_000)

    assert (answer.status, answer.json["errors"][0]["code"]) == (413, "invalid-payload")


def test_outage_is_503_and_spends_nothing(registries: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    """D9: tools send the same id token again after a 503; it must still be good."""
    registries.add_publisher("pypi/acme-wheel")
    token = registries.mint_for("pypi")
    with monkeypatch.context() as patched:
        patched.setattr(GroupCommit, "put", down)
        answer = registries.mint_pypi(token)

    assert (answer.status, answer.json["errors"][0]["code"]) == (503, "temporarily-unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert registries.mint_pypi(token).status == 200


def burn(registries: Registries, token: str) -> int:
    """Burn a token at the PyPI door."""
    return ask(registries.app.public, "POST", "/_/oidc/burn-token", body=json.dumps({"token": token}).encode()).status


def test_burned_token_is_dead(registries: Registries) -> None:
    """RFC 7009: uv burns its token when it is done with it."""
    registries.add_publisher("pypi/acme-wheel")
    token = registries.mint_pypi().json["token"]

    assert burn(registries, token) == 200
    assert good(registries, token) is None
    assert burn(registries, token) == burn(registries, "pypi-nonsense") == 200


def test_other_doors_tokens_are_not_burned_here(registries: Registries) -> None:
    """T106: a token of one door is useless at every other."""
    registries.add_publisher()
    token = registries.exchange().json["access_token"]

    assert burn(registries, token) == 200
    assert registries.app.live.introspect(token, audience="http://127.0.0.1:8080") is not None


def test_hub_hands_out_no_tokens_for_packages(registries: Registries) -> None:
    """T90, D19: each type of resource has its own door, and its own audience."""
    registries.add_publisher("pypi/acme-wheel")
    answer = registries.exchange(resource="pypi/acme-wheel")
    named = registries.exchange(resource=None, client_id=registries.administration.publishers()[0].id)

    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert (named.status, named.json["reason"]) == (400, "no_matching_publisher")


def test_without_a_registry_there_is_no_publisher_and_no_door(service: Service) -> None:
    """D22: the hub is never taken for a package registry."""
    with pytest.raises(ConfigurationError, match="no pypi registry"):
        service.add_publisher("pypi/acme-wheel")
    assert ask(service.app.public, "GET", "/_/oidc/audience").status == 404


def down(self: GroupCommit, row: object, answer: object, *, gone: object = None) -> None:
    """Fail as the group commit does while the store is away."""
    del self, row, answer, gone
    raise UnavailableError("the store is away", retry_after=2)
