"""Telling another system what happened to the trust: real rows, real HTTP, a receiver that checks (D20)."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keyless.errors import ConfigurationError
from keyless.http.guarded import GuardedFetcher
from keyless.oidc.issuer import Network, NetworkKind
from keyless.secret import Secret
from keyless.server.database_url import DatabaseLocation
from keyless.server.metrics import Metrics
from keyless.server.services.webhook import MAX_ATTEMPTS, TAKEN_SECONDS, Webhook
from keyless.server.settings import Settings
from keyless.server.store.outbox import KEEP_SECONDS
from tests.server.store.world import World

SECRET = "0123456789abcdef-shared"


class Receiver:
    """A webhook on loopback that keeps what it is told, and can be out of order."""

    def __init__(self) -> None:
        self.status = 204
        self.told: list[dict[str, object]] = []
        self.raw: list[tuple[str, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status < 300:
                    receiver.raw.append((self.headers["Keyless-Signature"], body))
                    receiver.told.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def kinds(self) -> list[object]:
        return [event["kind"] for event in self.told]


@pytest.fixture
def world(location: DatabaseLocation) -> Iterator[World]:
    made = World(location)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def webhook(world: World, receiver: Receiver, network: NetworkKind = NetworkKind.LOOPBACK) -> Webhook:
    return Webhook(
        receiver.url,
        Network(network),
        Secret(SECRET),
        outbox=world.store,
        sender=GuardedFetcher(),
        clock=world.clock,
        counter=Metrics().webhooks,
    )


def test_a_change_of_trust_is_told_once_and_signed(world: World, receiver: Receiver) -> None:
    """S10: the event with its audit id, and a signature over time and body that only the secret makes."""
    publisher = world.publisher
    hook = webhook(world, receiver)
    hook.deliver()
    hook.deliver()
    assert receiver.kinds() == ["publisher.added"]
    assert receiver.told[0]["publisher"] == publisher.id
    header, body = receiver.raw[0]
    at, _, digest = header.removeprefix("t=").partition(",v1=")
    assert hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() == digest
    assert int(at) == int(world.clock())


def test_what_could_not_be_told_is_told_later_in_its_order(world: World, receiver: Receiver) -> None:
    """At least once: a receiver that is down loses nothing."""
    publisher = world.publisher
    world.admin.set_publisher_enabled(publisher.id, enabled=False)
    hook = webhook(world, receiver)
    receiver.status = 500
    hook.deliver()
    assert receiver.told == []
    receiver.status = 204
    world.clock.now += TAKEN_SECONDS + 1
    hook.deliver()
    assert sorted(map(str, receiver.kinds())) == ["publisher.added", "publisher.disabled"]


def test_two_replicas_tell_an_event_once(world: World, receiver: Receiver) -> None:
    """Whoever takes an event has it for a minute; if he dies with it, it comes again."""
    taken = world.store.take_from_outbox(10, TAKEN_SECONDS)
    assert len(taken) == 1
    webhook(world, receiver).deliver()
    assert receiver.told == []
    world.clock.now += TAKEN_SECONDS
    webhook(world, receiver).deliver()
    assert receiver.kinds() == ["publisher.added"]


def test_an_event_that_nobody_ever_takes_is_given_up(world: World, receiver: Receiver) -> None:
    """After some hours, with an error in the log, so that the outbox does not grow for ever."""
    hook = webhook(world, receiver)
    receiver.status = 400
    for _ in range(MAX_ATTEMPTS):
        hook.deliver()
        world.clock.now += 3601
    receiver.status = 204
    hook.deliver()
    assert receiver.told == []


def test_without_a_webhook_the_outbox_is_emptied_in_the_end(world: World) -> None:
    """It is written whether or not somebody listens."""
    world.clock.now += KEEP_SECONDS + 10
    world.store.purge_outbox()
    assert world.store.take_from_outbox(10, 60) == []


def test_the_address_is_guarded_as_every_outbound_one(world: World, receiver: Receiver) -> None:
    """S01-S09, D20: a webhook on the public network never reaches loopback."""
    webhook(world, receiver, NetworkKind.PUBLIC).deliver()
    assert receiver.told == []
    assert receiver.raw == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"webhook_url": "https://hooks.example.org/x"}, "KEYLESS_WEBHOOK_SECRET"),
        ({"webhook_url": "http://hooks.example.org/x", "webhook_secret": SECRET}, "https"),
        ({"webhook_url": "ftp://hooks.example.org/x", "webhook_secret": SECRET}, "webhook_url"),
        ({"webhook_url": "https://h.example", "webhook_secret": SECRET, "webhook_network": "anywhere"}, "network"),
    ],
)
def test_a_webhook_that_cannot_work_stops_the_start(world: World, values: dict[str, str], named: str) -> None:
    """Settings: what is wrong, before anything is served."""
    settings = Settings(public_url="https://hub.example.org", **values)  # type: ignore[arg-type]  # read from texts
    with pytest.raises(ConfigurationError, match=named):
        Webhook.of(settings, world.store, GuardedFetcher(), world.clock, Metrics().webhooks)
