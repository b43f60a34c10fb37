"""`keyless trust explain`: the signed-in owner sees expected against received."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.server.cli import trust
from keyless.testing import FakeIssuer, Fault, github_claims

PUBLIC_URL = "https://hub.example.org"
Explain = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    """An issuer with the real time."""
    with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, issuer: FakeIssuer) -> Path:
    """A store with one publisher of acme/model."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", PUBLIC_URL)
    monkeypatch.setenv("KEYLESS_DATABASE", str(tmp_path / "keyless.db"))
    assert trust.run(["issuer", "add", issuer.url, "--kind", "github", "--network", "loopback"]) == 0
    assert trust.run(["add", "acme/model", "--issuer", issuer.url, *PUBLISHER]) == 0
    return tmp_path / "keyless.db"


PUBLISHER = (
    *("--repository", "acme/widgets", "--branch", "main", "--workflow", "train.yml"),
    *("--repository-id", "456789", "--repository-owner-id", "123456"),
)


@pytest.fixture
def explain(database: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run the verb with `--json` and return its exit status and what it printed."""
    del database
    capsys.readouterr()

    def call(*argv: str, resource: str = "acme/model") -> tuple[int, Any]:
        status = trust.run(["explain", resource, *argv, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return call


def claims_file(directory: Path, issuer: FakeIssuer, **claims: object) -> str:
    """Write a job's claims down."""
    path = directory / "claims.json"
    path.write_text(json.dumps({"iss": issuer.url, **github_claims(**claims)}))
    return str(path)


def token_file(directory: Path, issuer: FakeIssuer, **changes: object) -> str:
    """Write a job's id token down."""
    claims = {name: changes.pop(name) for name in list(changes) if name in {"ref", "repository_id"}}
    path = directory / "id-token"
    path.write_text(issuer.mint({**github_claims(**claims), "aud": PUBLIC_URL, **changes}) + "\n")
    return str(path)


def test_claims_that_are_accepted(explain: Explain, tmp_path: Path, issuer: FakeIssuer) -> None:
    """D12: exit 0."""
    status, found = explain("--claims", claims_file(tmp_path, issuer))

    assert (status, found["accepted"], found["reason"]) == (0, True, "accepted")


def test_expected_and_received_stand_side_by_side(explain: Explain, tmp_path: Path, issuer: FakeIssuer) -> None:
    """D12: who may read the store may see what publishers expect; exit 4."""
    status, found = explain("--claims", claims_file(tmp_path, issuer, ref="refs/heads/dev"))

    assert (status, found["reason"]) == (4, "no_matching_publisher")
    assert {"claim": "branch", "matches": False, "expected": "'main'", "received": "dev"} in found["publishers"][0][
        "claims"
    ]


def test_a_stranger_is_explained_too(explain: Explain, tmp_path: Path, issuer: FakeIssuer) -> None:
    """D12: the silence of the wire is not for the owner."""
    _, found = explain("--claims", claims_file(tmp_path, issuer, repository_id="1"))

    assert [item["claim"] for item in found["publishers"][0]["claims"] if not item["matches"]] == ["repository_id"]


def test_the_table_for_people(
    database: Path, tmp_path: Path, issuer: FakeIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    """D12, T18: one line for each demand, and no control character of a claim."""
    del database
    capsys.readouterr()
    status = trust.run(["explain", "acme/model", "--claims", claims_file(tmp_path, issuer, ref="refs/heads/d\u202eev")])
    out = capsys.readouterr().out
    assert status == 4
    assert "claim_invalid" in out
    assert trust.run(["explain", "acme/model", "--claims", claims_file(tmp_path, issuer, ref="refs/heads/dev")]) == 4
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == "acme/model: refused, no_matching_publisher: no publisher of the resource accepts it"
    assert any(line.split() == ["branch", "'main'", "dev", "differs"] for line in lines)
    assert any(line.split() == ["repository_id", "456789", "456789"] for line in lines)


def test_claims_from_standard_input(
    explain: Explain, tmp_path: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe from another tool; where the claims have no `iss`, it is given."""
    text = json.dumps(github_claims()).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert explain("--claims", "-", "--issuer", issuer.url)[0] == 0


def test_a_provider_that_nobody_configured(explain: Explain, tmp_path: Path) -> None:
    """V06: what the exchange would say."""
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(github_claims()))
    status, found = explain("--claims", str(path), "--provider", "github")

    assert (status, found["reason"], found["publishers"]) == (4, "issuer_unknown", [])


def test_publishers_that_are_off_and_resources_that_are_locked_are_named(
    explain: Explain, tmp_path: Path, issuer: FakeIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    """T91, T92: what an exchange does not even look at."""
    path = claims_file(tmp_path, issuer)
    publisher = explain("--claims", path)[1]["publishers"][0]["publisher"]
    assert trust.run(["disable", publisher]) == 0
    capsys.readouterr()
    _, off = explain("--claims", path)
    assert trust.run(["enable", publisher]) == 0
    capsys.readouterr()
    _lock(tmp_path / "keyless.db")
    _, locked = explain("--claims", path)

    assert [item["claim"] for item in off["publishers"][0]["claims"] if not item["matches"]] == ["publisher"]
    assert [item["claim"] for item in locked["publishers"][0]["claims"] if not item["matches"]] == ["resource"]


def _lock(database: Path) -> None:
    from keyless.resource import parse_resource
    from keyless.server.store.admin import Administration

    with Administration(database, actor="cli:test") as administration:
        administration.set_resource_state(parse_resource("acme/model"), "locked")


# --- an id token -----------------------------------------------------------------------------------------------------


def test_a_good_id_token(explain: Explain, tmp_path: Path, issuer: FakeIssuer) -> None:
    """D12, V09: verified with the issuer's own keys."""
    assert explain("--id-token-file", token_file(tmp_path, issuer))[0] == 0
    assert explain("--id-token-file", token_file(tmp_path, issuer, ref="refs/heads/dev"))[0] == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"aud": "https://other.example"}, "audience_mismatch", id="V13 for somebody else"),
        pytest.param(
            {"exp": 1_000_000_300, "iat": 1_000_000_000, "nbf": 1_000_000_000}, "token_expired", id="V11 over"
        ),
    ],
)
def test_an_id_token_that_is_not_acceptable_is_compared_all_the_same(
    explain: Explain, tmp_path: Path, issuer: FakeIssuer, changes: dict[str, object], reason: str
) -> None:
    """D12: a token out of a log is over by the time somebody looks at it, and its claims are genuine."""
    status, found = explain("--id-token-file", token_file(tmp_path, issuer, ref="refs/heads/dev", **changes))

    assert (status, found["accepted"], found["reason"]) == (4, False, reason)
    assert any(not item["matches"] for item in found["publishers"][0]["claims"])


