"""Comparing a policy with the store, and carrying it out: in one transaction, all of it or nothing.

A plan is an application that is rolled back, so it says exactly what the application does, and fails where that fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keyless.errors import ConfigurationError, Error
from keyless.issuers import profile_for
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource
from keyless.server.audit.event import EventKind
from keyless.server.policy.document import Policy
from keyless.server.policy.plan import (
    Action,
    Difference,
    Plan,
    PlannedChange,
    declared_differences,
    differences,
    issuer_differences,
    likeness,
    nearest,
)
from keyless.server.store.admin import Administration, NewIssuer, NewPublisher
from keyless.server.store.admin.publisher_rows import PageKey
from keyless.server.store.admin.resources import PENDING
from keyless.trust.publisher import PinSource, Publisher

MAX_PROBLEMS: Final = 20
_PAGE: Final = 500
_Key = tuple[Resource, str]


class PlanChangedError(Error):
    """What would be done is not what was looked at."""

    code = "plan_changed"


class Rights(Protocol):
    """What whoever applies a policy may touch; each raises when it may not."""

    def namespace(self, name: str) -> None:
        """Go on if publishers of this namespace may be changed."""

    def issuers(self) -> None:
        """Go on if issuers may be added."""


@dataclass(frozen=True, slots=True)
class Everything:
    """The rights of whoever has the store itself."""

    def namespace(self, name: str) -> None:
        """Go on."""

    def issuers(self) -> None:
        """Go on."""


class _RollBack(Exception):
    pass


@dataclass
class PolicyService:
    """Plan and apply policies.

    Args:
        administration: A view of its own, from `acting_as`.
        rights: What may be touched.
    """

    administration: Administration
    rights: Rights = field(default_factory=Everything)

    def plan(self, policy: Policy, *, prune: bool = False) -> Plan:
        """Say what applying would do; nothing is changed.

        Raises:
            ConfigurationError: It could not be applied; all reasons are named.
        """
        plan: Plan | None = None
        try:
            with self.administration.together():
                plan = _Application(self.administration, self.rights, policy, prune).run()
                raise _RollBack
        except _RollBack:
            assert plan is not None  # noqa: S101 - what was rolled back was planned before
            return plan

    def apply(self, policy: Policy, *, prune: bool = False, expect: str | None = None) -> Plan:
        """Make the store as the policy says, and say what was done.

        Args:
            policy: What there must be.
            prune: Remove publishers that are within its reach and not in it.
            expect: The digest of the plan that was looked at, or `None` to apply whatever differs now.

        Raises:
            ConfigurationError: It cannot be applied; nothing was changed, and all reasons are named.
            PlanChangedError: It would do something else than was looked at; nothing was changed.
        """
        with self.administration.together() as change:
            plan = _Application(self.administration, self.rights, policy, prune).run()
            if expect is not None and plan.digest != expect:
                raise PlanChangedError(
                    "the store changed since the plan was made; nothing was applied", hint="Plan again."
                )
            if plan.pending:
                counts: dict[str, int] = defaultdict(int)
                for item in plan.pending:
                    counts[item.action.value] += 1
                change.note(
                    EventKind.POLICY_APPLIED, digest=plan.digest, changes=dict(counts), prune=str(prune).lower()
                )
        return plan


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a policy: what it is called in messages, whether it is switched on, and what it describes."""

    what: str
    enabled: bool | None
    new: NewPublisher


