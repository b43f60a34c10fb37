"""One call of the API: what came in, who calls, and what goes out."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from keyless.server.api.problems import ProblemError, not_found
from keyless.server.people.principal import SignedIn
from keyless.server.services.trail import Caller
from keyless.server.store.admin import Administration, People

Json = dict[str, object]
_Result = TypeVar("_Result")
ANY_VERSION: Final = "*"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out when a call succeeds.

    Attributes:
        status: HTTP status code.
        content: The JSON object, or `None` for an answer without a body.
        headers: `ETag`, `Location`.
        kept: What an idempotent create answers the next time instead of `content`: without secrets.
    """

    status: int
    content: Json | None
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What came in, checked against the operation's description.

    Attributes:
        caller: Address and request id.
        path: Parameters of the path.
        query: The operation's query model, or `None`.
        body: The operation's body model, or `None`.
        if_match: The header of that name.
        administration: In whose changes the audit names the caller.
        signed_in_as: Who calls, unless nobody has to.
        loop: The service's event loop.
    """

    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any
    if_match: str | None
    administration: Administration
    signed_in_as: SignedIn | None
    loop: asyncio.AbstractEventLoop

    def wait_for(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run something on the service's event loop and wait for it, in this worker thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    @property
    def signed_in(self) -> SignedIn:
        """Return who calls; the gate has made sure of it."""
        if self.signed_in_as is None:
            raise RuntimeError("an open operation asked who calls")
        return self.signed_in_as

    @property
    def people(self) -> People:
        """Return the door to people, in the caller's name."""
        return People(self.administration)

    def may_see(self, namespace: str) -> None:
        """Go on only if the caller may look into a namespace.

        Raises:
            ProblemError: 404: what the caller may not see does not exist for it (T94, T113).
        """
        if not self.signed_in.may_read(namespace):
            raise not_found()

    def may_change(self, namespace: str) -> None:
        """Go on only if the caller may change a namespace.

        Raises:
            ProblemError: 404 where it may not even look, else 403.
        """
        self.may_see(namespace)
        if not self.signed_in.may_change(namespace):
            raise ProblemError(
                403, "forbidden", f"{self.signed_in.principal.name} may look into {namespace}, and not change it"
            )

    def check_match(self, etag: str) -> None:
        """Go on only if the caller has said that it means this very version (RFC 9110 section 13.1.1).

        Raises:
            ProblemError: 428 when it named none, 412 when it named another.
        """
        if self.if_match is None:
            raise ProblemError(
                428, "if_match_required", "the header If-Match is missing", hint="Send the ETag of what you have read."
            )
        named = [item.strip() for item in self.if_match.split(",")]
        if ANY_VERSION not in named and etag not in named:
            raise ProblemError(
                412, "version_changed", f"it is at version {etag} now", hint="Read it again, then decide again."
            )


def etag_of_version(version: int) -> str:
    """Return the entity tag of something that counts its versions."""
    return f'"{version}"'


def etag_of(content: Json) -> str:
    """Return the entity tag of something that does not: a hash of what is shown of it."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode("ascii")).hexdigest()[:32]}"'


def page_json(items: list[Json], following: str | None) -> Json:
    """Return a page of a list; `next` goes into `after` of the next call, `null` ends it."""
    return {"items": items, "next": following}
