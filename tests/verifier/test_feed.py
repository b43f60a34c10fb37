"""Following the feed at a resource server: what is withdrawn, how old news may be, and what an outage means (D5)."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keyless.errors import ConfigurationError, RevokedTokenError, UnavailableError
from keyless.secret import Secret
from keyless.verifier import Feed, Verifier
from keyless.verifier.proven import ProvenTokens
from keyless.verifier.withdrawals import KEPT_SECONDS, News, Withdrawals
from tests.verifier.endpoint import Endpoint
from tests.verifier.tokens import AUDIENCE, ISSUER, NOW, Mint


class Time:
    """Both clocks of a machine; `sleep` is what a suspended one does."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 1000.0, float(NOW)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic += seconds
        self.wall += seconds


def page(
    *entries: dict[str, object], cursor: str = "1.a", snapshot: bool = False, more: bool = False
) -> dict[str, object]:
    """An answer of the feed."""
    return {"cursor": cursor, "snapshot": snapshot, "more": more, "entries": list(entries)}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def feed(endpoint: Endpoint, time: Time) -> Iterator[Feed]:
    """A feed that has nothing to say yet."""
    endpoint.answer(page(snapshot=True))
    url = f"{endpoint.url}/oauth/feed"
    feed = Feed(url, "hub", Secret("s3cret"), monotonic=lambda: time.monotonic, clock=lambda: time.wall)
    yield feed
    feed.close()


@pytest.fixture
def verifier(mint: Mint, feed: Feed, time: Time) -> Verifier:
    """A verifier that follows it."""
    return Verifier(ISSUER, AUDIENCE, feed=feed, fetch=lambda _url: mint.jwks, clock=lambda: time.wall)


WITHDRAWN: list[dict[str, object]] = [
    {"kind": "token", "id": "jti-1", "live": False},
    {"kind": "publisher", "id": "pub-1", "live": False},
    {"kind": "publisher", "id": "pub-1", "live": True, "resource": "models/acme/other", "scope": "read write"},
    {
        "kind": "publisher",
        "id": "pub-1",
        "live": True,
        "resource": "models/acme/model",
        "scope": "read",
        "ends_at": NOW,
    },
    {"kind": "issuer", "id": "https://ci.example.org", "live": False},
    {"kind": "resource", "id": "models/acme/model", "live": False},
    {"kind": "namespace", "id": "acme", "live": False},
    {"kind": "service", "id": "locked", "live": False},
]


@pytest.mark.parametrize("entry", WITHDRAWN, ids=range(len(WITHDRAWN)))
def test_what_was_withdrawn_is_refused_after_the_next_question(
    endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time, entry: dict[str, object]
) -> None:
    """D5, T91, T109: a token that was accepted a moment ago, and remembered, is refused once the news is in."""
    token = mint.token()
    assert verifier.verify(token).operations == {"read", "write"}
    endpoint.answer(page(entry, cursor="2.b"))
    assert verifier.verify(token).operations == {"read", "write"}  # the news is younger than refresh_seconds
    time.advance(5)

    with pytest.raises(RevokedTokenError):
        verifier.verify(token)
    assert verifier._proven.by_token == {}


def test_news_about_others_changes_nothing(endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time) -> None:
    """D5: each kind by its own name; an id of one kind is nothing in another."""
    token = mint.token()
    others: list[dict[str, object]] = [
        {"kind": entry["kind"], "id": f"{entry['id']}x", "live": False} for entry in WITHDRAWN
    ]
    swapped: list[dict[str, object]] = [
        {"kind": kind, "id": "jti-1", "live": False} for kind in ("publisher", "issuer", "resource", "key")
    ]
    endpoint.answer(page(*others, *swapped, snapshot=True))

    assert verifier.verify(token).jti == "jti-1"


def test_key_of_ours_that_was_withdrawn(endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time) -> None:
    """T114: a key that is no longer trusted ends its tokens before any cache of keys does."""
    endpoint.answer(page({"kind": "key", "id": mint.key.kid, "live": False}, snapshot=True))

    with pytest.raises(RevokedTokenError):
        verifier.verify(mint.token())


