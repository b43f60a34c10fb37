"""`keyless revoke`: give an access token back before it ends (RFC 7009). The token comes from stdin or a file."""

from __future__ import annotations

import os
import sys

from keyless.cli.options import HelpRequested, UsageError, parse_options
from keyless.cli.output import help_page, json_data, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless revoke [--file PATH] [--endpoint URL] [--json]

Give an access token back to the service that issued it; from then on nobody can use it. The token is read from
standard input or from a file, never from an argument: other users of a machine can see those.

  --file PATH        the file that holds the token (default: standard input)
  --endpoint URL     base URL of the service (default: HF_ENDPOINT)
  --json             print an object with revoked and endpoint

examples:
  keyless revoke < "$HF_TOKEN_PATH"
  keyless token --resource acme/model | keyless revoke

exit codes: 0 revoked, or no longer known there; 2 usage or configuration, 4 refused, 5 outage (worth another try),
1 anything else."""

_MAX_CHARS: Final = 65_536


def run(argv: list[str]) -> int:
    """Run the verb."""
    if any(not word.startswith("-") for word in argv[:1]):
        raise UsageError(
            "keyless revoke takes no token as an argument",
            hint="Other users of this machine can see arguments. Pipe the token in, or name its file with --file; the "
            "one just given should be revoked too.",
        )
    try:
        options = parse_options("revoke", argv, valued=("--file", "--endpoint"), flags=("--json",))
    except HelpRequested:
        help_page(HELP)
        return 0
    from keyless.client.environment import clean, read_endpoint
    from keyless.client.job_cache import forget_everywhere
    from keyless.client.revocation import can_revoke, revoke_token
    from keyless.secret import Secret

    endpoint = read_endpoint(os.environ, options.one("--endpoint"))
    if not can_revoke(endpoint):
        raise UsageError(
            f"{endpoint} has no way to revoke a token", hint="Name your own service with --endpoint or HF_ENDPOINT."
        )
    token = clean(_read(options.one("--file")))
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("what was read is not one token: it is empty or holds blanks or other characters")
    revoke_token(Secret(token), endpoint=endpoint)
    forget_everywhere(token, environ=os.environ)
    if "--json" in options.flags:
        json_data({"revoked": True, "endpoint": endpoint})
    else:
        note("keyless: revoked")
    return 0


def _read(path: str | None) -> str:
    try:
        if path is None:
            return sys.stdin.read(_MAX_CHARS)
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  # pathlib is not worth its import for one file
            return file.read(_MAX_CHARS)
    except (OSError, ValueError) as error:
        where = "standard input" if path is None else repr(path)
        raise UsageError(
            f"the token cannot be read from {where} ({getattr(error, 'strerror', None) or 'it is not text'})"
        ) from None
