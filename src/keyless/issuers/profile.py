"""The shape of a claim profile. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyless.errors import InvalidClaimError, MissingClaimError
from keyless.issuers.url_template import fits_template
from keyless.jose.claims import are_short_texts
from keyless.oidc.id_token import MAX_SUBJECT_CHARS
from keyless.oidc.issuer import Issuer, ReplayMode

Attributes = Mapping[str, str]
"""What conditions compare: the token's claims as text, plus the profile's derived ones (`branch`, `workflow`)."""

MAX_LIST_MEMBERS: Final = 64  # of a claim that is a list, such as the contexts of a job


@dataclass(frozen=True, slots=True)
class Guard:
    """Demand that a publisher names `claim` itself, because this token's value is dangerous or ambiguous (V15, M05)."""

    claim: str
    because: str


@dataclass(frozen=True, slots=True)
class PinForm:
    """Say what the value of a pin looks like, so that a slip is found when it is saved and not in a failing job."""

    pattern: re.Pattern[str]
    words: str


_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UUID: Final = PinForm(re.compile(_UUID), "a UUID in lower case")
UUID_IN_BRACES: Final = PinForm(re.compile(rf"\{{{_UUID}\}}"), "a UUID in lower case and in braces, {…}")


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


def _reject_nothing(_claims: Mapping[str, object]) -> None:
    """Accept any token that the verification accepted."""


def name_ref(claims: dict[str, str], ref: str) -> None:
    """Add what a full ref says: `ref`, and `branch` or `tag`; a pull request's is neither (T88)."""
    claims["ref"] = ref
    for kind, prefix in REF_PREFIXES.items():
        if ref.startswith(prefix):
            claims[kind] = ref[len(prefix) :]