def test_what_lives_again_is_accepted_again(endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time) -> None:
    """T109: a switch that was turned back counts, and the operations are the publisher's of now."""
    endpoint.answer(page({"kind": "publisher", "id": "pub-1", "live": False}, snapshot=True))
    with pytest.raises(RevokedTokenError):
        verifier.verify(mint.token())
    alive = {"kind": "publisher", "id": "pub-1", "live": True, "resource": "models/acme/model", "scope": "read create"}
    endpoint.answer(page(alive, cursor="2.b"))
    time.advance(5)

    assert verifier.verify(mint.token()).operations == {"read"}  # never more than the token itself says


def test_operations_come_back_when_the_publisher_gets_them_back(
    endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time
) -> None:
    """T91: what is remembered of a token is what was proven, not what was left of it."""
    token = mint.token()
    for scope, expected in (("read", {"read"}), ("read write", {"read", "write"})):
        entry = {"kind": "publisher", "id": "pub-1", "live": True, "resource": "models/acme/model", "scope": scope}
        endpoint.answer(page(entry))
        if scope == "read":
            endpoint.answer(page(entry, snapshot=True))
        assert verifier.verify(token).operations == expected
        time.advance(5)


def test_publisher_that_ends_ends_its_tokens(endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time) -> None:
    """D5: no event tells that a publisher's time came, so its end is in the news; also for a remembered token."""
    entry = {
        "kind": "publisher", "id": "pub-1", "live": True, "resource": "models/acme/model", "scope": "read",
        "ends_at": NOW + 60,
    }  # fmt: skip
    endpoint.answer(page(entry, snapshot=True))
    token = mint.token()
    assert verifier.verify(token)
    time.advance(59)
    assert verifier.verify(token)
    time.advance(1)

    with pytest.raises(RevokedTokenError):
        verifier.verify(token)


def test_one_question_for_many_tokens(endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time) -> None:
    """D5: the service is asked every few seconds, with the cursor it gave, and not for each token."""
    for number in range(20):
        verifier.verify(mint.token(jti=f"jti-{number}"))
    time.advance(5)
    verifier.verify(mint.token())

    assert [request["path"] for request in endpoint.asked] == ["/oauth/feed?cursor=", "/oauth/feed?cursor=1.a"]


