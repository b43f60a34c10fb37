"""Every block of every page that is no command is read by whoever reads such a file, or run."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import time
import tokenize
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django.conf  # type: ignore[import-untyped]  # Django brings no types
import pytest

from keyless.hub.stored_tokens import load_stored_tokens
from keyless.resource import parse_resource
from keyless.secret import Secret
from keyless.server.policy.document import parse_policy
from keyless.server.services.path_rules import parse_path_rules
from keyless.server.services.webhook import signature
from keyless.server.settings import StoreSettings
from keyless.server.store.roles import grants_for
from keyless.testing import FakeCI, FakeIssuer
from keyless.trust.claim_table import read_table
from keyless.verifier import ResourceStates, Verifier
from tests.journeys.ci_runner import load_documents, tool
from tests.journeys.test_snippets import REASONS, RUN
from tests.support.pages import PAGES, ROOT, Block, blocks_of, name_of
from tests.support.running import RunningService

pytestmark = pytest.mark.journey

OPTIONS = {"file", "norun", "status", "tty", "in"}
PYTHON = {
    "README.md",
    *(f"docs/{name}.md" for name in ("operations", "publishers", "testing", "tutorial", "verifier")),
}
"""Pages whose Python is run, below or in tests/journeys/test_tutorial.py."""
BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(*languages: str) -> pytest.MarkDecorator:
    """Give a test each block of some languages."""
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return pytest.mark.parametrize("block", found, ids=lambda block: block.place)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    """What nobody checks goes wrong unseen, so there is no such kind."""
    checked = {*RUN, "yaml", "toml", "json", "python", "sql", "diff", "groovy", "mermaid", "text"}

    assert [block.place for block in BLOCKS if block.language not in checked] == []
    assert [block.place for block in BLOCKS if not block.options.keys() <= OPTIONS] == []
    assert {name_of(block.page) for block in BLOCKS if block.language == "python"} == PYTHON


def test_what_is_not_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """The reasons are few, each is used, and only commands have one."""
    left = [block for block in BLOCKS if "norun" in block.options]
    with capsys.disabled():
        for block in left:
            print(f"\nnot run: {block.place}: {block.options['norun']}", end="")

    assert [block.place for block in left if block.options["norun"] not in REASONS or block.language not in RUN] == []
    assert {block.options["norun"] for block in left} == REASONS.keys()
    assert len(left) <= 10, "run them, or make a case for it"


def test_no_code_stands_outside_a_fence() -> None:
    """An indented block would be code that nobody checks, and a fence that is not closed hides the rest of a page."""
    for page in PAGES:
        text = page.read_text()
        rest = re.sub(r"^ *```.*?^ *```[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert "```" not in rest, name_of(page)
        for found in re.finditer(r"\n\n {4,}\S.*", rest):
            before = [line for line in rest[: found.start()].splitlines() if line.strip() and line[0] != " "]
            assert re.match(r"[-*] |\d+\. ", before[-1]), f"{name_of(page)}: {found[0].strip()}"


@blocks("json")
def test_json_is_json(block: Block) -> None:
    """As a program reads it."""
    assert isinstance(json.loads(block.text), dict)


@blocks("toml")
def test_toml_is_taken_by_whoever_reads_it(block: Block, tmp_path: Path) -> None:
    """Settings, policies, claim tables, rules and stored tokens, by their own readers."""
    values = tomllib.loads(block.text)
    if "job" in values:
        assert read_table(values)
    elif "version" in values:
        assert parse_policy(values).publishers
    elif "servers" in values:
        assert parse_path_rules(values)
    elif "token" in values:
        file = tmp_path / "tokens.toml"
        file.write_text(block.text)
        assert load_stored_tokens(file)
    else:
        assert StoreSettings(**values).model_fields_set == values.keys()


def workflow(steps: list[Any], **job: Any) -> dict[str, Any]:
    """Return the smallest workflow of GitHub with such a job."""
    return {"on": "push", "jobs": {"job": {"runs-on": "ubuntu-latest", "steps": steps, **job}}}


def whole(content: Any) -> tuple[str, dict[str, Any]]:
    """Return the schema of a piece of YAML, and the whole file that it is a piece of."""
    if isinstance(content, list):
        return "github-workflows", workflow(content)
    if "jobs" in content:
        return "github-workflows", content
    if "run" in content:
        return "github-workflows", workflow([content])
    if "permissions" in content:
        return "github-workflows", workflow(content.pop("steps", [{"run": "true"}]), **content)
    if "script" in content:
        return "gitlab-ci", {"job": content}
    jobs = {name: {"script": ["true"], **job} for name, job in content.items() if name != "include"}
    return "gitlab-ci", {**content, **jobs}


@blocks("yaml")
def test_yaml_is_what_a_platform_takes(block: Block, tmp_path: Path) -> None:
    """By the platform's own schema; the files of the how-tos are those of examples/, which are checked there."""
    if "how-to/ci/" in name_of(block.page):
        folder = ROOT / "examples" / block.page.stem
        assert block.text in [path.read_text() for path in folder.rglob("*") if path.is_file()]
        return
    file = tmp_path / "file.yml"
    file.write_text(block.text)
    (content,) = load_documents(file)
    schema, document = whole(content)
    file.write_text(json.dumps(document))
    checked = tool("check-jsonschema", "--regex-variant", "python", "--builtin-schema", f"vendor.{schema}", file)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_mistake_in_a_piece_of_yaml_would_be_seen(tmp_path: Path) -> None:
    """The check above can fail, for either platform."""
    for content in ([{"runs": "true"}], {"job": {"id_tokens": {"A": {"audience": "x"}}}}):
        schema, document = whole(content)
        file = tmp_path / "file.yml"
        file.write_text(json.dumps(document))
        checked = tool("check-jsonschema", "--regex-variant", "python", "--builtin-schema", f"vendor.{schema}", file)
        assert checked.returncode == 1, schema


