"""What the job configured: the resource, the endpoint, variables with a near miss in their name, and which source wins.

Reads variables and the token file; no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Final

from keyless.client.diagnosis import ci_file
from keyless.client.diagnosis.check import (
    Cause,
    Check,
    failed,
    failed_by,
    is_variable_name,
    looks_secret,
    ok,
    skipped,
    warning,
)
from keyless.client.environment import (
    DEFAULT_ENDPOINT,
    RESOURCE_VARIABLE,
    TOKEN_VARIABLES,
    clean,
    is_set,
    read_endpoint,
    read_precedence,
    read_resource,
    read_timeout_seconds,
)
from keyless.client.sources import find_stored_token
from keyless.errors import ConfigurationError, Error, ResourceSyntaxError
from keyless.http.url import INSECURE_HOSTS_VARIABLE, Url, parse_url, require_secure
from keyless.providers.handed_over import POINTER_VARIABLE
from keyless.resource import parse_resource

RESOURCE: Final = "resource"
ENDPOINT: Final = "endpoint"
VARIABLES: Final = "variables"
SOURCE: Final = "token_source"

OUR_VARIABLES: Final = (
    "KEYLESS_AZURE_SERVICE_CONNECTION_ID",
    "KEYLESS_CACHE",
    "KEYLESS_CIRCLECI_ROOT_ISSUER",
    "KEYLESS_DEBUG",
    "KEYLESS_DISABLE_PROVIDERS",
    "KEYLESS_ID_TOKEN",
    "KEYLESS_ID_TOKEN_AUDIENCE",
    "KEYLESS_ID_TOKEN_COMMAND",
    "KEYLESS_ID_TOKEN_FILE",
    "KEYLESS_ID_TOKEN_VAR",
    "KEYLESS_INSECURE_HTTP_HOSTS",
    "KEYLESS_KUBERNETES_TOKEN_FILE",
    "KEYLESS_PRECEDENCE",
    "KEYLESS_PROVIDER",
    "KEYLESS_SPIFFE_ID",
    "KEYLESS_TIMEOUT",
)
_HF_VARIABLES: Final = ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_OIDC_ID_TOKEN", RESOURCE_VARIABLE, "HF_TOKEN_PATH")
# Names that exist and are near to one of ours.
_OTHERS_VARIABLES: Final = frozenset({"HF_TOKEN", "HF_HOME", "HF_DEBUG", "KEYLESS_CONFIG", *TOKEN_VARIABLES})
_NEAR: Final = 0.85  # KEYLESS_TIMOUT and HF_OIDC_RESSOURCE, but not KEYLESS_TOKEN_PROFILE
_HUB_HOST: Final = "huggingface.co"
_HUB_MISSPELT: Final = frozenset({"hf.co", "www.huggingface.co", "huggingface.com", "hub.huggingface.co"})
_OWN_PATHS: Final = ("/oauth/token", "/oauth", "/.well-known/oauth-authorization-server")
_SINGULAR: Final = {"model": "models", "dataset": "datasets", "space": "spaces", "kernel": "kernels"}


# --- the resource ----------------------------------------------------------------------------------------------------


def check_resource(
    environ: Mapping[str, str], resource: str | None, endpoint: str | None, *, required: bool
) -> tuple[Check, str | None]:
    """Say what the token would be for; the resource too, when it can be asked for.

    Args:
        environ: Variables of the job.
        resource: The one given on the command line.
        endpoint: The service's base URL, below which a resource may be spelled, or `None`.
        required: True when there is an exchange to be made.
    """
    given = "--resource" if clean(resource) else RESOURCE_VARIABLE
    text = clean(resource) or clean(environ.get(RESOURCE_VARIABLE))
    if not text:
        return _no_resource(environ, required=required), None
    if looks_secret(text):
        return failed(
            RESOURCE,
            f"{given} holds something with the shape of a token",
            f"{given} names what the token is for; it is not a token. Revoke that one: it may be in a log now",
            ci_file.set_variable(environ, RESOURCE_VARIABLE, "namespace/name"),
            cause=Cause.CONFIGURATION,
        ), None
    try:
        read_resource(environ, resource)
        parsed = parse_resource(text, base_url=None if endpoint in {None, DEFAULT_ENDPOINT} else endpoint)
    except ConfigurationError as error:
        better = _suggest(text)
        hint = f"{error.hint}\n" if error.hint and not better else ""
        fix = f"{hint}{ci_file.set_variable(environ, RESOURCE_VARIABLE, better or 'namespace/name')}"
        problem = (
            error.message if isinstance(error, ResourceSyntaxError) else f"{given} cannot be used: {error.message}"
        )
        return failed(RESOURCE, f"{given} is {text!r}", problem, fix, cause=Cause.CONFIGURATION), None
    kind = "account" if parsed.type.value == "user" else parsed.type.value
    return ok(RESOURCE, f"{text} ({kind}; from {given})"), text


def _no_resource(environ: Mapping[str, str], *, required: bool) -> Check:
    seen = f"{RESOURCE_VARIABLE} is {'set, but empty' if RESOURCE_VARIABLE in environ else 'not set'}"
    fix = ci_file.set_variable(environ, RESOURCE_VARIABLE, "namespace/name")
    if RESOURCE_VARIABLE in environ:
        fix = f"An expression or variable that it is filled from may be empty. {fix}"
    if required:
        return failed(RESOURCE, seen, "an exchange needs a resource", fix, cause=Cause.CONFIGURATION)
    return warning(RESOURCE, seen, "without it (or --resource) nothing is exchanged", fix)


def _suggest(text: str) -> str | None:
    """Return the resource that was probably meant, or `None`: a page's URL, `dataset/…`, a clone URL."""
    path = text.partition("://")[2].partition("/")[2] if "://" in text else text
    path = path.partition("?")[0].partition("#")[0].strip("/").removesuffix(".git")
    first, slash, rest = path.partition("/")
    candidates = [path, f"{_SINGULAR.get(first.lower(), first.lower())}{slash}{rest}"]
    candidates += ["/".join(candidate.split("/")[:count]) for candidate in candidates[:2] for count in (3, 2)]
    for candidate in candidates:
        try:
            parse_resource(candidate)
        except ResourceSyntaxError:
            continue
        return candidate if candidate != text else None
    return None


