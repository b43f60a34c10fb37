"""Why was it refused? The recent exchanges of a resource, and one of them claim by claim (D12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from keyless.errors import ConfigurationError, ResourceSyntaxError
from keyless.issuers import profile_for
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource, parse_resource
from keyless.server.audit.event import EXCHANGES, EventKind
from keyless.server.audit.reader import AuditFilter, AuditRecord
from keyless.server.ui.pages.prefill import prefilled_from
from keyless.server.ui.run_link import commit_url, run_url
from keyless.server.ui.visit import Answer, Html, Visit, not_found
from keyless.trust.explain import Explanation, explain_claims


def recent_attempts(visit: Visit, resource: Resource, *, limit: int) -> Sequence[AuditRecord]:
    """Return the latest exchanges of a resource, granted, refused or explained."""
    return visit.store.audit_page(AuditFilter(resource=str(resource), kinds=EXCHANGES), limit=limit).records


def show(visit: Visit) -> Answer:
    """Show one exchange: what came, what each publisher makes of it now, and what would let it in."""
    event = of_path(visit)
    resource = resource_of(event)
    issuer = _issuer(visit, event)
    explanation = None if issuer is None or resource is None else _explanation(visit, event, resource, issuer)
    refused = event.kind in {EventKind.EXCHANGE_REFUSED.value, EventKind.EXCHANGE_EXPLAINED.value}
    may_change = resource is not None and visit.reader.may_change(resource.namespace)
    offered = refused and may_change and event.reason == "no_matching_publisher" and issuer is not None
    fix = prefilled_from(event, profile_for(issuer.kind)) if offered and issuer is not None else None
    values = {
        "event": event,
        "resource": resource,
        "explanation": explanation,
        "fix": fix,
        "run_url": run_url(event.issuer, event.claims),
        "commit_url": commit_url(event.issuer, event.claims),
    }
    return Html("attempt.html", values)


def of_path(visit: Visit) -> AuditRecord:
    """Return the exchange that a path names, if this person may see it.

    Raises:
        PageError: There is none of that id, or it belongs to somebody else.
    """
    text = visit.path["event"]
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise not_found()
    reader = visit.reader
    event = visit.store.audit_event_by_id(int(text))
    if event is None or event.kind not in EXCHANGES:
        raise not_found()
    if event.namespace is None:
        if not reader.reads_everything:
            raise not_found()
    elif not reader.may_read(event.namespace):
        raise not_found()
    return event


def resource_of(event: AuditRecord) -> Resource | None:
    """Return the resource that was asked for, or `None`."""
    try:
        return None if event.resource is None else parse_resource(event.resource)
    except ResourceSyntaxError:
        return None


def _issuer(visit: Visit, event: AuditRecord) -> Issuer | None:
    try:
        return None if event.issuer is None else visit.administration.issuer(event.issuer)
    except ConfigurationError:  # removed meanwhile
        return None


def _explanation(visit: Visit, event: AuditRecord, resource: Resource, issuer: Issuer) -> Explanation | None:
    """Judge the claims that were kept by the publishers of today; `None` where none were kept."""
    if not event.claims:
        return None
    claims = {"sub": event.ci_subject or "unknown", **event.claims}
    publishers = visit.administration.publishers(resource)
    return explain_claims(publishers, claims, issuer, profile_for(issuer.kind), now=visit.now)


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {"/exchanges/{event}": {"GET": show}}
