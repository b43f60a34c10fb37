"""The reference hub under the real, unmodified `hf`, with tokens that are simply there (`HF_TOKEN`)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyless.resource import parse_resource
from tests.hub.running import RunningHub, serve_hub

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

COMMAND_SECONDS = 50  # the client has no time-out of its own
LARGE_BYTES = 11_000_000  # above 10 MB the client would ask real hubs for LFS or Xet


@dataclass
class Job:
    """Run `hf` against a hub, each command in a process of its own, with nothing inherited but the path."""

    hf: Path
    hub: RunningHub
    folder: Path

    def run(self, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "HF_HOME": str(self.folder / "hf-home"),
            "HF_ENDPOINT": self.hub.url,
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_COLOR": "1",
        }
        if token is not None:
            environment["HF_TOKEN"] = token
        return subprocess.run(
            [self.hf, *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def works(self, *arguments: str, token: str | None = None) -> str:
        """Run a command that must end well; return what it said."""
        done = self.run(*arguments, token=token)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    def fails(self, *arguments: str, token: str | None = None) -> str:
        """Run a command that must end badly, but not with a traceback; return what it said."""
        done = self.run(*arguments, token=token)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert "Traceback" not in said
        return said

    def write(self, name: str, files: dict[str, bytes]) -> Path:
        """Make a folder with these files."""
        for path, content in files.items():
            (self.folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name / path).write_bytes(content)
        return self.folder / name

    def commits(self, repo: str) -> int:
        """Count the commits on `main`."""
        repository = self.hub.store.find(parse_resource(repo))
        assert repository is not None
        return len(repository.history(repository.resolve("main"), 100))


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a downloaded folder, less the client's own bookkeeping."""
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix(): content for path, content in files.items() if path.parts[0] != ".cache"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with serve_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def job(hf: Path, hub: RunningHub, tmp_path: Path) -> Job:
    return Job(hf, hub, tmp_path)


_numbers = iter(range(10**9))


@pytest.fixture
def repo() -> str:
    """A repository name of the test's own."""
    return f"acme{next(_numbers)}/awesome-model"


FILES = {
    "README.md": b"---\nlicense: mit\n---\n# Awesome\n",
    "weights.bin": os.urandom(LARGE_BYTES),
    "sub/config.json": b'{"a": 1}',
    "empty.txt": b"",
    "with space \u00fc.txt": b"named",
}


def test_upload_again_delete_and_download(job: Job, repo: str) -> None:
    """S9, D25: a folder with a card and 11 MB; unchanged = no commit; delete by pattern; bytes equal at the end."""
    token = f"good:{repo}:read+write+create"
    folder = job.write("model", FILES)

    said = job.works("upload", repo, str(folder), ".", token=token)
    assert f"{job.hub.url}/{repo}/commit/" in said
    assert job.commits(repo) == 2  # the empty first one, and this
    job.works("upload", repo, str(folder), ".", token=token)
    assert job.commits(repo) == 2
    new = job.write("new", {"extra.txt": b"extra"})
    job.works("upload", repo, str(new), ".", "--delete", "*.json", token=token)
    assert job.commits(repo) == 3
    job.works("download", repo, "--local-dir", "copy")

    expected = {path: content for path, content in FILES.items() if not path.endswith(".json")}
    assert read_folder(job.folder / "copy") == {**expected, "extra.txt": b"extra"}


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_datasets_and_spaces(job: Job, repo: str, kind: str) -> None:
    """S9: the same for the other two types."""
    folder = job.write("files", {"README.md": b"# hi\n", "data/a.csv": b"a,b\n1,2\n"})
    token = f"good:{kind}s/{repo}:read+write+create"

    said = job.works("upload", repo, str(folder), ".", "--repo-type", kind, token=token)
    assert f"{job.hub.url}/{kind}s/{repo}/commit/" in said
    job.works("download", repo, "--repo-type", kind, "--local-dir", "copy")
    assert read_folder(job.folder / "copy") == {"README.md": b"# hi\n", "data/a.csv": b"a,b\n1,2\n"}


