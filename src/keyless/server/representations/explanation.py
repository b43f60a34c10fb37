"""An explanation as JSON, expected values included: for who may read the publishers anyway (D12)."""

from __future__ import annotations

from keyless.resource import Resource
from keyless.trust.explain import Explanation


def explanation_json(resource: Resource, explanation: Explanation) -> dict[str, object]:
    """Return what each publisher of a resource makes of an identity, claim by claim."""
    return {
        "resource": str(resource),
        "accepted": explanation.accepted,
        "reason": explanation.reason,
        "detail": explanation.detail,
        "publishers": [
            {
                "publisher": item.publisher.id,
                "issuer": item.publisher.issuer_url,
                "accepted": item.accepted,
                "claims": [
                    {"claim": f.claim, "matches": f.matches, "expected": f.expected, "received": f.received}
                    for f in item.findings
                ],
            }
            for item in explanation.publishers
        ],
    }