def test_pages_are_read_to_the_end(endpoint: Endpoint, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: nothing is decided on half the news."""
    pages = [
        page({"kind": "token", "id": "a", "live": False}, cursor="1.a", snapshot=True, more=True),
        page({"kind": "token", "id": "b", "live": False}, cursor="2.b", more=True),
        page({"kind": "token", "id": "a", "live": True}, cursor="3.c"),
    ]
    monkeypatch.setattr(feed, "_page", _answers(pages))

    news = feed.current().by_kind["token"]
    assert {name: item.live for name, item in news.items()} == {"a": True, "b": False}


def _answers(pages: list[dict[str, Any]]) -> Callable[[str], tuple[bool, bool, str, list[object]]]:
    def answer(cursor: str) -> tuple[bool, bool, str, list[object]]:
        del cursor
        item = pages.pop(0)
        return item["snapshot"], item["more"], item["cursor"], item["entries"]

    return answer


def test_snapshot_forgets_what_was_known(endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time) -> None:
    """D5: after a restored backup only what the service says now counts."""
    endpoint.answer(page({"kind": "token", "id": "jti-1", "live": False}, snapshot=True))
    with pytest.raises(RevokedTokenError):
        verifier.verify(mint.token())
    endpoint.answer(page(snapshot=True))
    time.advance(5)

    assert verifier.verify(mint.token())


def test_old_news_counts_for_a_minute_and_not_longer(
    endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time
) -> None:
    """D5: max_staleness is 60 s, for remembered tokens too; then it is an outage, not a refusal and not a pass."""
    token = mint.token()
    assert verifier.verify(token)
    endpoint.status = 500
    time.advance(59.9)
    assert verifier.verify(token)
    time.advance(0.2)

    for text in (token, mint.token(jti="another")):
        with pytest.raises(UnavailableError):
            verifier.verify(text)
    endpoint.answer(page())
    assert verifier.verify(token)


def test_machine_that_slept_asks_before_it_believes(
    endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time
) -> None:
    """D5: the monotonic clock of a suspended machine stands still; the other one does not."""
    assert verifier.verify(mint.token())
    endpoint.answer(page({"kind": "token", "id": "jti-1", "live": False}))
    time.wall += 1800

    with pytest.raises(RevokedTokenError):
        verifier.verify(mint.token())


def test_age_counts_from_the_question(
    endpoint: Endpoint, feed: Feed, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: an answer that took long is as old as its question."""

    def slow(cursor: str) -> tuple[bool, bool, str, list[object]]:
        del cursor
        time.advance(61)
        return True, False, "1.a", []

    monkeypatch.setattr(feed, "_page", slow)
    feed.current()
    endpoint.status = 500
    monkeypatch.undo()
    with pytest.raises(UnavailableError):
        feed.current()


def test_failing_service_is_not_asked_for_every_token(
    endpoint: Endpoint, verifier: Verifier, mint: Mint, time: Time
) -> None:
    """D9: while old news counts, one question a second is enough."""
    verifier.verify(mint.token())
    endpoint.status = 500
    time.advance(6)
    asked = len(endpoint.asked)
    for number in range(10):
        verifier.verify(mint.token(jti=f"jti-{number}"))

    assert len(endpoint.asked) == asked + 1


def test_waiting_threads_share_one_question(endpoint: Endpoint, feed: Feed) -> None:
    """D5: a crowd at the first question does not become a crowd of questions."""
    endpoint.delay_seconds = 0.2
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(feed.current())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 12
    assert len(endpoint.asked) == 1


BAD: list[Any] = [
    [],
    {},
    page(snapshot=True) | {"cursor": ""},
    page(snapshot=True) | {"cursor": "x" * 65},
    page(snapshot=True) | {"cursor": 1},
    page(snapshot=True) | {"more": "no"},
    page(snapshot=True) | {"snapshot": 1},
    page(snapshot=True) | {"entries": {}},
    page(snapshot=False),
    page("x", snapshot=True),  # type: ignore[arg-type]  # on purpose
    page({"kind": "planet", "id": "x", "live": False}, snapshot=True),
    page({"kind": "token", "id": 1, "live": False}, snapshot=True),
    page({"kind": "token", "id": "x", "live": 0}, snapshot=True),
    page({"kind": "token", "id": "x"}, snapshot=True),
    page({"kind": "publisher", "id": "x", "live": True}, snapshot=True),
    page(
        {"kind": "publisher", "id": "x", "live": True, "resource": "r", "scope": "read", "ends_at": "x"}, snapshot=True
    ),
]


@pytest.mark.parametrize("answer", BAD, ids=range(len(BAD)))
def test_answer_that_cannot_be_understood_lets_nobody_through(
    endpoint: Endpoint, verifier: Verifier, mint: Mint, answer: object
) -> None:
    """D9: what is not understood may withdraw this very token, so it is an outage."""
    endpoint.body = json.dumps(answer).encode()

    with pytest.raises(UnavailableError):
        verifier.verify(mint.token())


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 503])
def test_other_status_is_an_outage(endpoint: Endpoint, feed: Feed, status: int) -> None:
    """D9: never "nothing was withdrawn"."""
    endpoint.status, endpoint.headers = status, {"Retry-After": "7"}

    with pytest.raises(UnavailableError):
        feed.current()


def test_nobody_there_is_an_outage(time: Time) -> None:
    """D9."""
    with pytest.raises(UnavailableError):
        Feed("http://127.0.0.1:9/oauth/feed", "hub", Secret("x")).current()


