"""Checkpoints while the service runs: the key, the file, and what is sealed when (D15)."""

from __future__ import annotations

import dataclasses
import json
import stat
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keyless.errors import ConfigurationError
from keyless.jose.jwk import KeySet
from keyless.jose.signing import SigningKey
from keyless.server.app import TokenService
from keyless.server.audit.statement import read_checkpoint
from keyless.server.services.checkpoint_key import load_checkpoint_key, public_pem, read_public_key
from keyless.server.services.sealer import WHOLE_EVERY_SECONDS, Sealer, last_kept, read_file
from keyless.server.settings import Settings, StoreSettings
from tests.server.service import PUBLIC_URL
from tests.server.store.conftest import world as world  # noqa: PLC0414 - the fixture, under its name
from tests.server.store.world import World

KEY = SigningKey.generate("Ed25519")
KEYS = KeySet.of([KEY.public_key()])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere.jsonl"


def sealer(world: World, file: Path | None) -> Sealer:
    return Sealer(world.store.audit, KEY, file, clock=world.clock)


def numbers(file: Path) -> list[int]:
    return [json.loads(line)["number"] for line in file.read_text().splitlines()]


def kept_number(file: Path) -> int:
    found = last_kept(file)
    assert found is not None
    return found[0]


# --- sealing ---------------------------------------------------------------------------------------------------------


def test_only_news_is_sealed(world: World, file: Path) -> None:
    """D15: a quiet service writes nothing; the first checkpoint of a process names every writer."""
    made = sealer(world, file)
    first = made.seal()
    assert first is not None
    assert first.whole
    assert made.seal() is None
    world.store.commit([world.grant()])
    second = made.seal()

    assert second is not None
    assert (second.number, second.whole, len(second.heads)) == (2, False, 1 if world.is_sqlite else len(first.heads))
    assert numbers(file) == [1, 2]
    assert [read_checkpoint(statement, KEYS).number for _, statement in read_file(file)] == [1, 2]


def test_once_a_day_every_writer_is_named(world: World, file: Path) -> None:
    """D15: so that a file which begins anew covers everything soon, also without news."""
    made = sealer(world, file)
    made.seal()
    world.clock.now += WHOLE_EVERY_SECONDS

    again = made.seal()

    assert again is not None
    assert again.whole


def test_a_new_process_goes_on_where_the_last_one_stopped(world: World, file: Path) -> None:
    """D15: numbers go on, each checkpoint names the one before it, and the audit verifies against all of them."""
    for _ in range(3):
        world.store.commit([world.grant()])
        sealer(world, file).seal()

    assert numbers(file) == [1, 2, 3]
    report = world.store.verify_chain(keys=KEYS, kept=read_file(file))
    assert (report.problems, report.checkpoints) == ((), 3)


def test_a_checkpoint_names_the_one_before_it(world: World, file: Path) -> None:
    """D15, T108: whoever has the key and an older checkpoint cannot put another one in between."""
    made = sealer(world, file)
    for _ in range(3):
        world.store.commit([world.grant()])
        made.seal()
    entries = list(read_file(file))
    second = read_checkpoint(entries[1][1], KEYS)
    entries[1] = (entries[1][0], dataclasses.replace(second, heads={}).sign(KEY))
    world.change("DELETE FROM checkpoint")

    problems = world.store.verify_chain(keys=KEYS, kept=entries).problems
    assert problems == ("elsewhere.jsonl, line 3 does not follow from the one before it",)


def test_what_could_not_be_written_is_written_later(world: World, file: Path, tmp_path: Path) -> None:
    """D15: a full disk or a crash between database and file leaves no gap in the file."""
    missing = tmp_path / "missing" / "checkpoints.jsonl"
    with pytest.raises(FileNotFoundError):
        sealer(world, missing).seal()
    world.store.commit([world.grant()])
    sealer(world, None).seal()

    world.store.commit([world.grant()])
    sealer(world, file).seal()

    assert numbers(file) == [1, 2, 3]


