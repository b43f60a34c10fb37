"""Where a token comes from (S1)."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless import get_token
from keyless.client import sources
from keyless.client.cache import shared_cache
from keyless.errors import IdTokenPermissionError, OIDCConfigurationError, OIDCError
from tests.support.job import Job
from tests.support.stub import Answer

SOURCES = ["argument", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "file", "oidc"]
ORDERS = {"last": SOURCES, "first": ["argument", "oidc", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "file"]}
COMBINATIONS = [set(chosen) for size in range(6) for chosen in itertools.combinations(SOURCES, size)]
PADDINGS = {"plain": "{}", "blanks": "  {}\t ", "newlines": "\r\n{}\n\n"}


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh_process_state() -> Iterator[None]:
    """Warnings come once per process, and a test is its own process here."""
    sources._warned.clear()
    sources._recent = None
    shared_cache.clear()
    yield
    sources._warned.clear()
    sources._recent = None
    shared_cache.clear()


def environment(job: Job, present: set[str], folder: Path, padding: str) -> dict[str, str]:
    environ = {"HF_HOME": str(folder), "HF_ENDPOINT": job.url}
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        environ[name] = padding.format(name.lower()) if name in present else padding.format("")
    (folder / "token").write_text(padding.format("file") if "file" in present else padding.format(""))
    if "oidc" in present:
        environ.update(job.github(HF_HOME=str(folder)))
    return environ


@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS)
@pytest.mark.parametrize("precedence", ["last", "first"])
def test_the_first_source_that_has_a_token_wins(job: Job, tmp_path: Path, precedence: str, padding: str) -> None:
    """S1: all 32 combinations of the five sources, with blanks and newlines; an empty source counts as unset."""
    found = {}
    expected = {}
    for present in COMBINATIONS:
        environ = environment(job, present, tmp_path, padding) | {"KEYLESS_PRECEDENCE": precedence}
        argument = padding.format("argument" if "argument" in present else "")
        winner = next((source for source in ORDERS[precedence] if source in present), None)
        key = ",".join(sorted(present))
        expected[key] = job.access_token() if winner == "oidc" else winner.lower() if winner else None
        found[key] = get_token(argument, environ=environ)

    assert found == expected
    assert job.exchanges == 1  # every other case with OIDC came from the cache


def test_the_argument_turns_the_order_round_too(job: Job) -> None:
    """S1: `precedence=` is the switch in the API, and wins over the variable."""
    environ = job.github(HF_TOKEN="stored", KEYLESS_PRECEDENCE="last")

    assert get_token(precedence="first", environ=environ) == job.access_token()


def test_a_wrong_precedence_is_named() -> None:
    """A typo must not silently mean the default."""
    with pytest.raises(OIDCConfigurationError, match="KEYLESS_PRECEDENCE"):
        get_token(environ={"HF_OIDC_RESOURCE": "a/b", "KEYLESS_PRECEDENCE": "frist"})


def test_a_shadowed_resource_is_warned_about_once(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    """S1: one warning per process, naming the source that won, without its value."""
    environ = job.github(HF_TOKEN="hf_stored_secret_value")

    assert [get_token(environ=environ) for _ in range(3)] == ["hf_stored_secret_value"] * 3

    assert [(record.name, record.levelno) for record in caplog.records] == [("keyless", logging.WARNING)]
    assert "HF_TOKEN holds a token and wins" in caplog.text
    assert "stored_secret" not in caplog.text
    assert job.requests == []


def test_nothing_is_shadowed_without_a_resource(caplog: pytest.LogCaptureFixture) -> None:
    """A stored token is the ordinary case elsewhere."""
    assert get_token(environ={"HF_TOKEN": "stored"}) == "stored"
    assert caplog.text == ""


def test_an_explicit_token_is_no_shadow(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    """Who passes a token knows what they do."""
    assert get_token("mine", environ=job.github()) == "mine"
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_TOKEN_PATH": "{}/mine"}, "mine"),
        ({"HF_TOKEN_PATH": "{}/mine", "HF_HOME": "{}/home"}, "mine"),
        ({"HF_HOME": "{}/home"}, "home"),
        ({"XDG_CACHE_HOME": "{}/xdg"}, "xdg"),
        ({"HOME": "{}/user"}, "user"),
        ({"HF_TOKEN_PATH": "{}/absent"}, None),
        ({"HF_TOKEN_PATH": "{}/mine/below"}, None),
    ],
)
def test_where_the_token_file_is(tmp_path: Path, environ: dict[str, str], expected: str | None) -> None:
    """protocols.md 1.4: HF_TOKEN_PATH, HF_HOME, then the cache folder."""
    for path, content in [
        ("mine", "mine\n"),
        ("home/token", "home"),
        ("xdg/huggingface/token", "xdg"),
        ("user/.cache/huggingface/token", "user"),
    ]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    filled = {name: value.format(tmp_path) for name, value in environ.items()}

    assert get_token(environ={"HOME": "/nonexistent", **filled}) == expected


def test_a_token_file_that_cannot_be_read_is_an_error_not_a_silence(tmp_path: Path) -> None:
    """S6: a folder or a binary file in its place is reported, without its content."""
    (tmp_path / "binary").write_bytes(b"\xff\xfesecret")
    for path in [tmp_path, tmp_path / "binary"]:
        with pytest.raises(OIDCError, match="cannot be read") as caught:
            get_token(environ={"HF_TOKEN_PATH": str(path)})
        assert "secret" not in caught.value.message


def test_without_any_source_there_is_no_token() -> None:
    """Anonymous use is fine where nothing was configured."""
    assert get_token(environ={"HOME": "/nonexistent"}) is None


def test_the_resource_is_read_at_every_call(job: Job) -> None:
    """S9: one step publishes a model, the next a dataset."""
    environ = job.github()
    first = get_token(environ=environ)
    environ["HF_OIDC_RESOURCE"] = "datasets/acme/data"
    second = get_token(environ=environ)

    assert (first, second) == (job.access_token(1), job.access_token(2))
    assert [request.json()["resource"] for request in job.requests if request.method == "POST"] == [
        "acme/model",
        "datasets/acme/data",
    ]


def test_a_failure_raises(job: Job) -> None:
    """S6: never a silent unauthenticated run."""
    job.on("/oauth/token", Answer(400, {"error": "invalid_grant"}))
    with pytest.raises(OIDCError):
        get_token(environ=job.github())
    with pytest.raises(IdTokenPermissionError):
        get_token(environ={"GITHUB_ACTIONS": "true", "HF_OIDC_RESOURCE": "a/b"})


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_disabled_implicit_tokens_cost_no_exchange(job: Job, value: str) -> None:
    """protocols.md 1.4: no exchange that is thrown away."""
    environ = job.github(HF_TOKEN="stored", HF_HUB_DISABLE_IMPLICIT_TOKEN=value)

    assert get_token(environ=environ) is None
    assert get_token("mine", environ=environ) == "mine"
    assert job.requests == []
    assert get_token(resource="acme/model", environ=environ) == job.access_token()


def test_offline_is_an_error_before_anything_is_minted(job: Job) -> None:
    """protocols.md 1.4: HF_HUB_OFFLINE."""
    with pytest.raises(OIDCError, match="HF_HUB_OFFLINE"):
        get_token(environ=job.github(HF_HUB_OFFLINE="1"))

    assert job.requests == []


@pytest.mark.parametrize("resource", ["acme/mo del", "acme/\x00", "a\x1b[31m"])
def test_a_resource_that_cannot_be_one_is_refused(job: Job, resource: str) -> None:
    """Before anything is sent."""
    with pytest.raises(OIDCConfigurationError):
        get_token(resource=resource, environ=job.github())

    assert job.requests == []


@pytest.fixture
def in_process(job: Job, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process is a job that has just asked for its token."""
    for name, value in job.github().items():
        monkeypatch.setenv(name, value)
    assert get_token() == job.access_token()
    return monkeypatch


