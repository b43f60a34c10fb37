"""The how-to of each CI platform, out of the providers, the CI files and the claim profiles.

What a mistake leads to is not written down but found out: the doctor looks at the variables of such a job.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from keyless.ci_files import PLATFORMS, Job
from keyless.ci_files.publisher import ISSUER_KINDS, NEEDS, Identity, on_our_service, on_the_hub, settings_page
from keyless.client.diagnosis.id_token import check_id_token
from keyless.client.diagnosis.provider import check_provider
from keyless.http.deadline import Deadline
from keyless.issuers import PROFILES, Profile
from keyless.providers.order import ORDER, Entry
from keyless.providers.reference import AUDIENCE, REFERENCE, Mistake
from keyless.providers.variables import ROWS, Row
from keyless.resource import parse_resource
from scripts.docs.text import made_by, prose, table
from scripts.providers_doc import again, environ_of

FOLDER: Final = "how-to/ci"
RESOURCES: Final = (parse_resource("acme/awesome-model"), parse_resource("datasets/acme/awesome-data"))
TITLES: Final = {"aws": "AWS", "jenkins": "Jenkins", "kubernetes": "Kubernetes"}
REPOSITORIES: Final = {"circleci": "github.com/acme/widgets", "buildkite": "acme/widgets"}
LANGUAGES: Final = {".yml": "yaml", ".yaml": "yaml", ".sh": "sh", "Jenkinsfile": "groovy"}
ENTRIES: Final = {entry.NAME: entry for entry in ORDER}
OWN: Final = tuple(name for name in PLATFORMS if name in REFERENCE)
"""The platforms with a module of their own; those of the table come after them."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Say what a service has to know of a platform of the table, as of 2026-11 from the vendors' documentation.

    Args:
        issuer: Its `iss`.
        audience: The `aud` that the platform gives, where nobody chooses one.
        subject: What its `sub` looks like; it changes with the platform's names, so an id is better where there is one.
        immutable: Claims that never change, to be named when the issuer is added.
        lifetime_seconds: How long its tokens live, where that is longer than a service takes by itself.
    """

    issuer: str
    audience: str | None = None
    subject: str = "SUBJECT"
    immutable: tuple[str, ...] = ()
    lifetime_seconds: int | None = None


TABLE: Final = {
    "semaphore": Fixed(
        "https://ACME.semaphoreci.com",
        "https://ACME.semaphoreci.com",
        immutable=("org_id", "prj_id"),
        lifetime_seconds=86_400,
    ),
    "spacelift": Fixed(
        "https://ACME.app.spacelift.io", "ACME.app.spacelift.io", "space:SPACE:stack:STACK:run_type:TYPE:scope:write"
    ),
    "terraform-cloud": Fixed(
        "https://app.terraform.io",
        immutable=("terraform_organization_id", "terraform_project_id", "terraform_workspace_id"),
        lifetime_seconds=7_200,
    ),
    "vercel": Fixed(
        "https://oidc.vercel.com/ACME", "https://vercel.com/ACME", "owner:ACME:project:NAME:environment:production"
    ),
    "harness": Fixed("https://app.harness.io/ng/api/oidc/account/ACCOUNT", "AUDIENCE_OF_THE_CONNECTOR"),
    "bitrise": Fixed("https://ISSUER"),
    "pulumi": Fixed(
        "https://api.pulumi.com/oidc",
        "ACME",
        "pulumi:deploy:org:ACME:project:NAME:stack:STACK:operation:OP:scope:write",
    ),
    "env0": Fixed("https://login.app.env0.com/", "AUDIENCE_OF_THE_TOKEN"),
}


def pages() -> dict[str, str]:
    """Return the page of each platform and the page that lists them."""
    found = {f"{FOLDER}/{name}.md": "\n".join(_own(name)).rstrip() + "\n" for name in OWN}
    found |= {f"{FOLDER}/{name}.md": "\n".join(_of_table(row)).rstrip() + "\n" for name, row in ROWS.items()}
    return {f"{FOLDER}/index.md": "\n".join(_index()).rstrip() + "\n", **found}


def title(name: str) -> str:
    """Return a platform's full name, fit for a heading."""
    text = TITLES.get(name, ENTRIES[name].TITLE)
    return text if name == "env0" else f"{text[:1].upper()}{text[1:]}"


