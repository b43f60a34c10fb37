"""The identity provider that people sign in with: where a browser is sent, and what is made of its answer.

Reference: OpenID Connect Core 1.0 section 3.1, RFC 6749 section 4.1, RFC 7636, RFC 9207, OpenID Connect RP-Initiated
Logout 1.0.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import quote_plus

from keyless.errors import (
    ConfigurationError,
    Error,
    MalformedTokenError,
    TransportError,
    UnavailableError,
)
from keyless.http.guarded import Fetched, parse_url
from keyless.jose.json import parse_json_object
from keyless.oidc.discovery import Fetcher
from keyless.oidc.id_token import read_unverified
from keyless.oidc.issuer import Issuer, Network
from keyless.oidc.issuer_url import check_issuer_url
from keyless.oidc.jwks_cache import JwksCache
from keyless.secret import Secret
from keyless.server.people.attempt_at_provider import Attempt
from keyless.server.people.principal import RoleGrant
from keyless.server.people.role_claim import roles_of
from keyless.server.services.private_file import read_private
from keyless.server.settings import Settings
from keyless.server.sign_in.id_token import Expected, Proven, prove
from keyless.server.sign_in.metadata import ProviderMetadata, fetch_metadata
from keyless.server.sign_in_settings import SignInSettings
from keyless.server.store.records import parse_network

CALLBACK: Final = "/ui/sign-in/callback"
AFTER_SIGN_OUT: Final = "/ui/sign-in"
METADATA_SECONDS: Final = 600.0
COOLDOWN_SECONDS: Final = 10.0  # after a failure nobody else waits for the same one
MAX_AT_ONCE: Final = 4  # a provider that hangs must not take every thread that makes pages
MAX_LIFETIME_SECONDS: Final = 24 * 3600  # some providers give a day; the session is ours and ends earlier
MAX_AGE_SECONDS: Final = 300  # between the token's making and our seeing it lies one redirect
MAX_CODE_CHARS: Final = 4096

_log = logging.getLogger("keyless.server")


class SignInRefusedError(Error):
    """The provider did not say, in a way that can be believed, who this is."""

    code = "sign_in_refused"


class ProviderFetcher(Fetcher, Protocol):
    """Fetch documents and send forms; `keyless.http.guarded.GuardedFetcher` is the real one."""

    def submit(self, url: str, form: bytes, *, network: Network, port: int, headers: Mapping[str, str]) -> Fetched:
        """Send a form; see `GuardedFetcher.submit`."""


@dataclass(frozen=True, slots=True)
class Person:
    """Hold who signed in, by the provider's word.

    Attributes:
        name: What the audit may call somebody who is new; a proposal, not who it is.
        authenticated_at: When the provider last saw a proof, in Unix seconds; `None`: it does not say.
    """

    issuer: str
    subject: str
    name: str
    roles: tuple[RoleGrant, ...]
    authenticated_at: int | None


class IdentityProvider:
    """Speak with one provider. Thread-safe.

    Args:
        settings: The operator's record.
        secret: Ours at the provider.
        pages_url: Where people reach the pages.
        fetcher: The guarded fetcher.
        clock: Unix seconds.
        monotonic: Seconds that never jump.
        leeway_seconds: Clock difference tolerated.
    """

    def __init__(
        self,
        settings: SignInSettings,
        secret: Secret,
        *,
        pages_url: str,
        fetcher: ProviderFetcher,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        leeway_seconds: float = 30,
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._pages_url = pages_url.rstrip("/")
        self._fetcher = fetcher
        self._clock = clock
        self._monotonic = monotonic
        self._leeway_seconds = leeway_seconds
        self._issuer = Issuer(
            id=0,
            url=settings.issuer,
            kind="generic",
            algorithms=settings.algorithms,
            max_lifetime_seconds=MAX_LIFETIME_SECONDS,
            max_age_seconds=MAX_AGE_SECONDS,
            network=parse_network(settings.network),
            allow_multiple_audiences=True,  # `azp` then says whose it is
        )
        check_issuer_url(self._issuer.url, self._issuer.network)
        self.name: Final = settings.name or parse_url(settings.issuer).host
        self._keys = JwksCache(fetcher, clock=monotonic, wall_clock=clock)
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._known: tuple[float, ProviderMetadata] | None = None
        self._failed_at = float("-inf")

    @classmethod
    def of(
        cls,
        settings: Settings,
        fetcher: ProviderFetcher,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> IdentityProvider | None:
        """Return the provider of the settings, or `None` when there is none.

        Raises:
            ConfigurationError: A setting cannot be, or the package that it needs is not installed.
        """
        record = settings.sign_in
        if record is None:
            return None
        if settings.pages_url is None:
            raise ConfigurationError(
                "sign_in is set and pages_url is not",
                hint=f"The provider sends people back to pages_url + {CALLBACK}; register that address there.",
            )
        if importlib.util.find_spec("authlib") is None:
            raise ConfigurationError("sign_in needs Authlib", hint="pip install 'keyless[server,login]'")
        text = read_private(
            record.client_secret_file, "sign_in.client_secret_file", hint="make a new one at the provider"
        )
        try:
            secret = text.decode("ascii").strip()
        except UnicodeDecodeError:
            secret = ""
        if not secret or not secret.isprintable():
            raise ConfigurationError("sign_in.client_secret_file must hold one line of printable ASCII")
        try:
            return cls(
                record,
                Secret(secret),
                pages_url=settings.pages_url,
                fetcher=fetcher,
                clock=clock,
                monotonic=monotonic,
                leeway_seconds=settings.leeway_seconds,
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"sign_in: {error}", hint=error.hint) from None

    def send(self, attempt: Attempt, *, again: bool) -> str:
        """Return the address to send a browser to.

        Args:
            attempt: Of this browser.
            again: The person must prove itself anew, whatever session it has at the provider.

        Raises:
            UnavailableError: The provider cannot be asked where that is.
        """
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # noqa: PLC0415 - for who signs in only
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # noqa: PLC0415 - as above

        with self._place():
            metadata = self._metadata()
        return str(
            prepare_grant_uri(
                metadata.authorization_endpoint,
                client_id=self._settings.client_id,
                response_type="code",
                redirect_uri=self._pages_url + CALLBACK,
                scope=" ".join(self._settings.scopes),
                state=attempt.state,
                nonce=attempt.nonce,
                code_challenge=create_s256_code_challenge(attempt.code_verifier.reveal()),  # type: ignore[no-untyped-call]  # its stub has no types
                code_challenge_method="S256",
                prompt="login" if again else None,
                max_age="0" if again else None,
            )
        )

    def receive(self, answer: Mapping[str, str], attempt: Attempt, *, proven_since: float | None) -> Person:
        """Return who signed in, from what a browser brought back.

        Args:
            answer: The parameters of the callback.
            attempt: Of this browser.
            proven_since: Unix seconds after which the person must have proved itself; `None`: at any time.

        Raises:
            SignInRefusedError: It cannot be believed, or the provider refused.
            UnavailableError: The provider is down. Never a refusal.
        """
        with self._place():
            metadata = self._metadata()
            self._check_answer(answer, attempt, metadata)
            if (error := answer.get("error")) is not None:
                raise _refusal_of(error)
            code = answer.get("code", "")
            if not code or len(code) > MAX_CODE_CHARS or not code.isprintable():
                raise SignInRefusedError("the provider sent no code")
            id_token, access_token = self._redeem(code, attempt, metadata)
            expected = Expected(self._settings.client_id, attempt.nonce, access_token, proven_since)
            try:
                proven = self._prove(id_token, expected, metadata)
            except UnavailableError:
                raise
            except Error as error:
                _log.warning("sign-in: the id token of %s is not accepted: %s", self._issuer.url, error)
                hint = "The provider was asked to let you prove who you are, and did not." if proven_since else None
                raise SignInRefusedError(f"the provider's answer cannot be believed: {error}", hint=hint) from None
        return Person(
            issuer=proven.issuer,
            subject=proven.subject,
            name=self._name_of(proven),
            roles=roles_of(proven.claims.get(self._settings.roles_claim), self._settings.roles),
            authenticated_at=proven.authenticated_at,
        )

    def sign_out_url(self) -> str | None:
        """Return where one's session at the provider ends, or `None`: it has no such place, or cannot be asked now."""
        from authlib.common.urls import add_params_to_uri  # noqa: PLC0415 - for who signs out only

        try:
            with self._place():
                endpoint = self._metadata().end_session_endpoint
        except UnavailableError:
            return None
        if endpoint is None:
            return None
        after = [
            ("client_id", self._settings.client_id),
            ("post_logout_redirect_uri", self._pages_url + AFTER_SIGN_OUT),
        ]
        return str(add_params_to_uri(endpoint, after))

    # --- the parts of it ---

    def _check_answer(self, answer: Mapping[str, str], attempt: Attempt, metadata: ProviderMetadata) -> None:
        if not attempt.fits_state(answer.get("state", "")):
            raise SignInRefusedError("this answer belongs to another attempt to sign in", hint="Start again from here.")
        # RFC 9207: an answer of another provider must not reach this one's token endpoint with our code (mix-up).
        named = answer.get("iss")
        if (named is not None and named != self._issuer.url) or (named is None and metadata.names_itself):
            raise SignInRefusedError("this answer is not of the provider that was asked")

    def _redeem(self, code: str, attempt: Attempt, metadata: ProviderMetadata) -> tuple[str, Secret | None]:
        """Exchange the code for tokens (RFC 6749 section 4.1.3)."""
        from authlib.oauth2.auth import ClientAuth  # noqa: PLC0415 - as above
        from authlib.oauth2.rfc6749.parameters import prepare_token_request  # noqa: PLC0415 - as above

        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=self._pages_url + CALLBACK,
            code_verifier=attempt.code_verifier.reveal(),
        )
        name, secret, method = self._settings.client_id, self._secret.reveal(), metadata.secret_method
        if method == "client_secret_basic":  # RFC 6749 section 2.3.1: both are form-encoded first
            name, secret = quote_plus(name), quote_plus(secret)
        client = ClientAuth(name, secret, auth_method=method)
        url, headers, body = client.prepare("POST", metadata.token_endpoint, {}, body)  # type: ignore[no-untyped-call]  # as above
        port = parse_url(self._issuer.url).port
        try:
            sent = self._fetcher.submit(
                str(url), str(body).encode("ascii"), network=self._issuer.network, port=port, headers=dict(headers)
            )
            content = parse_json_object(sent.body or b"")
        except MalformedTokenError:
            raise self._down("its token endpoint did not answer in JSON") from None
        except TransportError as error:
            raise self._down(str(error)) from None
        if sent.status == 400 and content.get("error") == "invalid_grant":
            raise SignInRefusedError("the provider does not take its code back", hint="Start again from here.")
        if sent.status != 200:  # our own mistake, and no word about the person
            raise self._down(f"its token endpoint refused us (HTTP {sent.status}): client_id or secret may be wrong")
        id_token, access_token = content.get("id_token"), content.get("access_token")
        if not isinstance(id_token, str):
            raise self._down("its token endpoint sent no id token: sign_in.scopes needs openid")
        return id_token, Secret(access_token) if isinstance(access_token, str) and access_token else None

    def _prove(self, id_token: str, expected: Expected, metadata: ProviderMetadata) -> Proven:
        unverified = read_unverified(id_token)
        issuer = replace(self._issuer, jwks_uri=metadata.jwks_uri)
        keys = self._keys.peek(issuer, unverified.unverified_kid)
        if keys is None:
            keys = self._keys.resolve(issuer, unverified.unverified_kid)
        return prove(
            unverified, expected, issuer=issuer, keys=keys, now=self._clock(), leeway_seconds=self._leeway_seconds
        )

    def _metadata(self) -> ProviderMetadata:
        now = self._monotonic()
        known = self._known
        if known is not None and now - known[0] < METADATA_SECONDS:
            return known[1]
        with self._lock:
            if self._known is not None and self._known is not known:
                return self._known[1]
            if now - self._failed_at < COOLDOWN_SECONDS:
                raise UnavailableError(f"{self.name} cannot be reached right now", retry_after=COOLDOWN_SECONDS)
            try:
                found = fetch_metadata(self._fetcher, self._issuer)
            except TransportError as error:
                self._failed_at = self._monotonic()
                raise self._down(str(error)) from None
            self._known = (self._monotonic(), found)
            return found

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise UnavailableError(f"too many people wait for {self.name} right now")
        try:
            yield
        finally:
            self._places.release()

    def _down(self, why: str) -> UnavailableError:
        _log.warning("sign-in: %s: %s", self._issuer.url, why)
        return UnavailableError(f"{self.name} cannot be reached right now", retry_after=COOLDOWN_SECONDS)

    def _name_of(self, proven: Proven) -> str:
        value = proven.claims.get(self._settings.name_claim)
        return value if isinstance(value, str) else ""


def _refusal_of(error: str) -> Error:
    """Return what a provider's error means (OpenID Connect Core 1.0 section 3.1.2.6); its own text is not repeated."""
    if error in {"server_error", "temporarily_unavailable"}:
        return UnavailableError("the identity provider says that it cannot sign anybody in right now")
    if error in {"access_denied", "login_required", "interaction_required", "consent_required"}:
        return SignInRefusedError(f"the provider did not sign you in: {error}")
    _log.warning("sign-in: the provider answered %a", error[:80])
    return SignInRefusedError("the provider refused the request", hint="Whoever runs the service finds why in its log.")
