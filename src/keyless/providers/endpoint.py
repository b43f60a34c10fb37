"""Ask a platform's id-token endpoint over HTTP, and read the token out of whatever comes back.

What differs between platforms is data: `Words` for people, a member name for JSON. What is the same is here: an
outage, a refusal and nonsense are three different errors, and none of them quotes a credential.
"""

from __future__ import annotations

from keyless.errors import MintError, MintUnavailableError, TransportError
from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from keyless.http.deadline import Deadline
    from keyless.http.transport import Response

MAX_ANSWER_BYTES: Final = 65_536  # a real answer has 2-4 kB
_INTERCEPTED: Final = "Something between the job and {leg} (a proxy, a sign-in page) may have answered instead."
_OUTAGE: Final = "Run the job again; if it keeps failing, see the platform's status page."


class Words:
    """What to say about one endpoint.

    Args:
        leg: Its name in messages, for example `Forgejo's id-token endpoint`.
        refused: Hint by HTTP status; the one under 0 serves every other refusal.
        outage: Hint for when it cannot be reached or fails.
        quotes: Whether its own words may be shown, redacted; False where they could hold somebody's secret.
    """

    __slots__ = ("leg", "outage", "quotes", "refused")

    def __init__(
        self, leg: str, *, refused: Mapping[int, str] | None = None, outage: str = _OUTAGE, quotes: bool = True
    ) -> None:
        self.leg = leg
        self.refused = refused or {}
        self.outage = outage
        self.quotes = quotes

    @property
    def intercepted(self) -> str:
        """Return the hint for an answer that the endpoint would never give."""
        return _INTERCEPTED.format(leg=self.leg)

    def refusal_hint(self, status: int) -> str | None:
        """Return the hint for a refusal."""
        return self.refused.get(status, self.refused.get(0))


def ask(
    method: str,
    url: str,
    *,
    words: Words,
    deadline: Deadline,
    environ: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes | None = None,
    secrets: Sequence[str] = (),
    accepted: Sequence[int] = (200,),
    send: Callable[..., Response] | None = None,
) -> Response:
    """Send the request once and return an answer that the endpoint gives when all is well.

    Args:
        method: `GET` or `POST`.
        url: Where to.
        words: What to say when it fails.
        deadline: Bounds the whole call.
        environ: Where the proxy and debug variables are read.
        headers: Sent as they are; credentials are allowed.
        body: Sent with its length.
        secrets: Values that must not be in a message.
        accepted: Status codes of success.
        send: Another transport with the arguments of `keyless.http.transport.send`, for a machine-local server.

    Raises:
        MintUnavailableError: It cannot be reached or is failing; the same call may succeed later.
        MintError: It refused.
    """
    with import_lock:
        from keyless.http import transport
    try:
        answer = (send or transport.send)(
            method,
            url,
            headers=headers,
            body=body,
            leg=words.leg,
            deadline=deadline,
            environ=environ,
            secrets=secrets,
            max_bytes=MAX_ANSWER_BYTES,
        )
    except transport.AnswerError as error:
        raise MintError(error.message, hint=error.hint or words.intercepted) from None
    except TransportError as error:
        raise MintUnavailableError(error.message, hint=error.hint or words.outage) from None
    if answer.status in accepted:
        return answer
    if answer.status in {408, 429} or answer.status >= 500:
        raise MintUnavailableError(
            f"{words.leg} is failing (HTTP {answer.status})", status=answer.status, hint=words.outage
        )
    raise MintError(
        f"{words.leg} refused (HTTP {answer.status}){_quote(answer, words, secrets)}",
        status=answer.status,
        hint=words.refusal_hint(answer.status),
    )


def _quote(answer: Response, words: Words, secrets: Sequence[str]) -> str:
    if not words.quotes or "html" in answer.headers.get("content-type", "").lower():
        return ""
    with import_lock:
        from keyless.http.redact import quote_text

    quoted = quote_text(answer.body.decode("utf-8", "replace"), list(secrets))
    return f": {quoted}" if quoted else ""


def is_token_text(value: object) -> bool:
    """Return whether a value can travel as a token: one line of visible ASCII."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value


def read_json(answer: Response, words: Words) -> dict[str, object]:
    """Return the JSON object of an answer.

    Raises:
        MintError: It is not one.
    """
    parsed = parse_object(answer.body)
    if parsed is None:
        raise MintError(
            f"{words.leg} answered HTTP {answer.status} without a JSON object",
            status=answer.status,
            hint=words.intercepted,
        )
    return parsed


def parse_object(content: bytes) -> dict[str, object] | None:
    """Return a JSON object, or `None` where the bytes are anything else."""
    with import_lock:
        import json

    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def read_member(answer: Response, member: str, words: Words) -> str:
    """Return the token in one member of a JSON answer.

    Raises:
        MintError: It is not there, or it is not a token.
    """
    value = read_json(answer, words).get(member)
    return as_token(value, answer, words)


def as_token(value: object, answer: Response, words: Words) -> str:
    """Return a value that was found where the token should be.

    Raises:
        MintError: It is not a token.
    """
    if isinstance(value, str) and is_token_text(value):
        return value
    raise MintError(
        f"{words.leg} answered HTTP {answer.status} without an id token in it",
        status=answer.status,
        hint=words.intercepted,
    )
