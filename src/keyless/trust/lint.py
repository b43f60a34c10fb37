"""Publishers that trust more than their owner may think, or that do nothing (M03, M07, T63, T72, T73, T84, T92). Pure.

Every rule is a small function of one publisher; a finding says what is allowed and the command that ends it. What may
not be saved at all is not lint's business but that of the checks at save and at match (M00).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from keyless.issuers.profile import Profile
from keyless.oidc.issuer import MAX_COUNTED_USES, Issuer, ReplayMode
from keyless.resource import HUB_TYPES
from keyless.trust.add_command import add_command, remove_command
from keyless.trust.publisher import Condition, Operation, Operator, Publisher

UNUSED_DAYS: Final = 90
SHORT_TTL_SECONDS: Final = 300  # D7: the Hub's client exchanges again on every call at or below this
KEYS_END_DAYS: Final = 14  # K13: time enough to ask another team for its keys
DAY_SECONDS: Final = 24 * 3600
REF_CLAIMS: Final = ("branch", "tag", "ref", "ref_path")
ENVIRONMENT_CLAIMS: Final = ("environment", "environment_node_id")

CODES: Final = (
    *("whole-repository", "no-ref", "no-workflow", "wide-glob", "guarded-value", "sub-only", "generic-audience"),
    *("unprotected-ref", "unprotected-environment", "branch-and-tag", "id-missing", "id-unpinned", "id-lapsed"),
    *(
        "short-ttl",
        "replay-counted",
        "no-cap",
        "expired",
        "disabled",
        "pending-lapsed",
        "issuer-disabled",
        "keys-end",
        "never-used",
        "unused",
    ),
)
"""Every rule's stable name; described in `docs/explain.md`."""


class Severity(StrEnum):
    """Say how much a finding matters.

    An error opens the resource to people its owner did not mean, or can never work. A warning is wider or weaker than
    it has to be. Information is for a tidy list.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing to look at.

    Attributes:
        code: Stable name of the rule.
        severity: How much it matters.
        publisher: Whose.
        allows: One sentence: what this lets happen.
        fix: A command line; words in capitals are to be filled in.
    """

    code: str
    severity: Severity
    publisher: Publisher
    allows: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Subject:
    """One publisher and what the rules ask about it."""

    publisher: Publisher
    issuer: Issuer
    profile: Profile
    now: int
    unused_days: int
    resource_server: str | None
    conditions: Mapping[str, Condition] = field(init=False)

    def __post_init__(self) -> None:
        conditions = {condition.claim: condition for condition in self.publisher.conditions}
        object.__setattr__(self, "conditions", MappingProxyType(conditions))

    def names_any(self, claims: Iterable[str]) -> bool:
        """Tell whether one of these claims is narrowed; a glob that takes anything narrows nothing."""
        return any(claim in self.conditions and not _takes_anything(self.conditions[claim]) for claim in claims)

    def can_name(self, claims: Iterable[str]) -> list[str]:
        return [claim for claim in claims if claim in self.profile.condition_claims]

    def finding(self, code: str, severity: Severity, allows: str, fix: str) -> LintFinding:
        return LintFinding(code, severity, self.publisher, allows, fix)

    def replaced_by(self, **claims: str) -> str:
        """Return the fix that adds the publisher with these conditions, then removes this one."""
        return self.narrowed({claim: (value,) for claim, value in claims.items()})

    def narrowed(self, claims: Mapping[str, Sequence[str]], pins: Mapping[str, str] | None = None) -> str:
        added = add_command(
            self.publisher, self.profile, claims=claims, pins=pins, resource_server=self.resource_server
        )
        return f"{added} && {remove_command(self.publisher)}"

    def with_defaults(self) -> str:
        """Return the fix that makes the same publisher with default settings; the same one cannot stand twice."""
        added = add_command(self.publisher, self.profile, settings=False, resource_server=self.resource_server)
        return f"{remove_command(self.publisher)} && {added}"


