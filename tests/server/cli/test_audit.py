"""The audit on the command line: reading, exporting, sealing, verifying, pruning (D15, T108)."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyless.jose.signing import SigningKey
from keyless.server.audit.statement import Anchor
from keyless.server.cli import audit, trust
from keyless.server.store import open_store
from tests.server.audit.intruder import Intruder
from tests.server.cli.test_trust import GITHUB_ADD
from tests.server.store.world import START, World

Call = Callable[..., Any]
JTI, REQUEST_ID = f"{START * 1000:012x}{'0' * 20}", f"{START * 1000:012x}{'1' * 12}"
CLAIMS = {"repository": "acme/train", "run_id": "77", "run_attempt": "2"}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database in which people changed trust and jobs got tokens: several writers of several events."""
    path = tmp_path / "keyless.db"
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("KEYLESS_DATABASE", str(path))
    world = World(path)
    told = world.grant(jti=JTI, request_id=REQUEST_ID, claims=CLAIMS, address="192.0.2.7", user_agent="hf")
    world.store.commit([told, world.grant(jti="token-1", request_id="request-1"), world.refusal()])
    world.store.revoke_token(JTI, reason="leaked")
    world.close()
    return path


@pytest.fixture
def call(database: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb with `--json`; return its exit status and what it printed."""
    del database

    def run(*argv: str, module: Any = audit) -> tuple[int, Any]:
        status = module.run([*argv, "--json"])
        return status, json.loads(capsys.readouterr().out or "null")

    return run


@pytest.fixture
def kept(database: Path, tmp_path: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> tuple[str, ...]:
    """Seal three times, and return how an auditor elsewhere verifies: with a copy of the file and the public key."""
    assert call("seal") == (0, {"number": 1, "file": str(database.with_name("checkpoints.jsonl"))})
    publisher = call(*GITHUB_ADD, module=trust)[1]["id"]
    assert call("seal")[0] == 0
    assert call("remove", publisher, module=trust)[0] == 0
    assert call("seal")[0] == 0
    copy, key = tmp_path / "elsewhere.jsonl", tmp_path / "checkpoint.pub"
    copy.write_bytes(database.with_name("checkpoints.jsonl").read_bytes())
    assert audit.run(["key"]) == 0
    key.write_text(capsys.readouterr().out)
    return "--checkpoint", str(copy), "--key", str(key)


def problems(call: Call, *options: str) -> list[str]:
    status, report = call("verify", *options)
    assert status == (1 if report["problems"] else 0)
    return list(report["problems"])


# --- tampering (the must-hold list of D15) ---------------------------------------------------------------------------


def test_an_untouched_audit_is_whole(call: Call, kept: tuple[str, ...]) -> None:
    """D15: with the checkpoints, and without."""
    status, report = call("verify", *kept)

    assert (status, report["problems"], report["notes"]) == (0, [], [])
    assert report["checkpoints"] == 3
    assert problems(call) == []


def test_what_two_workers_wrote_twice_is_there_once(call: Call, kept: tuple[str, ...]) -> None:
    """D15: the workers of one service share the file; the very same statement again says nothing new."""
    path = Path(kept[1])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([line for line in lines for _ in range(2)] + lines) + "\n")

    assert problems(call, *kept) == []


def edit_a_row(intruder: Intruder) -> None:
    intruder.do("UPDATE audit_event SET resource = 'models/evil/model' WHERE kind = 'token.granted'")


def delete_a_row(intruder: Intruder) -> None:
    intruder.do("DELETE FROM audit_event WHERE kind = 'token.granted'")


def delete_the_first_row(intruder: Intruder) -> None:
    intruder.do("DELETE FROM audit_event WHERE writer = ? AND sequence = 1", intruder.writer_of("token.granted"))


def cut_the_tail(intruder: Intruder) -> None:
    writer = intruder.writer_of("token.granted")
    intruder.do("DELETE FROM audit_event WHERE writer = ? AND sequence = ?", writer, intruder.last(writer))


def rewrite_a_whole_chain(intruder: Intruder) -> None:
    intruder.rewrite(intruder.writer_of("token.granted"))


def rewrite_the_end_of_a_chain(intruder: Intruder) -> None:
    writer = intruder.writer_of("token.granted")
    intruder.rewrite(writer, since=intruder.last(writer))


def remove_a_whole_writer(intruder: Intruder) -> None:
    intruder.do("DELETE FROM audit_event WHERE writer = ?", intruder.writer_of("token.granted"))


def remove_everything(intruder: Intruder) -> None:
    intruder.do("DELETE FROM audit_event")


TAMPERING = [
    (edit_a_row, "was changed after it was written"),
    (delete_a_row, "is missing"),
    (delete_the_first_row, "event 1 is missing"),
    (cut_the_tail, "it was cut"),
    (rewrite_a_whole_chain, "the chain was rewritten"),
    (rewrite_the_end_of_a_chain, "the chain was rewritten"),
    (remove_a_whole_writer, "the whole chain is missing"),
    (remove_everything, "the whole chain is missing"),
]


@pytest.mark.parametrize("hides", [False, True], ids=["as it is", "the database's checkpoints removed too"])
@pytest.mark.parametrize(("tamper", "said"), TAMPERING, ids=[tamper.__name__ for tamper, _ in TAMPERING])
def test_tampering_is_detected_with_a_checkpoint(
    database: Path, call: Call, kept: tuple[str, ...], tamper: Callable[[Intruder], None], said: str, hides: bool
) -> None:
    """D15, T108: a row edited or deleted, a tail cut, a chain rewritten, a writer gone: by whoever has the file."""
    intruder = Intruder(database)
    tamper(intruder)
    if hides:
        intruder.do("DELETE FROM checkpoint")

    found = problems(call, *kept)

    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("tamper", [cut_the_tail, rewrite_a_whole_chain, remove_a_whole_writer])
def test_what_the_chains_alone_cannot_show(
    database: Path, call: Call, kept: tuple[str, ...], tamper: Callable[[Intruder], None]
) -> None:
    """D15: this is what checkpoints are for; those of the database are used where nobody kept others."""
    del kept
    intruder = Intruder(database)
    tamper(intruder)
    assert len(problems(call)) == 1
    intruder.do("DELETE FROM checkpoint")

    assert problems(call) == []


def test_an_intruder_cannot_reseal(database: Path, call: Call, kept: tuple[str, ...], tmp_path: Path) -> None:
    """D15: a rewritten chain that the service seals again later still differs from what was sealed first."""
    intruder = Intruder(database)
    intruder.rewrite(intruder.writer_of("token.granted"))
    intruder.do("DELETE FROM checkpoint WHERE number > 1")
    intruder.do("DELETE FROM checkpoint")
    database.with_name("checkpoints.jsonl").unlink()
    assert call("seal")[0] == 0

    assert any("rewritten" in problem for problem in problems(call, *kept))
    del tmp_path


@pytest.mark.parametrize("change", ["another key", "edited", "missing in the middle", "swapped"])
def test_checkpoints_cannot_be_forged(database: Path, call: Call, kept: tuple[str, ...], change: str) -> None:
    """D15: each is signed, and names the one before it."""
    path = Path(kept[1])
    lines = path.read_text().splitlines()
    match change:
        case "another key":
            database.with_name("checkpoint.key").unlink()
            assert call(*GITHUB_ADD, module=trust)[0] == 0
            assert call("seal")[0] == 0
            lines.append(database.with_name("checkpoints.jsonl").read_text().splitlines()[-1])
        case "edited":
            entry = json.loads(lines[1])
            head, payload, signature = entry["statement"].split(".")
            entry["statement"] = f"{head}.{payload[:-2]}{'AA' if payload[-2:] != 'AA' else 'BB'}.{signature}"
            lines[1] = json.dumps(entry)
        case "missing in the middle":
            del lines[1]
        case _:
            lines[0], lines[1] = lines[1], lines[0]
    path.write_text("\n".join(lines) + "\n")

    assert problems(call, *kept) != []


def test_the_file_must_hold_checkpoints(tmp_path: Path, call: Call) -> None:
    """D15: a wrong file is not a whole audit."""
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{}\n")

    for path in (empty, tmp_path / "missing.jsonl"):
        assert audit.run(["verify", "--checkpoint", str(path)]) == 2
    del call


def test_checkpoints_need_their_key(tmp_path: Path, call: Call, kept: tuple[str, ...], database: Path) -> None:
    """D15: without it nothing is proven, and that is said."""
    database.with_name("checkpoint.key").unlink()
    assert audit.run(["verify", *kept[:2]]) == 2
    (tmp_path / "odd.pem").write_text("nothing")

    assert audit.run(["verify", *kept[:2], "--key", str(tmp_path / "odd.pem")]) == 2
    assert problems(call, *kept) == []


def test_an_auditor_verifies_a_copy_of_the_database_elsewhere(
    database: Path, tmp_path: Path, kept: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """D15: the public key is enough; the service's own key never leaves it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "copy.db").write_bytes(database.read_bytes())
    capsys.readouterr()

    assert audit.run(["verify", *kept, "--db", str(elsewhere / "copy.db")]) == 0
    assert "3 checkpoints: the audit is whole" in capsys.readouterr().out


# --- pruning ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pruned(call: Call, kept: tuple[str, ...], database: Path) -> tuple[str, ...]:
    """Prune everything that happened until now and in `START`, the future; only that this was done stays."""
    del database
    status, answer = call("prune", "--before", "2020-01-01")
    assert (status, answer["pruned"]) == (0, 0)
    status, answer = call("prune", "--before", "2028-01-01")
    assert status == 0
    assert answer["pruned"] > 3
    return kept


def test_a_pruned_audit_is_whole(database: Path, call: Call, pruned: tuple[str, ...]) -> None:
    """D15: signed anchors say where the chains begin now; with old checkpoints and with new ones."""
    assert problems(call, *pruned) == []
    assert call("list", "--kind", "token.granted")[1] == []
    assert call("list", "--kind", "audit.pruned")[1][-1]["actor"].startswith("cli:")
    rows = Intruder(database).do("SELECT count(*) FROM audit_contact")
    assert rows == [(0,)]
    assert call("seal")[0] == 0
    assert problems(call, "--checkpoint", str(database.with_name("checkpoints.jsonl"))) == []


@pytest.mark.parametrize("change", ["anchor removed", "anchor of another writer", "anchor forged", "one row more"])
def test_only_what_an_anchor_stands_for_may_be_missing(
    database: Path, call: Call, pruned: tuple[str, ...], change: str
) -> None:
    """D15: nobody without the key can make a beginning."""
    intruder = Intruder(database)
    if change == "anchor removed":
        intruder.do("DELETE FROM audit_anchor")
    elif change == "anchor of another writer":
        first, second = [row[0] for row in intruder.do("SELECT writer FROM audit_anchor ORDER BY writer LIMIT 2")]
        statement = intruder.do("SELECT statement FROM audit_anchor WHERE writer = ?", first)[0][0]
        intruder.do("UPDATE audit_anchor SET statement = ? WHERE writer = ?", statement, second)
    elif change == "anchor forged":
        writer, sequence = intruder.do("SELECT writer, sequence FROM audit_anchor LIMIT 1")[0]
        forged = Anchor(writer, sequence, bytes(32), START).sign(SigningKey.generate("Ed25519"))
        intruder.do("UPDATE audit_anchor SET statement = ? WHERE writer = ?", forged, writer)
    else:
        assert call(*GITHUB_ADD, module=trust)[0] == 0
        assert call("seal")[0] == 0
        writer = intruder.writer_of("publisher.added")
        intruder.do("DELETE FROM audit_event WHERE writer = ? AND sequence = ?", writer, intruder.last(writer))
        assert problems(call) != []
        return

    assert problems(call, *pruned) != []


def test_nothing_but_pruned_rows_can_be_deleted(database: Path, call: Call) -> None:
    """D15: the database refuses, too; an anchor must stand before a row goes."""
    del call
    connection = sqlite3.connect(database)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM audit_event")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE audit_event SET kind = 'x'")
    connection.close()


