"""The first page: exchanges over time by verdict, why they were refused, and which publishers want a look."""

from __future__ import annotations

from collections import Counter
from typing import Final

from keyless.issuers import PROFILES
from keyless.server.audit.event import EventKind
from keyless.server.store.admin import activity
from keyless.server.store.admin.activity import EXCHANGES
from keyless.server.ui.charts import Series, bars
from keyless.server.ui.visit import Answer, Html, Visit
from keyless.trust.lint import Severity, lint

HOURS: Final = 24
SCANNED_ROWS: Final = 5_000  # the page costs the same with ten million rows
LINTED_PUBLISHERS: Final = 200
VERDICTS: Final = (("granted", EventKind.TOKEN_GRANTED), ("refused", EventKind.EXCHANGE_REFUSED))


def show(visit: Visit) -> Answer:
    """Show the dashboard of what this person may see."""
    namespaces = visit.reader.readable_namespaces
    since = visit.now - HOURS * 3600
    with visit.administration.reading() as connection:
        wanted = activity.of_kinds(EXCHANGES, namespaces)
        found = activity.scan(connection, wanted=wanted, limit=SCANNED_ROWS, scanned_rows=SCANNED_ROWS)
    recent = [event for event in found.events if event.at > since]
    counts = {name: [0] * HOURS for name, _ in VERDICTS}
    names = {kind.value: name for name, kind in VERDICTS}
    for event in recent:
        if event.kind in names:
            counts[names[event.kind]][min(HOURS - 1, (event.at - since) // 3600)] += 1
    reasons = Counter(event.reason or "unknown" for event in recent if event.kind == EventKind.EXCHANGE_REFUSED.value)
    page = visit.administration.publisher_page(namespaces=namespaces, limit=LINTED_PUBLISHERS)
    publishers = [publisher for _, publisher in page]
    issuers = {issuer.id: issuer for issuer in visit.administration.issuers()}
    findings = lint(publishers, issuers, PROFILES, now=visit.now)
    values = {
        "chart": bars([Series(name, tuple(values)) for name, values in counts.items()], label="exchanges an hour"),
        "totals": {name: sum(values) for name, values in counts.items()},
        "reasons": reasons.most_common(8),
        "partial": found.before is not None and bool(recent) and len(recent) == len(found.events),
        "loose": [f for f in findings if f.severity in {Severity.ERROR, Severity.WARNING}][:12],
        "refused": [event for event in recent if event.kind == EventKind.EXCHANGE_REFUSED.value][:10],
        "publishers": len(publishers),
        "more_publishers": len(publishers) == LINTED_PUBLISHERS,
    }
    return Html("dashboard.html", values)