def lint(
    publishers: Iterable[Publisher],
    issuers: Mapping[int, Issuer],
    profiles: Mapping[str, Profile],
    *,
    now: int,
    unused_days: int = UNUSED_DAYS,
    resource_servers: Mapping[str, str] = MappingProxyType({}),
) -> list[LintFinding]:
    """Look at publishers, whatever their state.

    Args:
        publishers: In the order of the answer.
        issuers: Their issuers by id.
        profiles: Claim profiles by kind.
        now: Unix seconds.
        unused_days: After how many days without use a publisher is worth a thought.
        resource_servers: Audience -> name, of the resource servers that a command has to name.

    Returns:
        For each publisher the errors first.
    """
    rank = list(Severity)
    found: list[LintFinding] = []
    for publisher in publishers:
        issuer = issuers[publisher.issuer_id]
        profile = profiles[issuer.kind]
        server = resource_servers.get(publisher.audience)
        subject = _Subject(publisher, issuer, profile, now, unused_days, server)
        own = [finding for rule in RULES for finding in rule(subject)]
        found += sorted(own, key=lambda finding: rank.index(finding.severity))
    return found


def _takes_anything(condition: Condition) -> bool:
    return condition.operator is Operator.GLOB and any(not value.strip("*/:") for value in condition.values)


# --- who gets in -----------------------------------------------------------------------------------------------------


def _job(subject: _Subject) -> Iterator[LintFinding]:
    """Look for a publisher that any branch, any workflow or both will do (M07, T63, T72)."""
    refs = subject.can_name((*REF_CLAIMS, *ENVIRONMENT_CLAIMS))
    workflows = subject.can_name(("workflow",))
    loose_ref = bool(refs) and not subject.names_any(refs)
    loose_workflow = bool(workflows) and not subject.names_any(workflows)
    wide = [claim for claim in refs if claim in subject.conditions and _takes_anything(subject.conditions[claim])]
    tighter = {refs[0]: refs[0].upper()} if loose_ref else {}
    if wide and loose_ref:
        tighter = {wide[0]: wide[0].upper()}
    if loose_ref and loose_workflow:
        yield subject.finding(
            "whole-repository",
            Severity.ERROR,
            "any workflow on any branch of the repository may publish: whoever can push a branch can",
            subject.replaced_by(workflow="WORKFLOW", **tighter),
        )
    elif loose_ref and not wide:
        yield subject.finding(
            "no-ref",
            Severity.WARNING,
            "no branch, tag or environment is pinned: whoever can push any branch can change the job there and publish",
            subject.replaced_by(**tighter),
        )
    elif loose_workflow:
        yield subject.finding(
            "no-workflow",
            Severity.WARNING,
            "no workflow is pinned: every workflow of that branch, tag or environment may publish",
            subject.replaced_by(workflow="WORKFLOW"),
        )
    for claim in wide:
        yield subject.finding(
            "wide-glob",
            Severity.WARNING,
            f"{claim} {' or '.join(map(repr, subject.conditions[claim].values))} takes any {claim} that anybody makes",
            subject.replaced_by(**{claim: claim.upper()}),
        )


def _protection(subject: _Subject) -> Iterator[LintFinding]:
    """Look for a ref or an environment that is only as strong as a protection nobody demands (T72, T73)."""
    if subject.names_any(REF_CLAIMS) and _may_demand(subject, "ref_protected"):
        yield subject.finding(
            "unprotected-ref",
            Severity.INFO,
            "the branch or tag counts also while the platform does not protect it: then whoever may push may publish",
            subject.replaced_by(ref_protected="true"),
        )
    if not subject.names_any(ENVIRONMENT_CLAIMS):
        return
    if _may_demand(subject, "environment_protected"):
        yield subject.finding(
            "unprotected-environment",
            Severity.INFO,
            "the environment counts also while the platform does not protect it: then any job may enter it",
            subject.replaced_by(environment_protected="true"),
        )
    elif "environment_protected" not in subject.conditions and not subject.names_any(REF_CLAIMS):
        refs = subject.can_name(REF_CLAIMS)
        if refs:
            yield subject.finding(
                "unprotected-environment",
                Severity.INFO,
                "tokens do not say whether the environment has protection rules: without any, every branch may enter",
                subject.replaced_by(**{refs[0]: refs[0].upper()}),
            )


