"""The same verbs over the API and at the store: the same output, the same exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.http.transport import Response
from keyless.secret import Secret
from keyless.server.cli import api_client, audit, keys, trust
from keyless.server.people.principal import PrincipalKind
from keyless.server.store.admin import People
from keyless.server.store.admin.principals import parse_role
from keyless.testing import FakeIssuer
from tests.support.running import RunningService

POLICY = """
version = 1
[[publisher]]
resource = "acme/policy"
issuer = "{issuer}"
claims = {{ repository = "acme/train", branch = "main" }}
pins = {{ repository_id = "11", repository_owner_id = "22" }}
"""


class Both:
    """Run a verb at the store, or over the API as somebody."""

    def __init__(self, service: RunningService, logins: dict[str, str]) -> None:
        self.service = service
        self.logins = logins
        self.here = ["--db", str(service.database)]
        self.there = ["--url", service.inside_url]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with FakeIssuer() as issuer:
        service = RunningService(tmp_path_factory.mktemp("service"), issuer)
        service.start()
        logins = {}
        with service.administration() as administration:
            people = People(administration)
            for name, role in (("admin", "admin"), ("owner", "owner:acme"), ("other", "owner:other")):
                people.add(name, kind=PrincipalKind.PERSON, roles=[parse_role(role)])
                logins[name] = people.redeem(Secret(people.make_login_code(name).reveal())).secret.reveal()
            people.add("machine", kind=PrincipalKind.MACHINE, roles=[parse_role("viewer")])
            logins["machine"] = people.make_reading_token("machine", seconds=600).secret.reveal()
        yield Both(service, logins)
        assert service.stop() == 0


class Run:
    def __init__(self, both: Both, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.both = both
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, module: Any, *argv: str, who: str | None = "admin") -> tuple[int, str]:
        """Run over the API as somebody, or with `None` at the store; return status and standard output."""
        place = self.both.here if who is None else self.both.there
        if who is not None:
            self._monkeypatch.setenv("KEYLESS_LOGIN", self.both.logins[who])
        self._monkeypatch.setenv("KEYLESS_PUBLIC_URL", self.both.service.url)
        status = module.run([*argv, *place])
        return status, self._capsys.readouterr().out

    def json(self, module: Any, *argv: str, who: str | None = "admin") -> Any:
        status, out = self(module, *argv, "--json", who=who)
        assert status == 0
        return json.loads(out)


@pytest.fixture
def run(both: Both, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(both, monkeypatch, capsys)


@pytest.mark.parametrize(
    "argv",
    [
        ["trust", "list"],
        ["trust", "list", "acme/model"],
        ["trust", "issuer", "list"],
        ["trust", "resource-server", "list"],
        ["trust", "lint"],
        ["keys", "list"],
        ["audit", "list", "--resource", "acme/model"],
        ["audit", "list", "--kind", "publisher"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_list_is_the_same_both_ways(run: Run, argv: list[str], form: list[str]) -> None:
    """D13: one path of rendering, whichever way the facts came."""
    module = {"trust": trust, "keys": keys, "audit": audit}[argv[0]]

    assert run(module, *argv[1:], *form) == run(module, *argv[1:], *form, who=None)


def test_the_audit_is_read_and_checked_over_the_api(run: Run) -> None:
    """D15: by filter, by event, by request; the service checks its own chains; files are for the store itself."""
    assert run.both.service.exchange()[0] == 200
    event = run.json(audit, "list", "--kind", "token", "--limit", "1")[0]

    for name in (event["request_id"], f"{event['writer']}:{event['sequence']}"):
        assert run.json(audit, "show", name) == run.json(audit, "show", name, who=None)
    assert run(audit, "verify")[0] == 0
    assert run(audit, "verify", who="owner") == (4, "")
    assert run(audit, "verify", "--checkpoint", "x") == (2, "")
    assert run(audit, "list", who="owner") == (4, "")
    assert run(audit, "list", "--resource", "acme/model", who="other") == (2, "")
    older = run.json(audit, "list", "--before", "1.1")
    assert older == []


def test_the_life_of_a_publisher_over_the_api(run: Run) -> None:
    """S10: add, show, disable, enable, remove, by the namespace's owner; the store says the same each time."""
    issuer = run.both.service.issuer.url
    claims = ["--repository", "acme/train", "--branch", "main", "--repository-id", "11", "--repository-owner-id", "22"]
    added = run.json(trust, "add", "acme/remote", "--issuer", issuer, *claims, "--ttl", "600", who="owner")
    number = added["id"]

    assert added["created_by"] == "person:owner"
    assert run.json(trust, "show", number, who="owner") == run.json(trust, "show", number, who=None)
    assert not run.json(trust, "disable", number, who="owner")["enabled"]
    assert run.json(trust, "enable", number, who="owner")["version"] == 3
    assert run(trust, "show", number, who="other") == (2, "")
    assert run.json(trust, "remove", number, who="owner") == {"removed": number, "resource": "models/acme/remote"}
    assert run(trust, "show", number, who=None)[0] == 2