def test_a_torn_line_is_written_again(world: World, file: Path) -> None:
    """D15: a power cut in the middle of a line costs nothing."""
    made = sealer(world, file)
    made.seal()
    world.store.commit([world.grant()])
    made.seal()
    file.write_bytes(file.read_bytes()[:-40])
    assert kept_number(file) == 1

    world.store.commit([world.grant()])
    sealer(world, file).seal()

    report = world.store.verify_chain(keys=KEYS, kept=read_file(file))
    assert report.problems == ()
    assert kept_number(file) == 3


def test_the_last_number_is_found_behind_long_lines(file: Path) -> None:
    """D15: a checkpoint of many writers is longer than what is read first."""
    file.write_text(json.dumps({"number": 7, "at": 1, "statement": "x" * 1_000_000}) + "\n")

    assert kept_number(file) == 7
    assert last_kept(file.with_name("none")) is None


def test_two_replicas_make_one_row_of_checkpoints(world: World, file: Path) -> None:
    """D15: whoever is faster; each replica's file has all of them."""
    other = file.with_name("other.jsonl")
    first, second = sealer(world, file), sealer(world, other)
    for made in (first, second, first, second):
        world.store.commit([world.grant()])
        made.seal()
    first.seal()
    second.seal()

    assert numbers(file) == numbers(other) == [1, 2, 3, 4]


def test_rows_that_are_gone_are_news(world: World, file: Path) -> None:
    """D15: an intruder who cuts the newest rows does not silence the seal."""
    made = sealer(world, file)
    world.store.commit([world.grant(), world.grant()])
    made.seal()
    world.unprotect_audit()
    world.change("DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event)")

    again = made.seal()

    assert again is not None
    assert again.whole
    assert any("cut" in problem for problem in world.store.verify_chain(keys=KEYS, kept=read_file(file)).problems)


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "before a start"])
def test_the_file_goes_on_when_the_database_forgot(
    world: World, file: Path, caplog: pytest.LogCaptureFixture, running: bool
) -> None:
    """D15: checkpoints that somebody took out, or a restored backup, do not silence the file; it is told, too."""
    made = sealer(world, file)
    for _ in range(3):
        world.store.commit([world.grant()])
        made.seal()
    world.change("DELETE FROM checkpoint")

    again = (made if running else sealer(world, file)).seal()

    assert again is not None
    assert (again.number, again.whole) == (4, True)
    assert numbers(file) == [1, 2, 3, 4]
    assert "has lost checkpoints" in caplog.text
    assert world.store.verify_chain(keys=KEYS, kept=read_file(file)).problems == ()


def test_old_checkpoints_leave_the_database(world: World, file: Path) -> None:
    """D15: the newest one stays, for the next one names it."""
    made = sealer(world, file)
    for _ in range(3):
        world.store.commit([world.grant()])
        made.seal()
        world.clock.now += 100
    world.store.audit.forget_checkpoints(before=int(world.clock()) + 1)

    assert [row[0] for row in world.store.audit.checkpoints(after=0)] == [3]
    world.store.commit([world.grant()])
    made.seal()
    assert world.store.verify_chain(keys=KEYS, kept=read_file(file)).problems == ()


def test_addresses_are_forgotten(world: World) -> None:
    """D15: on their own schedule; the chain does not cover them."""
    world.store.commit([world.grant(address="192.0.2.1")])
    world.clock.now += 1000
    world.store.commit([world.grant(address="192.0.2.2")])

    assert world.store.audit.forget_contacts(before=int(world.clock())) == 1
    assert world.rows("SELECT address FROM audit_contact") == [("192.0.2.2",)]
    assert world.store.verify_chain().intact


