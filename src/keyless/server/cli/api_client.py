"""The management API from the command line: one request, its answer or an error of ours.

Nothing is sent twice; a create carries an `Idempotency-Key`, so that a person may run the command again.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from keyless.cli.terminal import visible
from keyless.errors import (
    AccessRefusedError,
    ConfigurationError,
    ConflictError,
    Error,
    MalformedTokenError,
    RateLimitedError,
    ResponseError,
    UnavailableError,
)
from keyless.http.deadline import Deadline
from keyless.http.transport import Response, send
from keyless.http.url import parse_endpoint
from keyless.jose.json import parse_json_object
from keyless.secret import Secret
from keyless.server.cli import login_file

TIMEOUT_SECONDS: Final = 60.0
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """A success: its JSON object and its entity tag."""

    content: Mapping[str, object]
    etag: str


class ApiClient:
    """Talk to the API of one service.

    Args:
        url: The inside listener, or what is in front of it, without `/api/v1`.
        login: A person's login or a reading token; `None` for signing in.
        environ: Where proxy and debug variables are read.
    """

    def __init__(self, url: str, login: Secret | None, *, environ: Mapping[str, str] = os.environ) -> None:
        self.url: Final = parse_endpoint(url, name="--url")
        self._login = login
        self._environ = environ

    @classmethod
    def signed_in(cls, url: str, *, environ: Mapping[str, str] = os.environ) -> ApiClient:
        """Return a client with the login that is at hand.

        Raises:
            ConfigurationError: There is none.
        """
        endpoint = parse_endpoint(url, name="--url")
        return cls(endpoint, login_file.load(endpoint, environ), environ=environ)

    def get(self, path: str, **query: object) -> ApiAnswer:
        """Read something; `path` comes from `path_of`."""
        return self.call("GET", path, query=query)

    def create(self, path: str, body: Mapping[str, object] | None = None) -> ApiAnswer:
        """Create something."""
        return self.call("POST", path, body=body or {}, headers={"Idempotency-Key": secrets.token_hex(16)})

    def pages(
        self, path: str, *, at_most: int | None = None, after: object = None, **query: object
    ) -> Iterator[Mapping[str, object]]:
        """Return the items of a list, page after page; at most so many, those behind the key `after`."""
        count = 0
        while True:
            limit = PAGE if at_most is None else min(PAGE, at_most - count)
            content = self.get(path, **query, limit=limit, after=after).content
            items, after = content.get("items"), content.get("next")
            if not isinstance(items, list):
                raise ResponseError(f"{self.url} answered something that is no list")
            for item in items:
                yield item
                count += 1
            if after is None or not items or (at_most is not None and count >= at_most):
                return

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """Send one request.

        Raises:
            ConfigurationError: It cannot be so, or there is no such thing.
            AccessRefusedError: The login is not good, or not for that.
            ConflictError: Somebody changed it meanwhile.
            UnavailableError: An outage, or a limit: try again later.
            ResponseError: The answer is not the API's.
        """
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        url = f"{self.url}/api/v1{path}" + (f"?{urlencode(given)}" if given else "")
        sent = dict(headers or {})
        secret = "" if self._login is None else self._login.reveal()
        if secret:
            sent["Authorization"] = f"Bearer {secret}"
        content = None
        if body is not None:
            content = json.dumps(body).encode("ascii")
            sent["Content-Type"] = "application/json"
        response = send(
            method,
            url,
            leg="the management API",
            deadline=Deadline(TIMEOUT_SECONDS),
            environ=self._environ,
            headers=sent,
            body=content,
            secrets=[secret] if secret else [],
            max_bytes=MAX_ANSWER_BYTES,
        )
        if response.status >= 400:
            raise _error(self.url, response)
        if response.status == 204:
            return ApiAnswer({}, "")
        return ApiAnswer(_object(self.url, response), response.headers.get("etag", ""))


def path_of(*segments: str) -> str:
    """Return a path whose segments are spelled so that none of them can be more than one."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def _object(url: str, response: Response) -> dict[str, object]:
    try:
        return parse_json_object(response.body)
    except MalformedTokenError:
        raise ResponseError(
            f"{url} answered HTTP {response.status} without JSON",
            hint="Is it the inside listener, where the management API is?",
        ) from None


def _error(url: str, response: Response) -> Error:
    problem = _object(url, response)
    detail, code, hint = (problem.get(name) for name in ("detail", "code", "hint"))
    message = visible(detail) if isinstance(detail, str) else f"{url} answered HTTP {response.status}"
    if not isinstance(code, str):
        return ResponseError(f"{url} answered HTTP {response.status}, and not as the management API does")
    errors = problem.get("errors")
    lines = [hint] if isinstance(hint, str) else []
    if isinstance(errors, list):
        lines += [f"{item.get('pointer')}: {item.get('detail')}" for item in errors if isinstance(item, dict)]
    # What another machine says is shown, and moves no cursor (T18).
    help_text = "\n".join(visible(line) for text in lines for line in text.splitlines()) or None
    match response.status:
        case 401 | 403:
            return AccessRefusedError(message, problem=code, hint=help_text)
        case 409 | 412 | 428:
            return ConflictError(message, hint=help_text)
        case 429:
            return RateLimitedError(message, retry_after=_seconds(response), hint=help_text)
        case status if status >= 500:
            return UnavailableError(message, retry_after=_seconds(response), hint=help_text)
        case _:
            return ConfigurationError(message, hint=help_text)


def _seconds(response: Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 5.0
