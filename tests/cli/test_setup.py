"""`keyless setup`: from a repository to a CI file and a publisher, asking nothing twice and destroying nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from keyless.cli import setup
from keyless.cli.main import main
from keyless.server.store import open_store
from keyless.server.store.admin import Administration

SERVICE = "https://hub.example.org"
FLAGS = ["--provider", "github", "--resource", "acme/model"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clone's folder, with us in a folder inside it."""
    root = tmp_path / "widgets"
    (root / ".git").mkdir(parents=True)
    (root / "src").mkdir()
    (root / ".git" / "config").write_text(
        '[core]\n\tbare = false\n[remote "upstream"]\n\turl = https://gitlab.com/other/else.git\n'
        '[remote "origin"]\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\turl = git@github.com:acme/widgets.git\n'
    )
    monkeypatch.chdir(root / "src")
    return root


def test_it_writes_the_workflow(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two flags and the clone around are enough (S3, S9)."""
    assert main(["setup", "--resource", "acme/model", "--endpoint", SERVICE, "--write", "--no-input"]) == 0

    text = (repository / ".github" / "workflows" / "publish.yml").read_text()
    told = capsys.readouterr()
    assert "id-token: write" in text
    assert told.out == ""
    assert "keyless trust add acme/model --provider github --repository acme/widgets" in told.err


def test_it_prints_what_it_would_write(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file alone goes to standard output, so that it can be redirected."""
    assert main(["setup", *FLAGS]) == 0

    told = capsys.readouterr()
    assert told.out.startswith("name: Publish\n")
    assert "https://huggingface.co/acme/model/settings > Trusted Publishers" in told.err
    assert "Repository: acme/widgets" in told.err
    assert not (repository / ".github").exists()


def test_a_file_that_is_there_stays(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody wrote it; only `--force` writes over it."""
    target = repository / ".github" / "workflows" / "publish.yml"
    target.parent.mkdir(parents=True)
    target.write_text("mine")

    assert main(["setup", *FLAGS, "--write"]) == 2
    assert target.read_text() == "mine"
    assert "is there already" in capsys.readouterr().err
    assert main(["setup", *FLAGS, "--write", "--force"]) == 0
    assert "id-token: write" in target.read_text()


@pytest.mark.usefixtures("repository")
def test_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read it: file, what to do first, commands, and what is still to be filled in."""
    words = ["setup", "--provider", "circleci", "--resource", "acme/model", "--endpoint", SERVICE, "--json"]
    assert main(words) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["file"]["path"] == ".circleci/config.yml"
    assert document["file"]["written"] is None
    assert set(document["publisher"]["missing"]) == {"ORGANIZATION_UUID", "PROJECT_UUID"}
    assert "github.com/acme/widgets" in document["publisher"]["commands"][0]


@pytest.mark.usefixtures("repository")
def test_it_makes_the_publisher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S10: from nothing to a job that is trusted, in one command on the service's machine."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", SERVICE)
    database = tmp_path / "keyless.db"
    pins = ["--pin", "repository_id=456789", "--pin", "repository_owner_id=123456"]
    words = ["setup", *FLAGS, "--endpoint", SERVICE, *pins, "--create", "--db", str(database)]
    assert main(words) == 0, capsys.readouterr().err

    with open_store(database) as store, Administration(store, actor="test") as administration:
        (publisher,) = administration.publishers()
    assert publisher.resource.short == "acme/model"
    assert {pin.claim: pin.value for pin in publisher.pins} == {
        "repository_id": "456789",
        "repository_owner_id": "123456",
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--resource", "acme/model"], "which CI platform"),
        (["--provider", "githb", "--resource", "acme/model"], "Did you mean github?"),
        (["--provider", "github"], "what shall the job publish to"),
        ([*FLAGS, "--branch", 'main" || true'], "would have to be quoted"),
        ([*FLAGS, "--file-name", "../../x.yml"], "no name of a workflow's file"),
        ([*FLAGS, "--folder", "a", "--folder", "b"], "given 2 times for 1 resources"),
        ([*FLAGS, "--pin", "repository_id"], "NAME=VALUE"),
        ([*FLAGS, "--create"], "made in its settings"),
        (
            ["--provider", "circleci", "--resource", "a/b", "--endpoint", SERVICE, "--create", "--repository", "x/y"],
            "does not know ORGANIZATION_UUID",
        ),
        ([*FLAGS, "--frobnicate"], "no option"),
        (["--provider", "gitlab", "--resource", "pypi/x"], "where is the package registry?"),
        (
            ["--provider", "gitlab", "--resource", "pypi/x", "--resource", "npm/y", "--endpoint", SERVICE],
            "one registry",
        ),
    ],
)
def test_what_cannot_work(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, with what to say instead; nothing is written."""
    monkeypatch.chdir(tmp_path)

    assert main(["setup", *words]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/acme/widgets.git", ("github.com", "acme/widgets")),
        ("git@github.com:acme/widgets.git", ("github.com", "acme/widgets")),
        ("ssh://git@gitlab.com:22/group/sub/widgets", ("gitlab.com", "group/sub/widgets")),
        ("https://user:pa55@bitbucket.org/acme/widgets/", ("bitbucket.org", "acme/widgets")),
        ("/srv/git/widgets.git", ("", "")),
    ],
)
def test_the_remote_says_where_the_job_runs(tmp_path: Path, url: str, found: tuple[str, str]) -> None:
    """Every spelling that git knows; a login in it goes nowhere."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {url}\n')

    assert setup._remote(tmp_path) == found


def test_no_remote_is_none(tmp_path: Path) -> None:
    """A folder without git, and git's file of something else."""
    assert setup._remote(tmp_path) == ("", "")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"\xff\xfe[remote")
    assert setup._remote(tmp_path) == ("", "")


def test_it_asks_on_a_terminal(repository: Path) -> None:
    """What was not given is asked for, with the guess in brackets; the answers lead to the file."""
    leader, follower = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    process = subprocess.Popen(
        [sys.executable, "-m", "keyless", "setup", "--write"],
        cwd=repository,
        env=environ,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        close_fds=True,
    )
    os.close(follower)
    os.write(leader, b"\ndatasets/acme/data\n\n")
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # the child has closed the terminal
            break
        if not piece:
            break
        shown += piece
    os.close(leader)

    assert process.wait(30) == 0, shown
    assert b"CI platform [github]:" in shown
    assert b"Branch that publishes [main]:" in shown
    assert "--repo-type dataset" in (repository / ".github" / "workflows" / "publish.yml").read_text()


def test_help_reads_like_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Every option of the verb is described, with examples and exit codes."""
    assert main(["setup", "--help"]) == 0

    text = capsys.readouterr().out
    assert [option for option in (*setup._VALUED, *setup._FLAGS) if option not in text] == []
    assert "exit codes:" in text


@pytest.mark.usefixtures("repository")
def test_a_package_goes_to_its_registry(capsys: pytest.CaptureFixture[str]) -> None:
    """The endpoint is the registry; the publisher is made at the service, as any other."""
    words = ["--provider", "gitlab", "--resource", "pypi/acme-wheel", "--endpoint", "https://pypi.example.org"]
    assert main(["setup", *words, "--repository", "acme/widgets"]) == 0

    told = capsys.readouterr()
    assert "aud: pypi-example-org" in told.out
    assert "keyless trust add pypi/acme-wheel --provider gitlab" in told.err