def test_a_publisher_is_changed_and_locked_over_the_api(run: Run) -> None:
    """T76, T101, T109, T117, D13: by the owner in his namespace, everything by an admin, nothing by a machine."""
    issuer = run.both.service.issuer.url
    claims = ["--repository", "acme/train", "--branch", "main", "--repository-id", "11", "--repository-owner-id", "22"]
    number = run.json(trust, "add", "acme/edited", "--issuer", issuer, *claims, "--ttl", "600", who="owner")["id"]
    edit = ["edit", number, "--branch", "next", "--ttl", "default", "--max-live-tokens", "3", "--max-run-attempt", "1"]

    for who in ("other", "machine"):
        assert run(trust, *edit, who=who)[0] != 0
    edited = run.json(trust, *edit, who="owner")
    assert (edited["ttl_seconds"], edited["max_live_tokens"], edited["max_run_attempt"]) == (None, 3, 1)
    assert run.json(trust, "show", number, who=None) == edited
    assert run.json(trust, "pause", number, "--reason", "odd", who="owner")["paused_reason"] == "odd"
    assert run(trust, "lock", "acme/edited", who="other")[0] != 0
    assert run(trust, "lock", "acme/edited", "--reason", "odd", who="owner")[0] == 0
    assert run.json(trust, "locks")["resources"] == ["models/acme/edited"]
    assert run.json(trust, "publishers-only", "acme/edited", who="owner")["publishers_only"] is True
    for what in (["--namespace", "acme"], ["--all"]):
        assert run(trust, "lock", *what, who="owner")[0] == 4
        assert run.json(trust, "lock", *what)["locked"]
        assert run.json(trust, "locks") == run.json(trust, "locks", who=None)
        assert not run.json(trust, "unlock", *what)["locked"]
    assert not run.json(trust, "unlock", "acme/edited", who="owner")["locked"]
    assert run.json(trust, "locks", who=None)["resources"] == []
    run.json(trust, "remove", number)


def test_issuers_and_resource_servers_over_the_api(run: Run) -> None:
    """D13: an admin's, and the credential is shown this once."""
    assert run(trust, "issuer", "add", "https://ci.example.org", who="owner") == (4, "")
    run.json(trust, "issuer", "add", "https://ci.example.org", "--immutable-claim", "project_uuid")
    assert not run.json(trust, "issuer", "disable", "https://ci.example.org")["enabled"]
    made = run.json(trust, "resource-server", "add", "registry", "--audience", "https://r.example.org")
    renewed = run.json(trust, "resource-server", "credential", "registry")

    assert made["credential"].startswith("klrs_")
    assert renewed["credential"] not in {"", made["credential"]}
    assert run(trust, "resource-server", "remove", "registry")[0] == 0


def test_explain_is_the_same_both_ways(run: Run, tmp_path: Path) -> None:
    """D12: expected values for whoever may read the publishers, and for nobody else."""
    claims = {"repository": "acme/widgets", "ref": "refs/heads/dev", "repository_id": "456789", "sub": "x"}
    (tmp_path / "job.json").write_text(json.dumps(claims))
    ask = ["explain", "acme/model", "--claims", str(tmp_path / "job.json"), "--issuer", run.both.service.issuer.url]

    assert run(trust, *ask, who="owner") == run(trust, *ask, who=None)
    assert run(trust, *ask, "--json", who="machine") == run(trust, *ask, "--json", who=None)
    assert run(trust, *ask, who="other") == (2, "")
    (tmp_path / "token").write_text(run.both.service.mint(ref="refs/heads/dev"))
    ask = ["explain", "acme/model", "--id-token-file", str(tmp_path / "token")]
    status, out = run(trust, *ask, who="owner")
    assert status == 4
    assert "main" in out


def test_a_policy_is_planned_by_a_machine_and_applied_by_a_person(run: Run, tmp_path: Path) -> None:
    """D13, T99: the reading token of CI plans; it can apply nothing."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY.format(issuer=run.both.service.issuer.url))
    planned = run.json(trust, "plan", str(file), who="machine")

    assert planned == run.json(trust, "plan", str(file), who=None)
    assert [change["action"] for change in planned["changes"]] == ["add"]
    assert run(trust, "plan", str(file), "--exit-code", who="machine")[0] == 1
    assert run(trust, "apply", str(file), who="machine") == (4, "")
    assert run(trust, "apply", str(file), who="other") == (2, "")
    assert run(trust, "apply", str(file), "--expect", "0" * 16, who="owner") == (1, "")
    status, out = run(trust, "apply", str(file), "--expect", planned["digest"], who="owner")
    assert (status, out.splitlines()[-1]) == (0, "applied")
    assert run(trust, "plan", str(file), "--exit-code", who="machine") == (0, "nothing differs\n")
    file.write_text(POLICY.format(issuer=run.both.service.issuer.url).replace('"main"', '"release"'))
    assert "~ claim branch: main -> release" in run(trust, "plan", str(file), who="machine")[1]


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """D13: for editors; needs neither store nor login."""
    assert trust.run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "keyless policy"


def test_a_service_that_is_not_there_is_an_outage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Design 5: exit 5, worth another try."""
    monkeypatch.setenv("KEYLESS_LOGIN", run.both.logins["admin"])

    assert trust.run(["list", "--url", "http://127.0.0.1:1"]) == 5


def test_what_a_service_says_moves_no_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """T18: a hostile detail is shown as text."""
    problem = {"detail": "\x1b[2Jgone", "code": "configuration", "hint": "a\x07\nb", "status": 422}

    def answer(*_: object, **__: object) -> Response:
        return Response(422, {}, json.dumps(problem).encode())

    monkeypatch.setattr(api_client, "send", answer)
    monkeypatch.setenv("KEYLESS_LOGIN", "klp_x")
    assert trust.run(["list", "--url", "http://127.0.0.1:1"]) == 2
    shown = capsys.readouterr().err
    assert "gone" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_the_public_listener_is_named_as_the_wrong_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """D19: management is at the inside listener."""
    monkeypatch.setenv("KEYLESS_LOGIN", run.both.logins["admin"])

    assert trust.run(["list", "--url", run.both.service.url]) == 1


def test_a_login_goes_over_no_plain_network(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """D27: plain http is for this machine."""
    monkeypatch.setenv("KEYLESS_LOGIN", run.both.logins["admin"])

    assert trust.run(["list", "--url", "http://hub.example.org"]) == 2
