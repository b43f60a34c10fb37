"""The leaves for frameworks, as `docs/verifier.md` shows them: each snippet runs, and says no as RFC 6750 wants it."""

from __future__ import annotations

import ast
import asyncio
import base64
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.util import setup_testing_defaults

import django.conf  # type: ignore[import-untyped]  # Django brings no types
import django.urls  # type: ignore[import-untyped]  # Django brings no types
import pytest

from keyless.errors import ConfigurationError, RevokedTokenError, UnavailableError
from keyless.verifier import VerifiedAccessToken, Verifier
from keyless.verifier.asgi import TokenMiddleware as AsgiMiddleware
from keyless.verifier.fastapi import Allowed
from keyless.verifier.wsgi import TokenMiddleware as WsgiMiddleware
from tests.support.asgi import Answer, ask
from tests.verifier.tokens import AUDIENCE, ISSUER, NOW, Mint

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "verifier.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^### (\w+)\n.*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
WSGI = ("WSGI", "Flask", "Django")
PATH = "/models/acme/model"
METADATA = "https://hub.example.org/.well-known/oauth-protected-resource"


@dataclass
class Live:
    """A live check that a test switches."""

    error: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def check(self, token: str, verified: VerifiedAccessToken, /) -> VerifiedAccessToken:
        self.asked.append(token)
        if self.error is not None:
            raise self.error
        return verified

    def close(self) -> None:
        pass


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
def verifier(mint: Mint, live: Live) -> Verifier:
    return Verifier(ISSUER, AUDIENCE, introspection=live, fetch=lambda _url: mint.jwks, clock=lambda: NOW)


def ask_wsgi(app: Any, headers: dict[str, str] | None, path: str = PATH) -> Answer:
    """Send one PUT to a WSGI application."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"REQUEST_METHOD": "PUT", "PATH_INFO": path}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    sent: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]]) -> None:
        sent.append((status, fields))

    parts: Iterable[bytes] = app(environ, start_response)
    body = b"".join(parts)
    status, fields = sent[0]
    return Answer(int(status.split()[0]), {name.lower(): value for name, value in fields}, body)


Send = Callable[[dict[str, str] | None], Answer]


def sender(framework: str, verifier: Verifier) -> Send:
    """Run a snippet of the page and return what sends a PUT to its application."""
    module = ModuleType("page")  # Django looks for the module with its urls
    sys.modules["page"] = module
    names = module.__dict__
    names["verifier"] = verifier
    if framework == "Django":
        if not django.conf.settings.configured:
            django.conf.settings.configure(ROOT_URLCONF="page", ALLOWED_HOSTS=["*"], SECRET_KEY="for tests")
        django.urls.clear_url_caches()
    exec(compile(BLOCKS[framework], f"docs/verifier.md, {framework}", "exec"), names)
    if framework in WSGI:
        return lambda headers: ask_wsgi(names["app"], headers)
    return lambda headers: ask(names["app"], "PUT", PATH, headers=headers)


@pytest.fixture(params=["ASGI", "WSGI", "Flask", "Django", "Starlette", "FastAPI"])
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def send(framework: str, verifier: Verifier) -> Send:
    return sender(framework, verifier)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_page_has_a_snippet_for_each() -> None:
    """A leaf that nobody reads about does not exist."""
    assert list(BLOCKS) == ["ASGI", "WSGI", "Flask", "Django", "Starlette", "FastAPI"]


def test_first_snippets_of_the_page_are_python_that_names_what_there_is() -> None:
    """The page's other snippets parse, and import what exists."""
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                exec(compile(ast.Module([node], []), "docs/verifier.md", "exec"), {})


def test_good_token_reaches_the_application_with_what_it_says(send: Send, mint: Mint) -> None:
    """V20: who it is comes from the token and from nowhere else."""
    answer = send(bearer(mint.token()))

    assert answer.status == 200
    assert answer.body.strip(b'"') == b"hello repo:acme/train:ref:refs/heads/main"


def test_missing_token_is_401_without_error_code(send: Send, live: Live) -> None:
    """RFC 6750 section 3.1."""
    answer = send(None)

    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["cache-control"] == "no-store"
    assert live.asked == []


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer x", "Digest x", "Basic !!!", "Bearer {token}A", "Bearer {token} x", "{token}"]
)
def test_token_that_is_not_good_is_401(send: Send, mint: Mint, value: str) -> None:
    """V01, RFC 6750: whatever was sent, never read as nothing and never a 5xx."""
    answer = send({"Authorization": value.format(token=mint.token())})

    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_revoked_token_is_401(send: Send, mint: Mint, live: Live) -> None:
    """V20: the live check is asked, and counts."""
    live.error = RevokedTokenError("gone")

    assert send(bearer(mint.token())).status == 401


def test_outage_is_503_with_retry_after(send: Send, mint: Mint, live: Live) -> None:
    """D9: not knowing is never a refusal."""
    live.error = UnavailableError("down", retry_after=7)
    answer = send(bearer(mint.token()))

    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


