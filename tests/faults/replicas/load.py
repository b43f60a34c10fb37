"""Jobs that exchange their id tokens at whatever replica answers, and keep a ledger of what they were told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from keyless.testing import FakeIssuer, github_claims, unverified_claims
from tests.faults.replicas.fleet import PUBLISHERS, Replica

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"
THREADS: Final = 16
GIVE_UP_SECONDS: Final = 120.0  # of one job
ALL_GIVE_UP_SECONDS: Final = 900.0
TWICE_EVERY: Final = 20  # exchanges: one id token goes to two replicas at the same time
TIMEOUT_SECONDS: Final = 30.0


@dataclass
class Ledger:
    """What the jobs were told.

    Attributes:
        held: Token ids that a job holds.
        answers: How often each status was answered; `network` is a connection that broke or was refused.
        refusals: Bodies of 4xx answers that nobody expects.
        twice: Id tokens of which two copies were granted.
        slowest: The longest wait for a 503, seconds.
    """

    held: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    sent_twice: int = 0
    twice: int = 0
    gave_up: int = 0
    slowest: float = 0.0


class Load:
    """Make a number of exchanges, each tried again with a fresh id token until it works.

    Args:
        issuer: Mints the jobs' id tokens.
        audience: What they carry.
        replicas: Tried in turn.
        total: Exchanges to make.
    """

    def __init__(self, issuer: FakeIssuer, audience: str, replicas: Sequence[Replica], total: int) -> None:
        self.ledger = Ledger()
        self._issuer = issuer
        self._audience = audience
        self._replicas = replicas
        self._total = total
        self._began = 0.0
        self._numbers = count()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._second = ThreadPoolExecutor(THREADS)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def wait_for(self, share: float) -> None:
        """Wait until that share of the exchanges is done."""
        while len(self.ledger.held) < share * self._total and any(thread.is_alive() for thread in self._threads):
            time.sleep(0.02)

    def finish(self) -> Ledger:
        """Wait for the end."""
        for thread in self._threads:
            thread.join()
        self._second.shutdown()
        return self.ledger

    def _work(self) -> None:
        while (number := next(self._numbers)) < self._total:
            self._job(number)

    def _job(self, number: int) -> None:
        ends_at = min(time.monotonic() + GIVE_UP_SECONDS, self._began + ALL_GIVE_UP_SECONDS)
        for attempt in count():
            id_token = self._mint(number)
            first = self._replicas[(number + attempt) % len(self._replicas)]
            if number % TWICE_EVERY == 0 and attempt == 0 and len(self._replicas) > 1:
                other = self._replicas[(number + 1) % len(self._replicas)]
                second = self._second.submit(self._send, other, number, id_token, copy=True)
                granted = self._send(first, number, id_token, copy=True)
                too = second.result()
                with self._lock:
                    self.ledger.sent_twice += 1
                    self.ledger.twice += granted and too
                granted = granted or too
            else:
                granted = self._send(first, number, id_token)
            if granted:
                return
            if time.monotonic() > ends_at:
                with self._lock:
                    self.ledger.gave_up += 1
                return
            time.sleep(min(0.05 * 2 ** min(attempt, 3), 0.4))

    def _mint(self, number: int) -> str:
        publisher = number % PUBLISHERS
        claims = github_claims(
            aud=self._audience, repository=f"acme/train-{publisher}", repository_id=str(1000 + publisher)
        )
        return self._issuer.mint(claims)

    def _send(self, replica: Replica, number: int, id_token: str, *, copy: bool = False) -> bool:
        """Send one request; true when a token came back."""
        began = time.monotonic()
        try:
            status, answer = self._post(replica, id_token, f"acme/model-{number % PUBLISHERS}")
        except (OSError, http.client.HTTPException, ValueError):
            with self._lock:
                self.ledger.answers["network"] += 1
            return False
        took = time.monotonic() - began
        with self._lock:
            replayed = copy and answer.get("reason") == "token_replayed"
            self.ledger.answers[f"{status} replayed" if replayed else str(status)] += 1
            if status == 200:
                token = str(answer["access_token"])
                self.ledger.tokens.append(token)
                self.ledger.held.append(str(unverified_claims(token.removeprefix("kl_"))["jti"]))
            elif status == 503:
                self.ledger.slowest = max(self.ledger.slowest, took)
            elif not replayed:
                self.ledger.refusals.append(f"{replica.name}: {status} {json.dumps(answer)[:300]}")
        return status == 200

    def _post(self, replica: Replica, id_token: str, resource: str) -> tuple[int, dict[str, Any]]:
        connections: dict[str, http.client.HTTPConnection] = self._local.__dict__.setdefault("connections", {})
        body = json.dumps(
            {"grant_type": GRANT, "subject_token_type": ID_TOKEN, "subject_token": id_token, "resource": resource}
        )
        connection = connections.pop(replica.name, None)
        if connection is None:
            connection = http.client.HTTPConnection(replica.host, replica.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/oauth/token", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except BaseException:
            connection.close()
            raise
        connections[replica.name] = connection
        return response.status, answer
