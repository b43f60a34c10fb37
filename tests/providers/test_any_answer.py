"""Whatever a platform answers, minting ends in a token or in an error of ours that shows no credential."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.errors import AudienceError, MintError
from keyless.http.deadline import Deadline
from keyless.http.hpack import encode_headers
from keyless.providers.base import CanMint
from keyless.providers.kubernetes import TokenRequest
from tests.providers.asking import AUDIENCE, find
from tests.support.job import make_id_token
from tests.support.stub import Answer, Recorded, StubServer

SECRET = "credential-0123456789abcdefghijklmnopqrstuvwxyz"
Way = Callable[[str, Path], tuple[CanMint, dict[str, str]]]


class AnyPathServer(StubServer):
    """Answer every request the same, whatever its path."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = Answer()

    def _next(self, request: Recorded) -> Answer:
        return self.answer


@pytest.fixture(scope="module")
def server() -> Iterator[AnyPathServer]:
    with AnyPathServer() as running:
        yield running


def by_variables(make: Callable[[str], dict[str, str]]) -> Way:
    def way(url: str, folder: Path) -> tuple[CanMint, dict[str, str]]:
        del folder
        return find(make(url)), make(url)

    return way


def by_token_request(url: str, folder: Path) -> tuple[CanMint, dict[str, str]]:
    (folder / "token").write_text(make_id_token("api", sub="system:serviceaccount:ci:builder"))
    (folder / "namespace").write_text("ci")
    (folder / "ca.crt").write_text("")
    return TokenRequest(url, str(folder)), {}


