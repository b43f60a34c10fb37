"""Many callers, one writer: each gets its own answer, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from keyless.errors import UnavailableError
from keyless.server.services.group_commit import (
    MAX_BATCH,
    MAX_WAIT_SECONDS,
    MAX_WAITING,
    QUICK_SECONDS,
    SLOW_FOR_SECONDS,
    SLOW_FOR_TIMES,
    GroupCommit,
)
from keyless.server.store.grants import Grant, Outcome, Refusal, Verdict

RECORDED = Outcome(Verdict.RECORDED)


def row(name: str) -> Refusal:
    """Return a row that can be told from others by its request id."""
    return Refusal(reason="x", issuer_id=1, request_id=name, at=0)


class Disk:
    """Stand in for `Store.commit`: remember batches, wait or fail when told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.failures: list[BaseException] = []
        self.answer: Callable[[str], Outcome] = lambda _name: RECORDED

    def commit(self, rows: Sequence[Grant | Refusal]) -> Sequence[Outcome]:
        """Write one batch."""
        self.entered.release()
        assert self.open.wait(10)
        self.batches.append([item.request_id for item in rows])
        if self.failures:
            raise self.failures.pop(0)
        return [self.answer(item.request_id) for item in rows]

    @property
    def written(self) -> list[str]:
        """Return every row that reached the disk, in order."""
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def disk() -> Disk:
    """A disk that works."""
    return Disk()


@pytest.fixture
def writer(disk: Disk) -> Iterator[GroupCommit]:
    """A writer on that disk, stopped afterwards."""
    writer = GroupCommit(disk.commit)
    yield writer
    disk.open.set()
    if writer.healthy:
        writer.close()


class Stopwatch:
    """A monotonic clock that the test moves; used by two threads, so it only ever assigns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def stopwatch() -> Stopwatch:
    """A clock that stands still."""
    return Stopwatch()


async def submit_all(writer: GroupCommit, names: Sequence[str]) -> list[Outcome | BaseException]:
    """Submit rows at the same time and return their outcomes, failures included."""
    return list(await asyncio.gather(*(writer.submit(row(name)) for name in names), return_exceptions=True))


async def hold(disk: Disk, writer: GroupCommit) -> asyncio.Task[Outcome]:
    """Close the disk and let the writer run into it with one row, so that what follows gathers."""
    disk.open.clear()
    held = asyncio.create_task(writer.submit(row("held")))
    await asyncio.sleep(0)
    await asyncio.to_thread(disk.entered.acquire)
    return held


def test_a_lone_caller_gets_its_answer(disk: Disk, writer: GroupCommit) -> None:
    """D17: nobody waits for company."""
    assert asyncio.run(submit_all(writer, ["a"])) == [RECORDED]
    assert disk.batches == [["a"]]


def test_each_caller_gets_its_own_outcome(disk: Disk, writer: GroupCommit) -> None:
    """D17: answers are not mixed up, however many wait."""
    disk.answer = lambda name: Outcome(Verdict.GRANTED, use=int(name))
    outcomes = asyncio.run(submit_all(writer, [str(n) for n in range(1000)]))

    assert [outcome.use for outcome in outcomes if isinstance(outcome, Outcome)] == list(range(1000))
    assert sorted(disk.written, key=int) == [str(n) for n in range(1000)]


def test_what_gathers_while_the_disk_syncs_is_one_batch(disk: Disk, writer: GroupCommit) -> None:
    """D17: batches grow with load, in order, up to a bound."""

    async def scene() -> None:
        held = await hold(disk, writer)
        names = [str(n) for n in range(MAX_BATCH + 44)]
        waiting = [asyncio.create_task(writer.submit(row(name))) for name in names]
        await asyncio.sleep(0)
        disk.open.set()
        await asyncio.gather(held, *waiting)

    asyncio.run(scene())

    assert [len(batch) for batch in disk.batches] == [1, MAX_BATCH, 44]
    assert disk.written[1:] == [str(n) for n in range(MAX_BATCH + 44)]


def test_nobody_is_answered_before_the_disk_is_done(disk: Disk, writer: GroupCommit) -> None:
    """D14: a token leaves after its rows are durable."""

    async def scene() -> bool:
        held = await hold(disk, writer)
        await asyncio.sleep(0.05)
        early = held.done()
        disk.open.set()
        await held
        return early

    assert asyncio.run(scene()) is False


def test_callers_of_several_loops_are_answered_in_their_own(disk: Disk, writer: GroupCommit) -> None:
    """D17: one writer per process, whatever runs the listeners."""
    results: list[Outcome | BaseException] = []

    def run_a_loop(name: str) -> None:
        results.extend(asyncio.run(submit_all(writer, [f"{name}-{n}" for n in range(50)])))

    threads = [threading.Thread(target=run_a_loop, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert results == [RECORDED] * 200


@pytest.mark.parametrize(
    "failure", [UnavailableError("disk full", retry_after=9), RuntimeError("bug"), KeyError("bug")]
)
def test_a_batch_that_fails_is_an_outage_for_its_callers_only(
    failure: Exception, disk: Disk, writer: GroupCommit
) -> None:
    """D9, D17: 503, never a refusal; and the writer lives on."""
    disk.failures = [failure]
    first = asyncio.run(submit_all(writer, ["a"]))
    second = asyncio.run(submit_all(writer, ["b"]))

    assert isinstance(first[0], UnavailableError)
    assert second == [RECORDED]
    assert writer.healthy


def test_an_outage_says_when_to_come_back(disk: Disk, writer: GroupCommit) -> None:
    """D9: the store's own `retry_after` reaches the caller."""
    disk.failures = [UnavailableError("disk full", retry_after=9)]
    (outcome,) = asyncio.run(submit_all(writer, ["a"]))

    assert isinstance(outcome, UnavailableError)
    assert outcome.retry_after == 9


