"""`keyless providers`: which CI platforms are known, which one this is, and what to configure."""

from __future__ import annotations

import os

from keyless.cli.options import HelpRequested, parse_options
from keyless.cli.output import data, help_page, json_data
from keyless.client.environment import read_endpoint
from keyless.providers.base import CannotMint
from keyless.providers.detect import ORDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless providers [--endpoint URL] [--json]

Show the CI platforms that keyless knows, in the order they are asked; whether this job runs there, whether it can
have an id token, and what to configure. Nothing is sent.

  --endpoint URL     the service the token is for (default: HF_ENDPOINT, else https://huggingface.co)
  --json             print a list of objects

examples:
  keyless providers
  keyless providers --endpoint https://hub.example.org --json

exit codes: 0 shown, 2 usage or configuration."""


def run(argv: list[str]) -> int:
    """Run the verb."""
    try:
        options = parse_options("providers", argv, valued=("--endpoint",), flags=("--json",))
    except HelpRequested:
        help_page(HELP)
        return 0
    endpoint = read_endpoint(os.environ, options.one("--endpoint"))
    rows: list[dict[str, object]] = []
    for provider in ORDER:
        found = provider.detect(os.environ, endpoint)
        able = found is not None and not isinstance(found, CannotMint)
        rows.append(
            {
                "name": provider.NAME,
                "title": provider.TITLE,
                "detected": found is not None,
                "can_mint": able,
                "configure": provider.SETUP,
                "problem": found.error.message if isinstance(found, CannotMint) else None,
                "hint": found.error.hint if isinstance(found, CannotMint) else None,
            }
        )
    if "--json" in options.flags:
        json_data(rows)
        return 0
    width = max(len(str(row["name"])) for row in rows)
    data(f"{'name':<{width}}  {'here':<4}  {'id token':<8}  configure")
    for row in rows:
        able_text = "yes" if row["can_mint"] else "no" if row["detected"] else "-"
        data(f"{row['name']:<{width}}  {'yes' if row['detected'] else 'no':<4}  {able_text:<8}  {row['configure']}")
    for row in rows:
        if row["problem"]:
            data(f"\n{row['name']}: {row['problem']}")
            data("\n".join(f"  {line}" for line in str(row["hint"]).splitlines()))
    return 0
