"""The pages as one ASGI application: a table of paths, and what every answer has in common."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.routing import Route, Router

from keyless.errors import Error, RateLimitedError, UnavailableError
from keyless.jose.jwk import PublicKey
from keyless.oidc.issuer import Issuer
from keyless.oidc.jwks_cache import KeysAtHand
from keyless.server.doors.http import Door, Receive, Scope, Send, caller_of, read_body
from keyless.server.people.attempts import FailedAttempts
from keyless.server.services.trail import Caller
from keyless.server.sign_in.provider import IdentityProvider
from keyless.server.store import Store
from keyless.server.store.admin import Administration, web_sessions
from keyless.server.store.admin.web_sessions import WebSession
from keyless.server.ui import cookie
from keyless.server.ui.assets import ASSETS
from keyless.server.ui.pages import attempts, dashboard, keys, people, publishers, resources, tokens
from keyless.server.ui.pages.audit import Audit
from keyless.server.ui.pages.issuers import Issuers
from keyless.server.ui.pages.provider_sign_in import ProviderSignIn
from keyless.server.ui.pages.sign_in import SignIn
from keyless.server.ui.render import POLICY, Renderer
from keyless.server.ui.visit import (
    MAX_FORM_BYTES,
    Answer,
    Download,
    Html,
    Leave,
    PageError,
    See,
    SignInRequiredError,
    Visit,
)

ROOT: Final = "/ui"
BEGUN_PER_ADDRESS: Final = 120  # sign-ins at a provider begun in a minute; a whole company may be behind one proxy
Handler = Callable[[Visit], Answer]
_log = logging.getLogger("keyless.server")

_SECURE: Final = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the pages stand on.

    Attributes:
        store: The running service's.
        administration: The service's own; each visit acts in its person's name.
        public_url: Of the service, for the files that it tells people to write.
        registries: URL and audience of each package registry, by the type of what it holds.
        secure: People reach the pages by https.
        provider: That people sign in with, or `None`.
        keys_at_hand: What this process knows of an issuer's keys.
        checkpoint_key: Public half of the key that seals the audit, where this service has it.
        checkpoint_file: Where checkpoints are kept outside the database, if anywhere.
        clock: Unix seconds.
    """

    store: Store
    administration: Administration
    public_url: str
    registries: Mapping[str, tuple[str, str]]
    secure: bool
    provider: IdentityProvider | None
    keys_at_hand: Callable[[Issuer], KeysAtHand]
    checkpoint_key: PublicKey | None
    checkpoint_file: Path | None
    clock: Callable[[], float]


def create_ui(parts: Parts) -> Door:
    """Return the pages, to be mounted at `ROOT` of the inside listener."""
    provider = parts.provider
    renderer = Renderer(ROOT, provider=None if provider is None else provider.name)
    failed = FailedAttempts(clock=parts.clock)
    sign_in = SignIn(failed, root=ROOT, secure=parts.secure, has_provider=provider is not None)
    table: dict[str, Mapping[str, Handler]] = {"/": {"GET": dashboard.show}}
    if provider is not None:
        begun = FailedAttempts(clock=parts.clock, per_address=BEGUN_PER_ADDRESS)
        table.update(ProviderSignIn(provider, failed, begun, root=ROOT, secure=parts.secure).pages())
    for pages in (
        sign_in.pages(),
        resources.PAGES,
        publishers.pages(parts.public_url, parts.registries),
        attempts.PAGES,
        Audit(parts.checkpoint_key, parts.checkpoint_file).pages(),
        tokens.PAGES,
        Issuers(parts.keys_at_hand).pages(),
        keys.PAGES,
        people.PAGES,
    ):
        table.update(pages)
    routes = [
        Route(ROOT + path, _Page(handlers, parts, renderer), include_in_schema=False)
        for path, handlers in table.items()
    ]
    routes += [Route(ROOT + path, _asset, include_in_schema=False) for path in ASSETS]
    return Router(routes, redirect_slashes=False, default=_Page({}, parts, renderer))


