"""Tried again where that is safe, never where an id token might be spent twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from keyless import Credential, get_oidc_token, oidc_login
from keyless.client.attempts import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    TWIN_SECONDS,
    UNREACHABLE_SECONDS,
    Retries,
    mint_and_exchange,
    mint_and_exchange_once,
)
from keyless.client.cache import TokenCache
from keyless.client.exchange import ExchangedToken, NotSpentError
from keyless.errors import (
    ExchangeRefusedError,
    ExchangeUnavailableError,
    MintError,
    MintUnavailableError,
    OIDCError,
    ResponseError,
)
from keyless.http.deadline import Deadline
from keyless.providers.detect import find_mint
from tests.support.certificates import server_context
from tests.support.job import MINT_PATH, RESOURCE, TOKEN_PATH, Job, make_id_token
from tests.support.stub import Answer, StubServer

OURS = {"error": "temporarily_unavailable", "error_description": "nothing was granted", "reason": "unavailable"}
FAILING = {
    "503 of ours": Answer(503, OURS),
    "503 of somebody": Answer(503, b"upstream"),
    "500": Answer(500, b"oops"),
    "502": Answer(502, b""),
    "429": Answer(429, {"error": "slow_down", "reason": "rate_limited"}),
    "reset": Answer(resets=True),
    "cut": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
}


class Clock:
    """A deadline's clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(environ: Mapping[str, str], clock: Clock, *, seconds: float = 30, jitter: float = 1.0) -> ExchangedToken:
    """Resolve with the job's real server, and pauses that take no time."""
    deadline = Deadline(seconds, monotonic=clock)
    return mint_and_exchange(
        find_mint(environ, environ["HF_ENDPOINT"]),
        RESOURCE,
        audience=environ["HF_ENDPOINT"],
        endpoint=environ["HF_ENDPOINT"],
        deadline=deadline,
        environ=environ,
        retries=Retries(deadline, sleep=clock.sleep, random=lambda: jitter),
    )


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_failing_mint_is_asked_again(job: Job, clock: Clock, status: int) -> None:
    """Minting spends nothing."""
    job.on(MINT_PATH, Answer(status, b""), Answer(status, b""), lambda _: job._mint())

    assert run(job.github(), clock).access_token.reveal() == job.access_token()
    assert clock.pauses == [FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2]


def test_a_mint_that_resets_is_asked_again(job: Job, clock: Clock) -> None:
    """A connection that breaks after the request was sent: minting twice is harmless."""
    job.on(MINT_PATH, Answer(resets=True), lambda _: job._mint())

    assert run(job.github(), clock).access_token.reveal() == job.access_token()


@pytest.mark.parametrize("answer", [Answer(400, {}), Answer(403, b""), Answer(200, {})], ids=["400", "403", "nonsense"])
def test_a_refused_mint_is_not_asked_again(job: Job, clock: Clock, answer: Answer) -> None:
    """What the platform said no to, it says no to again."""
    job.on(MINT_PATH, answer)
    with pytest.raises(MintError):
        run(job.github(), clock)

    assert (job.mints, clock.pauses) == (1, [])


@pytest.mark.parametrize("answer", FAILING.values(), ids=FAILING)
def test_a_new_id_token_is_sent_where_one_can_be_minted(job: Job, clock: Clock, answer: Answer) -> None:
    """The one that the service may have spent is never sent again."""
    job.on(TOKEN_PATH, answer, answer, lambda _: job._exchange())
    token = run(job.github(), clock)
    sent = [request.json()["subject_token"] for request in job.requests if request.path == TOKEN_PATH]

    assert token.access_token.reveal() == job.access_token()
    assert len(set(map(str, sent))) == 3
    assert job.mints == 3


@pytest.mark.parametrize("name", [name for name in FAILING if name != "503 of ours"])
def test_the_only_id_token_is_not_sent_again(job: Job, clock: Clock, name: str) -> None:
    """It may be spent, and there is no other."""
    job.on(TOKEN_PATH, FAILING[name])
    with pytest.raises(ExchangeUnavailableError):
        run(job.handed_over(), clock)

    assert (job.exchanges, clock.pauses) == (1, [])


