"""Many exchanges, one sync: callers wait while one thread writes whatever has gathered (D17).

The writer takes all that is waiting, commits it as one transaction and answers each caller with its own outcome. While
it syncs, the next batch gathers, so batches grow with load and a lone caller never waits for company. Who has waited
too long is refused with 503 before anything of theirs is written (admission by time waited).
"""

from __future__ import annotations

import asyncio
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
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="keyless-commit", daemon=True)
        self._closing = False
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
        if not self.healthy:
            raise UnavailableError("the service is shutting down", retry_after=2)
        if self._waiting.qsize() >= MAX_WAITING:
            raise UnavailableError("too many exchanges are waiting", retry_after=1)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.put(_Waiting(row, self._monotonic(), loop, answer))
        return await answer

    def close(self) -> None:
        """Write what is waiting, then stop."""
        self._closing = True
        self._waiting.put(None)
        self._thread.join()

    def _write(self) -> None:
        while True:
            batch, closing = self._gather()
            # Who has gone away must not have his id token spent for him.
            batch = [item for item in batch if not item.answer.cancelled()]
            now = self._monotonic()
            late = [item for item in batch if now - item.since > MAX_WAIT_SECONDS]
            _refuse(late, "the exchange waited too long")
            batch = [item for item in batch if now - item.since <= MAX_WAIT_SECONDS]
            if batch:
                _answer(batch, self._outcomes([item.row for item in batch]))
            if closing:
                self._drain()
                return

    def _drain(self) -> None:
        """Answer those who came while the last batch was written: they wait for nobody else."""
        while True:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                _refuse([item], "the service is shutting down")

    def _gather(self) -> tuple[list[_Waiting], bool]:
        first = self._waiting.get()
        if first is None:
            return [], True
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

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


def _refuse(items: Sequence[_Waiting], why: str) -> None:
    _answer(items, [UnavailableError(why, retry_after=1) for _ in items])


def _answer(batch: Sequence[_Waiting], outcomes: Sequence[Outcome | Exception]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome | Exception]]] = {}
    for item, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(item.loop, []).append((item.answer, outcome))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_set_all, answers)
        except RuntimeError:  # the loop closed while we wrote: nobody is left to answer
            continue


def _set_all(answers: Sequence[tuple[asyncio.Future[Outcome], Outcome | Exception]]) -> None:
    for future, outcome in answers:
        if future.done():  # the caller went away
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
