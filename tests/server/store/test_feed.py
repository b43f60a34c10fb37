"""The feed at the store: nothing that ends a token is missing from it, on either engine (D5, T91, T109)."""

from __future__ import annotations

import importlib
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from keyless.errors import RevokedTokenError
from keyless.resource import parse_resource
from keyless.server.doors.feed import entry_members
from keyless.server.store import feed as feed_module
from keyless.server.store.admin import description_of
from keyless.server.store.feed import KEPT_SECONDS
from keyless.server.store.grants import Covered, Verdict
from keyless.trust.publisher import Operation, Publisher
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.withdrawals import Withdrawals, read_news
from tests.server.store.world import PUBLIC_URL, World
from tests.verifier.tokens import Mint


@pytest.fixture(scope="module")
def mint() -> Mint:
    """One key for all tokens."""
    return Mint()


@dataclass
class Reader:
    """A resource server that follows the feed and checks tokens by it alone."""

    world: World
    audience: str = PUBLIC_URL
    cursor: str | None = None
    known: Withdrawals = field(default_factory=Withdrawals)
    snapshots: int = 0

    def poll(self) -> list[dict[str, object]]:
        """Ask for news until there is no more; return it as it went over the wire."""
        heard: list[dict[str, object]] = []
        more = True
        while more:
            page = self.world.store.feed(self.audience, self.cursor)
            entries = [entry_members(entry) for entry in page.entries]
            heard += entries
            now = self.world.clock()
            self.known = self.known.updated(
                dict(read_news(entry, now) for entry in entries), now=now, anew=page.snapshot
            )
            self.snapshots += page.snapshot
            self.cursor, more = page.cursor, page.more
        return heard

    def allows(self, token: VerifiedAccessToken) -> frozenset[str] | None:
        """Return what a token may do by the feed, or `None` when it was withdrawn."""
        try:
            return self.known.check(token, self.world.clock())[0].operations
        except RevokedTokenError:
            return None


def live(world: World, token: VerifiedAccessToken) -> frozenset[str] | None:
    """Return what a token may do by the tables, as introspection would say it."""
    state = world.store.token_state(token.jti)
    if state is None or not state.live:
        return None
    return token.operations.intersection(state.operations.split(" "))


def issue(world: World, mint: Mint, publisher: Publisher, *also: Publisher) -> VerifiedAccessToken:
    """Commit a grant and return the token that the service signs for it."""
    token = try_to_issue(world, mint, publisher, *also)
    assert token is not None
    return token


def try_to_issue(world: World, mint: Mint, publisher: Publisher, *also: Publisher) -> VerifiedAccessToken | None:
    """Commit a grant and return the token that the service signs for it; `None` when it is refused."""
    now = int(world.clock())
    ends_at = min(now + 3600, *(p.expires_at for p in (publisher, *also) if p.expires_at is not None), now + 3600)
    covered = tuple(Covered(str(p.resource), p.id, p.version) for p in also)
    grant = world.grant(publisher=publisher, expires_at=max(ends_at, now + 1), also=covered)
    if world.store.commit([grant])[0].verdict is not Verdict.GRANTED:
        return None
    claims: dict[str, Any] = {"also": [str(p.resource) for p in also], "also_by": [p.id for p in also]} if also else {}
    return mint.verify(
        mint.token(
            iss=PUBLIC_URL,
            aud=publisher.audience,
            sub=f"urn:keyless:publisher:{publisher.id}",
            client_id=publisher.id,
            jti=grant.jti,
            iat=grant.issued_at,
            exp=grant.expires_at,
            resource=grant.resource,
            scope=grant.scope,
            ci_iss=publisher.issuer_url,
            **claims,
        ),
        issuer=PUBLIC_URL,
        audience=publisher.audience,
        now=world.clock(),
    )


