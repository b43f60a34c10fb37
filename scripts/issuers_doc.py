"""Write docs/issuers.md from the claim profiles, or with `--check` say whether it is what they say."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyless.issuers import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyless.issuers import Profile

PAGE: Final = Path(__file__).parent.parent / "docs" / "issuers.md"
INTRODUCTION: Final = """\
# What each kind of issuer says

<!-- Written by scripts/issuers_doc.py from src/keyless/issuers/. Do not edit: change the profile, then run
     .venv/bin/python scripts/issuers_doc.py -->

A *kind* knows what the id tokens of one platform mean. `keyless trust issuer add URL` finds it by the URL, as a whole,
where the URL is one of those listed; otherwise say it: `--kind`. Every URL is an issuer of its own with publishers of
its own: an enterprise's issuer shares nothing with the platform's. Another product at a URL of that shape needs
`--kind generic`; until then its tokens are refused for want of claims.

How to read the tables:

- **pin**: each publisher must give this one value, with `--pin NAME=VALUE` or an option of that name. A publisher
  without it is not saved, and would match nothing.
- *condition*: a publisher may demand it, with `--claim NAME=VALUE`; all demands must hold. A claim that is absent
  satisfies none. *Pattern*: `*` may stand for any characters but `/` and `:`, at most twice.
- *audit only*: kept with the exchange, and no condition: whoever runs a job chooses it, or another name says it better.
- *unless named*: such a token is refused by every publisher that does not demand a value of this claim.
- Values are compared exactly, letter by letter, unless the table says *any case* (ASCII letters only). Numbers and
  booleans are compared as text: `7`, `true`.

Claims that a table does not list are ignored.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *(section(profile) for profile in PROFILES.values())])


def section(profile: Profile) -> str:
    """Return what the page says of one kind."""
    story = import_module(f"keyless.issuers.{profile.kind.replace('-', '_')}").__doc__ or ""
    urls = [*([profile.default_url] if profile.default_url else []), *profile.url_templates]
    lines = [f"## {profile.kind}", "", story.strip(), ""]
    lines += ["| of the issuer | |", "| --- | --- |"]
    lines.append(f"| found by | {', '.join(f'`{url}`' for url in urls) or '`--kind` only'} |")
    lines.append(f"| algorithms | {', '.join(profile.algorithms)} |")
    lines.append(f"| longest lifetime of a token | {profile.max_lifetime_seconds} s |")
    lines.append(f"| one token may be exchanged | {'once' if profile.replay == 'once' else 'up to 64 times'} |")
    if profile.fixed_audience:
        lines.append(f"| audience | always `{profile.fixed_audience}` |")
    if profile.allow_multiple_audiences:
        lines.append("| audience | may be a list |")
    lines += ["", "| claim | in the token | a publisher's | refused | |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows(profile)]
    return "\n".join([*lines, ""])


def rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    """Yield one row per claim, what must be pinned first."""
    if profile.open_claims:
        yield "`sub`", "always", "**pin**, unless the issuer was added with `--immutable-claim`", "", ""
        yield "the immutable claims of the issuer", "", "**pin** all of them", "", ""
        yield "any other", "", "condition (`ref`: pattern)", "", "nothing is known of it"
        return
    pins = (*profile.pin_claims, *profile.id_claims)
    known = (
        *profile.required_claims,
        *profile.nested_claims,
        *profile.derived_claims,
        *profile.optional_claims,
        *profile.list_claims,
    )
    shown = sorted(dict.fromkeys((*pins, *known, *profile.denied)), key=lambda claim: _rank(profile, claim))
    for claim in shown:
        refused = []
        if claim in profile.denied:
            refused.append(f"always: {profile.denied[claim]}")
        if claim in profile.guarded:
            refused.append(f"unless named: {profile.guarded[claim]}")
        name = f"`{claim}`"
        yield name, _origin(profile, claim), _use(profile, claim), "; ".join(refused), profile.notes.get(claim, "")
    if profile.ignored_claims:
        yield ", ".join(f"`{name}`" for name in profile.ignored_claims), "", "not read", "", ""


def _rank(profile: Profile, claim: str) -> int:
    if claim in profile.pin_claims or claim in profile.id_claims:
        return 0
    if claim in profile.condition_claims or claim in profile.list_claims:
        return 1 if claim in profile.derived_claims or claim == profile.repository_claim else 2
    return 3


def _origin(profile: Profile, claim: str) -> str:
    if claim in profile.nested_claims:
        path = ".".join(profile.nested_claims[claim])
        return f"`{path}`{', required' if claim in profile.required_nested else ''}"
    if claim in profile.required_claims or claim == "sub":
        return "required"
    return "derived" if claim in profile.derived_claims else ""


def _use(profile: Profile, claim: str) -> str:
    if claim in profile.pin_claims:
        return f"**pin**: {profile.pin_claims[claim].words}"
    if claim in profile.id_claims:
        return "**pin**: a number"
    if claim in profile.list_claims:
        return f"condition `{profile.list_claims[claim]}:…=true`"
    if claim not in profile.condition_claims:
        return "audit only" if claim in profile.subject_claims else "no condition"
    words = ["condition"]
    if claim in profile.glob_claims:
        words.append("pattern")
    if claim in profile.folded_claims:
        words.append("any case")
    return ", ".join(words)


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is not up to date")
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"docs/{PAGE.name} is not what the profiles say; run scripts/{Path(__file__).name}")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
