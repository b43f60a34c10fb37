"""`keyless token`: print an access token for one resource, and nothing else, on stdout."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from keyless.cli.options import Options
    from keyless.client.exchange import ExchangedToken

HELP: Final = """\
usage: keyless token [--resource R] [--endpoint URL] [--format text|json|env|github-env] [--any-source]
       keyless token --for huggingface|pypi|npm|oci --endpoint URL [--resource PACKAGE] [--format text|json]

Exchange this CI job's id token for a short-lived access token and print it.

  --resource R       what the token is for: namespace/name, datasets/namespace/name, spaces/…, kernels/…,
                     buckets/… or a user name (default: HF_OIDC_RESOURCE)
  --endpoint URL     base URL of the service (default: HF_ENDPOINT, else https://huggingface.co)
  --for KIND         speak the dialect of a package registry: pypi, npm (with a package) or oci (with an image's
                     path); huggingface is what is spoken without it
  --format FORMAT    text: the token alone (default); json: with the seconds it has left;
                     env: a line HF_TOKEN=… for a shell or a .env file;
                     github-env: the same for >> "$GITHUB_ENV", masked in the log
  --json             the same as --format json
  --any-source       also print a stored token (HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the token file); without this
                     a stored secret is never printed

The processes of one CI job share the token where the platform has a directory that it deletes with the job
(RUNNER_TEMP, AGENT_TEMPDIRECTORY); KEYLESS_CACHE=off switches that off.

examples:
  keyless token --resource acme/model
  curl -H "Authorization: Bearer $(keyless token --resource datasets/acme/data)" https://…
  keyless token --resource acme/model --format github-env >> "$GITHUB_ENV"
  (set -a; eval "$(keyless token --resource acme/model --format env)"; ./publish.sh)

exit codes: 0 printed, 2 usage or configuration, 3 no CI platform or no permission to mint, 4 refused,
5 outage (worth another try), 1 anything else. On every failure stdout stays empty."""

_FORMATS: Final = ("text", "json", "env", "github-env")
_SAFE_IN_SHELL: Final = "-._~+/=:@%,"  # besides letters and digits


def run(argv: list[str]) -> int:
    """Run the verb."""
    cached = _find_cached(argv)
    if cached is not None:
        sys.stdout.write(f"{cached}\n")
        sys.stdout.flush()
        return 0
    from keyless.cli.options import HelpRequested, parse_options
    from keyless.cli.output import help_page

    try:
        options = parse_options(
            "token", argv, valued=("--resource", "--endpoint", "--format", "--for"), flags=("--json", "--any-source")
        )
    except HelpRequested:
        help_page(HELP)
        return 0
    kind = options.one("--for")
    return _run(options) if kind in {None, "huggingface"} else _run_for_registry(options, kind or "")


def _run_for_registry(options: Options, kind: str) -> int:
    from keyless.cli.options import UsageError
    from keyless.client.registries.login import registry_login

    style = _style(options)
    if style not in {"text", "json"} or options.flags - {"--json"}:
        raise UsageError(f"--for {kind} takes --format text or json and no other option")
    exchanged = registry_login(kind, endpoint=options.one("--endpoint"), package=options.one("--resource"))
    _print(style, exchanged.access_token.reveal(), {"source": "oidc", "expires_in": _seconds_left(exchanged)})
    return 0


def _find_cached(argv: list[str]) -> str | None:
    """Return the token that an earlier process of this job left for exactly this call, or `None`.

    A later step of a job comes this way, and nothing is loaded for it that it does not need. Whatever is unusual - an
    option besides the two, a word too many - takes the ordinary way, where it is checked.
    """
    given = {"--resource": "", "--endpoint": ""}
    words = iter(argv)
    for word in words:
        name, has_value, value = word.partition("=")
        if given.get(name) != "":  # unknown, or given twice
            return None
        given[name] = value if has_value else next(words, "")
        if not given[name].strip():
            return None
    from keyless.client.environment import DEFAULT_ENDPOINT, clean, read_resource
    from keyless.client.job_file import job_file_path, read_job_file

    # The file's name holds the endpoint as `read_endpoint` gives it; one that it would refuse has no file.
    endpoint = (clean(given["--endpoint"]) or clean(os.environ.get("HF_ENDPOINT"))).rstrip("/") or DEFAULT_ENDPOINT
    resource = read_resource(os.environ, given["--resource"])
    path = job_file_path(os.environ, endpoint=endpoint, audience=endpoint, resource=resource)
    found = None if path is None else read_job_file(path)
    return found.token if found is not None and found.is_fresh else None


def _run(options: Options) -> int:
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
        "expires_in": _seconds_left(exchanged),
        "request_id": exchanged.request_id,
    }
    _print(style, exchanged.access_token.reveal(), details)
    return 0


def _seconds_left(exchanged: ExchangedToken) -> int:
    """Return the whole seconds that the token has left; another process may have made it a while ago."""
    import time

    return max(0, min(exchanged.expires_in, round(exchanged.expires_at - time.monotonic())))


def _style(options: Options) -> str:
    from keyless.cli.options import UsageError

    style = options.one("--format")
    if style is None:
        return "json" if "--json" in options.flags else "text"
    if style not in _FORMATS:
        raise UsageError(f"--format is one of {', '.join(_FORMATS)}")
    if "--json" in options.flags and style != "json":
        raise UsageError(f"--json and --format {style} contradict each other")
    return style


def _print(style: str, token: str, details: dict[str, object]) -> None:
    from keyless.cli.output import data, json_data, mask

    if style == "json":
        json_data({"access_token": token, **details})
    elif style == "env":
        data(f"HF_TOKEN={_quote(token)}")
    elif style == "github-env":
        mask(token)
        data(f"HF_TOKEN={token}")
    else:
        data(token)


def _quote(token: str) -> str:
    """Return the token as a shell reads it back; ours and the Hub's need no quotes."""
    if all(char.isalnum() or char in _SAFE_IN_SHELL for char in token):
        return token
    escaped = token.replace("'", "'\\''")
    return f"'{escaped}'"