class Walk:
    """Change whatever can end a token or let it live again, at random but always in the same way for one seed."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.tokens: list[VerifiedAccessToken] = []
        self.added = 0

    def change(self) -> None:
        """Change one thing."""
        publishers = self.publishers()
        if not publishers or self.chance.random() < 0.2:
            self.add()
            return
        admin, some, coin = self.world.admin, self.chance.choice(publishers), self.chance.random() < 0.5
        operations = (Operation.READ,) if coin else (Operation.READ, Operation.WRITE)
        changes: list[Callable[[], object]] = [
            lambda: admin.remove_publisher(some.id),
            lambda: admin.set_publisher_enabled(some.id, enabled=not some.enabled),
            lambda: admin.set_publisher_enabled(some.id, enabled=True),
            lambda: admin.set_resource_state(some.resource, "locked" if coin else "active"),
            lambda: admin.set_namespace_locked(some.resource.namespace, locked=coin),
            lambda: admin.set_all_locked(locked=coin),
            lambda: admin.set_all_locked(locked=False),
            lambda: admin.set_resource_state(some.resource, "active"),
            lambda: admin.set_namespace_locked(some.resource.namespace, locked=False),
            lambda: admin.set_issuer_enabled(some.issuer_url, enabled=coin),
            lambda: admin.set_issuer_enabled(some.issuer_url, enabled=True),
            lambda: admin.change_publisher(some.id, replace(description_of(some), operations=operations)),
            lambda: self.world.store.revoke_token(self.chance.choice(self.tokens).jti, reason="test"),
            # By hand, past all of our code.
            lambda: self.world.change("UPDATE publisher SET enabled = 0, version = version + 1 WHERE id = ?", some.id),
            lambda: self.world.change("UPDATE namespace SET state = 'active'"),
            self.world.store.purge,
            self.wait,
        ]
        self.chance.choice(changes)()

    def publishers(self) -> list[Publisher]:
        """Return the publishers in an order that does not depend on their ids."""
        return sorted(self.world.admin.publishers(), key=lambda publisher: str(publisher.conditions))

    def add(self) -> None:
        """Add a publisher of one of three repositories, some of them with an end."""
        self.added += 1
        self.world.add_publisher(
            resource=parse_resource(self.chance.choice(["acme/model", "datasets/acme/rows", "other/model"])),
            claims={"repository": [f"acme/train-{self.added}"], "branch": ["main"]},
            expires_at=int(self.world.clock()) + 900 if self.chance.random() < 0.3 else None,
        )

    def wait(self) -> None:
        """Let time pass."""
        self.world.clock.now += self.chance.choice([1, 300, 1200])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_feed_says_what_the_tables_say(world: World, mint: Mint, seed: int) -> None:
    """D5, D16, T91, T109: a random walk over everything that can end a token or let it live again."""
    walk = Walk(world, seed)
    reader, slow = Reader(world), Reader(world)
    compared = Counter[bool]()
    walk.tokens.append(issue(world, mint, world.publisher))
    for step in range(60):
        for publisher in walk.chance.choices(walk.publishers() or [world.publisher], k=2):
            if (token := try_to_issue(world, mint, publisher)) is not None:
                walk.tokens.append(token)
        walk.change()
        reader.poll()
        if step % 10 == 9:
            reader = Reader(world)  # a restart
            reader.poll()
        if step % 17 == 16:
            slow.poll()
        for token in [*walk.chance.choices(walk.tokens, k=8), *walk.tokens[-2:]]:
            expected = live(world, token)
            assert reader.allows(token) == expected, token
            compared[expected is not None] += 1
    slow.poll()
    assert [slow.allows(token) for token in walk.tokens] == [live(world, token) for token in walk.tokens]
    assert min(compared[True], compared[False]) > 25  # neither all dead nor all alive


def test_token_of_several_packages_ends_with_any_of_them(world: World, mint: Mint) -> None:
    """T91: each package has its own publisher, and each can be removed."""
    registry = "https://pypi.example.org"
    world.admin.add_resource_server("pypi", audience=registry, profile="pypi")
    publishers = [world.add_publisher(resource=parse_resource(f"pypi/{name}")) for name in ("one", "two")]
    token = issue(world, mint, *publishers)
    reader = Reader(world, registry)
    reader.poll()
    assert reader.allows(token) is not None

    world.admin.remove_publisher(publishers[1].id)
    reader.poll()
    assert reader.allows(token) is None
    assert live(world, token) is None


def test_other_resource_servers_learn_nothing_of_it(world: World, mint: Mint) -> None:
    """T106: tokens, publishers, repositories and namespaces of another audience are not named."""
    world.admin.add_resource_server("registry", audience="https://registry.example.org")
    ours, theirs = Reader(world), Reader(world, "https://registry.example.org")
    ours.poll()
    theirs.poll()
    token = issue(world, mint, world.publisher)
    world.store.revoke_token(token.jti, reason="test")
    world.admin.set_resource_state(world.resource, "locked")
    world.admin.set_namespace_locked("acme", locked=True)
    world.admin.set_publisher_enabled(world.publisher.id, enabled=False)

    assert {entry["kind"] for entry in ours.poll()} == {"token", "resource", "namespace", "publisher"}
    assert theirs.poll() == []


def test_pages_are_bounded_and_lose_nothing(world: World, mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: however much happened, an answer is short; a cursor in the middle goes on from there."""
    monkeypatch.setattr(feed_module, "MAX_ENTRIES", 3)
    tokens = [issue(world, mint, world.publisher) for _ in range(10)]
    for token in tokens:
        world.store.revoke_token(token.jti, reason="test")
    reader = Reader(world)
    pages, more = [], True
    while more:
        page = world.store.feed(PUBLIC_URL, reader.cursor)
        pages.append(len(page.entries))
        reader.cursor, more = page.cursor, page.more

    assert pages == [3, 3, 3, 1]
    assert world.store.feed(PUBLIC_URL, reader.cursor).entries == ()


