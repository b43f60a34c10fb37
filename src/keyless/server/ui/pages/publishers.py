"""Trusted publishers: the guided form, what it would require, and switching one on, off or away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from keyless.ci_files import PLATFORMS, Job
from keyless.ci_files.publisher import ISSUER_KINDS, NEEDS
from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES, profile_for
from keyless.issuers.profile import Profile
from keyless.oidc.issuer import Issuer
from keyless.server.store.admin import NewPublisher
from keyless.server.store.admin.second_person import asked_by
from keyless.server.ui.pages.prefill import CLAIMS, from_url
from keyless.server.ui.pages.publisher_fields import LIMITS, OPERATIONS, fields_of, further, new_of, read_fields
from keyless.server.ui.visit import Answer, Html, PageError, See, Visit, not_found
from keyless.trust.lint import LintFinding, lint
from keyless.trust.match import describe
from keyless.trust.publisher import Publisher

MAX_REASON_CHARS: Final = 200
_NOT_OF_A_NEW_ONE: Final = frozenset({"never-used", "unused", "disabled"})


class _PreviewError(Exception):
    """Take back what was written to be looked at."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a publisher would require, what lint says of it, and the file of the job."""

    publisher: Publisher
    requires: Sequence[tuple[str, str]]
    findings: Sequence[LintFinding]
    file_path: str
    file_text: str
    before: Sequence[str]


