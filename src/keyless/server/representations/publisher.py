"""A Trusted Publisher as JSON, and back."""

from __future__ import annotations

from keyless.errors import ResourceSyntaxError
from keyless.oidc.issuer import ReplayMode
from keyless.resource import parse_resource
from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.trust.publisher import Condition, Operation, Operator, Pin, PinSource, Publisher


def publisher_json(publisher: Publisher) -> dict[str, object]:
    """Return a publisher for people who may read it."""
    return {
        "id": publisher.id,
        "version": publisher.version,
        "resource": str(publisher.resource),
        "issuer": publisher.issuer_url,
        "kind": publisher.issuer_kind,
        "enabled": publisher.enabled,
        "operations": [operation.value for operation in publisher.operations],
        "conditions": [
            {"claim": c.claim, "operator": c.operator.value, "values": list(c.values)} for c in publisher.conditions
        ],
        "pins": [
            {
                "claim": pin.claim,
                "value": pin.value,
                "source": pin.source.value,
                "pinned_at": pin.pinned_at,
                "lapses_at": pin.lapses_at,
            }
            for pin in publisher.pins
        ],
        "audience": publisher.audience,
        "ttl_seconds": publisher.ttl_seconds,
        "expires_at": publisher.expires_at,
        "replay": None if publisher.replay is None else publisher.replay.value,
        "max_live_tokens": publisher.max_live_tokens,
        "max_grants_per_hour": publisher.max_grants_per_hour,
        "max_run_attempt": publisher.max_run_attempt,
        "pending_until": publisher.pending_until,
        "paused_at": publisher.paused_at,
        "paused_reason": publisher.paused_reason,
        "created_by": publisher.created_by,
        "created_at": publisher.created_at,
        "last_used_at": publisher.last_used_at,
    }


def publisher_from_json(content: Json) -> Publisher:
    """Read what `publisher_json` writes; its issuer's number and the token prefix are not in there.

    Raises:
        ResponseError: It is something else.
    """
    try:
        resource = parse_resource(reading.text(content, "resource"))
        operations = tuple(Operation(name) for name in reading.texts(content, "operations"))
    except (ResourceSyntaxError, ValueError):
        raise reading.unexpected("resource") from None
    return Publisher(
        id=reading.text(content, "id"),
        version=reading.number(content, "version"),
        resource=resource,
        issuer_id=0,
        issuer_url=reading.text(content, "issuer"),
        issuer_kind=reading.text(content, "kind"),
        operations=operations,
        conditions=tuple(
            Condition(
                reading.text(item, "claim"), reading.choice(item, "operator", Operator), reading.texts(item, "values")
            )
            for item in reading.objects(content, "conditions")
        ),
        pins=tuple(
            Pin(
                reading.text(item, "claim"),
                reading.maybe_text(item, "value"),
                reading.choice(item, "source", PinSource),
                reading.maybe_number(item, "pinned_at"),
                reading.maybe_number(item, "lapses_at"),
            )
            for item in reading.objects(content, "pins")
        ),
        audience=reading.text(content, "audience"),
        token_prefix="",
        enabled=reading.flag(content, "enabled"),
        ttl_seconds=reading.maybe_number(content, "ttl_seconds"),
        expires_at=reading.maybe_number(content, "expires_at"),
        replay=reading.maybe_choice(content, "replay", ReplayMode),
        max_live_tokens=reading.maybe_number(content, "max_live_tokens"),
        max_grants_per_hour=reading.maybe_number(content, "max_grants_per_hour"),
        max_run_attempt=reading.maybe_number(content, "max_run_attempt"),
        pending_until=reading.maybe_number(content, "pending_until"),
        paused_at=reading.maybe_number(content, "paused_at"),
        paused_reason=reading.maybe_text(content, "paused_reason"),
        created_by=reading.text(content, "created_by"),
        created_at=reading.number(content, "created_at"),
        last_used_at=reading.maybe_number(content, "last_used_at"),
    )