def test_who_waited_too_long_is_turned_away_unwritten(disk: Disk) -> None:
    """D17: admission by time waited; nothing of theirs is on the disk."""
    stopwatch = Stopwatch()
    writer = GroupCommit(disk.commit, monotonic=stopwatch)

    async def scene() -> list[Outcome | BaseException]:
        held = await hold(disk, writer)
        late = asyncio.create_task(writer.submit(row("late")))
        await asyncio.sleep(0)
        stopwatch.now += MAX_WAIT_SECONDS + 0.1
        fresh = asyncio.create_task(writer.submit(row("fresh")))
        await asyncio.sleep(0)
        disk.open.set()
        return list(await asyncio.gather(held, late, fresh, return_exceptions=True))

    held, late, fresh = asyncio.run(scene())
    writer.close()

    assert held == fresh == RECORDED
    assert isinstance(late, UnavailableError)
    assert disk.written == ["held", "fresh"]


def test_a_wait_within_the_bound_is_no_reason(disk: Disk) -> None:
    """D17: the bound is the documented one."""
    stopwatch = Stopwatch()
    writer = GroupCommit(disk.commit, monotonic=stopwatch)

    async def scene() -> list[Outcome]:
        held = await hold(disk, writer)
        waiting = asyncio.create_task(writer.submit(row("waiting")))
        await asyncio.sleep(0)
        stopwatch.now += MAX_WAIT_SECONDS
        disk.open.set()
        return [await held, await waiting]

    assert asyncio.run(scene()) == [RECORDED, RECORDED]
    writer.close()


def test_a_full_queue_turns_away(disk: Disk, writer: GroupCommit) -> None:
    """D17: memory is bounded, and the answer comes at once."""

    async def scene() -> list[Outcome | BaseException]:
        held = await hold(disk, writer)
        waiting = [asyncio.create_task(writer.submit(row(str(n)))) for n in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError):
            await writer.submit(row("one too many"))
        disk.open.set()
        return list(await asyncio.gather(held, *waiting, return_exceptions=True))

    outcomes = asyncio.run(scene())

    assert "one too many" not in disk.written
    assert all(outcome == RECORDED or isinstance(outcome, UnavailableError) for outcome in outcomes)


