from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from keyless.jose.jwk import thumbprint
from keyless.server.cli import audit, keys, trust
from keyless.server.store import open_store

Run = Callable[..., Any]
UUID = "00000001-0000-4000-8000-00000000000a"
GITHUB_ADD = (
    *("add", "acme/model", "--provider", "github", "--repository", "acme/train", "--workflow", "release.yml"),
    *("--branch", "main", "--repository-id", "11", "--repository-owner-id", "22"),
)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("KEYLESS_DATABASE", str(tmp_path / "keyless.db"))
    return tmp_path / "keyless.db"


@pytest.fixture
def run(database: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb with `--json` and return what it printed."""
    del database

    def call(module: Any, *argv: str) -> Any:
        status = module.run([*argv, "--json"])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return json.loads(captured.out)

    return call


def test_add_list_show_remove(run: Run) -> None:
    """S10: the life of a publisher on the command line."""
    added = run(trust, *GITHUB_ADD)

    assert run(trust, "list") == [{key: value for key, value in added.items() if key != "warnings"}]
    assert run(trust, "list", "datasets/acme/data") == []
    assert run(trust, "show", added["id"])["conditions"] == [
        {"claim": "branch", "operator": "eq", "values": ["main"]},
        {"claim": "repository", "operator": "eq", "values": ["acme/train"]},
        {"claim": "workflow", "operator": "eq", "values": ["release.yml"]},
    ]
    assert run(trust, "remove", added["id"]) == {"removed": added["id"], "resource": "models/acme/model"}
    assert run(trust, "list") == []


def test_add_prints_what_a_token_must_carry_and_the_lines_of_the_job(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S9: the output is enough to set up the job."""
    del database
    assert trust.run(list(GITHUB_ADD)) == 0

    out = capsys.readouterr().out
    for line in (
        "aud = https://hub.example.org",
        "workflow is release.yml",
        "repository_id = 11",
        "id-token: write",
        "HF_ENDPOINT: https://hub.example.org",
        "HF_OIDC_RESOURCE: acme/model",
    ):
        assert line in out


def test_a_gitlab_job_gets_its_id_token_lines(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S11: a GitLab job has its token from its own file; the audience is the endpoint."""
    del database
    argv = [
        "add",
        "datasets/acme/data",
        "--provider",
        "gitlab",
        "--repository",
        "acme/train",
        "--branch",
        "main",
        "--pin-first-use",
    ]
    assert trust.run(argv) == 0

    out = capsys.readouterr().out
    assert "HF_OIDC_ID_TOKEN:\n      aud: https://hub.example.org" in out
    assert out.count("unpinned") == 2


def test_a_publisher_without_ref_or_environment_is_warned_of(run: Run) -> None:
    """M07: any branch can rewrite the workflow."""
    wide = [word for word in GITHUB_ADD if word not in {"--branch", "main"}]

    assert "branch" in run(trust, *wide)["warnings"][0]
    assert run(trust, *GITHUB_ADD)["warnings"] == []


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("add acme/model --provider github --repository acme/train", "--pin-first-use"),
        ("add acme/model --provider github --repository acme/train --repository-id 1", "--repository-owner-id"),
        ("add acme/model --provider gitlab --repository acme/train", "--namespace-id"),
        ("add acme/model --issuer https://unknown.example --claim sub=x", "issuer add"),
        ("add acme/model --provider github --claim nonsense", ""),
        ("add a/b/c/d --provider github --repository acme/train --pin-first-use", "TYPE"),
        ("add acme/model --provider github --repository acme/train --pin-first-use --operations fly", ""),
        ("add acme/model --provider github --repository acme/train --pin repository_id=1 --repository-id 2", ""),
        ("remove pub_unknown", "trust list"),
        ("show pub_unknown", "trust list"),
        ("issuer add http://ci.example.org", "loopback"),
        ("issuer add https://ci.example.org --network anywhere", "private="),
        ("issuer disable https://ci.example.org", "issuer add"),
        ("resource-server credential nobody", "resource-server list"),
        ("resource-server remove nobody", "resource-server list"),
        ("resource-server add x --audience sigstore", ""),
    ],
)
def test_what_cannot_be_is_exit_2_and_says_what_to_do(
    database: Path, capsys: pytest.CaptureFixture[str], argv: str, hint: str
) -> None:
    """M00, design 5: one line, a hint, nothing on standard output."""
    assert trust.run(list(GITHUB_ADD)) == 0
    assert database.exists()
    capsys.readouterr()

    assert trust.run(argv.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keyless: ")
    assert hint in captured.err


@pytest.mark.parametrize(
    "argv",
    [
        "",
        "add acme/model",
        "add acme/model --provider circle",
        "list --nonsense",
        "add acme/model --provider github --expires soon",
    ],
)
def test_wrong_usage_is_exit_2(database: Path, argv: str) -> None:
    """Design 5: the parser's own status."""
    del database
    with pytest.raises(SystemExit) as caught:
        trust.run(argv.split())

    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("module", "argv"), [(trust, "list"), (trust, "remove pub_x"), (audit, "list"), (audit, "verify"), (keys, "list")]
)
def test_reading_makes_no_database(database: Path, module: Any, argv: str) -> None:
    """D4: a wrong path is an error, not an empty list."""
    assert module.run(argv.split()) == 2
    assert not database.exists()


def test_the_first_publisher_may_come_before_the_first_start(database: Path, run: Run) -> None:
    """D19: with the service's own URL known, nothing has to run yet; the database is private."""
    run(trust, *GITHUB_ADD)

    assert [server["audience"] for server in run(trust, "resource-server", "list")] == ["https://hub.example.org"]
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


def test_without_our_own_url_the_first_publisher_says_what_is_missing(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """D19: whose audience would the token have?"""
    monkeypatch.delenv("KEYLESS_PUBLIC_URL")

    assert trust.run([*GITHUB_ADD, "--db", str(database)]) == 2
    assert "KEYLESS_PUBLIC_URL" in capsys.readouterr().err


def test_any_other_issuer(run: Run) -> None:
    """S11: a platform we do not know, with its exact subject; alternatives are several values of one claim."""
    issuer = run(
        trust,
        "issuer",
        "add",
        "https://ci.example.org",
        "--algorithms",
        "ES256,RS256",
        "--network",
        "private=10.0.0.0/8",
        "--max-lifetime",
        "600",
    )
    added = run(
        trust,
        "add",
        "bob",
        "--issuer",
        "https://ci.example.org",
        "--claim",
        "sub=release",
        "--claim",
        "team=a",
        "--claim",
        "team=b",
        "--expires",
        "30d",
        "--replay",
        "once",
        "--ttl",
        "600",
    )

    assert (issuer["kind"], issuer["algorithms"], issuer["network"]) == (
        "generic",
        ["ES256", "RS256"],
        "private=10.0.0.0/8",
    )
    assert {c["claim"]: (c["operator"], c["values"]) for c in added["conditions"]} == {
        "sub": ("eq", ["release"]),
        "team": ("in", ["a", "b"]),
    }
    assert (added["operations"], added["replay"], added["ttl_seconds"]) == (["read"], "once", 600)


def test_switching_off_and_on(run: Run) -> None:
    """D16: publishers and issuers."""
    publisher = run(trust, *GITHUB_ADD)
    issuer = publisher["issuer"]

    assert not run(trust, "disable", publisher["id"])["enabled"]
    assert run(trust, "enable", publisher["id"])["enabled"]
    assert not run(trust, "issuer", "disable", issuer)["enabled"]
    assert run(trust, "issuer", "enable", issuer)["enabled"]
    assert [i["url"] for i in run(trust, "issuer", "list")] == [issuer]


def test_a_credential_is_printed_once_and_never_again(
    run: Run, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T97: by the verb that makes it; lists and the audit do not have it."""
    credential = run(trust, "resource-server", "add", "registry", "--audience", "https://r.example.org")["credential"]
    renewed = run(trust, "resource-server", "credential", "registry")["credential"]
    for module, argv in ((trust, ["resource-server", "list"]), (audit, ["list"])):
        assert module.run(argv) == 0
    out = capsys.readouterr().out

    assert credential != renewed
    assert credential not in out
    assert renewed not in out
    assert database.exists()


def test_changes_carry_the_name_of_who_made_them(run: Run) -> None:
    """T108, T110: the audit says who, and the chain holds."""
    run(trust, *GITHUB_ADD)

    events = run(audit, "list")
    assert {event["actor"].partition(":")[0] for event in events} == {"cli"}
    assert [event["kind"] for event in events] == [
        "resource_server.added",
        "issuer.added",
        "resource.added",
        "publisher.added",
    ]
    assert run(audit, "verify")["problems"] == []


def test_tables_are_for_people(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """S10: every list has a plain form."""
    added = run(trust, *GITHUB_ADD)
    for module, argv in (
        (trust, ["list"]),
        (trust, ["show", added["id"]]),
        (trust, ["issuer", "list"]),
        (trust, ["resource-server", "list"]),
        (audit, ["list", "--resource", "acme/model"]),
        (audit, ["verify"]),
        (keys, ["list"]),
    ):
        assert module.run(argv) == 0
    out = capsys.readouterr().out

    assert added["id"] in out
    assert "the audit is whole" in out


def test_the_command_works_as_a_program(database: Path) -> None:
    """Design 5: through the one dispatcher, an error is one message without a traceback."""
    program = "import sys; from keyless.cli.main import main; sys.exit(main(sys.argv[1:]))"
    found = subprocess.run(
        [sys.executable, "-c", program, "trust", "show", "pub_x"],
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 2
    assert found.stdout == ""
    assert "Traceback" not in found.stderr
    assert str(database) in found.stderr


@pytest.mark.parametrize(
    ("resource", "url", "provider", "lines"),
    [
        ("pypi/Acme_Wheel", "https://pypi.example.org", "github", ["may     read, write, create pypi/acme-wheel"]),
        (
            "pypi/acme-wheel",
            "https://pypi.example.org",
            "gitlab",
            ["PYPI_EXAMPLE_ORG_ID_TOKEN:\n      aud: pypi-example-org", "uv publish --trusted-publishing always"],
        ),
        (
            "npm/@acme/ui",
            "https://npm.example.org/registry",
            "gitlab",
            [
                "NPM_ID_TOKEN:\n      aud: npm:npm.example.org",
                "npm publish --registry https://npm.example.org/registry/",
            ],
        ),
        ("oci/acme/app", "https://oci.example.org", "gitlab", ["aud: oci:oci.example.org", "keyless exec --for oci"]),
    ],
)
def test_package_is_trusted_like_a_repository(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    resource: str,
    url: str,
    provider: str,
    lines: list[str],
) -> None:
    """S10, S11: the registry's door says which audience the job needs; all verbs know the package."""
    del database
    kind = resource.partition("/")[0]
    monkeypatch.setenv(f"KEYLESS_DOORS__{kind.upper()}__URL", url)
    options = ["--provider", provider, "--repository", "acme/train", "--branch", "main", "--pin-first-use"]
    assert trust.run(["add", resource, *options, "--ttl", "120"]) == 0

    printed = capsys.readouterr()
    for line in lines:
        assert line in printed.out, printed.out
    assert "HF_" not in printed.out
    assert "Hub" not in printed.err
    canonical = resource.lower().replace("_", "-")
    assert trust.run(["list", resource]) == 0
    assert canonical in capsys.readouterr().out
    assert trust.run(["lint", resource]) in {0, 1}
    linted = capsys.readouterr().out
    assert canonical in linted
    assert "Hub's client" not in linted
    assert audit.run(["list", "--resource", resource]) == 0
    assert "publisher.added" in capsys.readouterr().out


def test_certificates_are_those_of_the_published_keys(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D21: the registry gets our public keys, and nothing that could sign; also before the service's first start."""
    assert keys.run(["certificates"]) == 0
    printed = capsys.readouterr().out
    certificate = x509.load_pem_x509_certificate(printed.encode())

    assert "PRIVATE" not in printed
    with open_store(database) as store:
        [row] = store.signing_keys("access-token")
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert thumbprint(public) == row.kid


@pytest.mark.parametrize(
    ("url", "options", "pins"),
    [
        (
            "https://agent.buildkite.com",
            ("--organization-id", UUID, "--pipeline-id", UUID),
            {"organization_id": UUID, "pipeline_id": UUID},
        ),
        (
            f"https://oidc.circleci.com/org/{UUID}",
            ("--org-id", UUID, "--project-id", UUID),
            {"oidc.circleci.com/org-id": UUID, "oidc.circleci.com/project-id": UUID},
        ),
        (
            "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
            ("--workspace-uuid", f"{{{UUID}}}", "--repository-uuid", f"{{{UUID}}}"),
            {"workspaceUuid": f"{{{UUID}}}", "repositoryUuid": f"{{{UUID}}}"},
        ),
    ],
)
def test_every_kind_has_options_for_its_ids(run: Run, url: str, options: tuple[str, ...], pins: dict[str, str]) -> None:
    """D10, S11: the same word means the id of that platform."""
    run(trust, "issuer", "add", url, "--no-fetch")
    added = run(trust, "add", "acme/model", "--issuer", url, *options)

    assert {pin["claim"]: pin["value"] for pin in added["pins"]} == pins


def test_an_id_of_another_kind_is_refused(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D10: it would be left out in silence."""
    assert database.parent.exists()
    assert trust.run([*GITHUB_ADD, "--pipeline-id", UUID]) == 2
    assert "--pipeline-id means nothing for github" in capsys.readouterr().err