def test_a_prune_keeps_what_is_young(world: World, file: Path) -> None:
    """D15: on both engines; a chain keeps everything from its first young event on."""
    made = sealer(world, file)
    world.store.commit([world.grant() for _ in range(700)])
    made.seal()
    world.clock.now += 1000
    world.store.commit([world.grant()])
    made.seal()

    gone = world.store.audit.prune(KEY, before=int(world.clock()), actor="test")

    assert gone > 700
    left = world.rows("SELECT kind FROM audit_event WHERE kind <> 'audit.pruned'")
    assert left == [("token.granted",)]
    report = world.store.verify_chain(keys=KEYS, kept=read_file(file))
    assert report.problems == ()
    without = world.store.verify_chain()  # without the key the anchors prove nothing, and that is said
    assert (without.problems, len(without.notes)) == ((), 1)
    assert world.store.audit.prune(KEY, before=int(world.clock()), actor="test") == 0


# --- the key ---------------------------------------------------------------------------------------------------------


def settings(directory: Path, checkpoint_key_file: Path | None = None) -> StoreSettings:
    return StoreSettings(database=directory / "keyless.db", checkpoint_key_file=checkpoint_key_file)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """D15, D21: beside the database, never in it."""
    assert load_checkpoint_key(settings(tmp_path)) is None
    made = load_checkpoint_key(settings(tmp_path), create=True)

    assert made is not None
    assert stat.S_IMODE((tmp_path / "checkpoint.key").stat().st_mode) == 0o600
    again = load_checkpoint_key(settings(tmp_path), create=True)
    assert again is not None
    assert again.kid == made.kid
    (tmp_path / "public.pem").write_text(public_pem(made))
    for name in ("public.pem", "checkpoint.key"):
        assert read_public_key(tmp_path / name).kid == made.kid


def test_a_key_of_the_operators_own(tmp_path: Path) -> None:
    """D15: P-256 or Ed25519 in PEM, as openssl writes them; anything else stops the start and is named."""
    path = tmp_path / "own.pem"

    def write(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)

    write(ec.generate_private_key(ec.SECP256R1()))
    own = load_checkpoint_key(settings(tmp_path, checkpoint_key_file=path))
    assert own is not None
    assert own.algorithm == "ES256"
    for odd in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        write(odd)
        with pytest.raises(ConfigurationError, match="P-256"):
            load_checkpoint_key(settings(tmp_path, checkpoint_key_file=path))
    path.write_text("nothing")
    with pytest.raises(ConfigurationError, match="PEM"):
        load_checkpoint_key(settings(tmp_path, checkpoint_key_file=path))
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="0640"):
        load_checkpoint_key(settings(tmp_path, checkpoint_key_file=path))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_checkpoint_key(settings(tmp_path, checkpoint_key_file=tmp_path / "missing"))


def test_the_key_is_not_in_the_database(tmp_path: Path) -> None:
    """D15: whoever has the database alone can sign nothing."""
    TokenService(Settings(public_url=PUBLIC_URL, database=tmp_path / "keyless.db"), inside_url="http://x").close()
    key = load_checkpoint_key(settings(tmp_path))
    assert key is not None
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("keyless.db"))
    private = (tmp_path / "checkpoint.key").read_text().splitlines()[1]

    assert private.encode() not in content
    assert key.to_pkcs8()[-32:] not in content


# --- the service -----------------------------------------------------------------------------------------------------


def test_a_running_service_seals_by_itself(tmp_path: Path) -> None:
    """D15: within ten seconds of an event, without anybody asking."""
    own = Settings(public_url=PUBLIC_URL, database=tmp_path / "keyless.db")
    service = TokenService(own, inside_url="http://x")
    file = tmp_path / "checkpoints.jsonl"
    deadline = time.monotonic() + 10
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    key = load_checkpoint_key(own)
    assert key is not None

    report = service.store.verify_chain(keys=KeySet.of([key.public_key()]), kept=read_file(file))
    service.close()
    assert (report.problems, report.checkpoints >= 1) == ((), True)


def test_a_service_that_stops_seals_first(tmp_path: Path) -> None:
    """D15: the last events before a stop are sealed, too."""
    file = tmp_path / "kept" / "checkpoints.jsonl"
    file.parent.mkdir()
    service = TokenService(
        Settings(public_url=PUBLIC_URL, database=tmp_path / "keyless.db", checkpoint_file=file), inside_url="http://x"
    )
    service.close()

    assert kept_number(file) >= 1