def test_the_only_id_token_is_sent_again_when_our_service_says_that_nothing_happened(job: Job, clock: Clock) -> None:
    """503 with our own reason: nothing was granted or refused."""
    job.on(TOKEN_PATH, FAILING["503 of ours"], lambda _: job._exchange())
    token = run(job.handed_over(), clock)
    sent = {request.json()["subject_token"] for request in job.requests if request.path == TOKEN_PATH}

    assert token.access_token.reveal() == job.access_token()
    assert len(sent) == 1


@pytest.mark.parametrize("kind", ["minted", "handed over"])
def test_what_was_certainly_not_sent_is_sent_again(job: Job, clock: Clock, kind: str) -> None:
    """The service starts while the job waits: connection refused, then there. The id token is the same."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    service = StubServer()
    endpoint = f"http://127.0.0.1:{port}"
    environ = (job.github if kind == "minted" else job.handed_over)(HF_ENDPOINT=endpoint)
    if kind == "handed over":
        environ["HF_OIDC_ID_TOKEN"] = make_id_token(endpoint)
    service.on(TOKEN_PATH, Answer(200, {"access_token": "kl_late"}))

    def start(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.pauses) == 2:
            service._listener = socket.create_server(("127.0.0.1", port))
            service.port = port
            service._accepting = threading.Thread(target=service._accept, daemon=True)
            service._accepting.start()

    deadline = Deadline(30, monotonic=clock)
    token = mint_and_exchange(
        find_mint(environ, endpoint),
        RESOURCE,
        audience=endpoint,
        endpoint=endpoint,
        deadline=deadline,
        environ=environ,
        retries=Retries(deadline, sleep=start, random=lambda: 1.0),
    )
    service.__exit__(None, None, None)

    assert token.access_token.reveal() == "kl_late"
    assert job.mints == (1 if kind == "minted" else 0)


@pytest.mark.parametrize("environ", ["github", "handed_over"])
def test_a_refusal_is_final(job: Job, clock: Clock, environ: str) -> None:
    """A 4xx is an answer."""
    job.on(TOKEN_PATH, Answer(400, {"error": "invalid_grant"}))
    with pytest.raises(ExchangeRefusedError):
        run(getattr(job, environ)(), clock)

    assert (job.exchanges, clock.pauses) == (1, [])


def test_a_host_that_takes_no_connection_is_given_up_early(job: Job, clock: Clock) -> None:
    """Long enough for a service that starts again, not the whole deadline for one that is gone."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with pytest.raises(ExchangeUnavailableError, match=r"refused the connection \(tried 6 times\)"):
        run(job.github(HF_ENDPOINT=endpoint), clock)

    assert clock.pauses == [0.25, 0.5, 1, 2, 4]
    assert sum(clock.pauses) <= UNREACHABLE_SECONDS


def test_an_agent_that_is_not_there_is_given_up_early(clock: Clock) -> None:
    """The same for a socket that nobody has mounted."""
    environ = {"SPIFFE_ENDPOINT_SOCKET": "unix:///nonexistent/api.sock", "HF_ENDPOINT": "http://127.0.0.1:9"}
    with pytest.raises(MintUnavailableError, match="is not there"):
        run(environ, clock)

    assert sum(clock.pauses) <= UNREACHABLE_SECONDS


def test_a_host_that_answers_in_between_has_the_whole_deadline(job: Job, clock: Clock) -> None:
    """A failing service is there: its 503 starts the patience anew."""
    job.on(TOKEN_PATH, Answer(503, b""))
    with pytest.raises(ExchangeUnavailableError):
        run(job.github(), clock)

    assert sum(clock.pauses) > 20


REPLAYED = Answer(400, {"error": "invalid_grant", "reason": "token_replayed"})