class _Page:
    """Serve one path, by method."""

    def __init__(self, handlers: Mapping[str, Handler], parts: Parts, renderer: Renderer) -> None:
        self._handlers = handlers
        self._parts = parts
        self._renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        caller = caller_of(scope)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        body = b""
        failure: Exception | None = None
        if method == "POST":
            try:
                body = await read_body(scope, receive, max_bytes=MAX_FORM_BYTES)
            except Error as error:
                failure = PageError(413, str(error))
        status, sent, payload = await asyncio.to_thread(self._serve, scope, headers, method, body, caller, failure)
        lines = [(b"x-request-id", caller.request_id.encode("ascii")), *_SECURE, *sent]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else payload})

    def _serve(
        self,
        scope: Scope,
        headers: Mapping[str, str],
        method: str,
        body: bytes,
        caller: Caller,
        failure: Exception | None,
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        session: WebSession | None = None
        url = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        try:
            if failure is not None:
                raise failure
            session = self._session(headers, caller)
            return self._written(self._answer(scope, headers, method, body, caller, session, url), session)
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a page
            # A form cannot be come back to: the page that it stands on can.
            answer = _failure(error, url if method == "GET" else _referring(headers), caller)
        return self._written(answer, session)

    def _session(self, headers: Mapping[str, str], caller: Caller) -> WebSession | None:
        text = cookie.read(headers.get("cookie", ""), cookie.NAME)
        if not text:
            return None
        administration = self._parts.administration
        with administration.reading() as connection:
            found = web_sessions.look_up(connection, text, now=administration.now())
        if found is None:
            return None
        session, touch = found
        if touch:
            acting = administration.acting_as(session.person.principal.actor, request_id=caller.request_id)
            with acting.together() as change:
                web_sessions.touch(change, session.id)
        return session

    def _answer(
        self,
        scope: Scope,
        headers: Mapping[str, str],
        method: str,
        body: bytes,
        caller: Caller,
        session: WebSession | None,
        url: str,
    ) -> Answer:
        if not self._handlers:
            raise PageError(404, "there is no such page")
        handler = self._handlers.get(method)
        if handler is None:
            raise PageError(405, f"this page does not take {method}")
        if method == "POST" and not cookie.is_ours(headers):
            raise PageError(
                403, "this form was not sent by a page of this service", hint="Open the page and try again."
            )
        actor = "stranger" if session is None else session.person.principal.actor
        visit = Visit(
            path=scope.get("path_params", {}),
            query=_pairs(scope["query_string"]),
            form=_pairs(body) if body else {},
            url=url,
            headers=headers,
            caller=caller,
            session=session,
            store=self._parts.store,
            administration=self._parts.administration.acting_as(actor, request_id=caller.request_id),
            now=int(self._parts.clock()),
        )
        return handler(visit)

    def _written(self, answer: Answer, session: WebSession | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        headers: list[tuple[bytes, bytes]] = [(b"cache-control", b"no-store")]
        if isinstance(answer, Download):
            headers += [
                (b"content-type", answer.media_type.encode("ascii")),
                (b"content-disposition", f'attachment; filename="{answer.name}"'.encode("ascii")),
                (b"content-length", str(len(answer.body)).encode("ascii")),
            ]
            return 200, headers, answer.body
        headers += [(b"set-cookie", line.encode("ascii")) for line in answer.cookies]
        if isinstance(answer, See | Leave):
            place = answer.url if isinstance(answer, Leave) else ROOT + answer.path
            return 303, [*headers, (b"location", place.encode("ascii")), (b"content-length", b"0")], b""
        values = {
            "person": None if session is None else session.person.principal,
            "reader": None if session is None else session.person,
            "fresh": session is not None and not session.signed_in.read_only,
            "now": int(self._parts.clock()),
            **answer.values,
        }
        payload = self._renderer.render(answer.template, values).encode("utf-8", "backslashreplace")
        headers += [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(payload)).encode("ascii")),
        ]
        return answer.status, headers, payload


def _failure(error: Exception, url: str, caller: Caller) -> Answer:
    """Return the page for what went wrong; a bug's own words go to the log alone."""
    if isinstance(error, SignInRequiredError):
        values = {"next": url, "again": error.again, "problem": None, "hint": None, "bootstrap": False}
        return Html("sign_in.html", values, status=401)
    if isinstance(error, PageError):
        status, message, hint = error.status, error.message, error.hint
    elif isinstance(error, RateLimitedError):
        status, message, hint = 429, error.message, "Wait a minute."
    elif isinstance(error, UnavailableError):
        status, message, hint = 503, error.message, "Nothing was changed. Try again in a moment."
    elif isinstance(error, Error):
        status, message, hint = 422, error.message, error.hint
    else:
        _log.error("the page %s failed, request %s", url.partition("?")[0], caller.request_id, exc_info=error)
        status, message, hint = 500, "something went wrong here", "Tell whoever runs the service the request id."
    values = {"status": status, "message": message, "hint": hint, "request_id": caller.request_id}
    return Html("error.html", values, status=status)


def _referring(headers: Mapping[str, str]) -> str:
    """Return path and query of the page that a request came from; browsers tell it within one site only."""
    try:
        parts = urlsplit(headers.get("referer", ""))
    except ValueError:
        return f"{ROOT}/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path or f"{ROOT}/"


def _pairs(data: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(data.decode("utf-8"), keep_blank_values=True, max_num_fields=200, errors="strict"))
    except ValueError:  # also of the decoding
        raise PageError(400, "the form or the address cannot be read") from None


async def _asset(request: Any) -> Any:
    from starlette.responses import Response  # noqa: PLC0415 - only pages need it

    asset = ASSETS[request.url.path.removeprefix(ROOT)]
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(asset.body, media_type=asset.media_type, headers=headers)