def test_revision_makes_a_branch(job: Job, repo: str) -> None:
    """D25: `--revision` with a slash in it; `main` stays as it was; single-file upload and download."""
    token = f"good:{repo}:read+write+create"
    file = job.write("one", {"a.txt": b"first"}) / "a.txt"
    job.works("upload", repo, str(file), "a.txt", token=token)
    file.write_bytes(b"second")
    job.works("upload", repo, str(file), "a.txt", "--revision", "feature/x", token=token)

    job.works("download", repo, "a.txt", "--revision", "feature/x", "--local-dir", "branch")
    job.works("download", repo, "a.txt", "--local-dir", "main")
    assert (job.folder / "branch" / "a.txt").read_bytes() == b"second"
    assert (job.folder / "main" / "a.txt").read_bytes() == b"first"
    assert "Revision not found" in job.fails("download", repo, "a.txt", "--revision", "nope", "--local-dir", "x")
    assert "File not found" in (said := job.fails("download", repo, "nope.txt", "--local-dir", "x")) or "Entry" in said


def test_gitignore_keeps_files_out(job: Job, repo: str) -> None:
    """D25: a secret the author ignores is not published."""
    folder = job.write("work", {".gitignore": b".env\n", ".env": b"SECRET=1", "a.txt": b"a"})
    job.works("upload", repo, str(folder), ".", token=f"good:{repo}:write+create")

    job.works("download", repo, "--local-dir", "copy")
    assert set(read_folder(job.folder / "copy")) == {".gitignore", "a.txt"}


def test_pull_request_is_refused_in_words(job: Job, repo: str) -> None:
    """D25: `--create-pr` ends with what to do instead, and nothing is written."""
    folder = job.write("work", {"a.txt": b"a"})
    said = job.fails("upload", repo, str(folder), ".", "--create-pr", token=f"good:{repo}:write+create")

    assert "This hub has no pull requests: upload without --create-pr" in said
    assert job.commits(repo) == 1


def test_file_above_the_limit_is_refused_in_words(job: Job, repo: str) -> None:
    """D25: a clear 413 before anything is sent."""
    folder = job.write("work", {"big.bin": b""})
    with (folder / "big.bin").open("wb") as file:
        file.truncate(100_000_001)
    said = job.fails("upload", repo, str(folder), ".", token=f"good:{repo}:write+create")

    assert "larger than 100 MB, the most this hub stores per file" in said


def test_whoami(job: Job) -> None:
    """S10: the namespace the token acts in; a bad token is called bad."""
    assert "acme" in job.works("auth", "whoami", token="good:acme/x:read+write")
    assert "Invalid user token" in job.fails("auth", "whoami", token="bad")


def test_private_repository(job: Job, repo: str) -> None:
    """S10, T94: its own token and its namespace's user read it; for all others it does not exist."""
    namespace = repo.partition("/")[0]
    folder = job.write("work", {"a.txt": b"a"})
    job.works("upload", repo, str(folder), ".", "--private", token=f"good:{repo}:read+write+create")

    for number, token in enumerate([f"good:{repo}:read", f"good:{namespace}:read"]):
        job.works("download", repo, "--local-dir", f"copy{number}", token=token)
        assert read_folder(job.folder / f"copy{number}") == {"a.txt": b"a"}
    for other in (None, "good:alice:read", "good:datasets/acme/x:read+write"):
        said = job.fails("download", repo, "--local-dir", "never", token=other)
        assert f"Model '{repo}' not found" in said


def test_gated_repository(job: Job, repo: str) -> None:
    """S10: a signed-in user reads it; anonymous callers and other CI jobs are told why not."""
    folder = job.write("work", {"a.txt": b"a"})
    job.works("upload", repo, str(folder), ".", token=f"good:{repo}:read+write+create")
    job.hub.store.set_visibility(parse_resource(repo), gated=True)

    job.works("download", repo, "--local-dir", "copy", token="good:alice:read")
    assert read_folder(job.folder / "copy") == {"a.txt": b"a"}
    for token in (None, "good:acme/other:read+write"):
        said = job.fails("download", repo, "--local-dir", "never", token=token)
        assert "Access denied" in said or "gated" in said


