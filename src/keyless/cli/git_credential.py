"""`keyless git-credential`: git asks this helper for a password, and gets a token of this job for one service only.

The protocol is git's own (git-credential(1), "INPUT/OUTPUT FORMAT"): attributes in, attributes out. What is asked for
another scheme, host, port or path than the service's gets no answer at all, so that git goes on to its other helpers.
"""

from __future__ import annotations

import os
import sys

from keyless.cli.options import HelpRequested, UsageError, parse_options
from keyless.cli.output import data, help_page, note, report
from keyless.errors import Error, ResourceSyntaxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from keyless.client.credential import Credential
    from keyless.http.url import Url

HELP: Final = """\
usage: keyless git-credential [--resource R] [--endpoint URL] get|store|erase

Answer git with a token of this CI job, for repositories of one service.

  --resource R       what the token is for (default: HF_OIDC_RESOURCE, else the repository that git names, which needs
                     useHttpPath)
  --endpoint URL     base URL of the service (default: HF_ENDPOINT, else https://huggingface.co)

Nothing is answered for another scheme, host, port or path than the service's, nor for another repository than the
resource. store does nothing; erase forgets a token that the service did not take.

examples, which set it up for one service:
  git config --global credential.https://hub.example.org.helper '!keyless git-credential'
  git config --global credential.https://hub.example.org.useHttpPath true

exit codes: 0 answered, or not concerned; as `keyless token` when there should be a token and is none."""

_USER: Final = "keyless"  # services look at the password only; git insists on a user name
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_INPUT_CHARS: Final = 65_536


def run(argv: list[str]) -> int:
    """Run the verb."""
    words = list(argv)
    action = words.pop() if words and not words[-1].startswith("-") else ""
    try:
        options = parse_options("git-credential", words, valued=("--resource", "--endpoint"))
    except HelpRequested:
        help_page(HELP)
        return 0
    if not action:
        raise UsageError("keyless git-credential needs get, store or erase", hint="See: keyless git-credential --help")
    asked = read_attributes(sys.stdin.read(_MAX_INPUT_CHARS).splitlines())
    if action not in {"get", "erase"}:
        return 0  # store, and whatever later versions of git add (gitcredentials(7), "CUSTOM HELPERS")
    from keyless.client.environment import read_endpoint, read_resource
    from keyless.http.url import parse_url

    endpoint = read_endpoint(os.environ, options.one("--endpoint"))
    url = parse_url(endpoint, name="HF_ENDPOINT")
    if not is_for(asked, url):
        return 0
    resource = choose_resource(asked, url, read_resource(os.environ, options.one("--resource")))
    if resource is None:
        return 0
    if not resource:
        note("keyless: git did not say which repository: set HF_OIDC_RESOURCE, or git's credential.useHttpPath")
        return 0
    from keyless.client.credential import Credential

    credential = Credential(resource, endpoint)
    if action == "erase":
        if asked.get("password"):
            credential.forget(asked["password"])
        return 0
    return _get(credential, asked)


def _get(credential: Credential, asked: Mapping[str, str]) -> int:
    import time

    try:
        token = credential.exchanged()
    except Error as error:
        data("quit=1")  # S6: no other helper and no prompt, where a token should have been had
        return report(error)
    ends_at = int(time.time() + token.expires_at - time.monotonic())
    data(
        f"username={asked.get('username') or _USER}\npassword={token.access_token.reveal()}\n"
        f"password_expiry_utc={ends_at}"  # git 2.40 and later ask again after that
    )
    return 0


def read_attributes(lines: Iterable[str]) -> dict[str, str]:
    """Return git's attributes up to the first empty line. Lists (`name[]=`) are not needed and are left out."""
    attributes: dict[str, str] = {}
    for line in lines:
        if not line:
            break
        name, has_value, value = line.partition("=")
        if has_value and not name.endswith("[]"):
            attributes[name] = value
    return attributes


def is_for(asked: Mapping[str, str], service: Url) -> bool:
    """Return whether git asks for exactly the service: scheme, host, port, and a path below its own where one is given.

    Plain http is answered for this machine only, whatever `KEYLESS_INSECURE_HTTP_HOSTS` says: git would send the token
    again and again without another look.
    """
    scheme = asked.get("protocol", "").lower()
    if scheme != service.scheme or (scheme == "http" and not service.is_loopback):
        return False
    host, port = _split_host(asked.get("host", ""), scheme)
    if (host, port) != (service.host, service.port):
        return False
    base = service.target.strip("/")
    path = asked.get("path", "").strip("/")
    return not base or not path or f"{path}/".startswith(f"{base}/")


def _split_host(host: str, scheme: str) -> tuple[str, int]:
    """Return host and port of git's `host` attribute; port 0, which matches nothing, where it cannot be read."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host.lower(), str(_DEFAULT_PORTS.get(scheme, 0))
    is_number = port.isascii() and port.isdecimal() and len(port) <= 5
    return name.strip("[]"), int(port) if is_number else 0


def choose_resource(asked: Mapping[str, str], service: Url, wanted: str) -> str | None:
    """Return the resource to get a token for.

    Args:
        asked: Git's attributes.
        service: The service's base URL.
        wanted: What the user named, or the empty text.

    Returns:
        The resource; the empty text where neither the user nor git names one; `None` where git asks for another
        repository than the user named.
    """
    named = _repository(asked, service)
    if not wanted:
        return named
    if not named:
        return wanted
    return wanted if _canonical(named) == _canonical(wanted) else None


def _repository(asked: Mapping[str, str], service: Url) -> str:
    path = asked.get("path", "").strip("/")
    path = path.removeprefix(service.target.strip("/")).strip("/")
    path = path.partition("/info/lfs")[0].removesuffix(".git")
    return path if path.isprintable() and " " not in path else ""


def _canonical(resource: str) -> str:
    """Return one spelling for all of a resource's; a git server's own kind of path stays as it is."""
    from keyless.resource import parse_resource

    try:
        return str(parse_resource(resource))
    except ResourceSyntaxError:
        return resource
