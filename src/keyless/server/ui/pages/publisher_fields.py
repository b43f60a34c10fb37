"""A publisher as the fields of a form, and the fields as a publisher. Pure.

A claim that may have several values has a field for each: `branch`, `branch~2`, `branch~3`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from keyless.errors import ConfigurationError
from keyless.issuers.profile import Profile
from keyless.resource import parse_resource
from keyless.server.moments import parse_moment
from keyless.server.store.admin import NewPublisher
from keyless.server.ui.pages.prefill import CLAIMS
from keyless.trust.publisher import Operation, Publisher

MAX_FIELD_CHARS: Final = 500
MAX_FIELDS: Final = 100
OPERATIONS: Final = tuple(operation.value for operation in Operation)
LIMITS: Final = {
    "max_live_tokens": "Its live tokens at once",
    "max_grants_per_hour": "More tokens than that in an hour pause it",
    "max_run_attempt": "Refuse re-runs of a run beyond this attempt",
}

_COUNTED: Final = {
    "ttl": "seconds",
    "max_live_tokens": "live tokens",
    "max_grants_per_hour": "tokens in an hour",
    "max_run_attempt": "attempts of a run",
}


def read_fields(given: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that say something, without spaces around them and bounded."""
    said = {name: value.strip()[:MAX_FIELD_CHARS] for name, value in given.items() if value.strip()}
    return dict(list(said.items())[:MAX_FIELDS])


def fields_of(publisher: Publisher, profile: Profile) -> dict[str, str]:
    """Return the fields that make this publisher."""
    fields = {"resource": str(publisher.resource), "issuer": publisher.issuer_url, "version": str(publisher.version)}
    for condition in publisher.conditions:
        name = condition.claim
        if name == profile.repository_claim:
            name = "repository"
        elif name not in CLAIMS:
            name = f"claim.{name}"
        for number, value in enumerate(condition.values, start=1):
            fields[name if number == 1 else f"{name}~{number}"] = value
    fields |= {f"pin.{pin.claim}": pin.value for pin in publisher.pins if pin.value is not None}
    fields |= {f"operation.{operation.value}": "1" for operation in publisher.operations}
    if any(pin.value is None for pin in publisher.pins):
        fields["pin_first_use"] = "1"
    if publisher.expires_at is not None:
        fields["expires"] = datetime.fromtimestamp(publisher.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if publisher.ttl_seconds is not None:
        fields["ttl"] = str(publisher.ttl_seconds)
    limits = {name: getattr(publisher, name) for name in LIMITS}
    return fields | {name: str(value) for name, value in limits.items() if value is not None}


def new_of(fields: Mapping[str, str], profile: Profile, *, now: int) -> NewPublisher:
    """Return what the fields describe.

    Raises:
        ConfigurationError: They do not make a publisher.
    """
    claims: dict[str, list[str]] = defaultdict(list)
    pins: dict[str, str] = {}
    for name, value in fields.items():
        plain, _, _ = name.partition("~")
        if plain == "repository" and profile.repository_claim is not None:
            claims[profile.repository_claim].append(value)
        elif plain in CLAIMS:
            claims[plain].append(value)
        elif plain.startswith("claim."):
            claims[plain.removeprefix("claim.")].append(value)
        elif name.startswith("pin."):
            pins[name.removeprefix("pin.")] = value
    for claim in profile.pin_claims:  # an id is a pin, however it was given
        if claim in claims:
            pins.setdefault(claim, claims.pop(claim)[0])
    expires = fields.get("expires")
    return NewPublisher(
        resource=parse_resource(fields.get("resource", "")),
        issuer_url=fields.get("issuer") or profile.default_url or "",
        claims={claim: list(dict.fromkeys(values)) for claim, values in claims.items()},
        pins=pins,
        pin_first_use=bool(fields.get("pin_first_use")),
        operations=[Operation(name) for name in OPERATIONS if fields.get(f"operation.{name}")],
        ttl_seconds=_number(fields, "ttl"),
        expires_at=None if expires is None else parse_moment(expires, now=now),
        pending=bool(fields.get("pending")),
        max_live_tokens=_number(fields, "max_live_tokens"),
        max_grants_per_hour=_number(fields, "max_grants_per_hour"),
        max_run_attempt=_number(fields, "max_run_attempt"),
    )


def further(fields: Mapping[str, str], options: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, label and value of each field that has no place of its own in the form."""
    for name, value in fields.items():
        plain, _, number = name.partition("~")
        if number and plain in {"repository", *options}:
            yield name, f"or {plain}", value
        elif plain.startswith("claim."):
            yield name, f"{'or ' if number else ''}{plain.removeprefix('claim.')}", value


def _number(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ConfigurationError(f"{text!r} is no number of {_COUNTED[name]}")
    return int(text)
