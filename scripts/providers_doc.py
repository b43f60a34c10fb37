"""Write docs/providers.md from the providers themselves, or with `--check` say whether it is what they say.

What a mistake leads to is found out by making it: the code runs on the variables of such a job.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyless.errors import OIDCError
from keyless.http.deadline import Deadline
from keyless.providers.detect import find_mint
from keyless.providers.order import ORDER
from keyless.providers.reference import AUDIENCE, REFERENCE, TOKEN_FOR
from keyless.providers.variables import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyless.providers.order import Entry
    from keyless.providers.reference import Mistake, Reference

PAGE: Final = Path(__file__).parent.parent / "docs" / "providers.md"
INTRODUCTION: Final = """\
# Where the id token comes from

<!-- Written by scripts/providers_doc.py from src/keyless/providers/. Do not edit: change the provider, then run
     .venv/bin/python scripts/providers_doc.py -->

`keyless providers` shows this for the job it runs in; `keyless doctor` says what to mend. What the *service* makes of
each platform's claims, and what a publisher must pin, is in [issuers.md](issuers.md).

## The order

The first that answers is final: what it cannot do is an error with a hint, and nothing else is tried. First comes what
you name yourself, then CI platforms from the most to the least specific, and last the identities of machines, because a
CI job that runs on somebody's virtual machine or pod is that job and not that machine. Detection reads variables only
(and, in a Kubernetes pod, looks whether one documented file is there); it never asks the network.

- `KEYLESS_PROVIDER=NAME` insists on one: nothing else is asked, a handed-over token included.
- `KEYLESS_DISABLE_PROVIDERS=NAME,NAME` switches some off. A name that does not exist is an error.
"""
TABLE_INTRODUCTION: Final = """\
## Platforms with a variable

The platform puts the token into a variable before the job, or its phase, starts; it cannot be minted again. Where the
platform fixes the audience, the service has to be told to accept it: `fixed_audiences` of
[its settings](settings.md#platforms-with-an-audience-of-their-own).
"""
ELSEWHERE: Final = """\
## Any other platform

Put the token into `HF_OIDC_ID_TOKEN`, name its file in `KEYLESS_ID_TOKEN_FILE`, or name a program that prints one in
`KEYLESS_ID_TOKEN_COMMAND`; for example:

| platform | |
| --- | --- |
| Concourse, RWX, Octopus Deploy, Zuul | map the platform's id-token variable to `HF_OIDC_ID_TOKEN` |
| Namespace | `KEYLESS_ID_TOKEN_COMMAND='nsc auth issue-id-token --audience {audience}'` |
| Nomad | a named `identity` block with `aud` and `file = true`; its path in `KEYLESS_ID_TOKEN_FILE` |
| Codefresh, Vela, Fly.io and others with an endpoint | a short script around `curl` in `KEYLESS_ID_TOKEN_COMMAND` |
| Tekton, Argo, anything in a pod | as [kubernetes](#kubernetes) |

Drone, Woodpecker, Gitea, TeamCity, Travis CI, AppVeyor: we know of no id token that a job can have there (2026-11).
"""


def page() -> str:
    """Return the whole page."""
    own = [entry for entry in ORDER if entry.NAME not in ROWS]
    parts = [INTRODUCTION, *order(), "", *(section(entry) for entry in own), *table(), "", ELSEWHERE]
    return "\n".join(parts).rstrip() + "\n"


def order() -> Iterator[str]:
    """Give the table of all providers in the order they are asked."""
    kinds = {"source": "named by you", "ci": "CI platform", "machine": "machine"}
    yield "| name | | kind | asked when one of these is set | configure |"
    yield "| --- | --- | --- | --- | --- |"
    for entry in ORDER:
        link = f"[{entry.NAME}](#{entry.NAME})" if entry.NAME in REFERENCE else entry.NAME
        markers = ", ".join(f"`{marker}`" for marker in entry.markers)
        yield f"| {link} | {cell(entry.TITLE)} | {kinds[entry.kind]} | {markers} | `{cell(entry.SETUP)}` |"


def table() -> Iterator[str]:
    """Give the rows of the platforms that are data."""
    yield TABLE_INTRODUCTION
    yield "| name | token | audience | configure |"
    yield "| --- | --- | --- | --- |"
    for row in ROWS.values():
        places = [f"`{name}`" for name in row.VARIABLES]
        places += [f"`{row.file}` (with `KEYLESS_PROVIDER={row.NAME}`)"] if row.file else []
        audience = "fixed" if row.audience_is_fixed else "yours"
        yield f"| {row.NAME} | {', '.join(places)} | {audience} | `{cell(row.SETUP)}` |"


def section(entry: Entry) -> str:
    """Return what the page says of one provider."""
    reference = REFERENCE[entry.NAME]
    lines = [
        f"## {entry.NAME}",
        "",
        f"{entry.TITLE[:1].upper()}{entry.TITLE[1:]}. Configure: `{entry.SETUP}`",
        "",
        "| | |",
        "| --- | --- |",
    ]
    lines.append(f"| recognised by | {cell(reference.seen_by)} |")
    lines.append(f"| token from | {cell(reference.way)} |")
    lines.append(f"| audience | {cell(reference.audience)} |")
    lines.append(f"| lifetime | {cell(reference.lifetime)} |")
    lines.append(f"| again in the same job | {again(reference)} |")
    lines += [f"| `{name}` | {cell(meaning)} |" for name, meaning in reference.variables]
    lines += ["", *refusals(entry)]
    for mistake in reference.mistakes:
        lines += [f"**{mistake.what}**", "", "```text", *consequence(mistake), "```", ""]
    return "\n".join(lines)


def again(reference: Reference) -> str:
    """Say whether the job can have another token, as the code does."""
    found = find_mint(environ_of(reference.works), AUDIENCE)
    return "yes" if found.mints_anew else "no: one token, exchanged once and kept"


def refusals(entry: Entry) -> Iterator[str]:
    """Give the hints for what the platform's endpoint refuses."""
    hints: Mapping[int | str, str] = getattr(entry.load(), "REFUSED", {})
    if not hints:
        return
    yield "| refused with | |"
    yield "| --- | --- |"
    for code, hint in sorted(hints.items(), key=lambda item: (item[0] == 0, str(item[0]))):
        yield f"| {'anything else' if code == 0 else code} | {cell(hint)} |"
    yield ""


def consequence(mistake: Mistake) -> Iterator[str]:
    """Make the mistake and give what the command line prints.

    Raises:
        ValueError: It is none: there was a token.
    """
    environ = environ_of(mistake.environ)
    try:
        found = find_mint(environ, AUDIENCE)
        found.mint(AUDIENCE, deadline=Deadline(5), environ=environ)
    except OIDCError as error:
        yield f"keyless: {error.code}: {error.message}"
        yield from (f"  {line}".rstrip() for line in (error.hint or "").splitlines())
        return
    raise ValueError(mistake.what)


def environ_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables of an example, with tokens where they are named."""
    return {
        name: token_for(value.removeprefix(TOKEN_FOR)) if value.startswith(TOKEN_FOR) else value
        for name, value in variables.items()
    }


def token_for(audience: str) -> str:
    """Return a token of the right shape, signed by nobody."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part({'aud': audience})}.c2lnbmF0dXJl"


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write the page, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; 1 where the page is not up to date")
    expected = page()
    if parser.parse_args().check:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == expected:
            return 0
        print(f"{PAGE.name} is not what the providers say: run scripts/providers_doc.py", file=sys.stderr)
        return 1
    PAGE.write_text(expected, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
