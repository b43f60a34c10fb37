"""The shape of a claim profile. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyless.errors import InvalidClaimError
from keyless.oidc.id_token import MAX_SUBJECT_CHARS
from keyless.oidc.issuer import Issuer, ReplayMode

Attributes = Mapping[str, str]
"""What conditions compare: the token's claims as text, plus the profile's derived ones (`branch`, `workflow`)."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Demand that a publisher names `claim` itself, because this token's value is dangerous or ambiguous (V15, M05)."""

    claim: str
    because: str


def as_text(value: object) -> str | None:
    """Return a claim value as the text that conditions compare, or `None` when it cannot be compared (M01).

    Texts stay, integers become canonical decimals, booleans `true`/`false`. Lists and objects never match (T83).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return None


def fold_ascii(value: str) -> str:
    """Lower the ASCII letters and nothing else (M04)."""
    return value.lower() if value.isascii() else "".join(c.lower() if c.isascii() else c for c in value)


def _no_guards(_attributes: Attributes) -> Sequence[Guard]:
    return ()


def _unchanged(_claim: str, value: str) -> str:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Say what the tokens of one kind of issuer mean.

    Attributes:
        kind: Name of the profile, and of the provider in commands.
        default_url: The issuer everybody means by that name, or `None`.
        required_claims: Claims every token must carry, non-empty (V14).
        optional_claims: Further claims we read; anything else is ignored.
        derived_claims: Names that `derive` adds or replaces.
        hidden_claims: Claims that are read but may not be conditions, because whoever runs a job chooses them (T84).
        id_claims: Immutable ids that each publisher must pin (M00, D10).
        glob_claims: Ref-like claims that may be compared by glob (M06).
        folded_claims: Claims that the platform itself compares without regard to ASCII case (M04).
        derive: Turn the platform's claims into more attributes.
        guards: Say what a publisher must name before it accepts such a token.
        normalise: Turn what a person types as a condition's value into what tokens carry.
        repository_claim: The claim that names the repository, for people.
        subject_claims: Claims quoted back to the caller in a refusal and kept in the audit, most telling first.
        algorithms, max_lifetime_seconds, max_age_seconds, replay: Presets of a new issuer record.
    """

    kind: str
    default_url: str | None = None
    required_claims: tuple[str, ...] = ()
    optional_claims: tuple[str, ...] = ()
    derived_claims: tuple[str, ...] = ()
    hidden_claims: frozenset[str] = frozenset()
    id_claims: tuple[str, ...] = ()
    glob_claims: frozenset[str] = frozenset({"branch", "tag", "ref", "ref_path"})
    folded_claims: frozenset[str] = frozenset()
    derive: Callable[[dict[str, str]], None]
    guards: Callable[[Attributes], Sequence[Guard]] = _no_guards
    normalise: Callable[[str, str], str] = _unchanged
    repository_claim: str | None = None
    subject_claims: tuple[str, ...] = ()
    open_claims: bool = False
    algorithms: tuple[str, ...] = ("RS256",)
    max_lifetime_seconds: int = 7200
    max_age_seconds: int = 7200
    replay: ReplayMode = ReplayMode.ONCE

    @property
    def condition_claims(self) -> frozenset[str]:
        """Return the claims a publisher may name; with `open_claims`, any other is allowed too."""
        known = {*self.required_claims, *self.optional_claims, *self.derived_claims}
        return frozenset(known) - self.hidden_claims

    def may_condition(self, claim: str) -> bool:
        """Tell whether a publisher may name this claim."""
        return claim in self.condition_claims or (
            self.open_claims and claim not in REGISTERED_CLAIMS and claim not in self.hidden_claims
        )

    def required_pins(self, issuer: Issuer) -> tuple[str, ...]:
        """Return the claims that each publisher of this issuer must pin to one value (M00, M00b)."""
        return self.id_claims or issuer.immutable_claims or ("sub",)

    def attributes(self, claims: Mapping[str, object]) -> dict[str, str]:
        """Return what conditions compare. Absent claims, and `null` ones, are absent here (M02).

        A claim that this profile reads must be comparable: a guard must never be passed because the value that should
        alarm it had another type (V10). Under `open_claims` an uncomparable claim is merely absent.

        Raises:
            InvalidClaimError: A known claim is a list, an object or a fraction, too long, or unprintable (T18).
        """
        if self.open_claims:
            names: Sequence[str] = [name for name in claims if name not in REGISTERED_CLAIMS or name == "sub"]
        else:
            names = (*self.required_claims, *self.optional_claims, "iss", "sub")
        found: dict[str, str] = {}
        for name in names:
            if (value := claims.get(name)) is None:
                continue
            text = as_text(value)
            if text is not None and text.isprintable() and len(text) <= MAX_SUBJECT_CHARS:
                found[name] = text
            elif not self.open_claims:
                raise InvalidClaimError(f"the claim {name!r} is not a short printable text", claim=name)
        self.derive(found)
        return found


REGISTERED_CLAIMS: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})  # RFC 7519 section 4.1