def test_credential_is_sent_and_not_said(endpoint: Endpoint, feed: Feed) -> None:
    """S8: in the header, and in no message."""
    endpoint.status = 401
    with pytest.raises(UnavailableError) as caught:
        feed.current()

    assert "s3cret" not in f"{caught.value!r} {caught.value.hint}"


def test_news_does_not_pile_up(endpoint: Endpoint, feed: Feed, time: Time) -> None:
    """T117: after two hours news touches no token any more, and is dropped."""
    for number in range(5):
        endpoint.answer(page({"kind": "token", "id": f"jti-{number}", "live": False}, snapshot=number == 0))
        feed.current()
        time.advance(KEPT_SECONDS / 2)

    assert len(feed.current().by_kind["token"]) <= 2


def test_forked_child_does_not_wait_for_its_parents_lock(endpoint: Endpoint, feed: Feed) -> None:
    """D5: a worker that was forked while another thread asked asks by itself."""
    feed._lock.acquire()
    child = os.fork()
    if child == 0:
        try:
            feed.current()
        finally:
            os._exit(0 if feed._held is not None else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    feed._lock.release()


@pytest.mark.parametrize("times", [(-1, 60), (61, 60), (5, 601)])
def test_times_that_make_no_sense_are_refused(times: tuple[float, float]) -> None:
    """D5: news of ten minutes ago is none."""
    with pytest.raises(ConfigurationError):
        Feed("http://127.0.0.1:9/", "hub", Secret("x"), refresh_seconds=times[0], max_staleness=times[1])


def test_expired_tokens_do_not_stay(verifier: Verifier, mint: Mint, time: Time) -> None:
    """T117: expiry empties what is remembered."""
    for number in range(5):
        verifier.verify(mint.token(jti=f"jti-{number}", exp=NOW + 30))
    time.advance(61)
    verifier.verify(mint.token(jti="later"))

    assert len(verifier._proven.by_token) == 1


def test_thread_that_is_behind_brings_nothing_back(mint: Mint) -> None:
    """D5: news that was overtaken by newer news while its reader waited does not revive what is withdrawn."""
    token = mint.verify(mint.token())
    old = Withdrawals().updated({}, now=NOW, anew=True)
    new = old.updated({("token", "jti-1"): News(live=False, heard_at=NOW)}, now=NOW, anew=False)
    proven = ProvenTokens()
    proven.catch_up(old, NOW)
    proven.add("text", token, mint.keys, NOW)
    proven.catch_up(new, NOW)
    proven.catch_up(old, NOW)

    assert proven.withdrawals is new
    assert proven.by_token == {}
    with pytest.raises(RevokedTokenError):
        proven.add("text", token, mint.keys, NOW)


def test_revocations_and_checks_at_once(endpoint: Endpoint, mint: Mint) -> None:
    """D5, T91: many threads check many tokens while they are withdrawn; once the news is in, none is accepted again."""
    endpoint.answer(page(snapshot=True))
    feed = Feed(f"{endpoint.url}/oauth/feed", "hub", Secret("x"), refresh_seconds=0.01)
    verifier = Verifier(ISSUER, AUDIENCE, feed=feed, fetch=lambda _url: mint.jwks, clock=lambda: NOW)
    tokens = [mint.token(jti=f"jti-{number}") for number in range(40)]
    verifier.verify(tokens[0])  # the feed has begun: what follows are changes
    stop, revived, gone = threading.Event(), [], set[str]()

    def check() -> None:
        while not stop.is_set():
            for token in tokens:
                was_gone = token in gone
                try:
                    verifier.verify(token)
                except RevokedTokenError:
                    gone.add(token)
                else:
                    if was_gone:
                        revived.append(token)

    threads = [threading.Thread(target=check) for _ in range(6)]
    for thread in threads:
        thread.start()
    entries: list[dict[str, object]] = []
    for number in range(40):
        entries.append({"kind": "token", "id": f"jti-{number}", "live": False})
        endpoint.answer(page(*entries, cursor=f"{number}.x"))
        stop.wait(0.02)
    stop.wait(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    feed.close()

    assert revived == []
    assert gone == set(tokens)