def test_wrong_tokens_read_the_reason(job: Job, repo: str) -> None:
    """S6, S9, V20: wrong repository, wrong type, read only, a user, a bad token, none: each in words that help."""
    folder = job.write("work", {"a.txt": b"a"})
    job.works("upload", repo, str(folder), ".", token=f"good:{repo}:write+create")
    changed = job.write("changed", {"a.txt": b"b"})

    expected = {
        f"good:datasets/{repo}:read+write": f"This token is good for datasets/{repo} only, not for {repo}",
        "good:acme/other:read+write": f"Set HF_OIDC_RESOURCE={repo} for this step",
        f"good:{repo}:read": "its trusted publisher does not allow 'write'",
        "good:alice:read+write": "stands for the user alice and can only read",
        "bad": "Invalid credentials in Authorization header",
    }
    for token, words in expected.items():
        assert words in job.fails("upload", repo, str(changed), ".", token=token)
    assert "HF_OIDC_RESOURCE" in job.fails("upload", repo, str(changed), ".")
    assert job.commits(repo) == 2


def test_wrong_token_for_a_private_repository_reads_the_reason(job: Job, repo: str) -> None:
    """S9, T94: the model's token on somebody's private dataset: the words, and no hint that the dataset exists."""
    job.hub.store.create(parse_resource(f"datasets/{repo}"), private=True)
    folder = job.write("work", {"a.txt": b"a"})
    arguments = ("upload", repo, str(folder), ".", "--repo-type", "dataset")

    present = job.fails(*arguments, token=f"good:{repo}:read+write")
    assert f"This token is good for {repo} only, not for datasets/{repo}" in present


def test_missing_repository_without_create_reads_the_reason(job: Job, repo: str) -> None:
    """S10: what is missing is the operation, not the permission to write."""
    folder = job.write("work", {"a.txt": b"a"})
    said = job.fails("upload", repo, str(folder), ".", token=f"good:{repo}:read+write")

    assert f"{repo} does not exist yet, and the token's trusted publisher does not allow 'create'" in said


def test_many_files_take_several_requests(job: Job, repo: str) -> None:
    """D25: 260 files: two preupload requests, and in 2.x several commits."""
    files = {f"d{number % 5}/f{number}.txt": b"%d" % number for number in range(260)}
    job.works("upload", repo, str(job.write("many", files)), ".", token=f"good:{repo}:write+create")

    repository = job.hub.store.find(parse_resource(repo))
    assert repository is not None
    assert set(repository.resolve("main").files) == set(files)


def test_administration_from_the_command_line(job: Job, repo: str) -> None:
    """D25: create, branch, tag, delete-files, info and list; deleting a repository is not for CI tokens."""
    namespace, token = repo.partition("/")[0], f"good:{repo}:read+write+create"
    job.works("repos", "create", repo, token=token)
    job.works("repos", "create", repo, "--exist-ok", token=token)
    job.works("upload", repo, str(job.write("work", {"a.txt": b"a", "b.txt": b"b"})), ".", token=token)
    job.works("repos", "branch", "create", repo, "dev", token=token)
    job.works("repos", "tag", "create", repo, "v1", token=token)
    job.works("repos", "delete-files", repo, "b.txt", token=token)

    repository = job.hub.store.find(parse_resource(repo))
    assert repository is not None
    assert set(repository.resolve("main").files) == {"a.txt"}
    assert set(repository.resolve("v1").files) == set(repository.resolve("dev").files) == {"a.txt", "b.txt"}
    assert repo in job.works("models", "info", repo)
    assert repo in job.works("models", "list", "--author", namespace, "--format", "json")
    assert "only the hub's operator can" in job.fails("repos", "delete", repo, "--yes", token=token)


def test_outage_of_the_token_service_is_not_a_refusal(job: Job, repo: str, hub: RunningHub) -> None:
    """D9: the user reads that something is down, not that a token is bad."""
    hub.verifier.is_down = True
    try:
        said = job.fails("auth", "whoami", token=f"good:{repo}:read")
    finally:
        hub.verifier.is_down = False

    assert "503" in said
    assert "The token could not be checked now" in said
