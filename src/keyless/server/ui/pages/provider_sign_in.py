"""Signing in at an identity provider: there, back, and out again.

A browser is sent by a link, not by a form: browsers hold every redirect after a form against `form-action`, and a
provider may send people on to a third place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from keyless.errors import Error
from keyless.server.people.attempt_at_provider import ATTEMPT_SECONDS, Attempt
from keyless.server.people.attempts import FailedAttempts
from keyless.server.people.credentials import LOGIN_SECONDS
from keyless.server.people.principal import Principal
from keyless.server.sign_in.provider import IdentityProvider, Person, SignInRefusedError
from keyless.server.store.admin import identities, web_sessions, web_sign_ins
from keyless.server.store.admin.web_sign_ins import Awaited
from keyless.server.ui import cookie
from keyless.server.ui.cookie import Cookie
from keyless.server.ui.next_page import next_page
from keyless.server.ui.visit import Answer, Html, Leave, PageError, See, Visit

PATH: Final = "/sign-in"
_log = logging.getLogger("keyless.server")


class ProviderSignIn:
    """Let people in by the word of a provider.

    Args:
        provider: Which.
        attempts: Bounds the failures; shared with the codes.
        begun: Bounds the beginnings of one address.
        root: Path that the pages begin with.
        secure: The cookies go over TLS only.
    """

    def __init__(
        self, provider: IdentityProvider, attempts: FailedAttempts, begun: FailedAttempts, *, root: str, secure: bool
    ) -> None:
        self._provider = provider
        self._attempts = attempts
        self._begun = begun
        self._root = root
        self._session = Cookie(cookie.NAME, path=root, seconds=web_sessions.SESSION_SECONDS, secure=secure)
        self._attempt = Cookie(cookie.ATTEMPT, path=root + PATH, seconds=ATTEMPT_SECONDS, secure=secure)

    def pages(self) -> Mapping[str, Mapping[str, Callable[[Visit], Answer]]]:
        """Return the paths."""
        return {
            f"{PATH}/provider": {"GET": self.leave},
            f"{PATH}/callback": {"GET": self.come_back},
            "/signed-out": {"GET": self.signed_out},
        }

    def leave(self, visit: Visit) -> Answer:
        """Send the browser to the provider; who is signed in already is to prove itself anew."""
        after = next_page(visit.query.get("next"), root=self._root)
        # Nobody else's page begins it. A browser too old to say where a link was is let through: what it begins can
        # end in its own person's session only.
        if visit.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return See(PATH)
        self._begun.check(visit.caller.address)
        self._begun.failed(visit.caller.address)
        attempt = Attempt.new()
        url = self._provider.send(attempt, again=visit.session is not None)
        with visit.administration.together() as change:
            principal_id = None if visit.session is None else visit.session.person.principal.id
            web_sign_ins.begin(change, attempt, principal_id=principal_id, after=after)
        return Leave(url, (self._attempt.write(attempt.cookie),))

    def come_back(self, visit: Visit) -> Answer:
        """Take the provider's answer. It counts once, and in the browser that asked for it only (login CSRF)."""
        attempt = Attempt.read(cookie.read(visit.headers.get("cookie", ""), cookie.ATTEMPT))
        awaited = None
        if attempt is not None:
            with visit.administration.together() as change:
                awaited = web_sign_ins.take(change, attempt)
        if attempt is None or awaited is None:
            return self._refused(
                SignInRefusedError("nobody began this sign-in in this browser, or too long ago", hint="Start again.")
            )
        self._attempts.check(visit.caller.address)
        again = awaited.principal_id is not None
        try:
            person = self._provider.receive(
                visit.query, attempt, proven_since=float(awaited.begun_at) if again else None
            )
        except SignInRefusedError as error:
            self._attempts.failed(visit.caller.address)
            return self._refused(error)
        return self._enter(visit, awaited, person)

    def signed_out(self, visit: Visit) -> Answer:
        """Say that the session here is over, and where that of the provider ends."""
        url = self._provider.sign_out_url() if visit.session is None else None
        return Html("signed_out.html", {"url": url})

    def _enter(self, visit: Visit, awaited: Awaited, person: Person) -> Answer:
        administration = visit.administration.acting_as("identity-provider", request_id=visit.caller.request_id)
        with administration.together() as change:
            principal, _ = identities.sign_in(
                change, issuer=person.issuer, subject=person.subject, name=person.name, roles=person.roles
            )
            refusal = self._why_not(principal, awaited)
            if refusal is None and principal is not None:
                if visit.session is not None:
                    web_sessions.end(change, visit.session.id, principal=visit.session.person.principal)
                # Without a time nothing says that the proof is fresh: good for looking around.
                long_ago = change.at - LOGIN_SECONDS
                at = long_ago if person.authenticated_at is None else person.authenticated_at
                made, _ = web_sessions.start(
                    change,
                    principal,
                    how="oidc",
                    address=visit.caller.address,
                    user_agent=visit.caller.user_agent,
                    proven_at=at,
                )
                return See(awaited.after, (self._session.write(made), self._attempt.forget()))
        _log.warning("sign-in: %a of %s gets no session: %s", person.subject, person.issuer, refusal)
        return self._refused(refusal or SignInRefusedError("you may not sign in here"), status=403)

    @staticmethod
    def _why_not(principal: Principal | None, awaited: Awaited) -> Error | None:
        """Return why somebody whose identity is proven gets no session, or `None`."""
        if principal is None:
            return SignInRefusedError(
                "the provider knows you, and nothing that it says of you gives you a role here",
                hint="An admin of this service can map one of your groups to a role (sign_in.roles).",
            )
        if not principal.enabled:
            return SignInRefusedError(f"{principal.name} is switched off here", hint="An admin can change that.")
        if awaited.principal_id not in {None, principal.id}:
            return SignInRefusedError(
                f"you are signed in as somebody else than {principal.name}", hint="Sign out first, here and there."
            )
        return None

    def _refused(self, error: Error, *, status: int = 401) -> Html:
        failure = PageError(status, error.message, hint=error.hint)
        values = {"message": failure.message, "hint": failure.hint}
        return Html("sign_in_refused.html", values, status=status, cookies=(self._attempt.forget(),))
