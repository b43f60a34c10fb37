"""A Trusted Publisher as JSON, and back."""

from __future__ import annotations

from keyless.trust.publisher import Publisher


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
        "created_by": publisher.created_by,
        "created_at": publisher.created_at,
        "last_used_at": publisher.last_used_at,
    }