@dataclass
class _Application:
    """One run through a policy, within an open transaction."""

    administration: Administration
    rights: Rights
    policy: Policy
    prune: bool
    changes: list[PlannedChange] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def run(self) -> Plan:
        for number, described in enumerate(self.policy.issuers, start=1):
            with self._problems_of(f"issuer {number} ({described.url})"):
                self._issuer(described.new_issuer())
        entries = self._entries()
        current = self._current(entries)
        for key in sorted({*current, *entries}, key=lambda key: (str(key[0]), key[1])):
            self._agree(entries.get(key, []), current.get(key, []))
        if self.problems:
            shown = self.problems[:MAX_PROBLEMS]
            raise ConfigurationError(f"the policy cannot be applied: {shown[0]}", hint="\n".join(shown[1:]) or None)
        return Plan(tuple(self.changes))

    @contextmanager
    def _problems_of(self, what: str) -> Iterator[None]:
        """Collect what cannot be, so that somebody who writes a policy sees all of it at once."""
        try:
            yield
        except ConfigurationError as error:
            self.problems.append(f"{what}: {error}{f' ({error.hint})' if error.hint else ''}")

    def _issuer(self, new: NewIssuer) -> None:
        found = self._find_issuer(new.url)
        if found is None:
            self.rights.issuers()
            added = self.administration.add_issuer(new)
            self._note(Action.ADD_ISSUER, new.url, None, None, issuer_differences(None, added))
        elif differing := declared_differences(found, new):
            said = ", ".join(f"{d.name} is {d.before}, not {d.after}" for d in differing)
            raise ConfigurationError(f"it is configured otherwise: {said}", hint="An issuer is changed by hand.")

    def _entries(self) -> dict[_Key, list[_Entry]]:
        found: dict[_Key, list[_Entry]] = defaultdict(list)
        for number, described in enumerate(self.policy.publishers, start=1):
            what = f"publisher {number} ({described.resource})"
            with self._problems_of(what):
                new = described.new_publisher()
                self.rights.namespace(new.resource.namespace)
                found[new.resource, new.issuer_url].append(_Entry(what, described.enabled, new))
        return found

    def _current(self, entries: Iterable[_Key]) -> dict[_Key, list[Publisher]]:
        """Return the publishers within the policy's reach: of resources it speaks of, and of namespaces it names."""
        for name in self.policy.namespaces:
            self.rights.namespace(name)
        publishers: dict[str, Publisher] = {}
        for resource in {resource for resource, _ in entries}:
            publishers |= {publisher.id: publisher for publisher in self.administration.publishers(resource)}
        namespaces = frozenset(self.policy.namespaces)
        after: PageKey | None = None
        while namespaces and (
            page := self.administration.publisher_page(namespaces=namespaces, after=after, limit=_PAGE)
        ):
            publishers |= {publisher.id: publisher for _, publisher in page}
            after = page[-1][0]
        found: dict[_Key, list[Publisher]] = defaultdict(list)
        for publisher in sorted(publishers.values(), key=lambda publisher: (publisher.created_at, publisher.id)):
            found[publisher.resource, publisher.issuer_url].append(publisher)
        return found

    def _agree(self, entries: list[_Entry], current: list[Publisher]) -> None:
        """Pair what must be with what is: the most alike first. What is left is added, or surplus."""
        left = list(current)
        pairs: list[tuple[_Entry, Publisher | None]] = []
        for entry in sorted(entries, key=lambda entry: -likeness(entry.new, left)):
            publisher = nearest(entry.new, left)
            if publisher is not None:
                left.remove(publisher)
            pairs.append((entry, publisher))
        for publisher in left:  # first, so that nothing is refused for what is about to go
            self._surplus(publisher)
        for entry, paired in pairs:
            with self._problems_of(entry.what):
                if paired is None:
                    self._add(entry)
                else:
                    self._change(entry, paired)

    def _surplus(self, publisher: Publisher) -> None:
        action = Action.REMOVE if self.prune else Action.SURPLUS
        if self.prune:
            self.administration.remove_publisher(publisher.id)
        self._note(action, publisher.issuer_url, publisher.resource, publisher.id, differences(publisher, None))

    def _add(self, entry: _Entry, *, instead_of: Publisher | None = None) -> None:
        new = entry.new
        if self._find_issuer(new.issuer_url) is None:
            self.rights.issuers()  # one that everybody knows comes with its first publisher
        if new.pending and self._exists(new.resource):
            new = replace(new, pending=False)
        added = self.administration.add_publisher(new)
        if entry.enabled is False:
            added = self.administration.set_publisher_enabled(added.id, enabled=False)
        action = Action.ADD if instead_of is None else Action.REPLACE
        number = None if instead_of is None else instead_of.id
        self._note(action, new.issuer_url, new.resource, number, differences(instead_of, added))

    def _change(self, entry: _Entry, before: Publisher) -> None:
        new = _with_first_use_pins(entry.new, before)
        if self._other_audience(new.resource_server, before):
            self.administration.remove_publisher(before.id)
            self._add(replace(entry, new=new), instead_of=before)
            return
        after = self.administration.change_publisher(before.id, new)
        if entry.enabled is not None and entry.enabled != after.enabled:
            after = self.administration.set_publisher_enabled(after.id, enabled=entry.enabled)
        if differing := differences(before, after):
            self._note(Action.CHANGE, new.issuer_url, new.resource, before.id, differing)

    def _other_audience(self, resource_server: str | None, publisher: Publisher) -> bool:
        if resource_server is None:
            return False
        return self.administration.resource_server(resource_server).audience != publisher.audience

    def _exists(self, resource: Resource) -> bool:
        try:
            return self.administration.resource_state(resource).state != PENDING
        except ConfigurationError:
            return False

    def _find_issuer(self, url: str) -> Issuer | None:
        found = self.administration.issuer_page(url=url, limit=1)
        return found[0] if found else None

    def _note(
        self,
        action: Action,
        issuer: str,
        resource: Resource | None,
        publisher: str | None,
        differing: tuple[Difference, ...],
    ) -> None:
        self.changes.append(
            PlannedChange(action, issuer, None if resource is None else str(resource), publisher, differing)
        )


def _with_first_use_pins(new: NewPublisher, before: Publisher) -> NewPublisher:
    """Return the description with the ids that its publisher took from its first use: they are what was asked for.

    Only while the repository is the same: another one's ids are to be taken anew.
    """
    if not new.pin_first_use:
        return new
    anchor = profile_for(before.issuer_kind).repository_claim
    old = next((condition.values for condition in before.conditions if condition.claim == anchor), ())
    if anchor is not None and tuple(new.claims.get(anchor, ())) != old:
        return new
    taken = {pin.claim: pin.value for pin in before.pins if pin.source is PinSource.FIRST_USE and pin.value is not None}
    return replace(new, pins={**taken, **new.pins})
