"""`keyless probe`: one exchange that must work and one that must not, against a running service."""

from __future__ import annotations

from keyless.cli.options import HelpRequested, parse_options
from keyless.cli.output import data, help_page, json_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless probe --resource RESOURCE [--provider NAME] [--json]

Exchange this job's id token for a token of RESOURCE, as any job does, then send the same id token with another
signature, which must be refused. Both are checked: a service that refuses everything fails, and so does one that
accepts everything. The token it gets is revoked at once and never printed. Run it from a scheduled CI job whose
publisher can only read a resource made for it.

  --resource R       what the token is for; a resource made for it, whose publisher can only read
  --provider NAME    insist on one of those that `keyless providers` lists (default: detected)
  --json             print an object with ok, seconds and what was refused

HF_ENDPOINT names the service.

examples:
  HF_ENDPOINT=https://hub.example.org keyless probe --resource acme/probe

exit codes: 0 both as they must be, 1 the forged one was accepted, 2 usage or configuration, 3 no CI platform,
4 the good one was refused, 5 outage (worth another try)."""


def run(argv: list[str]) -> int:
    """Run the verb."""
    try:
        options = parse_options("probe", argv, valued=("--resource", "--provider"), flags=("--json",))
    except HelpRequested:
        help_page(HELP)
        return 0
    import os
    from contextlib import suppress
    from time import monotonic

    from keyless.cli.options import UsageError
    from keyless.client.environment import read_endpoint
    from keyless.client.exchange import exchange_oidc_token
    from keyless.client.oidc import get_oidc_token
    from keyless.client.revocation import revoke_token
    from keyless.errors import Error, ExchangeRefusedError

    if (resource := options.one("--resource")) is None:
        raise UsageError("--resource is missing", hint="For example: keyless probe --resource acme/probe")
    endpoint = read_endpoint(os.environ)
    id_token = get_oidc_token(provider=options.one("--provider"), audience=endpoint)
    began = monotonic()
    granted = exchange_oidc_token(id_token, resource, endpoint=endpoint)
    seconds = monotonic() - began
    with suppress(Error):  # it would end by itself; that it can be revoked is not what is probed
        revoke_token(granted.access_token, endpoint=endpoint)
    try:
        exchange_oidc_token(_forged(id_token), resource, endpoint=endpoint)
    except ExchangeRefusedError as refused:
        said = refused.reason or refused.error or str(refused.status)
    else:
        raise Error("the service accepted an id token with a wrong signature", hint="Take it off the network at once.")
    if "--json" in options.flags:
        json_data({"ok": True, "seconds": round(seconds, 3), "forged": said, "endpoint": endpoint})
    else:
        data(f"good: {endpoint} granted in {seconds:.3f} s and refused the forged one ({said})")
    return 0


def _forged(id_token: str) -> str:
    """Return the token with the middle of its signature turned round: well-formed, and nobody's."""
    signed, dot, signature = id_token.rpartition(".")
    middle = len(signature) // 4 * 2
    return f"{signed}{dot}{signature[:4]}{signature[middle - 1 : 3 : -1]}{signature[middle:]}"