def bare_ref(claim: str, value: str) -> str:
    """Return a branch or a tag as conditions compare it: people also type the full ref."""
    return value.removeprefix(REF_PREFIXES.get(claim, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Say what the tokens of one kind of issuer mean.

    Attributes:
        kind: Name of the profile, and of the provider in commands.
        default_url: The issuer everybody means by that name, or `None`.
        url_templates: Further issuers of this kind that can be known by their URL; see `url_template`.
        required_claims: Claims every token must carry, non-empty (V14).
        optional_claims: Further claims we read; anything else is ignored.
        nested_claims: Attribute -> where its value lies inside the token's objects.
        required_nested: Those of them that must be there, non-empty (V14).
        list_claims: Claim that is a list -> prefix of the attributes that say what is in it: a list with the member
            `x` makes `prefix:x` the text `true`. That is the only way a list is compared (M01, T83).
        derived_claims: Names that `derive` adds or replaces.
        hidden_claims: Claims that are read but may not be conditions: because whoever runs a job chooses them (T84),
            or because a derived claim says the same better.
        ignored_claims: Claims the platform is known to send and nothing here reads.
        id_claims: Immutable decimal ids that each publisher must pin (M00, D10).
        pin_claims: What else each publisher must pin, and the form of its value: ids that are no numbers, subjects.
        glob_claims: Ref-like claims that may be compared by glob (M06).
        folded_claims: Claims that the platform itself compares without regard to ASCII case (M04).
        denied: Claim -> what of it is refused always, in words; `reject` does it.
        guarded: Claim -> when a publisher must name it, in words; `guards` does it.
        notes: Claim -> what a person should know of it.
        reject: Raise a `ClaimError` for a token that no publisher could make acceptable.
        derive: Turn the platform's claims into more attributes.
        guards: Say what a publisher must name before it accepts such a token.
        normalise: Turn what a person types as a condition's value into what tokens carry.
        repository_claim: The claim that names the repository, or what comes nearest to it, for people. It must be named
            exactly before ids are pinned at first use.
        subject_claims: Claims quoted back to the caller in a refusal and kept in the audit, most telling first.
        open_claims: Nothing is known of the claims: any may be a condition.
        fixed_audience: The `aud` of all tokens where the platform lets nobody choose one (T43).
        allow_multiple_audiences: Preset of a new issuer record (V13).
        algorithms, max_lifetime_seconds, max_age_seconds, replay: Presets of a new issuer record.
    """

    kind: str
    default_url: str | None = None
    url_templates: tuple[str, ...] = ()
    required_claims: tuple[str, ...] = ()
    optional_claims: tuple[str, ...] = ()
    nested_claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    required_nested: tuple[str, ...] = ()
    list_claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    derived_claims: tuple[str, ...] = ()
    hidden_claims: frozenset[str] = frozenset()
    ignored_claims: tuple[str, ...] = ()
    id_claims: tuple[str, ...] = ()
    pin_claims: Mapping[str, PinForm] = field(default_factory=dict, hash=False)
    glob_claims: frozenset[str] = frozenset({"branch", "tag", "ref", "ref_path"})
    folded_claims: frozenset[str] = frozenset()
    denied: Mapping[str, str] = field(default_factory=dict, hash=False)
    guarded: Mapping[str, str] = field(default_factory=dict, hash=False)
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)
    reject: Callable[[Mapping[str, object]], None] = _reject_nothing
    derive: Callable[[dict[str, str]], None]
    guards: Callable[[Attributes], Sequence[Guard]] = _no_guards
    normalise: Callable[[str, str], str] = _unchanged
    repository_claim: str | None = None
    subject_claims: tuple[str, ...] = ()
    open_claims: bool = False
    fixed_audience: str | None = None
    allow_multiple_audiences: bool = False
    algorithms: tuple[str, ...] = ("RS256",)
    max_lifetime_seconds: int = 7200
    max_age_seconds: int = 7200
    replay: ReplayMode = ReplayMode.ONCE

    def recognises(self, url: str) -> bool:
        """Tell whether an issuer of this URL is of this kind for certain, by the whole URL (S09, T23, T38)."""
        return url == self.default_url or any(fits_template(template, url) for template in self.url_templates)

    @property
    def condition_claims(self) -> frozenset[str]:
        """Return the claims a publisher may name; with `open_claims`, any other is allowed too."""
        known = {*self.required_claims, *self.optional_claims, *self.nested_claims, *self.derived_claims}
        return frozenset(known) - self.hidden_claims

    def may_condition(self, claim: str) -> bool:
        """Tell whether a publisher may name this claim."""
        if self.open_claims and claim not in REGISTERED_CLAIMS:
            return claim not in self.hidden_claims
        return claim in self.condition_claims or any(
            claim.startswith(f"{prefix}:") and claim != f"{prefix}:" for prefix in self.list_claims.values()
        )

    def required_pins(self, issuer: Issuer) -> tuple[str, ...]:
        """Return the claims that each publisher of this issuer must pin to one value (M00, M00b)."""
        return (*self.pin_claims, *self.id_claims) or issuer.immutable_claims or ("sub",)

    @property
    def pin_options(self) -> dict[str, str]:
        """Return the command-line option of each pin -> its claim: `workspace-uuid` -> `workspaceUuid`."""
        return {_option(claim): claim for claim in (*self.pin_claims, *self.id_claims)}

    def pin_problem(self, claim: str, value: str) -> str | None:
        """Return what a pin's value should have looked like, or `None` when it may be that."""
        form = self.pin_claims.get(claim)
        return form.words if form is not None and not form.pattern.fullmatch(value) else None

    def attributes(self, claims: Mapping[str, object]) -> dict[str, str]:
        """Return what conditions compare. Absent claims, and `null` ones, are absent here (M02).

        A claim that this profile reads must be comparable: a guard must never be passed because the value that should
        alarm it had another type (V10). Under `open_claims` an uncomparable claim is merely absent.

        Raises:
            MissingClaimError: A claim that must be there is not. (The verification looks for `required_claims`; what
                lies inside objects is looked for here.)
            InvalidClaimError: A known claim is a list, an object or a fraction, too long, or unprintable (T18); or it
                says something that is refused always.
        """
        self.reject(claims)
        if not (self.nested_claims or self.list_claims or self.open_claims):
            plain = {name: value for name in self._names(claims) if (value := claims.get(name)) is not None}
            if are_short_texts(plain.values(), max_chars=MAX_SUBJECT_CHARS):
                texts: dict[str, str] = plain  # type: ignore[assignment]  # that is what was just proven
                self.derive(texts)
                return texts
        read = {name: claims.get(name) for name in self._names(claims)}
        for name, path in self.nested_claims.items():
            read[name] = _lifted(claims, path)
        for name in self.required_nested:
            if read[name] in (None, ""):
                raise MissingClaimError(f"the token has no {'.'.join(self.nested_claims[name])!r} claim", claim=name)
        found: dict[str, str] = {}
        for name, value in read.items():
            if value is None:
                continue
            if (text := _comparable(value)) is not None:
                found[name] = text
            elif not self.open_claims:
                raise InvalidClaimError(f"the claim {name!r} is not a short printable text", claim=name)
        for name, prefix in self.list_claims.items():
            found |= {f"{prefix}:{member}": "true" for member in _members(claims, name)}
        self.derive(found)
        return found

    def _names(self, claims: Mapping[str, object]) -> Sequence[str]:
        if self.open_claims:
            return [name for name in claims if name not in REGISTERED_CLAIMS or name == "sub"]
        return (*self.required_claims, *self.optional_claims, "iss", "sub")


def _option(claim: str) -> str:
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", claim.rpartition("/")[2]).replace("_", "-").lower()


def _comparable(value: object) -> str | None:
    text = as_text(value)
    return text if text is not None and text.isprintable() and len(text) <= MAX_SUBJECT_CHARS else None


def _lifted(claims: Mapping[str, object], path: Sequence[str]) -> object:
    """Return what lies at a path inside the claims' objects, `None` when it is not there.

    Raises:
        InvalidClaimError: Something on the way is no object.
    """
    value: object = claims
    for step in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InvalidClaimError(f"the claim {path[0]!r} does not have its known shape", claim=path[0])
        value = value.get(step)
    return value


def _members(claims: Mapping[str, object], name: str) -> Sequence[str]:
    """Return what a list claim holds; absent holds nothing.

    Raises:
        InvalidClaimError: It is not a list of short printable texts.
    """
    if (value := claims.get(name)) is None:
        return ()
    if isinstance(value, list) and len(value) <= MAX_LIST_MEMBERS:
        members = [member for member in value if isinstance(member, str) and _comparable(member)]
        if len(members) == len(value):
            return members
    raise InvalidClaimError(f"the claim {name!r} is not a short list of short printable texts", claim=name)


REF_PREFIXES: Final = {"branch": "refs/heads/", "tag": "refs/tags/"}
REGISTERED_CLAIMS: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})  # RFC 7519 section 4.1