def test_token_as_password_of_basic_is_accepted(send: Send, mint: Mint) -> None:
    """D19: git and pip speak Basic."""
    value = base64.b64encode(f"__token__:{mint.token()}".encode()).decode()
    assert send({"Authorization": f"Basic {value}"}).status == 200


@pytest.mark.parametrize("framework", ["Flask", "Django", "Starlette", "FastAPI"])
@pytest.mark.parametrize("change", [{"resource": "models/acme/other"}, {"scope": "read"}, {"resource": "users/acme"}])
def test_token_for_something_else_is_403(
    verifier: Verifier, mint: Mint, framework: str, change: dict[str, Any]
) -> None:
    """V18, T90, RFC 6750: good, but not for this."""
    answer = sender(framework, verifier)(bearer(mint.token(**change)))

    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("framework", ["ASGI", "Starlette", "FastAPI"])
def test_two_authorization_headers_are_refused(verifier: Verifier, mint: Mint, framework: str) -> None:
    """RFC 6750 section 2: a proxy and the application could pick different ones."""
    names: dict[str, Any] = {"verifier": verifier}
    exec(compile(BLOCKS[framework], "docs/verifier.md", "exec"), names)
    twice = [("Authorization", f"Bearer {mint.token()}")] * 2

    assert ask(names["app"], "PUT", PATH, headers=twice).status == 401


def test_two_headers_joined_by_a_server_are_refused(verifier: Verifier, mint: Mint) -> None:
    """RFC 6750 section 2: WSGI servers join them with a comma."""
    value = f"Bearer {mint.token()},Bearer {mint.token()}"

    assert sender("WSGI", verifier)({"Authorization": value}).status == 401


@pytest.mark.parametrize("path", ["/models/models/x", "/models/a--b/c", "/models/acme/x.git"])
def test_path_that_names_no_resource_is_403(verifier: Verifier, mint: Mint, path: str) -> None:
    """T18: no token is for what has no name."""
    names: dict[str, Any] = {"verifier": verifier}
    exec(compile(BLOCKS["FastAPI"], "docs/verifier.md", "exec"), names)

    assert ask(names["app"], "PUT", path, headers=bearer(mint.token())).status == 403


def test_optional_lets_nobody_pass_as_nobody_but_who_sent_nothing(verifier: Verifier, mint: Mint) -> None:
    """T101: a token that is not good is never "no token"."""
    seen: list[object] = []

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["keyless"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["keyless.token"])
        start_response("200 OK", [])
        return []

    for app, send in (
        (AsgiMiddleware(asgi, verifier, optional=True), lambda app, headers: ask(app, "GET", "/", headers=headers)),
        (WsgiMiddleware(wsgi, verifier, optional=True), ask_wsgi),
    ):
        assert send(app, None).status == 200
        assert send(app, bearer("x")).status == 401
        assert send(app, bearer(mint.token())).status == 200
    assert [item is None for item in seen] == [True, False, True, False]


def test_metadata_is_named_in_the_challenge(verifier: Verifier) -> None:
    """RFC 9728 section 5.1: a client finds the token service from the refusal."""

    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    answer = ask(AsgiMiddleware(nobody, verifier, metadata_url=METADATA), "GET", "/")
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{METADATA}"'


def test_websocket_without_token_is_closed(verifier: Verifier) -> None:
    """V20: no kind of connection goes round the check; the lifespan of the application is its own."""
    served: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope["type"])

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    guarded = AsgiMiddleware(app, verifier)
    asyncio.run(guarded({"type": "websocket", "headers": []}, receive, send))
    asyncio.run(guarded({"type": "lifespan"}, receive, send))

    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert served == ["lifespan"]


def test_fastapi_shows_a_bearer_token_in_its_document(verifier: Verifier) -> None:
    """The OpenAPI document says what a route wants."""
    names: dict[str, Any] = {"verifier": verifier}
    exec(compile(BLOCKS["FastAPI"], "docs/verifier.md", "exec"), names)
    document = names["app"].openapi()

    assert document["components"]["securitySchemes"]["keyless"]["scheme"] == "bearer"
    assert document["paths"]["/models/{namespace}/{name}"]["put"]["security"] == [{"keyless": []}]


def test_unknown_operation_is_told_when_the_program_starts(verifier: Verifier) -> None:
    """D9: a slip of the pen is no route that refuses everybody."""
    with pytest.raises(ConfigurationError):
        Allowed(verifier, "wirte", "models/{namespace}/{name}")


def test_verifier_alone_loads_no_framework() -> None:
    """D1: the extra is cryptography and nothing else."""
    program = (
        "import sys, keyless.verifier, keyless.verifier.asgi, keyless.verifier.wsgi, keyless.verifier.metadata;"
        "print([name for name in ('starlette', 'fastapi', 'pydantic', 'anyio', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
