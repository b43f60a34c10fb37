"""Explain and lint for people who are signed in: what publishers expect is theirs to see (D12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field

from keyless.errors import RateLimitedError
from keyless.resource import Resource, parse_resource
from keyless.server.api.call import Answer, Call
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import ProblemError
from keyless.server.audit.event import EventKind
from keyless.server.people.attempts import WINDOW_SECONDS, Allowance
from keyless.server.representations.explanation import explanation_json
from keyless.server.representations.fields import Closed, Text, Url
from keyless.server.representations.new_publisher import provider_url
from keyless.server.services.owner_explain import OwnerExplain
from keyless.server.services.trail import safe_text
from keyless.server.services.verification import IdTokenVerification
from keyless.server.store import Store
from keyless.trust.explain import Explanation

QUESTIONS = 60  # of one person in a minute: enough for a person, too few to fill the audit
MAX_ID_TOKEN_CHARS = 16_384


class ExplainBody(Closed):
    """Bring a job's claims, or its id token."""

    resource: Text
    claims: Mapping[str, object] | None = None
    provider: Text | None = None
    issuer: Url | None = None
    id_token: Annotated[str, Field(min_length=1, max_length=MAX_ID_TOKEN_CHARS)] | None = None


class Explain:
    """Answer questions about jobs.

    Args:
        store: The service's.
        verification: The exchange's own.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, verification: IdTokenVerification, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._verification = verification
        self._allowance = Allowance(QUESTIONS, clock=clock)

    def explain(self, call: Call) -> Answer:
        """Say what each publisher of a resource makes of a job, claim by claim."""
        body: ExplainBody = call.body
        resource = parse_resource(body.resource)
        call.may_see(resource.namespace)
        if not self._allowance.spend(call.signed_in.principal.id):
            raise RateLimitedError(f"{QUESTIONS} explanations a minute are allowed", retry_after=WINDOW_SECONDS)
        explanation = self._explanation(call, body, resource)
        with call.administration.together() as change:
            accepted = next((item.publisher.id for item in explanation.publishers if item.accepted), None)
            change.note(
                EventKind.EXCHANGE_EXPLAINED,
                publisher_id=accepted,
                resource=str(resource),
                reason=explanation.reason,
                detail=safe_text(explanation.detail),
            )
        return Answer(200, explanation_json(resource, explanation))

    def _explanation(self, call: Call, body: ExplainBody, resource: Resource) -> Explanation:
        explain = OwnerExplain(self._store, call.administration)
        now = call.administration.now()
        if (body.claims is None) == (body.id_token is None):
            raise ProblemError(422, "body_invalid", "bring claims or an id_token, and not both")
        if body.id_token is not None:
            if body.provider is not None or body.issuer is not None:
                raise ProblemError(422, "body_invalid", "an id token names its issuer itself")
            return call.wait_for(explain.of_token(resource, body.id_token, self._verification, now=now))
        claims = body.claims or {}
        return explain.of_claims(resource, _issuer_url(body, claims.get("iss")), claims, now=now)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(
                id="explain",
                method="POST",
                path="/explain",
                handler=self.explain,
                access=Access.READ,
                body=ExplainBody,
            ),
        )


def _issuer_url(body: ExplainBody, named: object) -> str:
    if body.provider is not None and body.issuer is not None:
        raise ProblemError(422, "body_invalid", "name a provider or an issuer, and not both")
    chosen = provider_url(body.provider) if body.provider is not None else body.issuer
    url = chosen if chosen is not None else named
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > 2000:
        raise ProblemError(422, "body_invalid", "the claims name no issuer", hint="Add provider or issuer.")
    if named not in (None, url):
        raise ProblemError(422, "body_invalid", f"the claims are not from {url}")
    return url
