"""Policies over the API: a plan may be read, an application needs a person's login (D13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import StringConstraints

from keyless.errors import RateLimitedError
from keyless.server.api.call import Answer, Call
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import ProblemError
from keyless.server.people.attempts import WINDOW_SECONDS, Allowance
from keyless.server.policy.document import MAX_FILE_BYTES, parse_policy
from keyless.server.policy.plan import plan_json
from keyless.server.policy.service import PlanChangedError, PolicyService
from keyless.server.representations.fields import Closed

PLANS: Final = 30  # of one principal in a minute: each holds the writers up for as long as it takes


class PlanBody(Closed):
    """Bring a policy, and say whether publishers that are not in it would be removed."""

    policy: Mapping[str, object]
    prune: bool = False


class ApplyBody(PlanBody):
    """The same, and the digest of the plan that was looked at."""

    expect: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None


@dataclass(frozen=True, slots=True)
class _CallersRights:
    call: Call
    to_change: bool

    def namespace(self, name: str) -> None:
        """Go on if the caller may look, or change."""
        if self.to_change:
            self.call.may_change(name)
        else:
            self.call.may_see(name)

    def issuers(self) -> None:
        """Go on if the caller is an admin; a plan may always say what is missing."""
        if self.to_change and not self.call.signed_in.is_admin:
            raise ProblemError(403, "admin_required", "the policy brings an issuer, which only an admin may")


class Policies:
    """Plan and apply policies.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._allowance = Allowance(PLANS, clock=clock)

    def plan(self, call: Call) -> Answer:
        """Say what applying a policy would do; nothing is changed."""
        body: PlanBody = call.body
        service = self._service(call, to_change=False)
        return Answer(200, plan_json(service.plan(parse_policy(body.policy), prune=body.prune)))

    def apply(self, call: Call) -> Answer:
        """Make the store as a policy says: all of it, or nothing."""
        body: ApplyBody = call.body
        service = self._service(call, to_change=True)
        try:
            plan = service.apply(parse_policy(body.policy), prune=body.prune, expect=body.expect)
        except PlanChangedError as error:
            raise ProblemError(409, error.code, str(error), hint=error.hint) from None
        return Answer(200, plan_json(plan))

    def _service(self, call: Call, *, to_change: bool) -> PolicyService:
        if not self._allowance.spend(call.signed_in.principal.id):
            raise RateLimitedError(f"{PLANS} plans a minute are allowed", retry_after=WINDOW_SECONDS)
        return PolicyService(call.administration, _CallersRights(call, to_change))

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(
                id="planPolicy",
                method="POST",
                path="/policy/plan",
                handler=self.plan,
                access=Access.READ,
                body=PlanBody,
                max_body_bytes=MAX_FILE_BYTES,
            ),
            Operation(
                id="applyPolicy",
                method="POST",
                path="/policy/apply",
                handler=self.apply,
                access=Access.CHANGE,
                body=ApplyBody,
                max_body_bytes=MAX_FILE_BYTES,
            ),
        )