def test_the_second_call_takes_the_short_way(job: Job, in_process: pytest.MonkeyPatch) -> None:
    """C5: nothing is looked up that a cached answer does not depend on."""
    in_process.setattr(sources, "find_stored_token", lambda _: pytest.fail("looked for a stored token"))

    assert [get_token() for _ in range(3)] == [job.access_token()] * 3


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HF_TOKEN", "hf_stored", "hf_stored"),
        ("HUGGING_FACE_HUB_TOKEN", "hf_stored", "hf_stored"),
        ("HF_OIDC_RESOURCE", "acme/other", Job.access_token(2)),
        ("HF_OIDC_RESOURCE", "", None),
    ],
)
def test_a_variable_that_decides_counts_at_once(
    job: Job, in_process: pytest.MonkeyPatch, name: str, value: str, expected: str | None
) -> None:
    """A step that changes whose token it wants never gets the former one's."""
    in_process.setenv(name, value)

    assert get_token() == expected


def test_an_id_token_handed_over_meanwhile_counts_at_once(job: Job, in_process: pytest.MonkeyPatch) -> None:
    """Another identity is another token."""
    in_process.setenv("HF_OIDC_ID_TOKEN", job.handed_over()["HF_OIDC_ID_TOKEN"])

    assert get_token() == job.access_token(2)


def test_a_change_and_back_is_the_first_token_again(job: Job, in_process: pytest.MonkeyPatch) -> None:
    """S7: two resources that take turns are two exchanges."""
    tokens = []
    for resource in ["acme/other", "acme/model"] * 2:
        in_process.setenv("HF_OIDC_RESOURCE", resource)
        tokens.append(get_token())

    assert tokens == [job.access_token(2), job.access_token(1)] * 2


def test_a_token_file_that_appears_counts_within_a_second(
    job: Job, in_process: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What no variable tells is looked for again after `RECENT_SECONDS`."""
    in_process.setattr(sources, "RECENT_SECONDS", 0.05)
    in_process.setenv("HF_HOME", str(tmp_path))
    sources._recent = None
    get_token()
    (tmp_path / "token").write_text("hf_appeared")
    time.sleep(0.06)

    assert get_token() == "hf_appeared"


def test_a_token_that_was_dropped_is_not_remembered(job: Job, in_process: pytest.MonkeyPatch) -> None:
    """The short way asks the cache whether anything changed."""
    shared_cache.clear()

    assert get_token() == job.access_token(2)


def test_the_end_of_a_token_ends_the_short_way(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a token beyond its refresh."""
    job.lifetime_seconds = 1
    for name, value in job.github().items():
        monkeypatch.setenv(name, value)
    first = get_token()
    time.sleep(0.85)

    assert (first, get_token()) == (job.access_token(1), job.access_token(2))
