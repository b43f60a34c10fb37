"""Trusted publishers: the guided form, what it would require, and switching one on, off or away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from keyless.ci_files import PLATFORMS, Job
from keyless.ci_files.publisher import ISSUER_KINDS, NEEDS
from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES, profile_for
from keyless.issuers.profile import Profile
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource, parse_resource
from keyless.server.store.admin import NewPublisher
from keyless.server.ui.pages.prefill import CLAIMS, from_url
from keyless.server.ui.visit import Answer, Html, PageError, See, Visit, not_found
from keyless.trust.lint import LintFinding, lint
from keyless.trust.match import describe
from keyless.trust.publisher import Operation, Publisher

MAX_FIELD_CHARS: Final = 500
_OPERATIONS: Final = tuple(operation.value for operation in Operation)


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
            "/publishers/{publisher}/switch": {"POST": self.switch},
            "/publishers/{publisher}/remove": {"POST": self.remove},
        }

    def form(self, visit: Visit) -> Answer:
        """Show the form, with what is known filled in; and once it is complete, what it would make."""
        fields = _fields(visit.query)
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
                preview = self._preview(visit, fields)
            except ConfigurationError as error:
                problem = error
        return self._page(visit, fields, preview, problem)

    def create(self, visit: Visit) -> Answer:
        """Make the publisher that was looked at."""
        fields = _fields(visit.form)
        try:
            new = _new(fields, self._kind(visit, fields))
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
            "made": visit.query.get("made") == "1",
        }
        return Html("publisher.html", values)

    def switch(self, visit: Visit) -> Answer:
        """Switch a publisher on or off."""
        publisher = self._of_path(visit)
        visit.may_change(publisher.resource.namespace)
        visit.administration.set_publisher_enabled(publisher.id, enabled=visit.form.get("to") == "on")
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
        self, visit: Visit, fields: Mapping[str, str], preview: Preview | None, problem: ConfigurationError | None
    ) -> Html:
        visit.reader  # noqa: B018 - as above
        profile = self._profile(visit, fields)
        values = {
            "fields": fields,
            "providers": [name for name, found in PROFILES.items() if found.default_url is not None],
            "issuers": [issuer.url for issuer in visit.administration.issuers()],
            "profile": profile,
            "pins": () if profile is None else (*profile.pin_claims, *profile.id_claims) or ("sub",),
            "found": _where_found(profile),
            "options": [] if profile is None else [name for name in CLAIMS if profile.may_condition(name)],
            "operations": _OPERATIONS,
            "registries": [f"{kind}/NAME" for kind in sorted(self._registries)],
            "preview": preview,
            "problem": problem,
            "from_attempt": fields.get("from"),
        }
        return Html("publisher_new.html", values, status=200 if problem is None else 422)

    def _preview(self, visit: Visit, fields: Mapping[str, str]) -> Preview:
        new = _new(fields, self._kind(visit, fields))
        if not visit.reader.may_change(new.resource.namespace):
            raise PageError(403, f"you may not add publishers in {new.resource.namespace}")
        made: Publisher | None = None
        preview: Preview | None = None
        administration = visit.administration.acting_as(visit.person.actor)
        with suppress(_PreviewError), administration.together():
            made = administration.add_publisher(new)
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
        # A publisher that does not exist yet has been used by nobody: that is no finding.
        told = [finding for finding in findings if finding.code not in {"never-used", "unused"}]
        return Preview(publisher, requires, told, file.path, file.text, file.before)

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


def _fields(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip()[:MAX_FIELD_CHARS] for name, value in given.items() if value.strip()}


def _new(fields: Mapping[str, str], profile: Profile) -> NewPublisher:
    """Return what the fields describe.

    Raises:
        ConfigurationError: They do not make a publisher.
    """
    resource: Resource = parse_resource(fields.get("resource", ""))
    claims = {name: [fields[name]] for name in CLAIMS if fields.get(name)}
    if fields.get("repository") and profile.repository_claim is not None:
        claims[profile.repository_claim] = [fields["repository"]]
    pins = {name.removeprefix("pin."): value for name, value in fields.items() if name.startswith("pin.")}
    claims |= {name.removeprefix("claim."): [value] for name, value in fields.items() if name.startswith("claim.")}
    for claim in profile.pin_claims:  # an id is a pin, however it was given
        if claim in claims:
            pins.setdefault(claim, claims.pop(claim)[0])
    operations = [Operation(name) for name in _OPERATIONS if fields.get(f"operation.{name}")]
    ttl = fields.get("ttl")
    if ttl is not None and not (ttl.isascii() and ttl.isdecimal() and len(ttl) < 6):
        raise ConfigurationError(f"{ttl!r} is no number of seconds")
    return NewPublisher(
        resource=resource,
        issuer_url=fields.get("issuer") or profile.default_url or "",
        claims=claims,
        pins=pins,
        pin_first_use=bool(fields.get("pin_first_use")),
        operations=operations,
        ttl_seconds=None if ttl is None else int(ttl),
    )


def _platform(kind: str) -> str:
    by_kind = {issuer_kind: platform for platform, issuer_kind in ISSUER_KINDS.items() if issuer_kind != "generic"}
    return kind if kind in PLATFORMS else by_kind.get(kind, "other")


def _where_found(profile: Profile | None) -> Mapping[str, str]:
    if profile is None:
        return {}
    return {pin.claim: pin.found for pin in NEEDS[_platform(profile.kind)].pins}
