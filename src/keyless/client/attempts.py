"""Mint and exchange, tried again where that is safe, until the deadline.

Minting spends nothing. An id token that the service may have seen is not sent again: where the platform mints anew,
a new one is sent; where there is only the one, the failure is final unless the exchange certainly did not happen.
Pauses have full jitter, because the jobs that fail together would otherwise come back together.
"""

from __future__ import annotations

import os
import time

from keyless.client.exchange import NotSpentError, exchange_oidc_token
from keyless.errors import (
    ExchangeRefusedError,
    ExchangeUnavailableError,
    MintUnavailableError,
    OIDCConfigurationError,
    TransportError,
)
from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from keyless.client.exchange import ExchangedToken
    from keyless.http.deadline import Deadline
    from keyless.providers.base import CanMint
    from keyless.secret import Secret

MINT_ATTEMPT_SECONDS: Final = 10.0  # a platform that hangs is asked again while there is time
EXCHANGE_ATTEMPT_SECONDS: Final = 15.0
IMPATIENT_SECONDS: Final = 5.0  # for the only attempt while there is a token that is still good
FIRST_PAUSE_SECONDS: Final = 0.25  # doubled after each attempt
LONGEST_PAUSE_SECONDS: Final = 4.0
# Without a `jti`, as on Forgejo, two mints within one second are one token, and the service refuses the copy.
TWIN_SECONDS: Final = 1.1
_REPLAYED: Final = "token_replayed"
UNREACHABLE_SECONDS: Final = 8.0  # a host that takes no connection for so long is not just starting again
USEFUL_SECONDS: Final = 0.5  # with less time left another attempt only hides why the last one failed


class Retries:
    """Wait between attempts.

    Args:
        deadline: No attempt begins after it.
        sleep: Waits for seconds.
        random: Gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        deadline: Deadline,
        *,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] | None = None,
    ) -> None:
        self.deadline: Final = deadline
        self._sleep = sleep
        self._random = random or _random
        self._failed = 0
        self._unreachable_since: float | None = None  # seconds that were left then

    def pause(self, error: ExchangeUnavailableError | MintUnavailableError) -> None:
        """Wait before the next attempt, at least as long as the service asked.

        Raises:
            OIDCError: The given error: another attempt would come too late, or would fail in the same way.
        """
        self._failed += 1
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self._failed - 1))
        seconds = longest * self._random()
        asked = getattr(error, "retry_after", None)
        if asked:
            seconds += asked
        left = self.deadline.remaining()
        if not _may_pass(error) or min(left, self._patience(error, left)) < seconds + USEFUL_SECONDS:
            if self._failed > 1:
                error.message = f"{error.message} (tried {self._failed} times)"
                error.args = (error.message,)
            raise error
        self._sleep(seconds)

    def _patience(self, error: ExchangeUnavailableError | MintUnavailableError, left: float) -> float:
        """Return the seconds that a host is given to take a connection again; a host that answers has the deadline."""
        with import_lock:
            from keyless.http.transport import NotSentError

        # The last two are a platform's agent that is not there.
        if not isinstance(error.__context__, NotSentError | ConnectionRefusedError | FileNotFoundError):
            self._unreachable_since = None
            return left
        if self._unreachable_since is None:
            self._unreachable_since = left
        return UNREACHABLE_SECONDS + USEFUL_SECONDS - (self._unreachable_since - left)

    def wait_out_twin(self, error: ExchangeRefusedError) -> None:
        """Wait until the platform mints another token than the last one.

        Raises:
            ExchangeRefusedError: The given error: there is no time left for it.
        """
        if self.deadline.remaining() < TWIN_SECONDS + USEFUL_SECONDS:
            raise error
        self._sleep(TWIN_SECONDS)


def _random() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32  # the module of that name costs the cold path 3 ms


def _may_pass(error: ExchangeUnavailableError | MintUnavailableError) -> bool:
    """Return whether the same attempt may succeed in a moment: not where a certificate or a proxy said no.

    The transport knows; its error is what ours was made from, whichever platform made it.
    """
    reason = error.__context__
    return not isinstance(reason, TransportError) or reason.retryable


def mint_once(found: CanMint, audience: str, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
    """Return an id token, or say what stood in the way (see `CanMint.mint`).

    Raises:
        OIDCConfigurationError: A variable holds bytes that are no text, which no platform sets.
    """
    try:
        return found.mint(audience, deadline=deadline, environ=environ)
    except UnicodeEncodeError:  # not chained: it quotes the whole text
        raise OIDCConfigurationError(
            f"a variable from which the id token of {found.provider} is made holds bytes that are not text",
            hint="Look at the variables of the job that keyless names for it (keyless providers).",
        ) from None


def mint(found: CanMint, audience: str, *, environ: Mapping[str, str], retries: Retries) -> Secret:
    """Return an id token, asking the platform again when it fails.

    Raises:
        OIDCError: As `CanMint.mint`.
    """
    while True:
        try:
            return mint_once(found, audience, _attempt(retries.deadline, MINT_ATTEMPT_SECONDS), environ)
        except MintUnavailableError as error:
            retries.pause(error)


def mint_and_exchange(
    found: CanMint,
    resource: str,
    *,
    audience: str,
    endpoint: str,
    deadline: Deadline,
    environ: Mapping[str, str],
    retries: Retries | None = None,
    exchange: Callable[[Secret, Deadline], ExchangedToken] | None = None,
) -> ExchangedToken:
    """Return an access token.

    Args:
        found: The job's way to an id token.
        resource: What the access token is for.
        audience: The audience of the id token.
        endpoint: Base URL of the service.
        deadline: Time for everything.
        environ: Variables to use.
        retries: How to wait; with real time by default.
        exchange: Exchanges at a service of another dialect, within the deadline it is given.

    Raises:
        OIDCError: No token could be had within the deadline.
    """
    retries = retries or Retries(deadline)
    id_token: Secret | None = None
    may_be_twin = found.mints_anew
    while True:
        if id_token is None:
            id_token = mint(found, audience, environ=environ, retries=retries)
        # The only token there is gets all the time: an answer that comes too late has used it up.
        attempt = _attempt(deadline, EXCHANGE_ATTEMPT_SECONDS) if found.mints_anew else deadline
        try:
            if exchange is not None:
                return exchange(id_token, attempt)
            return exchange_oidc_token(id_token, resource, endpoint=endpoint, deadline=attempt, environ=environ)
        except NotSpentError as error:
            retries.pause(error)
            if error.status is not None and found.mints_anew:
                id_token = None
        except ExchangeUnavailableError as error:
            if not found.mints_anew:
                raise
            retries.pause(error)
            id_token = None
        except ExchangeRefusedError as error:
            if error.reason != _REPLAYED or not may_be_twin:
                raise
            may_be_twin = False
            retries.wait_out_twin(error)
            id_token = None


def mint_and_exchange_once(
    found: CanMint,
    resource: str,
    *,
    audience: str,
    endpoint: str,
    deadline: Deadline,
    environ: Mapping[str, str],
) -> ExchangedToken:
    """Return an access token with one short attempt, while the job has another that is still good.

    The arguments and errors are those of `mint_and_exchange`.
    """
    short = _attempt(deadline, IMPATIENT_SECONDS)
    id_token = mint_once(found, audience, short, environ)
    return exchange_oidc_token(id_token, resource, endpoint=endpoint, deadline=short, environ=environ)


def _attempt(deadline: Deadline, seconds: float) -> Deadline:
    """Return the deadline for one attempt; the whole one where that is not later, so that messages name its seconds."""
    return deadline if deadline.remaining() <= seconds else deadline.within(seconds)