def _index() -> Iterator[str]:
    yield from ("# Publish from your CI", "", *made_by("ci", "src/keyless/providers/ and src/keyless/ci_files/"))
    yield from prose(
        "Each page has the file to commit, the publisher to enter, and what goes wrong. `keyless setup` writes the "
        "same for your own repository; what else the client looks for is in "
        "[where the id token comes from](../../providers.md)."
    )
    rows = []
    for name in (*OWN, *ROWS):
        file = f"`{PLATFORMS[name](Job(RESOURCES)).path}`" if name in PLATFORMS else "a variable"
        rows.append((f"[{title(name)}]({name}.md)", file, f"`{ENTRIES[name].SETUP}`"))
    yield from table(("platform", "file", "to configure"), rows)
    yield from prose(
        "Anything else that gives a job an OIDC id token works, too: "
        "[any other platform](../../providers.md#any-other-platform)."
    )


def _own(name: str) -> Iterator[str]:
    entry, reference, job = ENTRIES[name], REFERENCE[name], Job(RESOURCES, endpoint=AUDIENCE)
    file = PLATFORMS[name](job)
    yield from (f"# Publish from {title(name)}", "", *made_by("ci", "src/keyless/providers/ and src/keyless/ci_files/"))
    yield from prose(
        f"A job publishes a model and a dataset to {AUDIENCE}. `keyless setup --provider {name}` writes this for your "
        "own repository; for the Hugging Face Hub it leaves the endpoint out."
    )
    yield from ("## The file", "")
    if file.before:
        yield from (*(f"- {one}" for one in file.before), "")
    language = next(language for end, language in LANGUAGES.items() if file.path.endswith(end))
    yield from (
        f"`{file.path}`:",
        "",
        f"```{language}",
        file.text.rstrip(),
        "```",
        "",
    )
    yield from _publisher(name, job)
    yield from _pins(PROFILES[ISSUER_KINDS.get(name, name)], code="branch" in NEEDS[name].options)
    yield from ("## The id token", "")
    yield from table(
        ("", ""),
        (
            ("recognised by", reference.seen_by),
            ("token from", reference.way),
            ("audience", reference.audience),
            ("lifetime", reference.lifetime),
            ("again in the same job", again(reference)),
            *((f"`{variable}`", meaning) for variable, meaning in reference.variables),
        ),
    )
    yield from _mistakes(entry, reference.mistakes)


def _publisher(name: str, job: Job) -> Iterator[str]:
    identity = Identity(repository=REPOSITORIES.get(name, "acme/widgets") if NEEDS[name].repository else None)
    steps = on_our_service(name, job, identity)
    yield from ("## The publisher", "", "Once, on the service:", "")
    yield from ("```console", *(f"$ {line}" for line in steps.commands), "```", "")
    yield from table(("put in", "found"), ((f"`{put}`", where) for put, where in steps.missing))
    if "--pin-first-use" in steps.commands[-1]:
        rows = ((f"`--pin {pin.claim}=…`", pin.found) for pin in NEEDS[name].pins)
        yield "`--pin-first-use` takes the ids from the first job that matches. Better, give them:"
        yield ""
        yield from table(("instead of it", "found"), rows)
    if fields := on_the_hub(name, job, identity):
        place = settings_page(RESOURCES[0], "https://huggingface.co")
        yield f"On the Hugging Face Hub, in the form at `{place}`, and the dataset's:"
        yield ""
        yield from table(("field", ""), ((field, f"`{value}`") for field, value in fields))


def _pins(profile: Profile, *, code: bool) -> Iterator[str]:
    yield from ("## What to pin", "")
    pins = [*profile.pin_claims, *profile.id_claims]
    if profile.open_claims:
        yield from prose(
            "The service compares `sub`, letter by letter, or the claims that the issuer was added with "
            "(`--immutable-claim`). Any other claim may be a condition: `--claim NAME=VALUE`."
        )
    else:
        these = "these cannot" if len(pins) > 1 else "this cannot"
        words = _and([f"`{pin}`" for pin in pins])
        yield from prose(f"A publisher demands {words}: names can be given up and taken by others, {these}.")
        if profile.guarded:
            rows = ((f"`{claim}`", f"unless a publisher names it: {what}") for claim, what in profile.guarded.items())
            yield from table(("claim", "refused"), rows)
    who = (
        "Who can change the code that publishes is a matter of conditions: a protected branch, a tag, an environment. "
    )
    yield from prose(f"{who if code else ''}All claims there are: [{profile.kind}](../../issuers.md#{profile.kind}).")