def _may_demand(subject: _Subject, claim: str) -> bool:
    return bool(subject.can_name((claim,))) and claim not in subject.conditions


def _contradiction(subject: _Subject) -> Iterator[LintFinding]:
    """Look for conditions that no token fulfils together."""
    if {"branch", "tag"} <= subject.conditions.keys():
        yield subject.finding(
            "branch-and-tag",
            Severity.ERROR,
            "it accepts nothing: all conditions must hold, and no job runs for a branch and a tag at once",
            f"{add_command(subject.publisher, subject.profile, claims={'tag': ()})} && "
            f"{subject.narrowed({'branch': ()})}",
        )


def _guarded(subject: _Subject) -> Iterator[LintFinding]:
    """Look for values that a publisher had to name because they are dangerous (V15, T74, T75)."""
    writes = {Operation.WRITE, Operation.CREATE} & set(subject.publisher.operations)
    known = {pin.claim: pin.value for pin in subject.publisher.pins if pin.value is not None}
    known |= {claim: item.values[0] for claim, item in subject.conditions.items() if item.operator is Operator.EQUALS}
    for claim, condition in subject.conditions.items():
        if condition.operator is Operator.GLOB:
            continue

        def because(value: str, claim: str = claim) -> str | None:
            guards = subject.profile.guards({**known, claim: value})
            return next((guard.because for guard in guards if guard.claim == claim), None)

        if all(because(other) for other in ("-", *known.values())):
            continue  # it had to be named whatever it is: that says nothing against this value
        guards = {value: reason for value in condition.values if (reason := because(value)) is not None}
        if guards:
            kept = [value for value in condition.values if value not in guards]
            yield subject.finding(
                "guarded-value",
                Severity.ERROR if writes else Severity.WARNING,
                f"{claim} may be {' or '.join(map(repr, guards))}: {next(iter(guards.values()))}",
                subject.narrowed({claim: tuple(kept)}),
            )


def _subject_only(subject: _Subject) -> Iterator[LintFinding]:
    """Look for a generic issuer's `sub` as the only thing that is compared (T63, T84)."""
    named = {*subject.conditions, *(pin.claim for pin in subject.publisher.pins)}
    if subject.profile.open_claims and named == {"sub"}:
        yield subject.finding(
            "sub-only",
            Severity.WARNING,
            "only `sub` is compared: every job to which the issuer gives that subject may publish",
            subject.narrowed({"CLAIM": ("VALUE",)}),
        )


def _audience(subject: _Subject) -> Iterator[LintFinding]:
    """Look for a platform whose tokens are for everybody (V13, T43)."""
    if (audience := subject.profile.fixed_audience) is not None:
        yield subject.finding(
            "generic-audience",
            Severity.WARNING,
            f"every token of the platform is for {audience!r}: a service that a job gives its token to can use it here",
            remove_command(subject.publisher),
        )


# --- ids -------------------------------------------------------------------------------------------------------------


def _ids(subject: _Subject) -> Iterator[LintFinding]:
    """Look for ids that are not pinned: names alone can be given up and taken by somebody else (D10, M03, T86)."""
    pins = {pin.claim: pin for pin in subject.publisher.pins}
    exact = {claim for claim, condition in subject.conditions.items() if condition.operator is Operator.EQUALS}
    missing = [
        claim for claim in subject.profile.required_pins(subject.issuer) if claim not in pins and claim not in exact
    ]
    if missing:
        yield subject.finding(
            "id-missing",
            Severity.ERROR,
            f"it accepts nothing: {' and '.join(missing)} must be pinned and neither is nor will be",
            subject.narrowed({}, {claim: claim.upper() for claim in missing}),
        )
    waiting = [pin for pin in pins.values() if pin.value is None]
    if not waiting:
        return
    fix = subject.narrowed({}, {pin.claim: pin.claim.upper() for pin in waiting})
    names = " and ".join(pin.claim for pin in waiting)
    lapses = [pin.lapses_at for pin in waiting if pin.lapses_at is not None]
    if lapses and min(lapses) <= subject.now:
        yield subject.finding(
            "id-lapsed", Severity.WARNING, f"it accepts nothing: the wait for a first use to pin {names} is over", fix
        )
    else:
        yield subject.finding(
            "id-unpinned",
            Severity.WARNING,
            f"{names} will be taken from the first job that matches the rest: whoever holds the name then is trusted",
            fix,
        )


