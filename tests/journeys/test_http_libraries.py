"""A `Credential` in the libraries that people use, unmodified, against the real service and its hub."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.demo.stage import Stage
from tests.journeys.conftest import ROOT, VERSIONS, build_stage, find_hf
from tests.journeys.job import folder, grants, head, trust
from tests.support.stub import Answer, StubServer

pytestmark = pytest.mark.journey

PYTHON = ROOT / ".venvs/minters/bin/python"

REQUESTS = """
import requests
def get(url, credential):
    with requests.Session() as session:
        session.auth = credential
        answers = [session.get(url, timeout=10) for _ in range(2)]
    return [(answer.status_code, answer.text) for answer in answers]
"""
HTTPX = """
import {module} as httpx
def get(url, credential):
    with httpx.Client(auth=credential, follow_redirects=True, timeout=10) as client:
        answers = [client.get(url) for _ in range(2)]
    return [(answer.status_code, answer.text) for answer in answers]
"""
HTTPX_ASYNC = """
import asyncio, httpx
async def ask(url, credential):
    async with httpx.AsyncClient(auth=credential, timeout=10) as client:
        return [await client.get(url) for _ in range(2)]
def get(url, credential):
    return [(answer.status_code, answer.text) for answer in asyncio.run(ask(url, credential))]
"""
URLLIB = """
import urllib.request
def get(url, credential):
    answers = []
    for _ in range(2):
        with urllib.request.urlopen(credential(urllib.request.Request(url)), timeout=10) as answer:
            answers.append((answer.status, answer.read().decode()))
    return answers
"""
PROGRAM = """
import json, sys
import keyless
{library}
print(json.dumps(get(sys.argv[1], keyless.Credential())))
"""
LIBRARIES = {
    "requests": REQUESTS,
    "httpx": HTTPX.format(module="httpx"),
    "httpx2": HTTPX.format(module="httpx2"),
    "httpx, asynchronous": HTTPX_ASYNC,
    "urllib": URLLIB,
}


def run(stage: Stage, python: Path, program: str, resource: str, *arguments: str) -> str:
    """Run a program of the job with our client from source beside the libraries of an environment."""
    if not python.exists():
        pytest.fail(f"{python} is missing: run `make journeys`")
    environ = stage.step_environment(stage.github.first, resource, PYTHONPATH=str(ROOT / "src"))
    done = subprocess.run(
        [str(python), "-c", program, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def one_stage() -> Iterator[Stage]:
    """A stage for what is the same with every version of hf."""
    yield from build_stage(find_hf(VERSIONS[0]))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_let_in(one_stage: Stage, library: str) -> None:
    """The hub knows whose token it is; one exchange for all requests."""
    name = f"acme/lib-{library.partition(',')[0]}-{len(library)}"
    trust(one_stage, name)
    program = PROGRAM.format(library=LIBRARIES[library])
    answers = json.loads(run(one_stage, PYTHON, program, name, f"{one_stage.url}/api/whoami-v2"))

    assert [(status, json.loads(text)["name"]) for status, text in answers] == [(200, "acme")] * 2
    assert len(grants(one_stage, f"models/{name}")) == 1


@pytest.fixture
def elsewhere() -> Iterator[StubServer]:
    with StubServer() as server:
        server.on("/there", Answer(200, b"no token needed"))
        yield server


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "urllib"])
def test_the_token_does_not_follow_a_redirect(one_stage: Stage, elsewhere: StubServer, library: str) -> None:
    """To another origin: no library takes the header along."""
    trust(one_stage, f"acme/redirect-{library}")
    with StubServer() as redirecting:
        redirecting.on("/here", Answer(302, b"", headers={"Location": f"{elsewhere.url}/there"}))
        program = PROGRAM.format(library=LIBRARIES[library])
        answers = json.loads(run(one_stage, PYTHON, program, f"acme/redirect-{library}", f"{redirecting.url}/here"))

    assert answers == [[200, "no token needed"]] * 2
    assert {request.headers.get("authorization", "")[:10] for request in redirecting.requests} == {"Bearer hf_"}
    assert [request.headers.get("authorization") for request in elsewhere.requests] == [None, None]


HF_API = """
import sys
import keyless
from huggingface_hub import HfApi
credential = keyless.Credential()
api = HfApi(token=credential.token())
print(api.whoami()["name"])
api.upload_file(path_or_fileobj=b"hello", path_in_repo="hello.txt", repo_id=sys.argv[1], token=credential.token())
"""


def test_hf_api(stage: Stage) -> None:
    """`HfApi(token=…)`, of both versions: who am I, and an upload."""
    trust(stage, "acme/by-hf-api")
    folder(stage, "by-hf-api", {})
    python = stage.hf.with_name("python")
    run(stage, python, "from huggingface_hub import HfApi; import keyless; HfApi(token=keyless.get_token())"
        ".create_repo('acme/by-hf-api', exist_ok=True)", "acme/by-hf-api")  # fmt: skip

    assert run(stage, python, HF_API, "acme/by-hf-api", "acme/by-hf-api") == "acme\n"
    assert "hello.txt" in [file["rfilename"] for file in head(stage, "models", "acme/by-hf-api")["siblings"]]