@pytest.mark.parametrize(
    "cursor", [None, "", "x", "0.x", "999.0123456789abcdef", "1.0123456789abcdef", "-1.", "\u00b2.", "9" * 30]
)
def test_cursor_that_is_not_ours_begins_anew(world: World, mint: Mint, cursor: str | None) -> None:
    """D5: after a restored backup, or from another service, a cursor means nothing: everything is told again."""
    token = issue(world, mint, world.publisher)
    world.store.revoke_token(token.jti, reason="test")
    page = world.store.feed(PUBLIC_URL, cursor)

    assert page.snapshot
    assert [(entry.kind, entry.subject, entry.live) for entry in page.entries] == [("token", token.jti, False)]


def test_cursor_of_an_empty_feed_goes_on(world: World, mint: Mint) -> None:
    """D5: a service that nothing happened to has a cursor as well."""
    first = world.store.feed(PUBLIC_URL, None)
    token = issue(world, mint, world.publisher)
    world.store.revoke_token(token.jti, reason="test")
    second = world.store.feed(PUBLIC_URL, first.cursor)

    assert (first.snapshot, first.entries, second.snapshot) == (True, (), False)
    assert [entry.subject for entry in second.entries] == [token.jti]


def test_old_news_goes_and_the_cursor_stays(world: World, mint: Mint) -> None:
    """D5: what touches no token any more is deleted; who was away meanwhile begins anew and is not told it."""
    reader = Reader(world)
    first = reader.world.store.feed(PUBLIC_URL, None).cursor
    old = issue(world, mint, world.publisher)
    world.store.revoke_token(old.jti, reason="test")
    world.store.purge()
    reader.poll()
    world.clock.now += KEPT_SECONDS + 1
    new = issue(world, mint, world.publisher)
    world.store.revoke_token(new.jti, reason="test")
    world.store.purge()

    assert world.rows("SELECT count(*) FROM feed") == [(1,)]
    assert world.store.feed(PUBLIC_URL, first).snapshot
    assert [entry.subject for entry in world.store.feed(PUBLIC_URL, first).entries] == [new.jti]


def test_use_of_a_publisher_is_no_news(world: World, mint: Mint) -> None:
    """D5: what every exchange writes does not fill the feed."""
    for _ in range(3):
        issue(world, mint, world.publisher)
        world.clock.now += 61
    assert world.rows("SELECT last_used_at FROM publisher") != [(None,)]
    assert world.rows("SELECT count(*) FROM feed") == [(0,)]


def test_change_that_was_rolled_back_is_no_news(world: World) -> None:
    """D5: news is written in the transaction of the change, and ends with it."""

    def fail() -> None:
        with world.admin.together() as change:
            change.connection.exec_driver_sql("UPDATE publisher SET enabled = 0")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert world.store.feed(PUBLIC_URL, None).entries == ()


def test_reader_beside_many_writers_misses_nothing(world: World, mint: Mint) -> None:
    """D5: numbers become visible in their order, so a reader that has seen one has seen all before it."""
    tokens = [issue(world, mint, world.publisher) for _ in range(60)]
    others = [type(world.store)(world.store.database, clock=world.clock) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda s=store, n=n: [s.revoke_token(t.jti, reason="x") for t in tokens[n::3]])
        for n, store in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    heard: set[object] = set()
    reader = Reader(world)
    while any(thread.is_alive() for thread in threads):
        heard |= {entry["id"] for entry in reader.poll()}
    heard |= {entry["id"] for entry in reader.poll()}
    for store in others:
        store.close()

    assert heard == {token.jti for token in tokens}
    assert reader.snapshots == 1


def test_every_trigger_is_still_there(world: World) -> None:
    """D5: a later migration that rebuilds a table must not take its triggers away."""
    triggers = importlib.import_module("keyless.server.store.migrations.versions.0006_feed").TRIGGERS
    catalogue = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }[world.store.database.engine]

    found = {name for (name,) in world.rows(catalogue)}
    assert {f"feed_{number:02}_{trigger[0]}" for number, trigger in enumerate(triggers)} <= found
