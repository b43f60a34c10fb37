"""The management API against whatever schemathesis makes of its document: no 5xx, no status that is not described.

Run in batches, each with a login of its own: a login lasts 15 minutes, and a run whose login ended would prove nothing.
`make journeys` takes one small batch, `make api-fuzz` at least 5,000 cases.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from keyless.secret import Secret
from keyless.server.people.principal import PrincipalKind
from keyless.server.store.admin import People, token_list
from keyless.server.store.admin.principals import parse_role
from keyless.testing import FakeIssuer
from tests.support.running import RunningService

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / ".venvs" / "schemathesis" / "bin" / "schemathesis"
CASES = int(os.environ.get("KEYLESS_API_FUZZ_CASES", "700"))
BATCH_SECONDS = 600
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method", "allow_header_conformance"),
)

pytestmark = pytest.mark.journey


# What may end the very login that a batch runs with; they have a batch of their own, the last one.
ENDING = ("signOut", "changePerson", "removePerson", "endLogin")


def sign_in(service: RunningService) -> str:
    """Return a fresh login of the admin."""
    with service.administration() as administration:
        people = People(administration)
        return people.redeem(Secret(people.make_login_code("admin").reveal())).secret.reveal()


def write_parameters(service: RunningService, directory: Path) -> None:
    """Name things that are there, so that not every request asks for what does not exist."""
    with service.administration() as administration:
        people = People(administration)
        if "carol" not in {person.name for person in people.all()}:
            people.add("carol", kind=PrincipalKind.PERSON, roles=[parse_role("owner:acme")])
            people.add("robot", kind=PrincipalKind.MACHINE, roles=[parse_role("viewer")])
        publishers = administration.publishers()
        with administration.reading() as connection:
            tokens = token_list.latest(connection, before=None, limit=1)
    known = {
        "name": "carol",
        "publisher_id": publishers[0].id if publishers else "pub_aaaaaaaaaaaaaaaaaaaa",
        "jti": tokens[0].jti,
        "path.resource": "acme/model",
        "namespace": "acme",
        "issuer_id": "1",
        "server_name": "hub",
        "If-Match": "*",
    }
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in known.items()]
    (directory / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines, ""]))


def run_batch(
    service: RunningService, directory: Path, *, seed: int, examples: int, ending: bool = False
) -> tuple[int, Counter[int]]:
    """Run one batch; return how many cases it made and how often each status came."""
    choice = "--include-operation-id" if ending else "--exclude-operation-id"
    login = sign_in(service)
    report = directory / f"report-{seed}.ndjson"
    done = subprocess.run(
        [
            *(str(PROGRAM), "run", f"{service.inside_url}/api/v1/openapi.json"),
            *("--header", f"Authorization: Bearer {login}", "--checks", ",".join(CHECKS)),
            *(word for name in ENDING for word in (choice, name)),
            *("--continue-on-failure", "--seed", str(seed)),
            *("--max-examples", str(examples), "--generation-database", "none", "--no-color"),
            *("--report", "ndjson", "--report-ndjson-path", str(report)),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=BATCH_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found is not None, done.stdout[-3_000:]
    answers = Counter(int(status) for status in re.findall(r'"status_code": ?(\d+)', report.read_text()))
    if not ending:  # the login was good to the last case
        headers = {"Authorization": f"Bearer {login}"}
        request = urllib.request.Request(f"{service.inside_url}/api/v1/login", headers=headers)
        with urllib.request.urlopen(request) as answer:
            assert json.loads(answer.read())["principal"]["name"] == "admin"
    return int(found[1].replace(",", "")), answers


def test_no_request_ends_in_a_5xx_or_a_surprise(tmp_path: Path) -> None:
    """D9, D13, V05: every status, content type, header and body is as described; every refusal a 4xx."""
    with FakeIssuer() as issuer:
        service = RunningService(tmp_path, issuer)
        with service.administration() as administration:
            People(administration).add("admin", kind=PrincipalKind.PERSON, roles=[parse_role("admin")])
        service.start()
        for _ in range(3):
            assert service.exchange()[0] == 200
        cases, seed = 0, 0
        statuses: Counter[int] = Counter()
        while cases < CASES:
            seed += 1
            if seed % 2:  # every other batch knows what there is
                write_parameters(service, tmp_path)
            else:
                (tmp_path / "schemathesis.toml").unlink()
            made, answers = run_batch(service, tmp_path, seed=seed, examples=30 if CASES >= 5000 else 4)
            cases += made
            statuses += answers
        made, answers = run_batch(service, tmp_path, seed=seed + 1, examples=20, ending=True)
        cases += made
        statuses += answers
        assert service.stop() == 0
    print(f"\n{cases} cases in {seed + 1} batches; statuses: {dict(sorted(statuses.items()))}")
    assert sum(statuses.values()) >= CASES
    assert [status for status in statuses if status >= 500] == []
    assert {200, 201, 204, 400, 401, 404, 405, 422, 428} <= statuses.keys()  # it was no run against closed doors