def test_two_mints_of_one_second_may_be_one_token(job: Job, clock: Clock) -> None:
    """D8: without a `jti`, as on Forgejo, the second is a copy and refused; a second later it is another token."""
    job.on(TOKEN_PATH, REPLAYED, lambda _: job._exchange())
    token = run(job.github(), clock)

    assert token.access_token.reveal() == job.access_token()
    assert (job.mints, clock.pauses) == (2, [TWIN_SECONDS])
    assert len(set(job.id_tokens)) == 2


def test_a_copy_is_waited_out_once(job: Job, clock: Clock) -> None:
    """A platform that goes on giving the same token is told about."""
    job.on(TOKEN_PATH, REPLAYED)
    with pytest.raises(ExchangeRefusedError):
        run(job.github(), clock)

    assert (job.exchanges, clock.pauses) == (2, [TWIN_SECONDS])


@pytest.mark.parametrize(("environ", "seconds"), [("handed_over", 30), ("github", 1)])
def test_a_copy_is_not_waited_out_where_that_is_no_use(job: Job, clock: Clock, environ: str, seconds: float) -> None:
    """The only token there is, or no time."""
    job.on(TOKEN_PATH, REPLAYED)
    with pytest.raises(ExchangeRefusedError):
        run(getattr(job, environ)(), clock, seconds=seconds)

    assert (job.exchanges, clock.pauses) == (1, [])


def test_a_success_that_cannot_be_understood_is_final(job: Job, clock: Clock) -> None:
    """The id token is spent, and the service is not what it should be."""
    job.on(TOKEN_PATH, Answer(200, b"<html>"))
    with pytest.raises(ResponseError):
        run(job.github(), clock)

    assert job.exchanges == 1


def test_pauses_grow_and_have_full_jitter(job: Job, clock: Clock) -> None:
    """From nothing to double the last, up to a limit."""
    retries = Retries(Deadline(100, monotonic=clock), sleep=clock.sleep, random=lambda: 1.0)
    for _ in range(7):
        retries.pause(MintUnavailableError("down"))
    longest = clock.pauses[:]
    none = Retries(Deadline(100, monotonic=clock), sleep=clock.sleep, random=lambda: 0.0)
    none.pause(MintUnavailableError("down"))

    assert longest == [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]
    assert clock.pauses[-1] == 0.0


def test_retry_after_is_kept_within_the_deadline(job: Job, clock: Clock) -> None:
    """Not earlier than the service asked."""
    job.on(TOKEN_PATH, Answer(429, {}, headers={"Retry-After": "7"}), lambda _: job._exchange())
    run(job.github(), clock, jitter=0.5)

    assert clock.pauses == [7 + FIRST_PAUSE_SECONDS / 2]


def test_a_retry_after_beyond_the_deadline_is_told_at_once(job: Job, clock: Clock) -> None:
    """The job need not wait to learn that it will not work."""
    job.on(TOKEN_PATH, Answer(503, OURS, headers={"Retry-After": "120"}))
    with pytest.raises(ExchangeUnavailableError) as caught:
        run(job.github(), clock)

    assert (job.exchanges, clock.pauses) == (1, [])
    assert "120 seconds" in (caught.value.hint or "")


def test_the_deadline_ends_it_and_the_message_says_why(job: Job, clock: Clock) -> None:
    """Deadlines hold; what the service said last is told, with the number of attempts."""
    job.on(TOKEN_PATH, Answer(503, b"tired"))
    with pytest.raises(ExchangeUnavailableError, match=r"tired.*\(tried \d+ times\)") as caught:
        run(job.github(), clock, seconds=10)

    assert sum(clock.pauses) <= 10
    assert caught.value.status == 503
    assert str(caught.value) == caught.value.message


def test_real_time_is_kept_too(job: Job) -> None:
    """The whole resolution, with real pauses, within its seconds."""
    job.on(MINT_PATH, Answer(503, b""))
    begun = time.monotonic()
    with pytest.raises(MintUnavailableError):
        Credential(environ=job.github(KEYLESS_TIMEOUT="1.5"), cache=TokenCache()).token()

    assert time.monotonic() - begun < 2
    assert job.mints > 1