# --- the endpoint ----------------------------------------------------------------------------------------------------


def check_endpoint(environ: Mapping[str, str], endpoint: str | None) -> tuple[Check, str | None]:
    """Say which service is asked; its base URL too, when a token may be sent there."""
    given = "--endpoint" if clean(endpoint) else "HF_ENDPOINT"
    text = clean(endpoint) or clean(environ.get("HF_ENDPOINT"))
    try:
        base = read_endpoint(environ, endpoint)
        url = parse_url(base, name=given)
        allowed_by_name = require_secure(url, environ=environ)
    except ConfigurationError as error:
        seen = f"{given} is {text!r}" if text.isprintable() and "@" not in text else f"{given} is set"
        fix = ci_file.set_variable(environ, "HF_ENDPOINT", _https(text))
        return failed(
            ENDPOINT, seen, error.message, f"{error.hint}\n{fix}" if error.hint else fix, cause=Cause.CONFIGURATION
        ), None
    seen = f"{base} ({f'from {given}' if text else 'the default: the Hugging Face Hub'})"
    for path in _OWN_PATHS:
        if url.target.endswith(path):
            return failed(
                ENDPOINT,
                seen,
                f"{given} is the base URL of the service, without {path}",
                ci_file.set_variable(environ, "HF_ENDPOINT", base.removesuffix(path)),
                cause=Cause.CONFIGURATION,
            ), None
    if allowed_by_name:
        return warning(
            ENDPOINT,
            seen,
            f"tokens travel in clear text, because {INSECURE_HOSTS_VARIABLE} names {url.host}",
            ci_file.set_variable(environ, "HF_ENDPOINT", f"https://{base.partition('://')[2]}"),
        ), base
    better = _better_spelling(url, base)
    if better:
        return warning(
            ENDPOINT,
            seen,
            "the service may not know itself under this spelling, and it compares the id token's audience exactly",
            ci_file.set_variable(environ, "HF_ENDPOINT", better),
        ), base
    return ok(ENDPOINT, f"{seen}{'; plain http, which stays on this machine' if url.scheme == 'http' else ''}"), base


def _https(text: str) -> str:
    """Return what a refused endpoint should probably have been."""
    rest = text.partition("://")[2] if "://" in text else text
    rest = rest.rpartition("@")[2].partition("?")[0].partition("#")[0].rstrip("/")
    candidate = f"https://{rest}"
    try:
        parse_url(candidate, name="")
    except ConfigurationError:
        return "https://hub.example.org"
    return candidate


def _better_spelling(url: Url, base: str) -> str | None:
    if url.host != _HUB_HOST and (
        url.host in _HUB_MISSPELT or get_close_matches(url.host, [_HUB_HOST], cutoff=0.9)  # hugingface.co
    ):
        return DEFAULT_ENDPOINT
    scheme, _, rest = base.partition("://")
    authority, slash, path = rest.partition("/")
    default = {"https": ":443", "http": ":80"}[url.scheme]
    plain = f"{scheme.lower()}://{authority.lower().removesuffix(default)}{slash}{path}"
    return plain if plain != base else None


# --- the other variables ---------------------------------------------------------------------------------------------


