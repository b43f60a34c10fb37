"""The first page: exchanges over time by verdict, why they were refused, and which publishers want a look.

It costs the same with ten million exchanges as with a few: they were counted before, hour by hour.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from keyless.issuers import PROFILES
from keyless.server.audit.event import EventKind
from keyless.server.audit.reader import AuditFilter, AuditRecord
from keyless.server.store.admin.publisher_rows import PageKey
from keyless.server.store.exchange_hours import HOUR_SECONDS
from keyless.server.ui.charts import Series, bars
from keyless.server.ui.listing import PAGE_ROWS
from keyless.server.ui.pages.audit import GROUPS
from keyless.server.ui.visit import Answer, Html, Visit
from keyless.trust.lint import Severity, lint
from keyless.trust.publisher import Publisher

HOURS: Final = 24
LINTED_PUBLISHERS: Final = 100
REFUSED: Final = frozenset({EventKind.EXCHANGE_REFUSED.value})
VERDICTS: Final = {EventKind.TOKEN_GRANTED.value: "granted", EventKind.EXCHANGE_REFUSED.value: "refused"}
CHANGES_DAYS: Final = 7
CHANGES: Final = 10
CHANGED: Final = (GROUPS["trust"] | {"principal.added", "principal.changed", "login_code.made"}) - {
    "issuer.keys_changed"  # a rotation, which nobody made here
}
STALE: Final = frozenset(
    {"unused", "never-used", "expired", "disabled", "id-lapsed", "pending-lapsed", "issuer-disabled", "keys-end"}
)
"""The lint codes of publishers that do nothing, or will soon."""


def show(visit: Visit) -> Answer:
    """Show the dashboard of what this person may see."""
    namespaces = visit.reader.readable_namespaces
    counts = {name: [0] * HOURS for name in VERDICTS.values()}
    reasons: Counter[str] = Counter()
    first = visit.now // HOUR_SECONDS - HOURS + 1
    for found in visit.store.exchange_hours(namespaces):
        if not 0 <= (place := found.hour - first) < HOURS:
            continue
        counts[VERDICTS[found.kind]][place] += found.exchanges
        if found.kind in REFUSED:
            reasons[found.reason or "unknown"] += found.exchanges
    wanted = AuditFilter(kinds=REFUSED, since=first * HOUR_SECONDS)
    refused = visit.store.audit_page(wanted, namespaces=namespaces, limit=10)
    publishers = _some_publishers(visit)
    issuers = {issuer.id: issuer for issuer in visit.administration.issuers()}
    findings = lint(publishers, issuers, PROFILES, now=visit.now)
    values = {
        "chart": bars([Series(name, tuple(values)) for name, values in counts.items()], label="exchanges an hour"),
        "totals": {name: sum(values) for name, values in counts.items()},
        "reasons": reasons.most_common(8),
        "loose": [f for f in findings if f.severity is not Severity.INFO and f.code not in STALE][:12],
        "stale": [f for f in findings if f.code in STALE][:12],
        "changes": _changes(visit),
        "refused": refused.records,
        "publishers": len(publishers),
        "more_publishers": len(publishers) == LINTED_PUBLISHERS,
    }
    return Html("dashboard.html", values)


def _some_publishers(visit: Visit) -> list[Publisher]:
    found: list[tuple[PageKey, Publisher]] = []
    while len(found) < LINTED_PUBLISHERS:
        page = visit.administration.publisher_page(
            namespaces=visit.reader.readable_namespaces, after=found[-1][0] if found else None, limit=PAGE_ROWS
        )
        found += page
        if len(page) < PAGE_ROWS:
            break
    return [publisher for _, publisher in found]


def _changes(visit: Visit) -> list[tuple[AuditRecord, bool]]:
    """Return who changed trust lately, and whether it was somebody else: a back door is seen by the others (T110)."""
    wanted = AuditFilter(kinds=CHANGED, since=visit.now - CHANGES_DAYS * 24 * 3600)
    found = visit.store.audit_page(wanted, namespaces=visit.reader.readable_namespaces, limit=CHANGES)
    return [(event, event.actor != visit.person.actor) for event in found.records]
