"""The two lines that the processes of a job share: whose they are, and when they are good."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keyless.client.job_file import format_job_file, job_directory, job_file_path, read_job_file

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sharing needs owners and modes of POSIX")

JOB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "99",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://runner.example/mint",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
}
TOKEN = "kl_token-in-the-file"


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "/t"}, "/t"),
        ({"GITHUB_ACTIONS": "true", "FORGEJO_ACTIONS": "true", "RUNNER_TEMP": "/t"}, "/t"),
        ({"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": "/a"}, "/a"),
        ({"RUNNER_TEMP": "/t"}, None),
        ({"GITLAB_CI": "true", "RUNNER_TEMP": "/t", "TMPDIR": "/t"}, None),
        ({"GITHUB_ACTIONS": "true"}, None),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "relative"}, None),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "/t\0"}, None),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "/t", "KEYLESS_CACHE": "off"}, None),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "/t", "KEYLESS_CACHE": " OFF "}, None),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "/t", "KEYLESS_CACHE": "on"}, "/t"),
    ],
    ids=str,
)
def test_only_directories_that_the_ci_deletes(environ: dict[str, str], directory: str | None) -> None:
    """Item 2: no such directory, no file; never a home or a /tmp that stays."""
    assert job_directory(environ) == directory


def path_for(
    environ: dict[str, str],
    *,
    endpoint: str = "https://hub.example.org",
    audience: str = "https://hub.example.org",
    resource: str = "acme/model",
) -> str:
    path = job_file_path(
        {**JOB, "RUNNER_TEMP": "/t", **environ}, endpoint=endpoint, audience=audience, resource=resource
    )
    assert path is not None
    return path


def test_the_name_tells_nothing_and_depends_on_everything() -> None:
    """Item 2: SHA-256 over endpoint, resource, run ids and the request token or id token."""
    paths = [
        path_for({}),
        path_for({}, endpoint="https://other.example.org"),
        path_for({}, audience="other"),
        path_for({}, resource="acme/other"),
        *[
            path_for({name: "other"})
            for name in (
                "GITHUB_RUN_ID",
                "GITHUB_RUN_ATTEMPT",
                "GITHUB_JOB",
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                "HF_OIDC_ID_TOKEN",
                "KEYLESS_ID_TOKEN",
                "KEYLESS_ID_TOKEN_FILE",
                "KEYLESS_PROVIDER",
            )
        ],
        path_for({"KEYLESS_ID_TOKEN_VAR": "MINE", "MINE": "one"}),
        path_for({"KEYLESS_ID_TOKEN_VAR": "MINE", "MINE": "two"}),
    ]

    assert len(set(paths)) == len(paths)
    assert {len(path) for path in paths} == {len("/t/keyless-") + 64}


def test_what_does_not_matter_does_not_part_the_steps_of_a_job() -> None:
    """A step with another deadline or with debugging on shares the token of the others."""
    switches = {
        "KEYLESS_TIMEOUT": "5",
        "KEYLESS_DEBUG": "1",
        "KEYLESS_PRECEDENCE": "first",
        "KEYLESS_CACHE": "on",
        "GITHUB_STEP_SUMMARY": "x",
        "HF_OIDC_RESOURCE": "x",
    }
    assert path_for(switches) == path_for({})


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / f"keyless-{'0123456789abcdef' * 4}")


def write(path: str, *, remaining: float = 3600, mode: int = 0o600, content: bytes | None = None) -> Path:
    file = Path(path)
    file.unlink(missing_ok=True)
    file.write_bytes(
        format_job_file(path, TOKEN, expires_in=3600, remaining=remaining, margin=300, request_id="req-1")
        if content is None
        else content
    )
    file.chmod(mode)
    return file


def test_a_file_is_two_lines_and_read_back(path: str) -> None:
    """Plain text: the token, then whose it is and when it ends."""
    file = write(path)
    found = read_job_file(path)

    assert found is not None
    assert (found.token, found.expires_in, found.margin, found.request_id) == (TOKEN, 3600, 300.0, "req-1")
    assert 3595 < found.remaining <= 3600
    assert found.is_fresh
    assert len(file.read_text().splitlines()) == 2
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(("remaining", "fresh"), [(301.0, True), (299.0, False)])
def test_a_token_inside_its_margin_is_good_but_not_fresh(path: str, remaining: float, fresh: bool) -> None:
    """S7: to be replaced, and still usable in an outage."""
    write(path, remaining=remaining)
    found = read_job_file(path)

    assert found is not None
    assert found.is_fresh is fresh


@pytest.mark.parametrize("jump", [-86_400.0, -120.0, 3700.0])
def test_a_wall_clock_that_jumps_never_makes_a_token_look_longer(
    path: str, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """Set back, the other clock counts; set forward, the token is not used."""
    write(path)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    found = read_job_file(path)

    assert (found is None) is (jump > 0)
    assert found is None or 3595 < found.remaining <= 3600


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock that counts sleep")
@pytest.mark.parametrize("jump", [-1_000_000.0, 3700.0])
def test_a_machine_that_slept_or_started_again(path: str, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """The clock since the start of the machine ends a token early; after a new start the wall clock counts."""
    write(path)
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + jump)
    found = read_job_file(path)

    assert (found is None) is (jump > 0)
    assert found is None or found.remaining <= 3600


OWNER = "0123456789abcdef"
BAD_CONTENT = [
    b"",
    b"\n\n",
    b"kl_token",
    b"kl_token\n",
    b"kl_token\nkeyless-1\n",
    b"\xff\xfe\n",
    f"kl_token\nkeyless-2 {OWNER} 9e9 9e9 3600 300 -\n".encode(),
    f"kl_token\nkeyless-1 {OWNER} nan nan 3600 300 -\n".encode(),
    f"kl_token\nkeyless-1 {OWNER} 9e9 9e9 3600 300 -\n".encode(),  # longer than its own life
    f"kl_token\nkeyless-1 {OWNER} inf inf 3600 300 -\n".encode(),
    f"kl_token\nkeyless-1 {OWNER} soon later 3600 300 -\n".encode(),
    f"kl_token\nkeyless-1 {OWNER} 1 1 3600 300 -\nmore\n".encode(),
    b"x" * 100_000,
    "kl_tökén\n".encode(),
]


@pytest.mark.parametrize("content", BAD_CONTENT, ids=range(len(BAD_CONTENT)))
def test_any_other_content_is_no_token(path: str, content: bytes) -> None:
    """Half a file, another version, garbage: as if it were not there."""
    write(path, content=content)

    assert read_job_file(path) is None


def test_a_file_under_another_name_is_not_taken(path: str, tmp_path: Path) -> None:
    """Who can rename in the directory cannot make a token go to another service."""
    file = write(path)
    other = tmp_path / f"keyless-{'f' * 64}"
    file.rename(other)

    assert read_job_file(str(other)) is None


def make_link(file: Path) -> None:
    target = file.with_name("target")
    file.rename(target)
    file.symlink_to(target)


def make_second_name(file: Path) -> None:
    os.link(file, file.with_name("second"))


def make_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def make_foreign(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, 12_345, 12_345)


@pytest.mark.parametrize(
    "plant",
    [
        make_link,
        make_second_name,
        make_directory,
        make_pipe,
        make_foreign,
        lambda file: file.chmod(0o640),
        lambda file: file.chmod(0o602),
        lambda file: file.unlink(),
    ],
    ids=["symlink", "hard link", "directory", "pipe", "another owner", "readable", "writable", "absent"],
)
def test_what_is_not_a_private_file_of_ours_is_not_read(path: str, plant: Callable[[Path], None]) -> None:
    """Item 2: no-follow; owner, mode and links are checked on the opened file."""
    plant(write(path))

    assert read_job_file(path) is None


def test_a_request_id_that_does_not_fit_a_line_is_left_out(path: str) -> None:
    """The service chooses it."""
    content = format_job_file(path, TOKEN, expires_in=60, remaining=60, margin=0, request_id="two words")
    write(path, content=content)
    found = read_job_file(path)

    assert found is not None
    assert found.request_id is None