def check_variables(environ: Mapping[str, str]) -> Check:
    """Say whether the client's other variables can work, and which names nobody reads."""
    present = [name for name in OUR_VARIABLES if environ.get(name)]
    seen = ", ".join(present) if present else "no KEYLESS_ variable of the client is set"
    try:
        read_precedence(environ)
        read_timeout_seconds(environ)
    except Error as error:
        name, value = ("KEYLESS_PRECEDENCE", "first") if "PRECEDENCE" in error.message else ("KEYLESS_TIMEOUT", "30")
        fix = ci_file.set_variable(environ, name, value)
        return failed(VARIABLES, seen, error.message, fix, cause=Cause.CONFIGURATION)
    pointer = environ.get(POINTER_VARIABLE, "").strip()
    if pointer and not is_variable_name(pointer):
        return failed(
            VARIABLES,
            seen,
            f"{POINTER_VARIABLE} holds the name of a variable; what it holds is no name (is it the token itself?)",
            ci_file.set_variable(environ, POINTER_VARIABLE, "MY_ID_TOKEN"),
            cause=Cause.CONFIGURATION,
        )
    if is_set(environ, "HF_HUB_OFFLINE"):
        return failed(
            VARIABLES,
            f"{seen}; HF_HUB_OFFLINE is on",
            "HF_HUB_OFFLINE is set, so no token can be exchanged",
            ci_file.unset_variable(environ, "HF_HUB_OFFLINE"),
            cause=Cause.CONFIGURATION,
        )
    misses = near_misses(environ)
    if misses:
        problem = "; ".join(_near_miss(wrong, right) for wrong, right in misses)
        fix = "\n".join(ci_file.rename_variable(environ, wrong, right) for wrong, right in misses)
        return warning(VARIABLES, seen, problem, fix)
    return ok(VARIABLES, seen)


def _near_miss(wrong: str, right: str) -> str:
    if wrong.upper() == right:
        return f"{right} is not in capitals, and is not read"
    return f"nobody reads {wrong}; {right} is probably meant"


def near_misses(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return names that are nearly those of our variables, with the names that were meant.

    A name whose right spelling is set as well is left alone, and so are the service's own settings.
    """
    known = [*OUR_VARIABLES, *_HF_VARIABLES]
    found = []
    for name in sorted(environ):
        upper = name.upper().replace("-", "_")
        if name in known or name in _OTHERS_VARIABLES or not upper.startswith(("HF_", "HUGGING", "KEYL")):
            continue
        meant = max(known, key=lambda right: _likeness(upper, right))
        if _likeness(upper, meant) >= _NEAR and not environ.get(meant):
            found.append((name[:80], meant))
    return found


def _likeness(name: str, right: str) -> float:
    """Return how alike two names are, from 0 to 1: the less alike of prefix and rest, or a prefix alone would do it."""
    (prefix, _, rest), (right_prefix, _, right_rest) = name.partition("_"), right.partition("_")
    return min(
        SequenceMatcher(None, prefix, right_prefix).ratio(), SequenceMatcher(None, rest[:80], right_rest).ratio()
    )


# --- which source wins (S1) ------------------------------------------------------------------------------------------


def check_source(environ: Mapping[str, str], resource: str | None) -> Check:
    """Say where `get_token()` would take its token from."""
    try:
        precedence = read_precedence(environ)
    except Error:
        return skipped(SOURCE, "KEYLESS_PRECEDENCE has to be mended first")
    try:
        stored, place = find_stored_token(environ)
    except Error as error:
        return failed_by(
            SOURCE, "a token file is in the way", error, otherwise=ci_file.unset_variable(environ, "HF_TOKEN_PATH")
        )
    if is_set(environ, "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        name = "HF_HUB_DISABLE_IMPLICIT_TOKEN"
        return warning(
            SOURCE,
            f"none: {name} is on",
            "no token is used unless the program passes one; `keyless token` and `keyless exec` do exchange",
            ci_file.unset_variable(environ, name),
        )
    if stored and resource and precedence == "last":
        remove = f"Remove {place}:\n    hf auth logout" if place.startswith("the ") else _without(environ, place)
        first = ci_file.set_variable(environ, "KEYLESS_PRECEDENCE", "first")
        return warning(
            SOURCE,
            f"{place} wins over OIDC",
            f"{place} holds a stored token and comes first, so nothing is exchanged (`keyless exec` exchanges anyway)",
            f"{remove}\nOr let OIDC come first. {first}",
        )
    if resource:
        return ok(SOURCE, f"OIDC{f' (KEYLESS_PRECEDENCE=first; {place} holds a token as well)' if stored else ''}")
    if stored:
        return ok(SOURCE, f"{place}: a stored token; without a resource OIDC is not asked")
    return skipped(SOURCE, "no stored token, and no resource to exchange for")


def _without(environ: Mapping[str, str], name: str) -> str:
    return ci_file.unset_variable(environ, name)
