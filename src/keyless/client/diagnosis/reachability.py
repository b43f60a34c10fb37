"""Go to the service without a token: name, connection, TLS, and what answers there."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keyless.client.diagnosis import ci_file
from keyless.client.diagnosis.check import Cause, Check, failed, failed_by, ok, warning
from keyless.client.diagnosis.clock import ServiceTime
from keyless.client.environment import DEFAULT_ENDPOINT, clean
from keyless.client.exchange import GRANT_TYPE
from keyless.errors import ConfigurationError, TransportError
from keyless.http.deadline import Deadline, DeadlineExceededError, connect, resolve
from keyless.http.proxy import Proxy, choose_proxy
from keyless.http.redact import quote_text
from keyless.http.tls import CA_HINT
from keyless.http.transport import AnswerError, Response, send
from keyless.http.url import Url, parse_endpoint, parse_url

REACHABILITY: Final = "reachability"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
EXPLAIN_PATH: Final = "/oauth/explain"
_LEG: Final = "the token service"
_OTHER_CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


@dataclass(frozen=True, slots=True)
class Answered:
    """Hold what else is known of a service that answered: its clock, and whether it explains its verdicts."""

    time: ServiceTime | None
    explains: bool


def check_reachability(
    endpoint: str, *, deadline: Deadline, environ: Mapping[str, str], now: Callable[[], float]
) -> tuple[Check, Answered | None]:
    """Say how far a request comes, and what the service says about itself; more of it too, when it answered.

    Args:
        endpoint: Base URL of the service.
        deadline: Time for all of it.
        environ: Where the proxy and certificate variables are read.
        now: This machine's clock, seconds since 1970.
    """
    url = parse_url(endpoint, name="HF_ENDPOINT")
    try:
        proxy = choose_proxy(url, environ=environ)
    except ConfigurationError as error:
        return failed_by(REACHABILITY, "not tried", error, otherwise="Mend the proxy variable."), None
    connected, problem = _connect(url, proxy, deadline, environ)
    if problem is not None:
        return problem, None
    asked_at = now()
    try:
        answer = send(
            "GET",
            f"{endpoint}{METADATA_PATH}",
            leg=_LEG,
            deadline=deadline,
            environ=environ,
        )
    except ConfigurationError as error:  # SSL_CERT_FILE names nothing
        fix = ci_file.unset_variable(environ, "SSL_CERT_FILE")
        return failed_by(REACHABILITY, connected, error, otherwise=fix), None
    except TransportError as error:
        return _no_answer(error, connected, url, environ), None
    date = answer.headers.get("date")
    told = ServiceTime(date, answer.headers.get("age"), asked_at, now()) if date else None
    document = _document(answer)
    explains = document.get("issuer") == endpoint and document.get("explain_endpoint") == f"{endpoint}{EXPLAIN_PATH}"
    return _judge(answer, document, endpoint, connected, environ), Answered(told, explains)


def _connect(url: Url, proxy: Proxy | None, deadline: Deadline, environ: Mapping[str, str]) -> tuple[str, Check | None]:
    """Resolve and connect by themselves, so that a name, a firewall and a silent service are three different things."""
    host, port = (url.host, url.port) if proxy is None else (proxy.host, proxy.port)
    what = host if proxy is None else f"the proxy {host}"
    fix = _endpoint_line(environ, url)
    if proxy is not None:
        fix = f"Mend the proxy variable (HTTPS_PROXY), or exempt the service:\n    export NO_PROXY={url.host}"
    step = deadline.within(deadline.remaining() / 2)  # the answer itself wants its share
    started = time.monotonic()
    try:
        addresses = resolve(host, port, step)
    except DeadlineExceededError:
        return "", _unreachable("no address", f"looking up {what} took longer than {step.seconds:.1f} s", fix)
    except OSError as error:
        problem = f"the name of {what} does not resolve ({error.strerror or type(error).__name__})"
        return "", _unreachable("no address", problem, fix)
    address = str(addresses[0][1][0]) if addresses else "no address"
    resolved = what if host == address else f"{what} is {address}"
    if proxy is not None:
        return f"{resolved}, port {port}", None  # the request itself tells the rest: only it asks for a tunnel
    try:
        connect(addresses, step).close()
    except DeadlineExceededError:
        problem = f"no connection to {what}, port {port}, within {step.seconds:.1f} s: a firewall that drops it?"
        return "", _unreachable(resolved, problem, _network_line(host, port))
    except ConnectionRefusedError:
        problem = f"{what}, port {port}, refused the connection"
        return "", _unreachable(resolved, problem, f"Does it run, and on that port?\n{fix}")
    except OSError as error:
        problem = f"{what}, port {port}, cannot be connected to ({error.strerror or type(error).__name__})"
        return "", _unreachable(resolved, problem, _network_line(host, port))
    elapsed_ms = (time.monotonic() - started) * 1000
    return f"{resolved}, port {port}, connected in {elapsed_ms:.0f} ms", None


def _unreachable(seen: str, problem: str, fix: str) -> Check:
    return failed(REACHABILITY, seen, problem, fix, cause=Cause.UNREACHABLE)


def _network_line(host: str, port: int) -> str:
    return (
        f"Let the job's network look up and reach {host} port {port}, or name the proxy it has to use:\n"
        "    HTTPS_PROXY=http://proxy.example.org:3128"
    )


def _no_answer(error: TransportError, connected: str, url: Url, environ: Mapping[str, str]) -> Check:
    if error.hint == CA_HINT:
        bundle = next((clean(environ.get(name)) for name in _OTHER_CA_VARIABLES if clean(environ.get(name))), None)
        fix = ci_file.set_variable(environ, "SSL_CERT_FILE", bundle or "/path/to/your/ca.pem")
        return _unreachable(connected, error.message, f"{CA_HINT}\n{fix}")
    if isinstance(error, AnswerError) and "redirected" in error.message:
        return _redirected(error, connected, environ)
    if error.retryable:
        fix = "Run the step again in a moment; if it stays so, ask whoever runs the service or the network between."
    else:
        fix = _endpoint_line(environ, url)
    return _unreachable(connected, error.message, f"{error.hint}\n{fix}" if error.hint else fix)


def _endpoint_line(environ: Mapping[str, str], url: Url) -> str:
    """Return the line that says where the service is; of the default there is none, and the network is to be asked."""
    if f"{url.scheme}://{url.authority}" == DEFAULT_ENDPOINT:
        return _network_line(url.host, url.port)
    return ci_file.check_variable(environ, "HF_ENDPOINT")


def _redirected(error: AnswerError, connected: str, environ: Mapping[str, str]) -> Check:
    """Judge an answer that points elsewhere: to a sign-in page of its own, or to the service's right address."""
    target = re.search(r"redirected to (https://[^\s/]+)", error.message)
    if target is None:
        return ok(REACHABILITY, f"{connected}; reachable, tells nothing about itself (a redirect)")
    fix = f"If that is the service: {ci_file.set_variable(environ, 'HF_ENDPOINT', target[1])}"
    return warning(REACHABILITY, connected, f"{error.message}, so that no token goes astray", fix)


