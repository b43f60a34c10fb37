"""Many exchanges, one sync: callers wait while whatever has gathered is written at once (D17).

Rows gather on the event loop. At the end of a loop turn all of them are one batch. As long as the disk is quick, the
loop itself writes and syncs it and answers all callers: what came meanwhile is the next turn's, and the next batch.
Where the store cannot do that, or a sync was slow, the batch goes to a thread; while that writes and syncs, the next
batch gathers, and goes when the last one's callers have been answered. So batches grow with load, and a lone caller
never waits for company. Who has waited too long is refused with 503 before anything of his is written (admission by
time waited).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
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
QUICK_SECONDS: Final = 0.005  # that the loop may spend on a batch and its sync; a local disk takes a fifth of it
SLOW_FOR_SECONDS: Final = 0.25  # for so long after a slower one, batches go to the thread; longer after a stall:
SLOW_FOR_TIMES: Final = 20  # so many times what it took, that a bad disk holds up the loop a twentieth of the time
SLOW_ON_THREAD_SECONDS: Final = 0.02  # of a batch there, which also waits for the interpreter: the disk is slow still

_log = logging.getLogger("keyless.server")


Answer = Callable[[Outcome | Exception], None]
"""Told what became of a row, on the loop that brought it; must not raise."""


@dataclass(slots=True)
class _Waiting:
    row: Grant | Refusal
    since: float
    loop: asyncio.AbstractEventLoop
    answer: Answer
    gone: Callable[[], bool] | None


@dataclass(slots=True)
class _Batch:
    on_time: list[_Waiting]
    late: list[_Waiting]
    finish: Callable[[], Sequence[Outcome]]
    begun: bool


_Answered = tuple[_Waiting, Outcome | Exception]


class GroupCommit:
    """Gather rows from the event loop and commit them together.

    Args:
        commit: `Store.commit`: one transaction for all rows, one outcome for each; raises `UnavailableError` when the
            store cannot tell.
        begin: `Store.begin_commit`: does what needs no waiting at once and returns what does the rest, or `None`. The
            loop does that rest itself unless a sync was slow a short while ago.
        batch_size: Told how many rows each batch has.
        monotonic: Clock in seconds.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Grant | Refusal]], Sequence[Outcome]],
        *,
        begin: Callable[[Sequence[Grant | Refusal]], Callable[[], Sequence[Outcome]] | None] = lambda _rows: None,
        batch_size: Callable[[int], object] = lambda _size: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commit = commit
        self._begin = begin
        self._batch_size = batch_size
        self._monotonic = monotonic
        self._lock = threading.Lock()  # around the list and the flags
        self._gathering: list[_Waiting] = []
        self._in_flight = False
        self._quick_from = monotonic()  # the disk is taken for quick from then on
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._closing = False
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="keyless-commit", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Tell whether rows are still being written."""
        return not (self._ended or self._closing)

    async def submit(self, row: Grant | Refusal) -> Outcome:
        """Commit one row together with whatever else waits; return only when it is durable.

        Raises:
            UnavailableError: The store is down, the queue is full, or the wait was too long. Nothing was granted.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.put(row, functools.partial(_settle, future), gone=future.cancelled)
        return await future

    def put(self, row: Grant | Refusal, answer: Answer, *, gone: Callable[[], bool] | None = None) -> None:
        """Do what `submit` does, and tell `answer` the outcome or the error, in a later callback of the running loop.

        Args:
            row: What to commit.
            answer: Told once, unless this raises.
            gone: Asked right before the row is written; nothing is written for whom it tells to be gone.

        Raises:
            UnavailableError: The service is shutting down, or too many wait.
        """
        loop = asyncio.get_running_loop()
        item = _Waiting(row, self._monotonic(), loop, answer, gone)
        with self._lock:
            # Under the lock, so that nobody is left behind by a `close` in another thread.
            if self._closing or self._ended:
                raise UnavailableError("the service is shutting down", retry_after=2)
            if len(self._gathering) >= MAX_WAITING:
                raise UnavailableError("too many exchanges are waiting", retry_after=1)
            self._gathering.append(item)
            first = len(self._gathering) == 1 and not self._in_flight
        if first:
            loop.call_soon(self._hand_over)  # after this turn, so that its other callers come along

    def close(self) -> None:
        """Write what is waiting, then stop."""
        with self._lock:
            self._closing = True
        self._batches.put(None)
        self._thread.join()

    def _hand_over(self, *, here: bool = True) -> None:
        with self._lock:
            if self._in_flight or self._closing or not self._gathering:
                return
            gathered, self._gathering = self._gathering[:MAX_BATCH], self._gathering[MAX_BATCH:]
            # Under the lock: a batch that is begun holds the store, and must not be left behind by a `close`.
            batch = self._prepare(gathered)
            began = self._monotonic()
            if not (here and batch.begun) or began < self._quick_from:
                self._in_flight = True
                self._batches.put(batch)
                return
            answers = self._settle(batch)
            self._note_time(began, QUICK_SECONDS)
            more = bool(self._gathering)
        if more:
            asyncio.get_running_loop().call_soon(self._hand_over)
        _deliver(answers, here=True)

    def _prepare(self, batch: list[_Waiting]) -> _Batch:
        """Sort out who waits no longer or too long, and begin to write the others' rows if that needs no waiting."""
        now = self._monotonic()
        # Who has gone away must not have his id token spent for him.
        batch = [item for item in batch if item.gone is None or not item.gone()]
        on_time = [item for item in batch if now - item.since <= MAX_WAIT_SECONDS]
        late = [item for item in batch if now - item.since > MAX_WAIT_SECONDS]
        rows = [item.row for item in on_time]
        finish = None
        if rows:
            self._batch_size(len(rows))
            try:
                finish = self._begin(rows)
            except Exception:  # noqa: BLE001 - the ordinary way may do better, and says what is wrong
                _log.exception("a batch of %d rows could not be begun", len(rows))
        return _Batch(on_time, late, finish or functools.partial(self._commit, rows), begun=finish is not None)

    def _note_time(self, began: float, quick_seconds: float) -> None:
        ended = self._monotonic()
        if (took := ended - began) > quick_seconds:
            slow_until = ended + max(SLOW_FOR_SECONDS, SLOW_FOR_TIMES * took)
            self._quick_from = max(self._quick_from, slow_until)

    def _write(self) -> None:
        try:
            self._write_batches()
        finally:
            self._ended = True

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            began = self._monotonic()
            answers = self._settle(batch)
            with self._lock:
                self._note_time(began, SLOW_ON_THREAD_SECONDS)
                self._in_flight = False
            if not _deliver(answers, then=self._hand_over):
                self._hand_over(here=False)  # the callers' loop is gone; another one may have gathered rows meanwhile
        while True:
            with self._lock:
                left, self._gathering = self._gathering[:MAX_BATCH], self._gathering[MAX_BATCH:]
            if not left:
                return
            _deliver(self._settle(self._prepare(left)))

    def _settle(self, batch: _Batch) -> list[_Answered]:
        """Finish writing a batch and pair each of its callers with what became of his row."""
        late = UnavailableError("the exchange waited too long", retry_after=1)
        answers: list[_Answered] = [(item, late) for item in batch.late]
        if batch.on_time:
            answers += zip(batch.on_time, self._outcomes(batch), strict=True)
        return answers

    def _outcomes(self, batch: _Batch) -> Sequence[Outcome | Exception]:
        count = len(batch.on_time)
        try:
            outcomes = batch.finish()
            if len(outcomes) != count:
                raise RuntimeError(f"{len(outcomes)} outcomes for {count} rows")
            return outcomes
        except UnavailableError as error:
            return [error] * count
        except Exception:  # noqa: BLE001 - the thread must survive a bug, or one bad batch ends the service for everybody
            _log.exception("a batch of %d rows failed", count)
            return [UnavailableError("the store failed", retry_after=5)] * count


def _deliver(answers: Sequence[_Answered], *, then: Callable[[], None] | None = None, here: bool = False) -> bool:
    """Answer callers on their own loops, then call `then` on the last of these; false when there was none to call it.

    A loop that has closed meanwhile has nobody left to answer. `here`: this is the loop of most of them.
    """
    own = asyncio.get_running_loop() if here else None
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answered]] = {}
    for item, outcome in answers:
        by_loop.setdefault(item.loop, []).append((item, outcome))
    called = False
    for loop, share in by_loop.items():
        if loop is own:
            _tell_all(share, then)
            called = True
            continue
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell_all, share, then)
            called = True
    return called


def _tell_all(answers: Sequence[_Answered], then: Callable[[], None] | None) -> None:
    for item, outcome in answers:
        try:
            item.answer(outcome)
        except Exception:  # noqa: BLE001 - one caller's bug must not keep the others waiting
            _log.exception("an answer could not be given")
    if then is not None:
        then()


def _settle(future: asyncio.Future[Outcome], outcome: Outcome | Exception) -> None:
    if future.done():  # the caller went away
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