@blocks("groovy")
def test_a_jenkinsfile_is_that_of_the_examples(block: Block) -> None:
    """There is no reader of it here; it is the one that `keyless setup` writes."""
    assert block.text == (ROOT / "examples/jenkins/Jenkinsfile").read_text()


@blocks("sql")
def test_sql_is_what_the_program_prints(block: Block) -> None:
    """`keyless db grants`, line by line."""
    statements = grants_for("keyless_server")
    shown = [line.removesuffix(";") for line in block.text.splitlines() if not line.startswith("--")]

    assert [line for line in shown if line not in statements] == []


@blocks("diff")
def test_a_diff_shows_what_is_in_the_source(block: Block) -> None:
    """Line by line, of the file that its fence names."""
    source = (ROOT / block.options["in"]).read_text().splitlines()
    shown = [line[1:] for line in block.text.splitlines() if "…" not in line and line[1:].strip()]

    assert [line for line in shown if line not in source] == []


@blocks("mermaid")
def test_a_sequence_diagram_names_its_participants(block: Block) -> None:
    """A message of nobody would become a participant of its own."""
    kind, *lines = block.text.splitlines()
    names = re.findall(r"participant (\w+) as ", block.text)
    messages = [line for line in lines if not re.match(r"\s+(participant|Note over) ", line)]

    assert kind == "sequenceDiagram"
    for line in messages:
        found = re.fullmatch(r"\s+(\w+)-?->>(\w+): .+", line)
        assert found is not None, line
        assert {found[1], found[2]} <= set(names), line


@blocks("text")
def test_text_is_printed_by_a_program(block: Block) -> None:
    """Pages made from the source show what was printed; decisions show what was printed on their day."""
    assert "Written by scripts/" in block.page.read_text() or name_of(block.page).startswith("docs/decisions/")


# --- Python ----------------------------------------------------------------------------------------------------------