# --- settings and life -----------------------------------------------------------------------------------------------


def _settings(subject: _Subject) -> Iterator[LintFinding]:
    """Look for a lifetime and a replay rule that cost more than they give (D7, D8)."""
    publisher = subject.publisher
    is_of_hub = publisher.resource.type in HUB_TYPES
    if is_of_hub and publisher.ttl_seconds is not None and publisher.ttl_seconds <= SHORT_TTL_SECONDS:
        yield subject.finding(
            "short-ttl",
            Severity.WARNING,
            f"tokens live {publisher.ttl_seconds} s: the Hub's client exchanges again on every call",
            subject.with_defaults(),
        )
    if publisher.replay is ReplayMode.COUNTED and subject.issuer.replay is ReplayMode.ONCE:
        yield subject.finding(
            "replay-counted",
            Severity.WARNING,
            f"an id token caught in a log can be exchanged up to {MAX_COUNTED_USES} times, though the platform's jobs"
            " can mint a fresh one for each exchange",
            subject.with_defaults(),
        )


def _life(subject: _Subject) -> Iterator[LintFinding]:
    """Look for publishers that nobody needs any more (T92)."""
    publisher, remove = subject.publisher, remove_command(subject.publisher)
    if publisher.expires_at is not None and publisher.expires_at <= subject.now:
        yield subject.finding("expired", Severity.INFO, "it accepts nothing: its time is over", remove)
    if not publisher.enabled:
        why = f" ({publisher.paused_reason})" if publisher.paused_reason else ""
        yield subject.finding("disabled", Severity.INFO, f"it accepts nothing until somebody resumes it{why}", remove)
    if publisher.pending_until is not None and publisher.pending_until <= subject.now:
        yield subject.finding("pending-lapsed", Severity.INFO, "it accepts nothing: its name was not created", remove)
    if publisher.max_live_tokens == 0:
        yield subject.finding(
            "no-cap",
            Severity.WARNING,
            "any number of its tokens may be live at once: whoever gets into its job can collect them",
            f"keyless trust edit {publisher.id} --max-live-tokens default",
        )
    if not subject.issuer.enabled:
        enable = f"keyless trust issuer enable {subject.issuer.url}"
        yield subject.finding(
            "issuer-disabled", Severity.INFO, "it accepts nothing: its issuer is switched off", enable
        )
    pinned = subject.issuer.pinned_keys
    if pinned is not None and pinned.expires_at - subject.now < KEYS_END_DAYS * DAY_SECONDS:
        yield subject.finding(
            "keys-end",
            Severity.WARNING,
            f"every token gets 503 once the pinned keys of its issuer are over, in {KEYS_END_DAYS} days at the latest",
            f"keyless trust issuer pin-keys {subject.issuer.url} --jwks-file FILE --jwks-expires WHEN",
        )
    since = publisher.last_used_at if publisher.last_used_at is not None else publisher.created_at
    days = (subject.now - since) // DAY_SECONDS
    if days < subject.unused_days:
        return
    if publisher.last_used_at is None:
        yield subject.finding(
            "never-used", Severity.WARNING, f"nobody used it in the {days} days since it was added", remove
        )
    else:
        yield subject.finding("unused", Severity.WARNING, f"nobody used it for {days} days", remove)


RULES: Final = (
    _contradiction,
    _ids,
    _job,
    _guarded,
    _subject_only,
    _protection,
    _audience,
    _settings,
    _life,
)