def _document(answer: Response) -> dict[str, object]:
    """Return what a service publishes about itself, or nothing."""
    if answer.status != 200:
        return {}
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _judge(
    answer: Response, document: Mapping[str, object], endpoint: str, connected: str, environ: Mapping[str, str]
) -> Check:
    if answer.status == 200:
        return _judge_metadata(document, endpoint, connected, environ)
    seen = f"{connected}; HTTP {answer.status}"
    if answer.status >= 500:
        problem = f"the service is failing (HTTP {answer.status})"
        fix = "Run the step again in a moment; if it stays so, tell whoever runs the service."
        return _unreachable(seen, problem, fix)
    if answer.status == 429:
        fix = "Run the step again later, and exchange less often: `keyless exec` keeps a token for a whole command."
        return warning(REACHABILITY, seen, "the service is asked too often", fix)
    if answer.status in {401, 403, 407}:
        problem = "something in front of the service refuses requests from here"
        fix = (
            "Let the job's network through: an allow-list of addresses, a firewall or a sign-in page may be in the way."
        )
        return warning(REACHABILITY, seen, problem, fix)
    return ok(REACHABILITY, f"{connected}; reachable, tells nothing about itself (HTTP {answer.status})")


def _judge_metadata(document: Mapping[str, object], endpoint: str, connected: str, environ: Mapping[str, str]) -> Check:
    """Compare what the service says about itself (RFC 8414 section 3.3: its `issuer` is the URL it was asked at)."""
    if not document:
        return ok(REACHABILITY, f"{connected}; reachable, answers with a page instead of its metadata")
    issuer, grants = document.get("issuer"), document.get("grant_types_supported")
    exchanges = isinstance(grants, list) and GRANT_TYPE in grants
    if not exchanges or not isinstance(issuer, str):
        return ok(REACHABILITY, f"{connected}; reachable, its metadata names no token exchange")
    if issuer == endpoint:
        return ok(REACHABILITY, f"{connected}; a service that exchanges tokens")
    seen = f"{connected}; a service that calls itself {quote_text(issuer, max_chars=200)}"
    problem = "the endpoint is not the service's own URL, so it refuses the id token's audience"
    try:
        own = parse_endpoint(issuer, name="issuer")
    except ConfigurationError:
        fix = "Ask whoever runs the service for its public URL."
    else:
        fix = ci_file.set_variable(environ, "HF_ENDPOINT", own)
    return failed(REACHABILITY, seen, problem, fix, cause=Cause.CONFIGURATION)
