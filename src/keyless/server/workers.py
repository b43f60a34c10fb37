"""Several processes on one machine: one supervisor that listens and starts workers, which answer.

All workers accept on the supervisor's sockets, so a worker that dies loses its own connections and no others. The
supervisor serves nothing and opens no store. It starts a dead worker again, later each time one dies young; on SIGTERM
it lets all finish what runs; on SIGHUP it replaces them one after the other, each only when its successor is ready.
POSIX only.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

READY: Final = b"r"
START_SECONDS: Final = 60.0  # within which a worker says that it is ready
STOP_SECONDS: Final = 20.0  # of grace after SIGTERM, twice what a listener waits for its requests
YOUNG_SECONDS: Final = 10.0
MAX_PAUSE_SECONDS: Final = 10.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_log = logging.getLogger("keyless.server")

Work = Callable[[int, Callable[[], None]], int]
"""What a worker does: gets its number and what to call when it is ready, returns its exit status."""


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int
    ready: int  # the reading end of a pipe
    started_at: float = field(default_factory=time.monotonic)
    is_ready: bool = False


class Supervisor:
    """Keep so many workers at work until SIGTERM or SIGINT.

    Args:
        workers: How many.
        work: Runs in each worker, after a fork.
        ready: Called once when all are ready.
    """

    def __init__(self, workers: int, work: Work, *, ready: Callable[[], None]) -> None:
        self._count = workers
        self._work = work
        self._ready = ready
        self._workers: dict[int, _Worker] = {}
        self._pause = 0.0
        self._stopping = False
        self._was_ready = False
        self._status = 1  # of a worker that could not be started
        self._life = os.pipe()  # ends when the supervisor does, however that happens
        self._again_at: dict[int, float] = {}  # number of a worker -> when it is started again

    def run(self) -> int:
        """Return 0 when every worker ended as it was told to, else what one of them returned instead."""
        gc.freeze()  # what was loaded until now is shared by all workers; the collector must not touch it
        with _wakeups() as wakeup:
            for number in range(self._count):
                self._start(number)
            return self._watch(wakeup)

    def _watch(self, wakeup: int) -> int:
        while True:
            waiting = [worker.ready for worker in self._workers.values() if not worker.is_ready]
            timeout = 1.0 if not self._again_at else max(0.0, min(self._again_at.values()) - time.monotonic())
            readable, _, _ = select.select([wakeup, *waiting], [], [], min(timeout, 1.0))
            for number in os.read(wakeup, 64) if wakeup in readable else b"":
                if number in {signal.SIGTERM, signal.SIGINT}:
                    self._stopping = True
                elif number == signal.SIGHUP:
                    self._replace_all()
            if self._stopping:
                return self._stop_all()
            self._hear(readable)
            if not self._reap():
                return self._stop_all() or self._status
            for number, at in list(self._again_at.items()):
                if time.monotonic() >= at:
                    del self._again_at[number]
                    self._start(number)

    def _start(self, number: int) -> _Worker:
        reading, writing = os.pipe()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._become(number, writing)
        os.close(writing)
        worker = self._workers[pid] = _Worker(number, pid, reading)
        return worker

    def _become(self, number: int, writing: int) -> None:
        """Run as a worker and never return."""
        status = 1
        try:
            for name in _SIGNALS:
                signal.signal(name, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            for worker in self._workers.values():
                os.close(worker.ready)
            os.close(self._life[1])
            threading.Thread(target=self._end_with_the_supervisor, name="keyless-life", daemon=True).start()
            status = self._work(number, lambda: os.close(writing) if os.write(writing, READY) else None)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 - the process ends here, and says why
            _log.exception("worker %d failed", number)
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()
                sys.stderr.flush()
            os._exit(status)

    def _end_with_the_supervisor(self) -> None:
        os.read(self._life[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _hear(self, readable: list[int]) -> None:
        for worker in self._workers.values():
            if worker.ready in readable and os.read(worker.ready, 1) == READY:
                worker.is_ready = True
        ready = sum(worker.is_ready for worker in self._workers.values())
        if not self._was_ready and ready == self._count:
            self._was_ready = True
            self._ready()

    def _reap(self) -> bool:
        """Take note of workers that ended; false when the service cannot be started at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return True
            if (worker := self._workers.pop(pid, None)) is None:
                continue
            os.close(worker.ready)
            if not self._was_ready:
                self._status = os.waitstatus_to_exitcode(status) or 1
                return False  # what is wrong now is wrong with the settings or the store, and has been said
            lived = time.monotonic() - worker.started_at
            self._pause = min(MAX_PAUSE_SECONDS, max(0.1, self._pause * 2)) if lived < YOUNG_SECONDS else 0.0
            how = os.waitstatus_to_exitcode(status)
            _log.error("worker %d ended with status %d; another one starts", worker.number, how)
            self._again_at[worker.number] = time.monotonic() + self._pause

    def _replace_all(self) -> None:
        """Replace each worker when its successor is ready, so that there are never fewer than there should be."""
        for old in list(self._workers.values()):
            new = self._start(old.number)
            if not self._wait_ready(new):
                _log.error("worker %d has no successor; it stays", old.number)
                self._end(new)
                return
            self._end(old)
        _log.info("all %d workers were replaced", self._count)

    def _wait_ready(self, worker: _Worker) -> bool:
        readable, _, _ = select.select([worker.ready], [], [], START_SECONDS)
        worker.is_ready = bool(readable) and os.read(worker.ready, 1) == READY
        return worker.is_ready

    def _end(self, worker: _Worker) -> int:
        """Tell a worker to finish what runs, and wait for it."""
        self._workers.pop(worker.pid, None)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
        os.close(worker.ready)
        ends_at = time.monotonic() + STOP_SECONDS
        while time.monotonic() < ends_at:
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(worker.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])

    def _stop_all(self) -> int:
        for worker in self._workers.values():  # all at once; then one after the other is waited for
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        ends = [self._end(worker) for worker in list(self._workers.values())]
        # One that was still starting is ended by the signal itself.
        return max((abs(end) for end in ends if end != -signal.SIGTERM), default=0)


@contextlib.contextmanager
def _wakeups() -> Iterator[int]:
    """Turn signals into bytes on a socket, each its number, so that none comes at a bad moment."""
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.setblocking(False)
        before = {number: signal.signal(number, lambda _number, _frame: None) for number in _SIGNALS}
        signal.set_wakeup_fd(writing.fileno())
        try:
            yield reading.fileno()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
