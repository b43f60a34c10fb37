"""The first page: exchanges over time by verdict, why they were refused, and which publishers want a look.

It costs the same with ten million exchanges as with a few: they were counted before, hour by hour.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from keyless.issuers import PROFILES
from keyless.server.audit.event import EventKind
from keyless.server.audit.reader import AuditFilter
from keyless.server.store.admin.publisher_rows import PageKey
from keyless.server.store.exchange_hours import HOUR_SECONDS
from keyless.server.ui.charts import Series, bars
from keyless.server.ui.listing import PAGE_ROWS
from keyless.server.ui.visit import Answer, Html, Visit
from keyless.trust.lint import Severity, lint
from keyless.trust.publisher import Publisher

HOURS: Final = 24
LINTED_PUBLISHERS: Final = 100
REFUSED: Final = frozenset({EventKind.EXCHANGE_REFUSED.value})
VERDICTS: Final = {EventKind.TOKEN_GRANTED.value: "granted", EventKind.EXCHANGE_REFUSED.value: "refused"}


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
        "loose": [f for f in findings if f.severity in {Severity.ERROR, Severity.WARNING}][:12],
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
