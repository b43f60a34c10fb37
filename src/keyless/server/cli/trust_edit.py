"""`keyless trust edit`: change a publisher, with its id, its history and whatever is not named."""

from __future__ import annotations

import argparse
from dataclasses import replace

from keyless.issuers import profile_for
from keyless.server.cli import publisher_text
from keyless.server.cli.publisher_options import changed, claims_of, operations_of, pins_of
from keyless.server.cli.remote_desk import open_desk
from keyless.server.cli.store_access import print_json
from keyless.server.representations.publisher import publisher_json
from keyless.server.store.admin import NewPublisher, description_of
from keyless.trust.publisher import Publisher


def edit(options: argparse.Namespace) -> int:
    """Change one publisher."""
    with open_desk(options) as desk:
        before = desk.publisher(options.publisher)
        publisher = desk.change_publisher(before.id, _edited(before, options), expected_version=before.version)
    if options.json:
        print_json(publisher_json(publisher))
    elif publisher.version == before.version:
        print(f"{publisher.id} is so already")
    else:
        print("\n".join(publisher_text.describe(publisher)))
    return 0


def _edited(before: Publisher, options: argparse.Namespace) -> NewPublisher:
    """Return the description with what was named: a claim replaces the one of its name, `NAME=` takes it out."""
    profile = profile_for(before.issuer_kind)
    description = description_of(before)
    named = claims_of(options, profile)
    pins = pins_of(options, profile, named)
    claims = {**description.claims, **named}
    operations = operations_of(options.operations)
    return replace(
        description,
        claims={claim: values for claim, values in claims.items() if list(values) != [""]},
        pins={**description.pins, **pins},
        pin_first_use=description.pin_first_use or options.pin_first_use,
        operations=operations or description.operations,
        ttl_seconds=changed(options.ttl, before.ttl_seconds),
        expires_at=changed(options.expires, before.expires_at),
        replay=changed(options.replay, before.replay),
        max_live_tokens=changed(options.max_live_tokens, before.max_live_tokens),
        max_grants_per_hour=changed(options.max_grants_per_hour, before.max_grants_per_hour),
        max_run_attempt=changed(options.max_run_attempt, before.max_run_attempt),
    )
