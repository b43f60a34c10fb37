"""One request of a browser: who looks, what was asked for, and what may be answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from keyless.errors import Error
from keyless.server.people.principal import Principal, SignedIn
from keyless.server.services.trail import Caller
from keyless.server.store import Store
from keyless.server.store.admin import Administration, People
from keyless.server.store.admin.web_sessions import WebSession

MAX_FORM_BYTES: Final = 64 * 1024
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class PageError(Error):
    """A page cannot be shown, or a form not be taken. `status` is that of the answer."""

    code = "page"

    def __init__(self, status: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class SignInRequiredError(PageError):
    """Nobody is signed in, or a change needs a fresh proof of who it is."""

    code = "sign_in_required"

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(401, message)
        self.again = again


@dataclass(frozen=True, slots=True)
class Html:
    """Show a template."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class See:
    """Send the browser to another page of ours: after a form, so that a reload repeats nothing."""

    path: str
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """Send the browser to the identity provider; no page of ours says where that is, but the operator's settings."""

    url: str
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Download:
    """Hand over a file."""

    name: str
    media_type: str
    body: bytes


Answer = Html | See | Leave | Download


@dataclass(frozen=True, slots=True)
class Visit:
    """Hold a request.

    Attributes:
        path: The variable parts of its path.
        query: Of its URL.
        form: What was sent; the last value of each field.
        url: Path and query, to come back to.
        headers: By their lower-case names.
        caller: Address and user agent.
        session: The browser's, or `None`.
        store: To read tokens, keys and the audit.
        administration: Acts in the name of who is signed in.
        now: Unix seconds.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    url: str
    headers: Mapping[str, str]
    caller: Caller
    session: WebSession | None
    store: Store
    administration: Administration
    now: int

    @property
    def people(self) -> People:
        """Return people and their logins."""
        return People(self.administration)

    @property
    def person(self) -> Principal:
        """Return who is signed in."""
        return self.reader.principal

    @property
    def reader(self) -> SignedIn:
        """Return who is signed in, with the rights it has right after a proof: what it may see and be offered.

        Raises:
            SignInRequiredError: Nobody is.
        """
        if self.session is None:
            raise SignInRequiredError("sign in to see this page", again=False)
        return self.session.person

    def changer(self) -> SignedIn:
        """Return who is signed in, whose proof is fresh enough to change trust.

        Raises:
            SignInRequiredError: It is not.
        """
        if self.session is None or self.session.signed_in.read_only:
            self.reader  # noqa: B018 - nobody at all is another answer
            raise SignInRequiredError("prove again who you are: this changes trust", again=True)
        return self.session.signed_in

    def may_read(self, namespace: str) -> None:
        """Let nobody look into a namespace of others; it is as if it were not there (T94).

        Raises:
            PageError: It is one.
        """
        if not self.reader.may_read(namespace):
            raise not_found()

    def may_change(self, namespace: str) -> SignedIn:
        """Return who changes something in a namespace.

        Raises:
            PageError: It is a namespace of others, or this one may only look.
            SignInRequiredError: The proof is too old.
        """
        self.may_read(namespace)
        if not self.reader.may_change(namespace):
            raise PageError(403, "you may look here, and not change anything")
        return self.changer()

    def admin(self) -> SignedIn:
        """Return the admin who changes something.

        Raises:
            PageError: It is none.
            SignInRequiredError: The proof is too old.
        """
        if not self.reader.is_admin:
            raise PageError(403, "only an admin may do this")
        return self.changer()

    def reads_everything(self) -> None:
        """Let only those look who may look everywhere.

        Raises:
            PageError: It may not.
        """
        if not self.reader.reads_everything:
            raise PageError(403, "only who may look everywhere sees this page")


def not_found() -> PageError:
    """Return the answer for what is not there, or not for this person."""
    return PageError(404, "there is nothing here", hint="It may have been removed, or belong to somebody else.")
