from __future__ import annotations

from typing import Any

import pytest

from keyless.errors import ConfigurationError
from keyless.oidc.issuer import Network, NetworkKind, ReplayMode
from keyless.resource import parse_resource
from keyless.server.store.admin import NewIssuer
from keyless.trust.publisher import Condition, Operation, Operator
from tests.server.store.world import PUBLIC_URL, START, World

GITLAB = "https://gitlab.com"
IDS = {"repository_id": "11", "repository_owner_id": "22"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"pins": {}}, id="M00 no ids"),
        pytest.param({"pins": {"repository_id": "11"}}, id="M00 one of two ids"),
        pytest.param({"issuer_url": GITLAB, "claims": {"project_path": ["a/b"]}, "pins": {}}, id="M00 gitlab no ids"),
        pytest.param({"pins": {**IDS, "repository_id": ""}}, id="T81 empty id"),
        pytest.param({"pins": {**IDS, "repository_id": "acme"}}, id="D10 a name for an id"),
        pytest.param({"pins": {**IDS, "repository_id": "011"}}, id="M01 not canonical"),
        pytest.param({"pins": {**IDS, "repository_id": "1" * 40}}, id="M01 too long"),
        pytest.param({"pins": {**IDS, "actor": "x"}}, id="T84 not an id"),
        pytest.param({"claims": {"repository": [""]}}, id="T81 empty"),
        pytest.param({"claims": {"repository": [" "]}}, id="T81 blank"),
        pytest.param({"claims": {"repository": []}}, id="T81 no value"),
        pytest.param({"claims": {"repository": ["acme/tr\u0430in"]}}, id="M04 confusable"),
        pytest.param({"claims": {"environment": ["prod\n"]}}, id="M04 control character"),
        pytest.param({"claims": {"environment": ["x" * 300]}}, id="M04 too long"),
        pytest.param({"claims": {"repository": ["acme/*"]}}, id="M06 pattern of a name"),
        pytest.param({"claims": {"branch": ["*a*b*"]}}, id="M06 three stars"),
        pytest.param({"claims": {"actor": ["alice"]}}, id="T84 chosen by the job"),
        pytest.param({"claims": {"sub": ["repo:acme/train"]}}, id="T65 composed subject"),
        pytest.param({"claims": {}, "pins": {}, "pin_first_use": True}, id="T86 first use of anybody"),
        pytest.param({"ttl_seconds": 3601}, id="D7 too long"),
        pytest.param({"ttl_seconds": 1}, id="D7 too short"),
        pytest.param({"expires_at": START}, id="D7 expired"),
        pytest.param({"resource_server": "nobody"}, id="D19 unknown resource server"),
        pytest.param({"issuer_url": "https://unknown.example"}, id="V06 unknown issuer"),
        pytest.param({}, id="the very same twice"),
    ],
)
def test_a_publisher_that_trusts_too_much_is_not_saved(world: World, changes: dict[str, Any]) -> None:
    """M00-M06, T81, D10: refused at save, and nothing of it is left behind."""
    version, issuers = world.store.trust_version(), len(world.admin.issuers())

    with pytest.raises(ConfigurationError):
        world.add_publisher(**changes)
    assert len(world.admin.publishers()) == 1
    assert len(world.admin.issuers()) == issuers
    assert world.store.trust_version() == version


def test_conditions_become_exact_one_of_and_pattern(world: World) -> None:
    """D11: rows, no policy language; what people type is brought to what tokens carry."""
    publisher = world.add_publisher(
        claims={
            "repository": ["acme/train"],
            "branch": ["refs/heads/release/*", "main"],
            "environment": ["prod", "staging", "prod"],
            "workflow": [".github/workflows/release.yml"],
        }
    )

    assert set(publisher.conditions) == {
        Condition("repository", Operator.EQUALS, ("acme/train",)),
        Condition("branch", Operator.GLOB, ("main", "release/*")),
        Condition("environment", Operator.ONE_OF, ("prod", "staging")),
        Condition("workflow", Operator.EQUALS, ("release.yml",)),
    }
    assert publisher in world.store.publishers(world.resource, publisher.issuer_id)


def test_first_use_fills_only_the_ids_that_are_missing(world: World) -> None:
    """D10: an id that is known is pinned at once."""
    publisher = world.add_publisher(
        claims={"repository": ["acme/other"]}, pins={"repository_id": "5"}, pin_first_use=True
    )

    assert {pin.claim: pin.value for pin in publisher.pins} == {"repository_id": "5", "repository_owner_id": None}


def test_a_generic_issuer_needs_its_exact_subject(world: World) -> None:
    """M00b: nothing else is known to name an identity."""
    issuer = world.admin.add_issuer(NewIssuer(url="https://ci.example.org"))
    for claims in ({}, {"team": ["a"]}, {"sub": ["a", "b"]}):
        with pytest.raises(ConfigurationError, match="must pin sub"):
            world.add_publisher(issuer_url=issuer.url, claims=claims, pins={})

    assert world.add_publisher(issuer_url=issuer.url, claims={"sub": ["pipeline:release"]}, pins={}).enabled


