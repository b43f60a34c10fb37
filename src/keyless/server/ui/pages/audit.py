"""The audit: what happened, with filters, chain status and export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

from keyless.errors import ResourceSyntaxError, TokenError
from keyless.jose.jwk import KeySet, PublicKey
from keyless.resource import Resource, parse_resource
from keyless.server.audit.event import EXCHANGES, EventKind
from keyless.server.audit.pages import Page
from keyless.server.audit.reader import AuditFilter, PageKey
from keyless.server.audit.statement import Checkpoint, read_checkpoint
from keyless.server.services.sealer import read_file
from keyless.server.ui.listing import PAGE_ROWS, next_url
from keyless.server.ui.run_link import commit_url, run_url
from keyless.server.ui.visit import Answer, Download, Html, PageError, Visit, not_found

EXPORT_ROWS: Final = 1_000
GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "exchanges": EXCHANGES,
    "refusals": frozenset({EventKind.EXCHANGE_REFUSED.value, EventKind.EXCHANGE_FAILED.value}),
    "trust": frozenset(k.value for k in EventKind if k.value.partition(".")[0] in {"publisher", "resource", "issuer"}),
    "people": frozenset(
        k.value for k in EventKind if k.value.partition(".")[0] in {"login", "login_code", "principal"}
    ),
    "keys": frozenset(k.value for k in EventKind if k.value.startswith("key")),
}


class Seal(NamedTuple):
    """What sealed the audit last: a checkpoint whose signature is good, or why there is none."""

    checkpoint: Checkpoint | None
    problem: str | None = None


class Audit:
    """The pages about the audit.

    Args:
        checkpoint_key: Public half of the key that seals it, where this service has it.
        checkpoint_file: Where checkpoints are kept outside the database, if anywhere.
    """

    def __init__(self, checkpoint_key: PublicKey | None, checkpoint_file: Path | None) -> None:
        self._keys = None if checkpoint_key is None else KeySet.of([checkpoint_key])
        self._file = checkpoint_file

    def pages(self) -> Mapping[str, Mapping[str, Callable[[Visit], Answer]]]:
        """Return the paths."""
        return {
            "/audit": {"GET": self.show_all},
            "/audit/verify": {"GET": self.verify},
            "/audit/export": {"GET": export},
            "/audit/{event}": {"GET": show},
        }

    def show_all(self, visit: Visit) -> Answer:
        """List events, the newest first."""
        found = _found(visit, PAGE_ROWS)
        more = next_url(visit, "{}:{}".format(*found.before)) if found.before is not None else None
        values = {
            "events": [(e, run_url(e.issuer, e.claims), commit_url(e.issuer, e.claims)) for e in found.records],
            "more": more,
            "groups": list(GROUPS),
            "query": {name: visit.query.get(name, "") for name in ("group", "resource", "publisher", "actor")},
            "seal": self._seal(visit),
        }
        return Html("audit.html", values)

    def verify(self, visit: Visit) -> Answer:
        """Check every chain and what sealed it, which reads the whole audit."""
        visit.reads_everything()
        outside = self._file is not None and self._keys is not None and self._file.exists()
        kept = read_file(self._file) if outside and self._file is not None else ()
        report = visit.store.verify_chain(keys=self._keys, kept=kept)
        values = {"report": report, "seal": self._seal(visit), "outside": outside, "kids": self._kids()}
        return Html("chain.html", values)

    def _seal(self, visit: Visit) -> Seal:
        if self._keys is None:
            return Seal(None, "this service has no key that seals it (checkpoint_key_file)")
        statement = visit.store.audit.newest_checkpoint()
        if statement is None:
            return Seal(None, "nothing was sealed yet")
        try:
            return Seal(read_checkpoint(statement, self._keys))
        except TokenError as error:
            return Seal(None, f"the last checkpoint is not signed by our key: {error}")

    def _kids(self) -> tuple[str, ...]:
        return () if self._keys is None else tuple(sorted(self._keys.kids))


def show(visit: Visit) -> Answer:
    """Show one event whole."""
    text = visit.path["event"]
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise not_found()
    namespaces = visit.reader.readable_namespaces
    event = visit.store.audit_event_by_id(int(text))
    if event is None or (namespaces is not None and event.namespace not in namespaces):
        raise not_found()
    details = {k: json.dumps(v, ensure_ascii=False) for k, v in event.data.items() if k != "claims"}
    links = {"run": run_url(event.issuer, event.claims), "commit": commit_url(event.issuer, event.claims)}
    values = {"event": event, "details": details, "links": links, "is_exchange": event.kind in EXCHANGES}
    return Html("event.html", values)


def export(visit: Visit) -> Answer:
    """Hand over the listed events, a thousand at most, a JSON object a line."""
    lines = [json.dumps(asdict(event), ensure_ascii=True) for event in _found(visit, EXPORT_ROWS).records]
    return Download("keyless-audit.jsonl", "application/jsonl", ("\n".join(lines) + "\n").encode("ascii"))


def _found(visit: Visit, limit: int) -> Page:
    kinds = GROUPS.get(visit.query.get("group", ""))
    resource = _resource(visit.query.get("resource", "").strip())
    wanted = AuditFilter(
        resource=None if resource is None else str(resource),
        publisher_id=visit.query.get("publisher", "").strip() or None,
        actor=visit.query.get("actor", "").strip() or None,
        kinds=kinds,
    )
    namespaces = visit.reader.readable_namespaces
    return visit.store.audit_page(wanted, namespaces=namespaces, before=_before(visit), limit=limit)


def _before(visit: Visit) -> PageKey | None:
    text = visit.query.get("after", "")
    numbers = text.split(":")
    if not text:
        return None
    if len(numbers) != 2 or not all(n.isascii() and n.isdecimal() and len(n) < 16 for n in numbers):
        raise PageError(400, "this page's address cannot be read")
    return int(numbers[0]), int(numbers[1])


def _resource(text: str) -> Resource | None:
    if not text:
        return None
    try:
        return parse_resource(text)
    except ResourceSyntaxError as error:
        raise PageError(422, error.message, hint=error.hint) from None