def test_closing_writes_what_is_waiting(disk: Disk, writer: GroupCommit) -> None:
    """D14: a restart loses nobody's answer."""

    async def scene() -> list[Outcome]:
        held = await hold(disk, writer)
        waiting = [asyncio.create_task(writer.submit(row(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(writer.close))
        await asyncio.sleep(0.02)
        disk.open.set()
        await closing
        return await asyncio.gather(held, *waiting)

    assert asyncio.run(scene()) == [RECORDED] * 21
    assert disk.written == ["held", *(str(n) for n in range(20))]


def test_after_closing_nothing_is_taken(disk: Disk, writer: GroupCommit) -> None:
    """D9: 503, so that the client comes back to another replica."""
    writer.close()
    (outcome,) = asyncio.run(submit_all(writer, ["a"]))

    assert isinstance(outcome, UnavailableError)
    assert not writer.healthy
    assert disk.written == []


def test_a_caller_that_went_away_disturbs_nobody(disk: Disk, writer: GroupCommit) -> None:
    """D17."""

    async def scene() -> Outcome:
        held = await hold(disk, writer)
        gone = asyncio.create_task(writer.submit(row("gone")))
        stays = asyncio.create_task(writer.submit(row("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        disk.open.set()
        await held
        return await stays

    assert asyncio.run(scene()) == RECORDED
    assert asyncio.run(submit_all(writer, ["next"])) == [RECORDED]


def test_a_loop_that_closed_disturbs_nobody(disk: Disk, writer: GroupCommit) -> None:
    """D17: answering into a closed loop does not end the writer."""

    async def abandon() -> None:
        held = await hold(disk, writer)
        held.cancel()

    asyncio.run(abandon())
    disk.open.set()

    assert asyncio.run(submit_all(writer, ["next"])) == [RECORDED]
    assert writer.healthy


def test_a_caller_who_went_away_spends_nothing(disk: Disk, writer: GroupCommit) -> None:
    """T50: a row whose caller is gone is not written, so the job can try again with the same id token."""

    async def scenario() -> None:
        held = await hold(disk, writer)
        gone = asyncio.create_task(writer.submit(row("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        disk.open.set()
        await held
        await writer.submit(row("next"))

    asyncio.run(scenario())

    assert disk.written == ["held", "next"]


def test_an_answer_of_the_wrong_length_fails_the_batch_and_not_the_writer(disk: Disk) -> None:
    """D17, D9: a bug in the store is an outage for its batch; nobody gets another's outcome or waits for ever."""
    answers: list[list[Outcome]] = [[], [RECORDED]]
    writer = GroupCommit(lambda _rows: answers.pop(0))
    first = asyncio.run(submit_all(writer, ["a"]))
    second = asyncio.run(submit_all(writer, ["b"]))
    writer.close()

    assert isinstance(first[0], UnavailableError)
    assert second == [RECORDED]


class BegunDisk(Disk):
    """Stand in for a store that writes at once and then only has to sync."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        super().__init__()
        self.stopwatch = stopwatch
        self.sync_seconds = 0.0
        self.synced_by: list[str] = []

    def begin(self, rows: Sequence[Grant | Refusal]) -> Callable[[], Sequence[Outcome]]:
        """Write; return the sync."""
        names = [item.request_id for item in rows]

        def sync() -> Sequence[Outcome]:
            self.synced_by.append(threading.current_thread().name)
            self.stopwatch.now += self.sync_seconds
            self.batches.append(names)
            return [self.answer(name) for name in names]

        return sync


def test_the_loop_syncs_as_long_as_the_disk_is_quick(stopwatch: Stopwatch) -> None:
    """D17: a quick sync is waited for where it is; after a slow one the thread waits, for a while."""
    disk = BegunDisk(stopwatch)
    writer = GroupCommit(disk.commit, begin=disk.begin, monotonic=stopwatch)

    async def scene() -> None:
        assert await submit_all(writer, ["a", "b"]) == [RECORDED, RECORDED]
        disk.sync_seconds = QUICK_SECONDS * 2
        await submit_all(writer, ["slow"])
        disk.sync_seconds = 0.0
        await submit_all(writer, ["by the thread"])
        stopwatch.now += SLOW_FOR_SECONDS
        await submit_all(writer, ["quick again"])

    asyncio.run(scene())
    writer.close()

    here = threading.current_thread().name
    assert disk.batches == [["a", "b"], ["slow"], ["by the thread"], ["quick again"]]
    assert disk.synced_by == [here, here, "keyless-commit", here]


def test_a_disk_that_stalls_holds_up_the_loop_now_and_then_only(stopwatch: Stopwatch) -> None:
    """D17, D9: readiness, checks of tokens and 503s go on while a disk takes its time."""
    disk = BegunDisk(stopwatch)
    disk.sync_seconds = 0.5
    writer = GroupCommit(disk.commit, begin=disk.begin, monotonic=stopwatch)

    async def scene() -> None:
        for _ in range(100):
            await submit_all(writer, ["one"])
            stopwatch.now += 0.1

    asyncio.run(scene())
    writer.close()

    here = threading.current_thread().name
    assert len(disk.synced_by) == 100
    assert disk.synced_by.count(here) == 1  # the thread found it slow each time: no reason to try here again


def test_the_loop_takes_over_again_when_the_disk_has_recovered(stopwatch: Stopwatch) -> None:
    """D17: twenty times the stall later, and no sooner."""
    disk = BegunDisk(stopwatch)
    writer = GroupCommit(disk.commit, begin=disk.begin, monotonic=stopwatch)

    async def scene() -> None:
        disk.sync_seconds = 0.5
        await submit_all(writer, ["slow"])
        disk.sync_seconds = 0.0
        stopwatch.now += SLOW_FOR_TIMES * 0.5 - 0.01
        await submit_all(writer, ["by the thread"])
        stopwatch.now += 0.01
        await submit_all(writer, ["quick again"])

    asyncio.run(scene())
    writer.close()

    here = threading.current_thread().name
    assert disk.synced_by == [here, "keyless-commit", here]


def test_one_answer_that_fails_keeps_nobody_waiting(stopwatch: Stopwatch) -> None:
    """D17: a bug in one caller's answer is his alone; and what he brings while answered is the next batch."""
    disk = BegunDisk(stopwatch)
    writer = GroupCommit(disk.commit, begin=disk.begin, monotonic=stopwatch)
    told: list[str] = []

    async def scene() -> None:
        done = asyncio.Event()

        def break_down(_outcome: Outcome | Exception) -> None:
            raise RuntimeError("a bug")

        def last(_outcome: Outcome | Exception) -> None:
            told.append("second")
            done.set()

        def again(_outcome: Outcome | Exception) -> None:
            told.append("first")
            writer.put(row("c"), last)

        writer.put(row("a"), break_down)
        writer.put(row("b"), again)
        await asyncio.wait_for(done.wait(), 30)

    asyncio.run(scene())
    writer.close()

    assert told == ["first", "second"]
    assert disk.batches == [["a", "b"], ["c"]]


def test_more_than_a_batch_is_written_batch_by_batch(stopwatch: Stopwatch) -> None:
    """D17: nobody is left behind when more gathered than one batch takes."""
    disk = BegunDisk(stopwatch)
    writer = GroupCommit(disk.commit, begin=disk.begin, monotonic=stopwatch)

    outcomes = asyncio.run(submit_all(writer, [str(number) for number in range(MAX_BATCH * 2 + 1)]))
    writer.close()

    assert outcomes == [RECORDED] * (MAX_BATCH * 2 + 1)
    assert [len(batch) for batch in disk.batches] == [MAX_BATCH, MAX_BATCH, 1]