def _mistakes(entry: Entry, mistakes: tuple[Mistake, ...]) -> Iterator[str]:
    yield from ("## When it does not work", "")
    yield from prose(
        "`keyless doctor`, in the same step and with the same variables, names the cause and the line to change. What "
        "is typical here, and how it begins then:"
    )
    for mistake in mistakes:
        yield from (f"### {mistake.what}", "", "```text", *_diagnosis(mistake), "```", "")
    hints = getattr(entry.load(), "REFUSED", {})
    rows = ((str(code) if code else "anything else", hint) for code, hint in sorted(hints.items(), key=str))
    yield from table(("refused by the platform with", ""), rows)
    yield from prose(
        "Refused by the *service* instead: [reasons](../../reference/reasons.md), and "
        "[why was it refused](../../explain.md)."
    )


def _diagnosis(mistake: Mistake) -> list[str]:
    """Make a mistake and return what the doctor says first.

    Raises:
        ValueError: It is none.
    """
    environ = environ_of(mistake.environ)
    check, found = check_provider(environ, AUDIENCE)
    if found is not None:
        check, _, _ = check_id_token(found, AUDIENCE, deadline=Deadline(5), environ=environ, now=time.time)
    if check.problem is None or check.fix is None:
        raise ValueError(mistake.what)
    first, *rest = check.fix.splitlines()
    return [f"failed: {check.id}: {check.problem}", f"fix: {first}", *(f"     {line}" for line in rest)]


def _of_table(row: Row) -> Iterator[str]:
    name, fixed = row.NAME, TABLE[row.NAME]
    yield from (f"# Publish from {title(name)}", "", *made_by("ci", "src/keyless/providers/variables.py"))
    yield from prose(
        "The platform puts the id token into a variable before the job starts; keyless finds it there, and exchanges "
        "it once."
    )
    yield from ("## The job", "", f"Configure: `{row.SETUP}`", "")
    yield from ("```text", *row.hint.replace("{audience}", AUDIENCE).splitlines(), "```", "")
    yield "Then, in the job:"
    yield ""
    yield from (
        "```sh",
        "python -m pip install huggingface_hub ./ci/keyless-0.1.0-py3-none-any.whl",
    )
    yield from (f"export HF_ENDPOINT={AUDIENCE}",)
    for resource, upload in Job(RESOURCES, endpoint=AUDIENCE).uploads():
        yield f"keyless exec --resource {resource.short} -- {upload}"
    yield from ("```", "", "## The publisher", "")
    pins = [f"--pin {claim}={claim.upper()}" for claim in fixed.immutable] or [f"--pin sub={fixed.subject}"]
    immutable = "".join(f" --immutable-claim {claim}" for claim in fixed.immutable)
    if fixed.audience is not None:
        yield "The platform decides about the audience, so the service has to be told to accept it, in its settings:"
        yield from ("", "```toml", "[fixed_audiences]", f'"{fixed.issuer}" = "{fixed.audience}"', "```", "")
        yield from prose(
            "A job shows the same token to every service that takes such tokens, and each of them could use it here: "
            "[what that means](../../settings.md#platforms-with-an-audience-of-their-own)."
        )
    yield from ("Then, once:", "", "```console")
    longer = f" --max-lifetime {fixed.lifetime_seconds}" if fixed.lifetime_seconds else ""
    yield f"$ keyless trust issuer add {fixed.issuer} --kind generic{immutable}{longer}"
    yield from (f"$ keyless trust add {one.short} --issuer {fixed.issuer} {' '.join(pins)}" for one in RESOURCES)
    yield from ("```", "", "What stands in capitals is yours; `keyless doctor`, run in the job, shows its claims.", "")
    yield from _pins(PROFILES["generic"], code=False)
    yield from ("## The id token", "")
    places = [f"`{variable}`" for variable in row.VARIABLES]
    places += [f"`{row.file}` (with `KEYLESS_PROVIDER={name}`)"] if row.file else []
    yield from table(
        ("", ""),
        (
            ("token from", ", ".join(places)),
            ("audience", "fixed" if row.audience_is_fixed else "yours"),
            ("again in the same job", "no: one token, exchanged once and kept"),
        ),
    )
    marker = row.marker or ("KEYLESS_PROVIDER", name)
    yield from _mistakes(ENTRIES[name], (Mistake("The token is not there", {marker[0]: marker[1] or "1"}),))


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
