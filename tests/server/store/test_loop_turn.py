"""What may be answered once for a whole turn of the event loop (D4, D17)."""

from __future__ import annotations

import asyncio
import socket

from keyless.server.store.loop_turn import LoopTurn


def test_outside_of_a_loop_nothing_is_remembered() -> None:
    """D4: a thread without a loop asks every time."""
    turn = LoopTurn()
    turn.begin()
    assert not turn.lasts()


def test_it_lasts_for_one_turn() -> None:
    """D17: the rest of the turn, and not a callback longer."""

    async def ask() -> list[bool]:
        turn = LoopTurn()
        turn.begin()
        answers = [turn.lasts()]
        await asyncio.sleep(0)
        answers.append(turn.lasts())
        return answers

    assert asyncio.run(ask()) == [True, False]


def test_what_is_read_from_a_socket_afterwards_belongs_to_a_later_turn() -> None:
    """D4: a request that arrives after another process's commit is never answered with an older look at the trust."""

    async def ask() -> bool:
        turn = LoopTurn()
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        seen: asyncio.Future[bool] = loop.create_future()

        def received() -> None:
            loop.remove_reader(ours)
            loop.call_soon(lambda: seen.set_result(turn.lasts()))

        with ours, theirs:
            ours.setblocking(False)
            loop.add_reader(ours, received)
            turn.begin()
            theirs.send(b"x")  # in the middle of the turn that has looked already
            return await seen

    assert asyncio.run(ask()) is False
