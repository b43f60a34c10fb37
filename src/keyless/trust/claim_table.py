"""A table of CI jobs and what each must get: trust, tested like code. Pure.

A table is data, from TOML or JSON:

    [[job]]
    name = "a push to main"
    provider = "github"                     # or issuer = "https://…"
    claims = { repository = "acme/widgets", … }
    expect = { "acme/model" = "accepted", "datasets/acme/data" = "refused" }

    [[job]]
    name = "a push to another branch"
    like = "a push to main"                 # an earlier job, whose claims are taken over
    claims = { ref = "refs/heads/dev", … }
    without = ["environment"]
    expect = { "acme/model" = { verdict = "refused", differs = ["branch"] } }

It is judged by the same code as an exchange, without signature, times and audience.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyless.errors import ConfigurationError
from keyless.resource import Resource, parse_resource
from keyless.trust.explain import Explanation

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
MAX_JOBS: Final = 1000
_JOB_MEMBERS: Final = frozenset({"name", "provider", "issuer", "like", "claims", "without", "expect"})
_EXPECT_MEMBERS: Final = frozenset({"verdict", "publisher", "reason", "differs"})


@dataclass(frozen=True, slots=True)
class Expected:
    """Say what a job must get at one resource; what is `None` may be anything.

    `differs` names all claims that keep the nearest publisher from accepting.
    """

    resource: Resource
    accepted: bool
    publisher: str | None = None
    reason: str | None = None
    differs: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One CI identity of the table. Either `provider` or `issuer` names where its tokens come from."""

    name: str
    provider: str | None
    issuer: str | None
    claims: Mapping[str, object]
    expectations: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Compare one expectation with what the publishers say; it is met when `differences` is empty."""

    job: Job
    expected: Expected
    explanation: Explanation
    differences: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Tell whether the job gets what it must."""
        return not self.differences


def read_table(document: Mapping[str, object]) -> tuple[Job, ...]:
    """Read a table.

    Raises:
        ConfigurationError: It does not have the shape above; the message names the job and the member. An empty table
            is refused, because it would test nothing.
    """
    _only("the table", document, frozenset({"job"}))
    entries = document.get("job")
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError("the table has no [[job]]", hint="See docs/explain.md for an example.")
    if len(entries) > MAX_JOBS:
        raise ConfigurationError(f"the table has {len(entries)} jobs, at most {MAX_JOBS} are allowed")
    jobs: dict[str, Job] = {}
    for number, entry in enumerate(entries, start=1):
        job = _read_job(number, _mapping(f"job {number}", entry), jobs)
        if job.name in jobs:
            raise ConfigurationError(f"two jobs are called {job.name!r}")
        jobs[job.name] = job
    return tuple(jobs.values())


def check(jobs: Sequence[Job], explain: Callable[[Job, Resource], Explanation]) -> list[Result]:
    """Compare each expectation of each job with its explanation.

    Args:
        jobs: From `read_table`.
        explain: Says what becomes of a job at a resource; see `keyless.trust.explain.explain_claims`.
    """
    results = []
    for job in jobs:
        for expected in job.expectations:
            explanation = explain(job, expected.resource)
            results.append(Result(job, expected, explanation, tuple(_compare(expected, explanation))))
    return results


def _compare(expected: Expected, found: Explanation) -> list[str]:
    if found.accepted != expected.accepted:
        wanted, got = (ACCEPTED, REFUSED) if expected.accepted else (REFUSED, ACCEPTED)
        return [f"{got} instead of {wanted}: {found.detail}"]
    differences = []
    if expected.reason is not None and found.reason != expected.reason:
        differences.append(f"the reason is {found.reason}, not {expected.reason}: {found.detail}")
    nearest = found.publishers[0] if found.publishers else None
    if expected.publisher is not None and (nearest is None or nearest.publisher.id != expected.publisher):
        differences.append(
            f"the publisher is {nearest.publisher.id if nearest is not None else 'none'}, not {expected.publisher}"
        )
    if expected.differs is not None:
        differing = frozenset(nearest.differing if nearest is not None else ())
        for claim in sorted(expected.differs - differing):
            differences.append(f"{claim} does not differ, or there is no publisher to differ from")
        for claim in sorted(differing - expected.differs):
            differences.append(f"{claim} differs as well")
    return differences


def _read_job(number: int, entry: Mapping[str, object], earlier: Mapping[str, Job]) -> Job:
    name = _text(f"job {number}", entry, "name")
    if name is None:
        raise ConfigurationError(f"job {number} has no name")
    what = f"job {name!r}"
    _only(what, entry, _JOB_MEMBERS)
    provider, issuer = _text(what, entry, "provider"), _text(what, entry, "issuer")
    claims: dict[str, object] = {}
    if (like := _text(what, entry, "like")) is not None:
        if like not in earlier:
            raise ConfigurationError(f"{what} is like {like!r}, and no job before it is called that")
        claims |= earlier[like].claims
        if provider is None and issuer is None:
            provider, issuer = earlier[like].provider, earlier[like].issuer
    if (provider is None) == (issuer is None):
        raise ConfigurationError(f"{what} needs a provider or an issuer, and not both")
    for claim in _texts(what, entry, "without"):
        if claim not in claims:
            raise ConfigurationError(f"{what} leaves out the claim {claim!r}, which it does not have")
        del claims[claim]
    claims |= _mapping(f"{what}: claims", entry.get("claims", {}))
    expect = _mapping(f"{what}: expect", entry.get("expect", {}))
    if not expect:
        raise ConfigurationError(f"{what} expects nothing", hint='Write expect = { "acme/model" = "accepted" }.')
    expectations = tuple(_read_expected(f"{what}: {resource}", resource, value) for resource, value in expect.items())
    return Job(name, provider, issuer, claims, expectations)


def _read_expected(what: str, resource: str, value: object) -> Expected:
    members: Mapping[str, object] = {"verdict": value} if isinstance(value, str) else _mapping(what, value)
    _only(what, members, _EXPECT_MEMBERS)
    verdict = members.get("verdict")
    if verdict not in {ACCEPTED, REFUSED}:
        raise ConfigurationError(f"{what}: the verdict must be {ACCEPTED!r} or {REFUSED!r}")
    differs = frozenset(_texts(what, members, "differs")) if "differs" in members else None
    if verdict == ACCEPTED and differs:
        raise ConfigurationError(f"{what}: nothing differs when it is accepted")
    return Expected(
        parse_resource(resource),
        verdict == ACCEPTED,
        _text(what, members, "publisher"),
        _text(what, members, "reason"),
        differs,
    )


def _mapping(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{what} is not a table")
    return value


def _text(what: str, entry: Mapping[str, object], name: str) -> str | None:
    value = entry.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"{what}: {name} is not a text")
    return value


def _texts(what: str, entry: Mapping[str, object], name: str) -> list[str]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"{what}: {name} is not a list of texts")
    return value


def _only(what: str, entry: Mapping[str, object], members: frozenset[str]) -> None:
    if unknown := sorted(entry.keys() - members):
        raise ConfigurationError(f"{what}: {unknown[0]!r} is not known", hint=f"Known: {', '.join(sorted(members))}.")