# --- reading ---------------------------------------------------------------------------------------------------------


def test_events_are_listed_by_what_they_are_about(call: Call, database: Path) -> None:
    """T108, S10: resource, publisher, kind and group of kinds, actor, time."""
    with open_store(database) as store:
        publisher = store.audit_event(JTI)[0].publisher_id
    everything = call("list")[1]

    def kinds(*options: str) -> list[str]:
        return [event["kind"] for event in call("list", *options)[1]]

    assert kinds("--publisher", str(publisher)) == ["publisher.added", *["token.granted"] * 2, "token.revoked"]
    assert kinds("--resource", "acme/model", "--kind", "token") == [*["token.granted"] * 2, "token.revoked"]
    assert kinds("--kind", "exchange") == ["exchange.refused"]
    assert kinds("--actor", "test") == [event["kind"] for event in everything if event["actor"] == "test"]
    assert kinds("--until", "2020-01-01") == []
    assert kinds("--since", "2027-01-15") == [event["kind"] for event in everything]
    assert kinds("--since", "2027-01-16") == []
    assert call("list", "--resource", "acme/other")[1] == []


def test_a_long_list_comes_in_pages(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """D15: by key; no event twice, none left out, although many have the same time."""
    everything = [(event["writer"], event["sequence"]) for event in call("list")[1]]
    seen: list[tuple[str, int]] = []
    before: list[str] = []
    while True:
        assert audit.run(["list", "--limit", "2", *before]) == 0
        said = capsys.readouterr().out.rpartition("older ones: --before ")[2].strip()
        page = call("list", "--limit", "2", *before)[1]
        seen = [(event["writer"], event["sequence"]) for event in page] + seen
        if len(page) < 2:
            break
        before = ["--before", said]

    assert seen == everything


def test_one_request_or_token_is_shown_with_all_that_is_known(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """T108: who gives the request id, or the id of a token that leaked, is told the run."""
    [granted, revoked] = call("show", JTI)[1]
    assert (granted["kind"], revoked["kind"]) == ("token.granted", "token.revoked")
    assert granted["run_url"] == "https://github.com/acme/train/actions/runs/77/attempts/2"
    assert granted["address"] == "192.0.2.7"
    assert call("show", REQUEST_ID)[1] == [granted]
    assert call("show", f"{granted['writer']}:{granted['sequence']}")[1] == [granted]
    assert audit.run(["show", REQUEST_ID]) == 0
    assert "run: https://github.com/acme/train/actions/runs/77/attempts/2" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["request-1", "token-1"])
def test_ids_that_do_not_tell_their_time_are_found_too(call: Call, name: str) -> None:
    """D15: an id of before, or of elsewhere."""
    assert [event["kind"] for event in call("show", name)[1]] == ["token.granted"]


@pytest.mark.parametrize("name", ["unknown", "w:1", ":", "w:x", "019a"])
def test_an_unknown_name_is_said_to_be_unknown(call: Call, name: str) -> None:
    """D15: never an empty success."""
    assert call("show", name) == (1, [])


def test_everything_is_exported_for_other_programs(call: Call, tmp_path: Path, database: Path) -> None:
    """D15: a line each, the oldest first, with what the hashes are made of; a file is never overwritten."""
    del call
    path = tmp_path / "audit.jsonl"
    assert audit.run(["export", "--jsonl", "--output", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    events = [json.loads(line) for line in path.read_text().splitlines()]

    with open_store(database) as store:
        assert [(event["writer"], event["sequence"], event["hash"]) for event in events] == [
            (record.writer, record.sequence, record.hash) for record in store.audit_events()
        ]
    assert audit.run(["export", "--jsonl", "--output", str(path)]) == 2
    assert audit.run(["export", "--jsonl", "--kind", "nonsense"]) == 2


def test_an_export_can_be_cut_by_time(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """D15: for whoever fetches what is new every night."""
    del call
    assert audit.run(["export", "--jsonl", "--since", "2027-01-16"]) == 0

    assert capsys.readouterr().out == ""
