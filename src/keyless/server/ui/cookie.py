"""The cookies of the pages, and the check that a form comes from a page of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from keyless.secret import Secret

NAME: Final = "keyless_session"
ATTEMPT: Final = "keyless_sign_in"
MAX_COOKIE_CHARS: Final = 8192


@dataclass(frozen=True, slots=True)
class Cookie:
    """Say how one cookie is set: not for scripts, not across sites, and only over TLS where we are behind it."""

    name: str
    path: str
    seconds: int
    secure: bool

    def write(self, value: Secret) -> str:
        """Return the header that sets it."""
        return self._line(value.reveal(), self.seconds)

    def forget(self) -> str:
        """Return the header that deletes it."""
        return self._line("", 0)

    def _line(self, value: str, seconds: int) -> str:
        secure = "; Secure" if self.secure else ""
        return f"{self.name}={value}; Path={self.path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def read(header: str, name: str) -> str:
    """Return a cookie out of a `Cookie` header, or an empty text."""
    if len(header) > MAX_COOKIE_CHARS:
        return ""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


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