def test_a_certificate_that_is_not_trusted_is_not_tried_again(job: Job, clock: Clock) -> None:
    """Nobody changes it in a moment: for the service and for the platform."""
    with StubServer(tls=server_context("127.0.0.1")) as service:
        for changed in ({"HF_ENDPOINT": service.url}, {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{service.url}/mint"}):
            with pytest.raises((NotSpentError, MintUnavailableError), match="cannot be trusted"):
                run(job.github(**changed), clock)

    assert clock.pauses == []


def test_get_oidc_token_and_oidc_login_try_again_too(job: Job) -> None:
    """The doors beside the credential."""
    job.on(MINT_PATH, Answer(503, b""), lambda _: job._mint())
    minted = get_oidc_token(environ=job.github())
    job.on(TOKEN_PATH, Answer(503, OURS), lambda _: job._exchange())
    given = oidc_login(subject_token=minted, environ=job.github())

    assert minted == job.id_tokens[0]
    assert given.access_token.reveal() == job.access_token()
    assert job.exchanges == 2


NOT_TEXT = "secret\udcff"
BYTES_THAT_ARE_NOT_TEXT: dict[str, dict[str, str]] = {
    "spiffe": {"SPIFFE_ENDPOINT_SOCKET": "unix:///nonexistent", "KEYLESS_SPIFFE_ID": NOT_TEXT},
    "aws": {
        "KEYLESS_PROVIDER": "aws",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": NOT_TEXT,
        "AWS_SECRET_ACCESS_KEY": NOT_TEXT,
    },
    "buildkite": {
        "BUILDKITE_JOB_ID": NOT_TEXT,
        "BUILDKITE_AGENT_ACCESS_TOKEN": NOT_TEXT,
        "BUILDKITE_AGENT_ENDPOINT": "http://127.0.0.1:9",
    },
    "azure-devops": {
        "TF_BUILD": "True",
        "SYSTEM_OIDCREQUESTURI": "http://127.0.0.1:9",
        "SYSTEM_ACCESSTOKEN": "x",
        "KEYLESS_AZURE_SERVICE_CONNECTION_ID": NOT_TEXT,
    },
    "github": {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:9/{NOT_TEXT}",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": NOT_TEXT,
    },
    "google-cloud": {"GCE_METADATA_HOST": "127.0.0.1:9", "GOOGLE_SERVICE_ACCOUNT_NAME": NOT_TEXT},
    "handed-over": {"HF_OIDC_ID_TOKEN": NOT_TEXT},
    "circleci": {"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": NOT_TEXT, "PATH": "/nonexistent"},
    "file": {"KEYLESS_ID_TOKEN_FILE": f"/nonexistent/{NOT_TEXT}"},
    "command": {"KEYLESS_ID_TOKEN_COMMAND": f"/nonexistent/{NOT_TEXT}"},
}


def once(environ: Mapping[str, str], clock: Clock) -> ExchangedToken:
    del clock
    endpoint = environ["HF_ENDPOINT"]
    return mint_and_exchange_once(
        find_mint(environ, endpoint),
        RESOURCE,
        audience=endpoint,
        endpoint=endpoint,
        deadline=Deadline(5),
        environ=environ,
    )


@pytest.mark.parametrize("name", BYTES_THAT_ARE_NOT_TEXT)
@pytest.mark.parametrize("way", [run, once], ids=["patiently", "once"])
def test_bytes_that_are_not_text(
    clock: Clock, name: str, way: Callable[[Mapping[str, str], Clock], ExchangedToken]
) -> None:
    """An environment may hold anything; it ends in an error of ours that does not quote it."""
    with pytest.raises(OIDCError) as caught:
        way({**BYTES_THAT_ARE_NOT_TEXT[name], "HF_ENDPOINT": "http://127.0.0.1:9"}, clock)

    assert NOT_TEXT not in f"{caught.value} {caught.value.hint}"
