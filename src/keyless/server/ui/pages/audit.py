"""The audit: what happened, with filters, chain status and export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from keyless.errors import ResourceSyntaxError
from keyless.resource import Resource, parse_resource
from keyless.server.audit.event import EXCHANGES, EventKind
from keyless.server.audit.pages import Page
from keyless.server.audit.reader import AuditFilter, PageKey
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


def show_all(visit: Visit) -> Answer:
    """List events, the newest first."""
    found = _found(visit, PAGE_ROWS)
    more = next_url(visit, "{}:{}".format(*found.before)) if found.before is not None else None
    values = {
        "events": [(event, run_url(event.issuer, event.claims)) for event in found.records],
        "more": more,
        "groups": list(GROUPS),
        "query": {name: visit.query.get(name, "") for name in ("group", "resource", "publisher", "actor")},
    }
    return Html("audit.html", values)


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


def verify(visit: Visit) -> Answer:
    """Check every chain, which reads the whole audit."""
    visit.reads_everything()
    return Html("chain.html", {"report": visit.store.verify_chain()})


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


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {
    "/audit": {"GET": show_all},
    "/audit/verify": {"GET": verify},
    "/audit/export": {"GET": export},
    "/audit/{event}": {"GET": show},
}
