from __future__ import annotations

import os
import subprocess
import sys

from keyless.resource import parse_resource
from keyless.server.store import Verdict, trust_reader
from keyless.server.store.trust_reader import MAX_RESOURCES
from keyless.trust.publisher import Operation
from tests.server.store.world import PUBLIC_URL, START, World

GITHUB = "https://token.actions.githubusercontent.com"


def keyless(world: World, *argv: str) -> None:
    """Run the command line in a process of its own."""
    program = "import sys; from keyless.cli.main import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "KEYLESS_DATABASE": world.location_text}
    subprocess.run([sys.executable, "-c", program, *argv], env=environment, check=True, stdout=subprocess.DEVNULL)


def test_a_publisher_is_read_as_it_was_saved(world: World) -> None:
    """S10: what matching sees is what the owner configured."""
    assert world.store.publishers(world.resource, world.publisher.issuer_id) == (world.publisher,)


def test_publishers_of_another_resource_or_issuer_are_not_seen(world: World) -> None:
    """V16, T35: the lookup key is the resource and the issuer together."""
    issuer_id = world.publisher.issuer_id

    assert world.store.publishers(parse_resource("datasets/acme/model"), issuer_id) == ()
    assert world.store.publishers(world.resource, issuer_id + 1) == ()


def test_an_issuer_is_found_by_its_exact_url_only(world: World) -> None:
    """V06, T21, T22: no slash, case or prefix is forgiven."""
    assert (world.store.issuer_by_url(GITHUB) or world).__class__.__name__ == "Issuer"
    for url in (f"{GITHUB}/", GITHUB.upper(), GITHUB[:-1], f"{GITHUB}/acme", ""):
        assert world.store.issuer_by_url(url) is None


def test_what_another_process_removes_is_gone_at_the_next_question(world: World) -> None:
    """D4, T91: `trust remove` beside a running server counts at its next exchange."""
    grant = world.grant()
    assert world.store.publishers(world.resource, world.publisher.issuer_id)

    keyless(world, "trust", "remove", world.publisher.id)

    assert world.store.publishers(world.resource, world.publisher.issuer_id) == ()
    assert world.store.commit([grant])[0].verdict is Verdict.PUBLISHER_CHANGED


def test_what_another_process_switches_off_is_off_at_the_next_question(world: World) -> None:
    """D16: also for issuers."""
    assert (found := world.store.issuer_by_url(GITHUB)) is not None
    assert found.enabled

    keyless(world, "trust", "issuer", "disable", GITHUB)

    assert (found := world.store.issuer_by_url(GITHUB)) is not None
    assert not found.enabled


def test_mints_do_not_empty_the_caches(world: World) -> None:
    """D4: only changes of trust do, so that an exchange reads nothing from the disk."""
    first = world.store.publishers(world.resource, world.publisher.issuer_id)[0]
    world.store.commit([world.grant()])

    assert world.store.publishers(world.resource, world.publisher.issuer_id)[0] is first


def test_expiry_counts_although_the_publisher_is_cached(world: World) -> None:
    """D7: a publisher's end needs no commit to be noticed."""
    short = world.add_publisher(claims={"repository": ["acme/short"]}, expires_at=START + 10)
    assert short in world.store.publishers(world.resource, short.issuer_id)
    world.clock.now = START + 10

    assert short not in world.store.publishers(world.resource, short.issuer_id)


def test_names_that_callers_make_up_are_not_remembered(world: World) -> None:
    """T40: an outsider cannot fill the caches."""
    for number in range(50):
        world.store.publishers(parse_resource(f"acme/model-{number}"), 1)
        world.store.issuer_by_url(f"https://issuer-{number}.example")

    assert len(world.store._trust._publishers) == 0
    assert len(world.store._trust._issuers) == 0


def test_the_cache_is_bounded(world: World, monkeypatch: object) -> None:
    """T40: with many publishers the oldest unused leave."""
    del monkeypatch
    cache = world.store._trust._publishers
    world.store.publishers(world.resource, world.publisher.issuer_id)
    entry = next(iter(cache.values()))
    for number in range(MAX_RESOURCES):
        cache[world.resource, 1000 + number] = entry
    trust_reader._bound(cache, MAX_RESOURCES)

    assert len(cache) == MAX_RESOURCES
    assert (world.resource, world.publisher.issuer_id) not in cache


def test_an_account_has_the_prefix_of_accounts_and_reads_only(world: World) -> None:
    """D6, S10: user publishers read; the huggingface profile gives them a prefix of their own."""
    world.store.ensure_default_resource_server(PUBLIC_URL, "huggingface")
    publisher = world.add_publisher(resource=parse_resource("bob"))

    assert (publisher.token_prefix, publisher.operations) == ("hf_oauth_", (Operation.READ,))
    assert world.store.publishers(parse_resource("bob"), publisher.issuer_id) == (publisher,)
    assert world.store.token_prefixes() == ("hf_jwt_", "hf_oauth_")


def test_a_publisher_names_its_resource(world: World) -> None:
    """D22: a caller may name the publisher instead of the resource."""
    assert world.store.resource_of_publisher(world.publisher.id) == world.resource
    assert world.store.resource_of_publisher("pub_unknown") is None