def test_a_forged_id_token_is_compared_with_nothing(explain: Explain, tmp_path: Path, issuer: FakeIssuer) -> None:
    """V09."""
    path = tmp_path / "id-token"
    path.write_text(issuer.mint({**github_claims(), "aud": PUBLIC_URL}).rpartition(".")[0] + "." + "A" * 342)
    status, found = explain("--id-token-file", str(path))

    assert (status, found["reason"], found["publishers"]) == (4, "signature_invalid", [])


def test_an_issuer_that_is_down_is_an_outage(
    database: Path, tmp_path: Path, issuer: FakeIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    """D9: exit 5, and nothing is said of trust."""
    del database
    path = token_file(tmp_path, issuer)
    capsys.readouterr()
    issuer.misbehave(Fault.SERVER_ERROR)
    try:
        status = trust.run(["explain", "acme/model", "--id-token-file", path])
    finally:
        issuer.behave()

    assert (status, capsys.readouterr().out) == (5, "")


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["--claims", "missing.json"], id="no such file"),
        pytest.param(["--claims", "list.json"], id="a list"),
        pytest.param(["--claims", "bare.json"], id="no issuer"),
        pytest.param(["--claims", "foreign.json", "--provider", "github"], id="two issuers"),
        pytest.param(["--id-token-file", "bare.json", "--provider", "github"], id="an id token has its own issuer"),
    ],
)
def test_what_cannot_be_explained_is_a_usage_error(
    database: Path, tmp_path: Path, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2."""
    del database
    monkeypatch.chdir(tmp_path)
    for name, content in (("list", []), ("bare", {"sub": "x"}), ("foreign", {"iss": "https://other.example"})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    assert trust.run(["explain", "acme/model", *argv]) == 2


def test_a_question_changes_nothing(explain: Explain, tmp_path: Path, issuer: FakeIssuer) -> None:
    """D12: neither trust nor the audit."""
    path = claims_file(tmp_path, issuer)
    before = _dump(tmp_path / "keyless.db")
    explain("--claims", path)
    explain("--id-token-file", token_file(tmp_path, issuer, iat=int(time.time())))

    assert _dump(tmp_path / "keyless.db") == before


def _dump(database: Path) -> list[str]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())
