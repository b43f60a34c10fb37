"""`keyless token`: print an access token for one resource, and nothing else, on stdout."""

from __future__ import annotations

import os

from keyless.cli.options import HelpRequested, Options, UsageError, parse_options
from keyless.cli.output import data, json_data, mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless token [--resource R] [--endpoint URL] [--format text|json|github-env] [--any-source]

Exchanges this CI job's id token for a short-lived access token and prints it.

  --resource R       what the token is for: namespace/name, datasets/namespace/name, spaces/…, kernels/…,
                     buckets/… or a user name (default: HF_OIDC_RESOURCE)
  --endpoint URL     base URL of the service (default: HF_ENDPOINT, else https://huggingface.co)
  --format FORMAT    text: the token alone (default); json: with its lifetime;
                     github-env: a line HF_TOKEN=… for >> "$GITHUB_ENV", masked in the log
  --json             the same as --format json
  --any-source       also print a stored token (HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the token file); without this
                     a stored secret is never printed

examples:
  keyless token --resource acme/model
  curl -H "Authorization: Bearer $(keyless token --resource datasets/acme/data)" https://…
  keyless token --resource acme/model --format github-env >> "$GITHUB_ENV"

exit codes: 0 printed, 2 usage or configuration, 3 no CI platform or no permission to mint, 4 refused,
5 outage (worth another try), 1 anything else. On every failure stdout stays empty."""

_FORMATS: Final = ("text", "json", "github-env")


def run(argv: list[str]) -> int:
    """Run the verb."""
    try:
        options = parse_options(
            "token", argv, valued=("--resource", "--endpoint", "--format"), flags=("--json", "--any-source")
        )
    except HelpRequested:
        data(HELP)
        return 0
    style = _style(options)
    resource, endpoint = options.one("--resource"), options.one("--endpoint")
    if "--any-source" in options.flags:
        from keyless.client.environment import read_precedence, read_resource
        from keyless.client.sources import find_stored_token, get_token

        stored = find_stored_token(os.environ)[0]
        oidc_first = bool(read_resource(os.environ, resource)) and read_precedence(os.environ) == "first"
        if stored and not oidc_first:
            _print(style, get_token(resource=resource, endpoint=endpoint) or stored, {"source": "stored"})
            return 0
    from keyless.client.credential import Credential

    exchanged = Credential(resource, endpoint).exchanged()
    details: dict[str, object] = {
        "source": "oidc",
        "expires_in": exchanged.expires_in,
        "request_id": exchanged.request_id,
    }
    _print(style, exchanged.access_token.reveal(), details)
    return 0


def _style(options: Options) -> str:
    style = options.one("--format")
    if style is None:
        return "json" if "--json" in options.flags else "text"
    if style not in _FORMATS:
        raise UsageError(f"--format is one of {', '.join(_FORMATS)}")
    if "--json" in options.flags and style != "json":
        raise UsageError(f"--json and --format {style} contradict each other")
    return style


def _print(style: str, token: str, details: dict[str, object]) -> None:
    if style == "json":
        json_data({"access_token": token, **details})
    elif style == "github-env":
        mask(token)
        data(f"HF_TOKEN={token}")
    else:
        data(token)