def request_variables(url: str) -> dict[str, str]:
    return {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/x?y=z", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET}


def aws_variables(url: str) -> dict[str, str]:
    return {"KEYLESS_PROVIDER": "aws", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": url}


WAYS: dict[str, Way] = {
    "github": by_variables(lambda url: {"GITHUB_ACTIONS": "true", **request_variables(url)}),
    "forgejo": by_variables(lambda url: {"FORGEJO_ACTIONS": "true", **request_variables(url)}),
    "buildkite": by_variables(
        lambda url: {
            "BUILDKITE_AGENT_ACCESS_TOKEN": SECRET,
            "BUILDKITE_JOB_ID": "1",
            "BUILDKITE_AGENT_ENDPOINT": url,
        }
    ),
    "azure-devops": by_variables(
        lambda url: {"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": url, "SYSTEM_ACCESSTOKEN": SECRET}
    ),
    "google-cloud": by_variables(lambda url: {"GCE_METADATA_HOST": url.removeprefix("http://")}),
    "google-cloud as another": by_variables(
        lambda url: {
            "GCE_METADATA_HOST": url.removeprefix("http://"),
            "GOOGLE_SERVICE_ACCOUNT_NAME": "a@b",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": url,
        }
    ),
    "aws": by_variables(
        lambda url: {**aws_variables(url), "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    ),
    "aws container": by_variables(
        lambda url: {
            **aws_variables(url),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET,
        }
    ),
    "aws instance": by_variables(lambda url: {**aws_variables(url), "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}),
    "kubernetes": by_token_request,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a.b.c"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["value", "token", "oidcToken", "access_token", "status", "AccessKeyId", "SecretAccessKey", "Token"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
XML = st.text("<>/WebIdentityTokenCode abc.", max_size=60).map(str.encode)


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=st.binary(max_size=120) | XML | JSON, status=st.sampled_from([200, 200, 201, 400, 403, 404, 500]))
def test_any_answer_ends_in_a_token_or_our_error(
    server: AnyPathServer, tmp_path: Path, name: str, body: object, status: int
) -> None:
    """Issue 4: any bytes from a mint endpoint never crash minting."""
    server.answer = Answer(status, body)
    found, environ = WAYS[name](server.url, tmp_path)
    try:
        token = found.mint(AUDIENCE, deadline=Deadline(5), environ=environ)
    except MintError as error:
        shown = f"{error!r} {error} {error.hint}"
    else:
        shown = repr(token)

    assert SECRET not in shown


class Agent:
    """A socket behind which every connection gets the same bytes."""

    def __init__(self, path: Path) -> None:
        self.answer = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.environ = {"SPIFFE_ENDPOINT_SOCKET": f"unix://{path}"}
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.sendall(self.answer)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65_536):
                    pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    running = Agent(tmp_path_factory.mktemp("agent") / "s")
    yield running
    running.close()


def grpc_answer(svids: bytes) -> bytes:
    """Return a good answer around any message."""
    message = b"\0" + len(svids).to_bytes(4, "big") + svids
    blocks = [encode_headers([(":status", "200")]), message, encode_headers([("grpc-status", "0")])]
    frames = [(4, 0, 0, b""), (1, 4, 1, blocks[0]), (0, 0, 1, blocks[1]), (1, 5, 1, blocks[2])]
    return b"".join(
        len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content
        for kind, flags, stream, content in frames
    )


@given(content=st.binary(max_size=200), is_grpc=st.booleans())
def test_any_bytes_from_a_spiffe_agent(agent: Agent, content: bytes, is_grpc: bool) -> None:
    """Must hold: as frames, and as the message inside good frames."""
    agent.answer = grpc_answer(content) if is_grpc else content
    try:
        token = find(agent.environ).mint(AUDIENCE, deadline=Deadline(5), environ=agent.environ)
    except MintError as error:
        shown = error.hint
    else:
        shown = token.reveal()

    assert shown
    assert shown.isprintable()


PROGRAMS: dict[str, Callable[[str], dict[str, str]]] = {
    "circleci": lambda folder: {"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": make_id_token("org"), "PATH": folder},
    "buildkite-agent": lambda folder: {
        "BUILDKITE": "true",
        "BUILDKITE_JOB_ID": "1",
        "BUILDKITE_AGENT_ACCESS_TOKEN": SECRET,
        "PATH": folder,
    },
    "command": lambda folder: {"KEYLESS_ID_TOKEN_COMMAND": f"{folder}/command"},
}


@pytest.mark.parametrize("program", PROGRAMS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(output=st.binary(max_size=200), complaint=st.binary(max_size=60), status=st.sampled_from([0, 0, 1, 75, 255]))
def test_any_bytes_from_a_program(tmp_path: Path, program: str, output: bytes, complaint: bytes, status: int) -> None:
    """Must hold: on both of its outputs, with any status."""
    for name, content in (("output", output), ("complaint", complaint)):
        (tmp_path / name).write_bytes(content)
    script = tmp_path / program
    script.write_text(f"#!/bin/sh\n/bin/cat '{tmp_path}/output'\n/bin/cat '{tmp_path}/complaint' >&2\nexit {status}\n")
    script.chmod(0o755)
    environ = PROGRAMS[program](str(tmp_path))
    try:
        token = find(environ).mint(AUDIENCE, deadline=Deadline(10), environ=environ)
    except (MintError, AudienceError) as error:
        shown = f"{error!r} {error} {error.hint}"
    else:
        shown = token.reveal()
        assert shown.isprintable()

    assert SECRET not in shown


@given(content=st.binary(max_size=300) | st.text(max_size=80).map(lambda text: f"a.{text}.b".encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_a_file(tmp_path: Path, content: bytes) -> None:
    """Must hold: a token file that holds anything else."""
    path = tmp_path / "token"
    path.write_bytes(content)
    environ = {"KEYLESS_ID_TOKEN_FILE": str(path)}
    with pytest.raises((MintError, AudienceError)) as caught:
        find(environ).mint(AUDIENCE, deadline=Deadline(5), environ=environ)

    assert caught.value.hint


@given(content=st.text(min_size=1, max_size=200).filter(lambda text: "\0" not in text and bool(text.strip())))
def test_any_text_in_a_variable(content: str) -> None:
    """Must hold: a token variable that holds anything else."""
    environ = {"HF_OIDC_ID_TOKEN": content}
    with pytest.raises((MintError, AudienceError)) as caught:
        find(environ).mint(AUDIENCE, deadline=Deadline(5), environ=environ)

    assert caught.value.hint
