"""Telling another system what happened to the trust: at least once, signed, and in nobody's way.

Events wait in an outbox that is written with the audit row. Who delivers takes one for a minute, so that replicas do
not all send the same; what was sent and could not be crossed off comes again, so the receiver looks at `id`.

`Keyless-Signature: t=UNIX,v1=HEX`, where HEX is HMAC-SHA256 over `UNIX.BODY` with the shared secret: an old delivery
cannot be sent again later as a new one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from keyless.errors import ConfigurationError, TransportError
from keyless.http.guarded import parse_url
from keyless.oidc.issuer import Network
from keyless.secret import Secret
from keyless.server.metrics import Counter
from keyless.server.settings import Settings
from keyless.server.store.outbox import Waiting
from keyless.server.store.records import parse_network

TAKEN_SECONDS: Final = 60
MAX_ATTEMPTS: Final = 20  # over some fifteen hours
MAX_PAUSE_SECONDS: Final = 3600
AT_ONCE: Final = 50

_log = logging.getLogger("keyless.server")


class Outbox(Protocol):
    """What is asked of the store."""

    def take_from_outbox(self, limit: int, seconds: int) -> Sequence[Waiting]:
        """Return events that are due and take them for so long."""

    def cross_off(self, event: Waiting) -> None:
        """Forget an event that needs no more telling."""

    def put_off(self, event: Waiting, seconds: int) -> None:
        """Let an event be due again in so many seconds."""


class Sender(Protocol):
    """What sends; `keyless.http.guarded.GuardedFetcher` is the real one."""

    def post(self, url: str, body: bytes, *, network: Network, port: int, headers: Mapping[str, str]) -> None:
        """Send JSON."""


def signature(secret: Secret, at: int, body: bytes) -> str:
    """Return the value of `Keyless-Signature`."""
    signed = hmac.new(secret.reveal().encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


class Webhook:
    """Deliver what waits in the outbox.

    Args:
        url: Where to.
        network: Which addresses it may have.
        secret: Shared with the receiver.
        outbox: What waits.
        sender: Sends it.
        clock: Unix seconds.
        counter: Counts what came of it.
    """

    def __init__(
        self,
        url: str,
        network: Network,
        secret: Secret,
        *,
        outbox: Outbox,
        sender: Sender,
        clock: Callable[[], float],
        counter: Counter,
    ) -> None:
        self._url = url
        self._network = network
        self._secret = secret
        self._port = parse_url(url).port
        self._outbox = outbox
        self._sender = sender
        self._clock = clock
        self._counter = counter

    @classmethod
    def of(
        cls, settings: Settings, outbox: Outbox, sender: Sender, clock: Callable[[], float], counter: Counter
    ) -> Webhook | None:
        """Return the webhook of the settings, or `None` when there is none.

        Raises:
            ConfigurationError: Its URL, its network or its secret cannot be.
        """
        if settings.webhook_url is None:
            return None
        if settings.webhook_secret is None or len(settings.webhook_secret.reveal()) < 16:
            raise ConfigurationError(
                "webhook_url is set and KEYLESS_WEBHOOK_SECRET is not, or shorter than 16 characters",
                hint="The receiver checks with it that we are the sender: openssl rand -hex 32.",
            )
        network = parse_network(settings.webhook_network)
        try:
            url = parse_url(settings.webhook_url)
        except ValueError as error:
            raise ConfigurationError(f"webhook_url cannot be used: {error}") from None
        if url.scheme != "https" and network.kind != "loopback":
            raise ConfigurationError("webhook_url must be https; plain http is for webhook_network = 'loopback' only")
        return cls(
            settings.webhook_url,
            network,
            settings.webhook_secret,
            outbox=outbox,
            sender=sender,
            clock=clock,
            counter=counter,
        )

    def deliver(self) -> None:
        """Send what is due; what fails is due again later, each time after twice the pause."""
        for event in self._outbox.take_from_outbox(AT_ONCE, TAKEN_SECONDS):
            body = json.dumps(event.content, separators=(",", ":")).encode("ascii")
            headers = {"Keyless-Signature": signature(self._secret, int(self._clock()), body)}
            try:
                self._sender.post(self._url, body, network=self._network, port=self._port, headers=headers)
            except TransportError as error:
                if event.attempts >= MAX_ATTEMPTS:
                    _log.error("webhook: event %s is given up after %d attempts: %s", event.id, event.attempts, error)
                    self._counter.add("given_up")
                    self._outbox.cross_off(event)
                    continue
                _log.warning("webhook: event %s could not be delivered: %s", event.id, error)
                self._counter.add("failed")
                self._outbox.put_off(event, min(MAX_PAUSE_SECONDS, 5 * 2 ** min(event.attempts, 16)))
                return  # the others would fare no better
            self._counter.add("ok")
            self._outbox.cross_off(event)
