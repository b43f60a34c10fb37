"""Waiting for an issuer's keys: a crowd takes one thread, and joins no answer that is older than its token."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from keyless.errors import UnavailableError, UnknownKeyError
from keyless.jose.jwk import PublicKey
from keyless.oidc.issuer import Issuer
from keyless.server.services.verification import MAX_KEY_FETCH_WAITERS, IdTokenVerification
from tests.jose.keys import signing_key

ISSUER = Issuer(id=1, url="https://ci.example.org", kind="generic")
KEYS = (signing_key("RS256").public_key(),)


class SlowKeys:
    """Hold keys back until they are let go; the answers are given in order."""

    def __init__(self, *answers: tuple[PublicKey, ...] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.let_go = threading.Event()
        self.known: tuple[PublicKey, ...] | None = None

    def peek(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...] | None:
        return self.known

    def resolve(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        self.let_go.wait(10)
        if isinstance(answer, Exception):
            raise answer
        self.known = answer
        return answer


class Issuers:
    def issuer_by_url(self, url: str) -> Issuer | None:
        return ISSUER


class World:
    def __init__(self, keys: SlowKeys) -> None:
        self.keys = keys
        self.verification = IdTokenVerification(audience="https://hub.example.org", issuers=Issuers(), keys=keys)

    def ask(self, count: int) -> list[object]:
        """Ask for one key, so many at once, and let it go when all of them wait."""

        async def all_at_once() -> list[object]:
            waiting = [asyncio.ensure_future(self.verification._issuer_keys(ISSUER, "k")) for _ in range(count)]
            await asyncio.sleep(0.05)
            self.keys.let_go.set()
            return list(await asyncio.gather(*waiting, return_exceptions=True))

        return asyncio.run(all_at_once())


@pytest.fixture
def crowd() -> Iterator[World]:
    world = World(SlowKeys(KEYS))
    yield world
    world.verification.close()


def test_a_crowd_that_waits_for_one_key_takes_one_thread(crowd: World) -> None:
    """K04, T30: a job matrix after a start is no outage."""
    assert crowd.ask(3 * MAX_KEY_FETCH_WAITERS) == [KEYS] * (3 * MAX_KEY_FETCH_WAITERS)
    assert crowd.keys.asked == 1
    assert crowd.verification._asked == {}


def test_an_outage_is_everybodys(crowd: World) -> None:
    """D9: who joined gets the same answer."""
    crowd.keys.answers = [UnavailableError("down", retry_after=7)]
    answers = crowd.ask(5)

    assert [(type(answer), getattr(answer, "retry_after", None)) for answer in answers] == [(UnavailableError, 7)] * 5
    assert crowd.keys.asked == 1


def test_a_refusal_is_nobodys_who_came_later(crowd: World) -> None:
    """K06: a fetch that began before a token came does not prove that its key is unknown."""
    crowd.keys.answers = [UnknownKeyError("not published"), KEYS]
    first, *others = crowd.ask(4)

    assert isinstance(first, UnknownKeyError)
    assert others == [KEYS] * 3


def test_who_goes_away_leaves_the_answer_to_the_others(crowd: World) -> None:
    """T30: the caller who asked first hangs up."""

    async def leave() -> object:
        leader = asyncio.ensure_future(crowd.verification._issuer_keys(ISSUER, "k"))
        await asyncio.sleep(0.02)
        follower = asyncio.ensure_future(crowd.verification._issuer_keys(ISSUER, "k"))
        await asyncio.sleep(0.02)
        leader.cancel()
        crowd.keys.let_go.set()
        return await follower

    assert asyncio.run(leave()) == KEYS
    assert crowd.verification._key_waiters == 0
