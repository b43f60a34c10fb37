"""Signing in with a one-time code, proving oneself again, signing out, and the list of one's sessions (D13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyless.secret import Secret
from keyless.server.people.attempts import FailedAttempts
from keyless.server.people.credentials import MAX_TEXT_CHARS
from keyless.server.store.admin import logins, principals, web_sessions
from keyless.server.store.admin.logins import LoginRefusedError
from keyless.server.ui import cookie
from keyless.server.ui.cookie import Cookie
from keyless.server.ui.next_page import next_page
from keyless.server.ui.visit import Answer, Html, See, Visit, not_found


class SignIn:
    """Let people in.

    Args:
        attempts: Bounds the failures.
        root: Path that the pages begin with.
        secure: The cookie goes over TLS only.
        has_provider: People can sign in at an identity provider, too.
    """

    def __init__(self, attempts: FailedAttempts, *, root: str, secure: bool, has_provider: bool) -> None:
        self._attempts = attempts
        self._has_provider = has_provider
        self._root = root
        self._cookie = Cookie(cookie.NAME, path=root, seconds=web_sessions.SESSION_SECONDS, secure=secure)

    def pages(self) -> Mapping[str, Mapping[str, Callable[[Visit], Answer]]]:
        """Return the paths."""
        return {
            "/sign-in": {"GET": self.form, "POST": self.sign_in},
            "/sign-out": {"POST": self.sign_out},
            "/sessions": {"GET": self.sessions},
            "/sessions/{session}/end": {"POST": self.end},
        }

    def form(self, visit: Visit) -> Answer:
        """Show the form."""
        return self._form(next_page(visit.query.get("next"), root=self._root), visit)

    def sign_in(self, visit: Visit) -> Answer:
        """Take a code; a session that there was ends, so that nobody can have prepared it (session fixation)."""
        after = next_page(visit.form.get("next"), root=self._root)
        code, name = visit.form.get("code", "")[: MAX_TEXT_CHARS + 1], visit.form.get("name", "").strip() or None
        self._attempts.check(visit.caller.address)
        try:
            started = visit.people.redeem(Secret(code.strip()), name=name)  # by itself: a wrong try counts
        except LoginRefusedError as error:
            self._attempts.failed(visit.caller.address)
            return self._form(after, visit, problem=error.message, hint=error.hint)
        principal = started.signed_in.principal
        administration = visit.administration.acting_as(principal.actor, request_id=visit.caller.request_id)
        with administration.together() as change:
            logins.end(change, started.signed_in.login_id)  # the code's own login: a session takes its place
            if visit.session is not None:
                web_sessions.end(change, visit.session.id, principal=visit.session.person.principal)
            made, _ = web_sessions.start(
                change, principal, how="code", address=visit.caller.address, user_agent=visit.caller.user_agent
            )
        return See(after, (self._cookie.write(made),))

    def sign_out(self, visit: Visit) -> Answer:
        """End the session here and in the store."""
        if visit.session is not None:
            with visit.administration.together() as change:
                web_sessions.end(change, visit.session.id, principal=visit.person)
        by_provider = visit.session is not None and visit.session.how == "oidc"
        return See("/signed-out" if by_provider and self._has_provider else "/sign-in", (self._cookie.forget(),))

    def sessions(self, visit: Visit) -> Answer:
        """List one's own sessions."""
        person = visit.person
        with visit.administration.reading() as connection:
            found = web_sessions.page(connection, person.id, now=visit.now)
        current = visit.session.id if visit.session is not None else ""
        return Html("sessions.html", {"sessions": found, "current": current})

    def end(self, visit: Visit) -> Answer:
        """End one of one's own sessions."""
        with visit.administration.together() as change:
            if not web_sessions.end(change, visit.path["session"], principal=visit.person):
                raise not_found()
        return See("/sessions")

    def _form(self, after: str, visit: Visit, *, problem: str | None = None, hint: str | None = None) -> Html:
        with visit.administration.reading() as connection:
            first = not principals.an_admin_exists(connection)
        again = visit.session is not None
        values = {"next": self._root + after, "again": again, "problem": problem, "hint": hint, "bootstrap": first}
        return Html("sign_in.html", values, status=200 if problem is None else 401)