def test_a_generic_issuer_may_have_declared_immutable_claims(world: World) -> None:
    """M00b: the operator knows better than `sub`."""
    issuer = world.admin.add_issuer(NewIssuer(url="https://ci.example.org", immutable_claims=["project_uuid"]))
    with pytest.raises(ConfigurationError, match="must pin project_uuid"):
        world.add_publisher(issuer_url=issuer.url, claims={"sub": ["x"]}, pins={})

    assert world.add_publisher(issuer_url=issuer.url, claims={}, pins={"project_uuid": "x-1"}).pins[0].value == "x-1"


def test_operations_are_what_was_asked_for(world: World) -> None:
    """S10: a publisher may be narrower than its resource server."""
    publisher = world.add_publisher(claims={"repository": ["acme/r"]}, operations=[Operation.WRITE, Operation.READ])

    assert publisher.operations == (Operation.READ, Operation.WRITE)


def test_a_publisher_is_removed_within_its_resource_only(world: World) -> None:
    """T113: whoever may speak for one resource cannot remove another's publisher by its id."""
    with pytest.raises(ConfigurationError):
        world.admin.remove_publisher(world.publisher.id, resource=parse_resource("acme/other"))

    assert world.admin.remove_publisher(world.publisher.id, resource=world.resource) == world.publisher
    assert world.admin.publishers() == []


def test_a_removed_publisher_stays_in_the_audit(world: World) -> None:
    """D15: the record outlives what it speaks of."""
    world.admin.remove_publisher(world.publisher.id)

    events = world.store.audit_events(resource=world.resource)
    assert [(e.kind, e.publisher_id, e.actor) for e in events if e.publisher_id] == [
        ("publisher.added", world.publisher.id, "test"),
        ("publisher.removed", world.publisher.id, "test"),
    ]


def test_every_change_of_a_publisher_grows_its_version(world: World) -> None:
    """D16: a mint that matched the earlier one fails."""
    off = world.admin.set_publisher_enabled(world.publisher.id, enabled=False)
    again = world.admin.set_publisher_enabled(world.publisher.id, enabled=False)
    on = world.admin.set_publisher_enabled(world.publisher.id, enabled=True)

    assert [off.version, again.version, on.version] == [2, 2, 3]


def test_an_issuer_takes_the_presets_of_its_kind(world: World) -> None:
    """D8, V12: GitHub once, GitLab counted."""
    gitlab = world.admin.ensure_provider("gitlab")
    github = world.admin.ensure_provider("github")

    assert (gitlab.kind, gitlab.replay, github.replay) == ("gitlab", ReplayMode.COUNTED, ReplayMode.ONCE)
    assert world.admin.ensure_provider("gitlab") == gitlab
    assert world.admin.add_issuer(NewIssuer(url="https://gitlab.example.org", kind="gitlab")).id != gitlab.id


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"url": "http://ci.example.org"}, id="D27 plain http"),
        pytest.param({"url": "http://127.0.0.1:1"}, id="D20 loopback unasked"),
        pytest.param({"url": "https://user@ci.example.org"}, id="T21 user name"),
        pytest.param({"url": "https://ci.example.org?a=b"}, id="query"),
        pytest.param({"url": "https://"}, id="no host"),
        pytest.param({"url": "https://ci.example.org:port"}, id="port"),
        pytest.param({"url": PUBLIC_URL}, id="T17 ourselves"),
        pytest.param({"url": f"{PUBLIC_URL}/"}, id="T17 ourselves with a slash"),
        pytest.param({"url": "https://token.actions.githubusercontent.com"}, id="twice"),
        pytest.param({"kind": "other"}, id="kind"),
        pytest.param({"algorithms": ["HS256"]}, id="T02 symmetric"),
        pytest.param({"algorithms": ["none"]}, id="T01 none"),
        pytest.param({"max_lifetime_seconds": 90_000}, id="V12 more than a day"),
        pytest.param({"kind": "github", "immutable_claims": ["x"]}, id="M00b"),
        pytest.param({"immutable_claims": ["a b"]}, id="M00b space"),
        pytest.param({"jwks_uri": "http://ci.example.org/keys"}, id="K09 plain http"),
    ],
)
def test_an_issuer_that_cannot_be_trusted_is_not_saved(world: World, changes: dict[str, Any]) -> None:
    """V12, D20, T01, T02, T17: refused at save."""
    with pytest.raises(ConfigurationError):
        world.admin.add_issuer(NewIssuer(**{"url": "https://ci.example.org", **changes}))


def test_a_loopback_issuer_is_the_operators_explicit_choice(world: World) -> None:
    """D20: per issuer, no global switch."""
    issuer = world.admin.add_issuer(
        NewIssuer(url="http://127.0.0.1:8999", network=Network(NetworkKind.LOOPBACK), kind="github")
    )

    assert world.store.issuer_by_url("http://127.0.0.1:8999") == issuer


def test_a_locked_resource_is_known_or_refused(world: World) -> None:
    """S10: states have names."""
    with pytest.raises(ConfigurationError):
        world.admin.set_resource_state(parse_resource("acme/unknown"), "locked")
    with pytest.raises(ConfigurationError):
        world.admin.set_resource_state(world.resource, "odd")

    world.admin.set_resource_state(world.resource, "locked")
    assert world.store.publishers(world.resource, world.publisher.issuer_id) == ()
