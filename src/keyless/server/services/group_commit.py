"""Many exchanges, one sync: callers wait while one thread writes whatever has gathered (D17).

Rows gather on the event loop. At the end of a loop turn all of them go to the writer as one batch; while it writes and
syncs, the next batch gathers, and goes when the last one's callers have been answered. So batches grow with load, a
lone caller never waits for company, and the writer is woken once a batch, not once a row. Who has waited too long is
refused with 503 before anything of his is written (admission by time waited).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from keyless.errors import UnavailableError
from keyless.server.store.grants import Grant, Outcome, Refusal

MAX_BATCH: Final = 256
MAX_WAITING: Final = 4096  # about a second of work; more only grows the wait of everyone
MAX_WAIT_SECONDS: Final = 2.0

_log = logging.getLogger("keyless.server")


@dataclass(slots=True)
class _Waiting:
    row: Grant | Refusal
    since: float
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Outcome]


_Answer = tuple[_Waiting, Outcome | Exception]


class GroupCommit:
    """Gather rows from the event loop and commit them together on a thread of their own.

    Args:
        commit: `Store.commit`: one transaction for all rows, one outcome for each; raises `UnavailableError` when the
            store cannot tell.
        monotonic: Clock in seconds.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Grant | Refusal]], Sequence[Outcome]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commit = commit
        self._monotonic = monotonic
        self._lock = threading.Lock()  # around the list and the flag; held for a few instructions
        self._gathering: list[_Waiting] = []
        self._in_flight = False
        self._batches: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="keyless-commit", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Tell whether rows are still being written."""
        return self._thread.is_alive() and not self._closing

    async def submit(self, row: Grant | Refusal) -> Outcome:
        """Commit one row together with whatever else waits; return only when it is durable.

        Raises:
            UnavailableError: The store is down, the queue is full, or the wait was too long. Nothing was granted.
        """
        loop = asyncio.get_running_loop()
        item = _Waiting(row, self._monotonic(), loop, loop.create_future())
        with self._lock:
            # Under the lock, so that nobody is left behind by a `close` in another thread.
            if not self.healthy:
                raise UnavailableError("the service is shutting down", retry_after=2)
            if len(self._gathering) >= MAX_WAITING:
                raise UnavailableError("too many exchanges are waiting", retry_after=1)
            self._gathering.append(item)
            first = len(self._gathering) == 1 and not self._in_flight
        if first:
            loop.call_soon(self._hand_over)  # after this turn, so that its other callers come along
        return await item.answer

    def close(self) -> None:
        """Write what is waiting, then stop."""
        with self._lock:
            self._closing = True
        self._batches.put(None)
        self._thread.join()

    def _hand_over(self) -> None:
        with self._lock:
            if self._in_flight or not self._gathering:
                return
            batch, self._gathering = self._gathering[:MAX_BATCH], self._gathering[MAX_BATCH:]
            self._in_flight = True
        self._batches.put(batch)

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            answers = self._settle(batch)
            with self._lock:
                self._in_flight = False
            if not _deliver(answers, then=self._hand_over):
                self._hand_over()  # the callers' loop is gone; another one may have gathered rows meanwhile
        while True:
            with self._lock:
                batch, self._gathering = self._gathering[:MAX_BATCH], self._gathering[MAX_BATCH:]
            if not batch:
                return
            _deliver(self._settle(batch))

    def _settle(self, batch: list[_Waiting]) -> list[_Answer]:
        """Write a batch and pair each of its callers with what became of his row."""
        now = self._monotonic()
        # Who has gone away must not have his id token spent for him.
        batch = [item for item in batch if not item.answer.cancelled()]
        on_time = [item for item in batch if now - item.since <= MAX_WAIT_SECONDS]
        answers: list[_Answer] = [
            (item, UnavailableError("the exchange waited too long", retry_after=1))
            for item in batch
            if now - item.since > MAX_WAIT_SECONDS
        ]
        if on_time:
            answers += zip(on_time, self._outcomes([item.row for item in on_time]), strict=True)
        return answers

    def _outcomes(self, rows: Sequence[Grant | Refusal]) -> Sequence[Outcome | Exception]:
        try:
            outcomes = self._commit(rows)
            if len(outcomes) != len(rows):
                raise RuntimeError(f"{len(outcomes)} outcomes for {len(rows)} rows")
            return outcomes
        except UnavailableError as error:
            return [error] * len(rows)
        except Exception:  # noqa: BLE001 - the thread must survive a bug, or one bad batch ends the service for everybody
            _log.exception("a batch of %d rows failed", len(rows))
            return [UnavailableError("the store failed", retry_after=5)] * len(rows)


def _deliver(answers: Sequence[_Answer], *, then: Callable[[], None] | None = None) -> bool:
    """Answer callers on their own loops, then call `then` on the last of these; false when there was none to call it.

    A loop that has closed meanwhile has nobody left to answer.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for item, outcome in answers:
        by_loop.setdefault(item.loop, []).append((item, outcome))
    called = False
    for loop, share in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_all, share, then)
            called = True
    return called


def _set_all(answers: Sequence[_Answer], then: Callable[[], None] | None) -> None:
    for item, outcome in answers:
        if item.answer.done():  # the caller went away
            continue
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome)
    if then is not None:
        then()
