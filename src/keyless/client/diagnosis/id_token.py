"""Get the job's id token and look at it from outside: audience, issuer, life. Never at what proves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keyless.client.attempts import mint_once
from keyless.client.diagnosis import ci_file
from keyless.client.diagnosis.check import Cause, Check, failed, failed_by, ok, warning
from keyless.errors import MintError, OIDCError
from keyless.http.deadline import Deadline
from keyless.http.redact import quote_text
from keyless.providers.base import CanMint
from keyless.providers.unverified import read_unverified_claims
from keyless.secret import Secret

ID_TOKEN: Final = "id_token"
SHORT_LIFE_SECONDS: Final = 60.0  # of a token that cannot be minted again
# Where `iat` is the moment of the request. Others give a token out of a cache or a file, which may be older.
FRESH_PROVIDERS: Final = frozenset({"github", "forgejo", "buildkite", "azure-devops"})
_LATEST_NUMERIC_DATE: Final = 1e11  # the year 5138; beyond it a date is nonsense


@dataclass(frozen=True, slots=True)
class IdToken:
    """The job's id token, not verified.

    Args:
        token: The token.
        claims: What it says.
        minted_between: Seconds since 1970 on this machine's clock, before and after it was minted; `None` for a token
            that was made before this program ran.
    """

    token: Secret
    claims: Mapping[str, object]
    minted_between: tuple[float, float] | None


def number(value: object) -> float | None:
    """Return a NumericDate (RFC 7519 section 2) as a number, or `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LATEST_NUMERIC_DATE:
        return None
    return float(value)


def check_id_token(
    found: CanMint,
    audience: str,
    *,
    deadline: Deadline,
    environ: Mapping[str, str],
    now: Callable[[], float],
) -> tuple[Check, IdToken | None, bool]:
    """Mint the token, or take the one that was handed over.

    Returns:
        The check; the token, when it can be read; and whether it may be sent to the service.
    """
    before = now()
    try:
        token = mint_once(found, audience, deadline, environ)
        after = now()
        claims = read_unverified_claims(token.reveal(), source=f"the id token of {found.provider}")
    except OIDCError as error:
        return _not_usable(found, error, environ, now())
    fresh = found.provider in FRESH_PROVIDERS
    how = "minted" if fresh else "handed over" if not found.mints_anew else f"from {found.provider}"
    check, usable = _judge(claims, f"{how}; {describe(claims, after)}", audience, after, found, environ)
    return check, IdToken(token, claims, (before, after) if fresh else None), usable


def _not_usable(
    found: CanMint, error: OIDCError, environ: Mapping[str, str], now: float
) -> tuple[Check, IdToken | None, bool]:
    if found.mints_anew:
        fix = "Run the job again; if it keeps failing, see the platform's status page."
        return failed_by(ID_TOKEN, f"{found.provider} gave none", error, otherwise=fix), None, False
    variable = _variable(found)
    text = environ.get(variable, "").strip()
    fix = f"Fill {variable} with a fresh id token for this service, shortly before it is used."
    try:
        claims = read_unverified_claims(text, source=variable)
    except MintError:
        return failed_by(ID_TOKEN, f"{variable} is set", error, otherwise=fix), None, False
    check = failed_by(ID_TOKEN, f"handed over; {describe(claims, now)}", error, otherwise=fix)
    return check, IdToken(Secret(text), claims, None), False


def _variable(found: CanMint) -> str:
    return found.variables[0] if found.variables else found.provider


def describe(claims: Mapping[str, object], now: float) -> str:
    """Return audience, issuer and life of a token in a few words."""
    audience = claims.get("aud")
    names = audience if isinstance(audience, list) else [audience]
    aud = ", ".join(quote_text(str(name), max_chars=200) for name in names[:5] if name is not None) or "(none)"
    issuer = claims.get("iss")
    iss = quote_text(issuer, max_chars=200) if isinstance(issuer, str) and issuer else "(none)"
    expires, issued = number(claims.get("exp")), number(claims.get("iat"))
    life = f", lives {expires - issued:.0f} s" if expires is not None and issued is not None else ""
    if expires is None:
        left = ", without an end"
    elif expires <= now:
        left = f", ended {duration(now - expires)} ago"
    else:
        left = f", ends in {duration(expires - now)}"
    return f"aud {aud}, iss {iss}{life}{left}"


def duration(seconds: float) -> str:
    """Return a length of time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _judge(
    claims: Mapping[str, object], seen: str, audience: str, now: float, found: CanMint, environ: Mapping[str, str]
) -> tuple[Check, bool]:
    if not isinstance(claims.get("iss"), str) or not claims["iss"]:
        fix = "Hand over the id token of the CI platform itself; a service finds its keys by the issuer."
        return failed(ID_TOKEN, seen, "the token names no issuer", fix, cause=Cause.OTHER), False
    expires = number(claims.get("exp"))
    if expires is None:
        fix = "Hand over the id token of the CI platform itself; every one of them has an end."
        return failed(ID_TOKEN, seen, "the token has no usable `exp`", fix, cause=Cause.OTHER), False
    if (
        expires <= now and found.provider not in FRESH_PROVIDERS
    ):  # of a token made just now only the clock can be wrong: its own check
        fix = "Get the id token shortly before it is used, and see the check of the clock."
        return failed(ID_TOKEN, seen, f"the token ended {duration(now - expires)} ago", fix, cause=Cause.OTHER), False
    listed = claims.get("aud")
    if audience not in (listed if isinstance(listed, list) else [listed]):
        # Where the job could have chosen, the provider has refused already; some platforms fix it themselves.
        problem = f"its audience is not {audience}: the service has to accept that platform's own"
        fix = f"Ask whoever runs the service whether it takes tokens of {claims['iss']} for that audience."
        return warning(ID_TOKEN, seen, problem, fix), True
    if isinstance(listed, list) and len(listed) > 1:
        problem = f"the token is for {len(listed)} audiences; services that want to be the only one refuse it"
        return warning(ID_TOKEN, seen, problem, _one_audience(environ, found, audience)), True
    if not found.mints_anew and expires - now < SHORT_LIFE_SECONDS:
        fix = "Hand the token over later in the job, or let `keyless` mint where the platform can."
        return warning(ID_TOKEN, seen, f"the token ends in {duration(expires - now)} and cannot be renewed", fix), True
    return ok(ID_TOKEN, seen), True


def _one_audience(environ: Mapping[str, str], found: CanMint, audience: str) -> str:
    if ci_file.is_gitlab(environ):
        return (
            f"Give this service a token of its own in .gitlab-ci.yml:\n"
            f"    id_tokens:\n      {_variable(found)}:\n        aud: {audience}"
        )
    return f"Request the id token with exactly this audience: {audience}"
