"""Records as JSON and back: no field of a record is forgotten on the way (D13)."""

from __future__ import annotations

from dataclasses import fields, replace

from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import parse_resource
from keyless.server.representations.issuer import issuer_from_json, issuer_json
from keyless.server.representations.new_issuer import IssuerDescription, new_issuer_json
from keyless.server.representations.new_publisher import PublisherDescription, new_publisher_json
from keyless.server.representations.publisher import publisher_from_json, publisher_json
from keyless.server.store.admin import NewIssuer, NewPublisher
from keyless.trust.publisher import Condition, Operation, Operator, Pin, PinSource, Publisher

FULL = Publisher(
    id="pub_x",
    version=3,
    resource=parse_resource("datasets/acme/data"),
    issuer_id=0,
    issuer_url="https://ci.example.org",
    issuer_kind="generic",
    operations=(Operation.READ, Operation.WRITE),
    conditions=(Condition("branch", Operator.GLOB, ("main", "release/*")),),
    pins=(
        Pin("repository_id", "7", PinSource.FIRST_USE, 5, None),
        Pin("repository_owner_id", None, PinSource.FIRST_USE, None, 9),
    ),
    audience="https://hub.example.org",
    token_prefix="",
    enabled=False,
    ttl_seconds=600,
    expires_at=1_900_000_000,
    replay=ReplayMode.ONCE,
    created_by="person:alice",
    created_at=1_800_000_000,
    last_used_at=1_800_000_001,
    pending_until=1_800_000_002,
    max_live_tokens=3,
    max_grants_per_hour=4,
    max_run_attempt=5,
    paused_at=1_800_000_003,
    paused_reason="volume_alarm",
)
NEW = NewPublisher(
    resource=parse_resource("acme/model"),
    issuer_url="https://ci.example.org",
    claims={"branch": ["main", "dev"]},
    pins={"repository_id": "7"},
    pin_first_use=True,
    operations=[Operation.READ],
    ttl_seconds=600,
    expires_at=1_900_000_000,
    replay=ReplayMode.COUNTED,
    resource_server="hub",
    pending=True,
    max_live_tokens=3,
    max_grants_per_hour=4,
    max_run_attempt=5,
)


def test_a_publisher_comes_back_as_it_went() -> None:
    """D13: whichever way `keyless trust` asks, it shows the same; every field with a value of its own."""
    empty = {field.name for field in fields(FULL) if field.compare and getattr(FULL, field.name) in (None, ())}
    assert empty == set()

    assert publisher_from_json(publisher_json(FULL)) == FULL
    nothing = replace(FULL, ttl_seconds=None, expires_at=None, replay=None, last_used_at=None, paused_reason=None)
    assert publisher_from_json(publisher_json(nothing)) == nothing


def test_the_description_of_a_publisher_comes_back_as_it_went() -> None:
    """D13: what `--url` sends is what the API and a policy read; a new field of it must be taught to them."""
    assert [field.name for field in fields(NEW) if getattr(NEW, field.name) in (None, (), False)] == []

    assert PublisherDescription.model_validate(new_publisher_json(NEW)).new_publisher() == NEW


def test_an_issuer_and_its_description_come_back_as_they_went() -> None:
    """D13: as above."""
    issuer = Issuer(id=7, url="https://ci.example.org", kind="generic", distrusted_kids=frozenset({"a", "b"}))
    new = NewIssuer(
        url="https://ci.example.org",
        kind="generic",
        algorithms=["ES256"],
        replay=ReplayMode.ONCE,
        max_lifetime_seconds=600,
        jwks_uri="https://ci.example.org/keys",
        allow_multiple_audiences=True,
        immutable_claims=["project"],
    )

    assert issuer_from_json(issuer_json(issuer)) == issuer
    assert IssuerDescription.model_validate(new_issuer_json(new)).new_issuer() == new
