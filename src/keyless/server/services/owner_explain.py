"""Explain for whoever may read a resource's publishers: what each makes of a job, expected values included (D12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keyless.errors import ClaimError, TokenError, UntrustedIssuerError
from keyless.issuers import profile_for
from keyless.resource import Resource
from keyless.server.services.verification import IdTokenVerification
from keyless.server.store import Store
from keyless.server.store.admin import Administration
from keyless.trust.explain import Explanation, explain_claims


class OwnerExplain:
    """Judge claims that nobody proved, or an id token, by all publishers of a resource, whatever their state.

    Args:
        store: Says which publishers are in force.
        administration: Over the same store.
    """

    def __init__(self, store: Store, administration: Administration) -> None:
        self._store = store
        self._administration = administration

    def of_claims(self, resource: Resource, issuer_url: str, claims: Mapping[str, object], *, now: int) -> Explanation:
        """Say what the publishers of a resource make of an issuer's claims."""
        issuer = self._store.issuer_by_url(issuer_url)
        if issuer is None:
            return Explanation(False, UntrustedIssuerError.code, f"the issuer {issuer_url} is not configured")
        return explain_claims(
            self._administration.publishers(resource),
            claims,
            issuer,
            profile_for(issuer.kind),
            now=now,
            in_force={publisher.id for publisher in self._store.publishers(resource, issuer.id)},
        )

    async def of_token(
        self, resource: Resource, token: str, verification: IdTokenVerification, *, now: int
    ) -> Explanation:
        """Verify a token as the exchange does; one that is over is compared all the same, and refused.

        Raises:
            UnavailableError: The issuer's keys cannot be had now.
        """
        failure: ClaimError | None = None
        try:
            candidate = verification.identify(token)
            try:
                await verification.prove(candidate)
            except ClaimError as error:  # the signature is good, so the claims are worth comparing
                failure = error
        except TokenError as error:
            return Explanation(False, error.code, str(error))
        claims = candidate.unverified.unverified_claims
        explanation = self.of_claims(resource, candidate.issuer.url, claims, now=now)
        if failure is None:
            return explanation
        return replace(explanation, accepted=False, reason=failure.code, detail=str(failure))