@blocks("python")
def test_python_is_python(block: Block) -> None:
    """It compiles, and no line is longer than a page is wide."""
    ast.parse(block.text)
    assert all(len(token.line) <= 121 for token in tokenize.generate_tokens(io.StringIO(block.text).readline))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What code of a page may take for granted: a service, a credential of the hub, a token of a job."""
    with FakeIssuer() as issuer:
        service = RunningService(tmp_path_factory.mktemp("python"), issuer)
        service.start()
        try:
            administration = service.administration()
            credential = administration.renew_resource_server_credential("hub").reveal()
            administration.close()
            status, answer = service.exchange()
            assert status == 200, answer
            yield {"service": service, "issuer": issuer, "credential": credential, "bearer": answer["access_token"]}
        finally:
            service.stop()


def run_blocks(page: str, running: Mapping[str, Any], names: dict[str, Any], replace: Mapping[str, str]) -> None:
    """Run the Python of a page from top to bottom, and end what it leaves running."""
    service = running["service"]
    places = {
        "https://hub.example.org": service.url,
        "http://127.0.0.1:8081": service.inside_url,
        "acme/awesome-model": "acme/model",
        '"NAME"': '"hub"',
        **replace,
    }
    with ExitStack() as exits:
        for block in BLOCKS:
            if name_of(block.page) == page and block.language == "python":
                code = block.text
                for name, value in places.items():
                    code = code.replace(name, value)
                before = dict(names)
                exec(compile(code, block.place, "exec"), names)
                for name, value in names.items():
                    if before.get(name) is not value and isinstance(value, Verifier | ResourceStates):
                        exits.callback(value.close)


def test_the_code_about_verifying(running: dict[str, Any]) -> None:
    """The token of a job is accepted, and found in a log; the frameworks have tests of their own."""
    with urllib.request.urlopen(f"{running['service'].url}/oauth/jwks", timeout=10) as answer:
        jwks = answer.read()
    names = {**running, "time": time, "jwks": jwks, "log_text": f"token={running['bearer']} end", "__name__": "page"}
    if not django.conf.settings.configured:
        django.conf.settings.configure(ROOT_URLCONF="page", ALLOWED_HOSTS=["*"], SECRET_KEY="for tests")
    run_blocks("docs/verifier.md", running, names, {})

    assert names["document"]["authorization_servers"] == [running["service"].url]
    assert names["token"].reveal() == running["bearer"]


def test_the_code_about_publishers_only(running: dict[str, Any]) -> None:
    """The hub asks, is told, and says what it made."""
    refused: list[int] = []
    names: dict[str, Any] = {
        "inside_url": running["service"].inside_url,
        "name": "hub",
        "credential": Secret(running["credential"]),
        "resource": parse_resource("acme/model"),
        "token_is_one_of_mine": True,
        "refuse": refused.append,
    }
    run_blocks("docs/publishers.md", running, names, {})

    assert refused == []


def test_the_code_about_testing(running: dict[str, Any]) -> None:
    """The stand-ins are what the page says."""
    command = [sys.executable, "-m", "keyless", "id-token"]
    with FakeIssuer() as issuer, FakeCI.github(issuer) as github_ci:
        names: dict[str, Any] = {"issuer": issuer, "subprocess": _Quiet, "url": running["service"].url}
        run_blocks("docs/testing.md", running, names, {'["your-tool"]': repr(command)})
        test: Callable[[object], None] = names["test_my_tool"]
        test(github_ci)

    assert names["ci"].requests[0].well_formed


class _Quiet:
    """`subprocess` whose children keep their id tokens to themselves."""

    @staticmethod
    def run(command: list[str], *, env: dict[str, str]) -> None:
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_the_code_about_webhooks(running: dict[str, Any]) -> None:
    """A receiver knows our signature from any other, and an old one from a new one."""
    names: dict[str, Any] = {}
    run_blocks("docs/operations.md", running, names, {})
    is_ours, now, body = names["is_ours"], int(time.time()), b'{"id": "w_1:1"}'

    assert is_ours(signature(Secret("s"), now, body), body, b"s")
    assert not is_ours(signature(Secret("other"), now, body), body, b"s")
    assert not is_ours(signature(Secret("s"), now, body), body + b" ", b"s")
    assert not is_ours(signature(Secret("s"), now - 400, body), body, b"s")


def test_the_code_of_the_readme(running: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A job gets a token, and a credential that a library takes; tests/server/test_readme.py runs what verifies."""
    service = running["service"]
    with FakeCI.github(running["issuer"]) as ci:
        for name, value in ci.environ().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_ENDPOINT", service.url)
        monkeypatch.setenv("HF_OIDC_RESOURCE", "acme/model")
        names: dict[str, Any] = {"Request": urllib.request.Request, "urlopen": _opened, "url": f"{service.url}/healthz"}
        names["credential"] = running["credential"]
        run_blocks("README.md", running, names, {})

    assert names["token"].count(".") == 2


def _opened(request: urllib.request.Request) -> None:
    assert (request.get_header("Authorization") or "").startswith("Bearer ")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
