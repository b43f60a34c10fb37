"""The one cookie of the pages, and the check that a form comes from a page of ours."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from keyless.secret import Secret
from keyless.server.store.admin.web_sessions import SESSION_SECONDS

NAME: Final = "keyless_session"
MAX_COOKIE_CHARS: Final = 8192


def read(header: str) -> str:
    """Return the session's cookie out of a `Cookie` header, or an empty text."""
    if len(header) > MAX_COOKIE_CHARS:
        return ""
    try:
        found = SimpleCookie(header).get(NAME)
    except CookieError:
        return ""
    return "" if found is None else found.value


def write(cookie: Secret, *, root: str, secure: bool) -> str:
    """Return the header that sets it: not for scripts, not across sites, and only over TLS where we are behind it."""
    return (
        f"{NAME}={cookie.reveal()}; Path={root}; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Lax"
        f"{'; Secure' if secure else ''}"
    )


def forget(*, root: str, secure: bool) -> str:
    """Return the header that deletes it."""
    return f"{NAME}=; Path={root}; Max-Age=0; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def is_ours(headers: Mapping[str, str]) -> bool:
    """Tell whether a form was sent by a page of ours (CSRF, T104).

    Browsers say it in `Sec-Fetch-Site`; those that do not say in `Origin` where the form was. A request with neither is
    no browser's form.
    """
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = headers.get("origin", "")
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(netloc) and netloc.lower() == headers.get("host", "").lower()