class Publishers:
    """The pages about publishers.

    Args:
        public_url: Of the service, for the file of the job.
        registries: URL and audience of each package registry, by the type of what it holds.
    """

    def __init__(self, public_url: str, registries: Mapping[str, tuple[str, str]]) -> None:
        self._public_url = public_url
        self._registries = registries

    def pages(self) -> Mapping[str, Mapping[str, Callable[[Visit], Answer]]]:
        """Return the paths."""
        return {
            "/publishers/new": {"GET": self.form, "POST": self.create},
            "/publishers/{publisher}": {"GET": self.show},
            "/publishers/{publisher}/edit": {"GET": self.edit, "POST": self.change},
            "/publishers/{publisher}/switch": {"POST": self.switch},
            "/publishers/{publisher}/remove": {"POST": self.remove},
        }

    def form(self, visit: Visit) -> Answer:
        """Show the form, with what is known filled in; and once it is complete, what it would make."""
        fields = read_fields(visit.query)
        problem: ConfigurationError | None = None
        preview = None
        pasted = fields.pop("url", "")
        if pasted:
            told = from_url(pasted)
            if not told:
                problem = ConfigurationError(
                    "that is no address of a repository or workflow that can be read",
                    hint="For example https://github.com/acme/widgets/blob/main/.github/workflows/train.yml",
                )
            fields = {**fields, **told}
        if problem is None and fields.get("preview"):
            try:
                preview = self._preview(visit, fields, None)
            except ConfigurationError as error:
                problem = error
        return self._page(visit, fields, preview, problem)

    def edit(self, visit: Visit) -> Answer:
        """Show the form with what a publisher requires now; and once it is sent, what it would require then."""
        publisher = self._of_path(visit)
        if not visit.reader.may_change(publisher.resource.namespace):
            raise PageError(403, "you may look here, and not change anything")
        if not visit.query.get("preview"):
            return self._page(visit, fields_of(publisher, self._profile_of(publisher)), None, None, publisher)
        fields = self._held(read_fields(visit.query), publisher)
        try:
            return self._page(visit, fields, self._preview(visit, fields, publisher), None, publisher)
        except ConfigurationError as error:
            return self._page(visit, fields, None, error, publisher)

    def change(self, visit: Visit) -> Answer:
        """Make a publisher what was looked at; its id and its history stay."""
        publisher = self._of_path(visit)
        visit.may_change(publisher.resource.namespace)
        fields = self._held(read_fields(visit.form), publisher)
        try:
            new = new_of(fields, self._profile_of(publisher), now=visit.now)
            visit.administration.change_publisher(
                publisher.id, self._kept(new, publisher), expected_version=_version(fields)
            )
        except ConfigurationError as error:
            return self._page(visit, fields, None, error, publisher)
        return See(f"/publishers/{publisher.id}?made=2")

    def create(self, visit: Visit) -> Answer:
        """Make the publisher that was looked at."""
        fields = read_fields(visit.form)
        try:
            new = new_of(fields, self._kind(visit, fields), now=visit.now)
            visit.may_change(new.resource.namespace)
            made = visit.administration.add_publisher(new)
        except ConfigurationError as error:
            return self._page(visit, fields, None, error)
        return See(f"/publishers/{made.id}?made=1")

    def show(self, visit: Visit) -> Answer:
        """Show one publisher."""
        publisher = self._of_path(visit)
        issuer = visit.administration.issuer(publisher.issuer_url)
        values = {
            "publisher": publisher,
            "preview": self._describe(visit, publisher, issuer),
            "may_change": visit.reader.may_change(publisher.resource.namespace),
            "made": visit.query.get("made"),
            "asked_by": asked_by(publisher.paused_reason),
        }
        return Html("publisher.html", values)

    def switch(self, visit: Visit) -> Answer:
        """Pause a publisher, or resume it."""
        publisher = self._of_path(visit)
        visit.may_change(publisher.resource.namespace)
        on, reason = visit.form.get("to") == "on", visit.form.get("reason", "").strip()[:MAX_REASON_CHARS]
        visit.administration.set_publisher_enabled(publisher.id, enabled=on, reason=None if on else reason or None)
        return See(f"/publishers/{publisher.id}")

    def remove(self, visit: Visit) -> Answer:
        """Remove a publisher for good."""
        publisher = self._of_path(visit)
        visit.may_change(publisher.resource.namespace)
        visit.administration.remove_publisher(publisher.id, resource=publisher.resource)
        return See(f"/resources/{publisher.resource}")

    def _of_path(self, visit: Visit) -> Publisher:
        visit.reader  # noqa: B018 - a stranger is asked to sign in, whatever the id
        try:
            publisher = visit.administration.publisher(visit.path["publisher"])
        except ConfigurationError:
            raise not_found() from None
        visit.may_read(publisher.resource.namespace)
        return publisher

    def _page(
        self,
        visit: Visit,
        fields: Mapping[str, str],
        preview: Preview | None,
        problem: ConfigurationError | None,
        editing: Publisher | None = None,
    ) -> Html:
        visit.reader  # noqa: B018 - as above
        profile = self._profile(visit, fields) if editing is None else self._profile_of(editing)
        options = [] if profile is None else [name for name in CLAIMS if profile.may_condition(name)]
        values = {
            "editing": editing,
            "action": "/publishers/new" if editing is None else f"/publishers/{editing.id}/edit",
            "further": list(further(fields, options)),
            "limits": LIMITS,
            "fields": fields,
            "providers": [name for name, found in PROFILES.items() if found.default_url is not None],
            "issuers": [issuer.url for issuer in visit.administration.issuers()],
            "profile": profile,
            "pins": () if profile is None else (*profile.pin_claims, *profile.id_claims) or ("sub",),
            "found": _where_found(profile),
            "options": options,
            "operations": OPERATIONS,
            "registries": [f"{kind}/NAME" for kind in sorted(self._registries)],
            "preview": preview,
            "problem": problem,
            "from_attempt": fields.get("from"),
        }
        return Html("publisher_new.html", values, status=200 if problem is None else 422)

    def _preview(self, visit: Visit, fields: Mapping[str, str], editing: Publisher | None) -> Preview:
        profile = self._kind(visit, fields) if editing is None else self._profile_of(editing)
        new = new_of(fields, profile, now=visit.now)
        if not visit.reader.may_change(new.resource.namespace):
            raise PageError(403, f"you may not add publishers in {new.resource.namespace}")
        made: Publisher | None = None
        preview: Preview | None = None
        administration = visit.administration.acting_as(visit.person.actor)
        with suppress(_PreviewError), administration.together():
            if editing is None:
                made = administration.add_publisher(new)
            else:
                made = administration.change_publisher(editing.id, self._kept(new, editing))
            preview = self._describe(visit, made, administration.issuer(made.issuer_url))
            raise _PreviewError
        if preview is None:
            raise ConfigurationError("the publisher cannot be looked at")
        return preview

    def _describe(self, visit: Visit, publisher: Publisher, issuer: Issuer) -> Preview:
        findings = lint([publisher], {issuer.id: issuer}, PROFILES, now=visit.now)
        endpoint, audience = self._registries.get(publisher.resource.type.value, (self._public_url, self._public_url))
        requires = [("iss", publisher.issuer_url), ("aud", audience)]
        requires += [(pin.claim, pin.value or "taken from the first use") for pin in publisher.pins]
        requires += [(condition.claim, describe(condition)) for condition in publisher.conditions]
        platform = _platform(publisher.issuer_kind)
        by_claim = {condition.claim: condition.values[0] for condition in publisher.conditions}
        workflow = by_claim.get("workflow", "publish.yml")
        job = Job(
            resources=(publisher.resource,),
            endpoint=endpoint,
            registry_audience=audience,
            branch=by_claim.get("branch", "main"),
            environment=by_claim.get("environment"),
            file_name=workflow if workflow.endswith((".yml", ".yaml")) else "publish.yml",
        )
        file = PLATFORMS[platform](job)
        # A publisher that does not exist yet was used by nobody, and may wait for a second person: no findings.
        told = [finding for finding in findings if finding.code not in _NOT_OF_A_NEW_ONE]
        return Preview(publisher, requires, told, file.path, file.text, file.before)

    @staticmethod
    def _held(fields: dict[str, str], publisher: Publisher) -> dict[str, str]:
        """Return the fields with what a publisher keeps: whatever a form says, it is of this resource and issuer."""
        return {**fields, "resource": str(publisher.resource), "issuer": publisher.issuer_url}

    @staticmethod
    def _kept(new: NewPublisher, publisher: Publisher) -> NewPublisher:
        """Return the description with what the form has no field for."""
        return replace(new, replay=publisher.replay)

    @staticmethod
    def _profile_of(publisher: Publisher) -> Profile:
        return profile_for(publisher.issuer_kind)

    def _kind(self, visit: Visit, fields: Mapping[str, str]) -> Profile:
        profile = self._profile(visit, fields)
        if profile is None:
            raise ConfigurationError("choose a CI platform, or name an issuer that is configured")
        return profile

    def _profile(self, visit: Visit, fields: Mapping[str, str]) -> Profile | None:
        if (issuer := fields.get("issuer")) and not fields.get("provider"):
            with suppress(ConfigurationError):
                return profile_for(visit.administration.issuer(issuer).kind)
            return None
        return PROFILES.get(fields.get("provider", ""))


def pages(
    public_url: str, registries: Mapping[str, tuple[str, str]]
) -> Mapping[str, Mapping[str, Callable[[Visit], Answer]]]:
    """Return the paths."""
    return Publishers(public_url, registries).pages()


def _version(fields: Mapping[str, str]) -> int | None:
    """Return the version of the publisher that the person saw."""
    text = fields.get("version", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _platform(kind: str) -> str:
    by_kind = {issuer_kind: platform for platform, issuer_kind in ISSUER_KINDS.items() if issuer_kind != "generic"}
    return kind if kind in PLATFORMS else by_kind.get(kind, "other")


def _where_found(profile: Profile | None) -> Mapping[str, str]:
    if profile is None:
        return {}
    return {pin.claim: pin.found for pin in NEEDS[_platform(profile.kind)].pins}
