"""An id token in a file that somebody keeps fresh: a projected volume, a sidecar, a credential binding.

The variable `KEYLESS_ID_TOKEN_FILE` names one on purpose. The file is read anew for every mint, because who writes it
rotates it: a kubelet at 80 % of the token's life, `spiffe-helper` at half.
"""

from __future__ import annotations

import os

from keyless.errors import MintError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "file"
TITLE: Final = "a token file"
SETUP: Final = "KEYLESS_ID_TOKEN_FILE=<path of a file that holds the id token>"

VARIABLES: Final = ("KEYLESS_ID_TOKEN_FILE",)
MAX_FILE_BYTES: Final = 65_536
_CONTENT_HINT: Final = "The file must hold the id token and nothing else (a trailing line break is fine)."
_AUDIENCE_HINT: Final = "Let whoever writes the file request the token with exactly this audience: {audience}"


def detect(environ: Mapping[str, str], audience: str) -> CanMint | None:  # noqa: ARG001  # one shape for all
    """Say whether `KEYLESS_ID_TOKEN_FILE` is set. The file is looked at when it is needed."""
    path = environ.get(VARIABLES[0], "").strip()
    return FileToken(NAME, path, source=VARIABLES[0], variables=VARIABLES) if path else None


class FileToken(CanMint):
    """A token file; each mint reads it again.

    Args:
        provider: Name of the platform that writes it.
        path: Where it is.
        source: What names it, for messages.
        variables: Variables that lead to it.
        audience_hint: What to do about another audience, with `{audience}` in it; `None` for a platform whose audience
            is fixed, so that only the token service can say whether it will do.
        missing_hint: What to do when the file is not there; `{audience}` as above.
    """

    __slots__ = ("_audience_hint", "_missing_hint", "_path", "_source")

    def __init__(
        self,
        provider: str,
        path: str,
        *,
        source: str,
        variables: tuple[str, ...],
        audience_hint: str | None = _AUDIENCE_HINT,
        missing_hint: str = "Check the path, and that the file is made before this step runs.",
    ) -> None:
        super().__init__(provider, identity=Secret(path), mints_anew=True, variables=variables)
        self._path = path
        self._source = source
        self._audience_hint = audience_hint
        self._missing_hint = missing_hint

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:  # noqa: ARG002  # one shape
        """Read the file and return its token (see `CanMint.mint`)."""
        with import_lock:
            from keyless.providers.unverified import check_audience, read_unverified_claims

        missing_hint = self._missing_hint.replace("{audience}", audience)  # not str.format: hints hold other braces
        token = read_token_file(self._path, source=self._source, missing_hint=missing_hint)
        source = f"the file of {self._source}"
        if self._audience_hint is None:
            read_unverified_claims(token, source=source)
        else:
            hint = self._audience_hint.replace("{audience}", audience)
            check_audience(token, audience, source=source, hint=hint)
        return Secret(token)


def read_token_file(path: str, *, source: str, missing_hint: str) -> str:
    """Return the text of a token file.

    Symbolic links are followed, because a projected volume is made of them; only a regular file is read, because a
    pipe could keep us waiting for ever.

    Args:
        path: Where it is.
        source: What names it, for messages. The path itself is shown redacted: people paste tokens in the wrong place.
        missing_hint: What to do when it is not there.

    Raises:
        MintError: It is absent, unreadable, no regular file, empty, or too large. Its content is never shown.
    """
    with import_lock:
        import stat

        from keyless.http.redact import quote_text

    where = f"{source} names {quote_text(path, max_chars=300)!r}"
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise MintError(f"{where}, which does not exist", hint=missing_hint) from None
    except PermissionError:
        raise MintError(
            f"{where}, which this user may not read",
            hint="Let the user of this job read it: its owner, its mode, or fsGroup / defaultMode of a volume.",
        ) from None
    except (OSError, ValueError) as error:
        raise MintError(
            f"{where}, which cannot be opened ({getattr(error, 'strerror', None) or 'bad path'})",
            hint=f"{source} must be the path of a file that holds the id token.",
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MintError(
                f"{where}, which is not a regular file",
                hint="A directory holds no token; for a pipe use KEYLESS_ID_TOKEN_COMMAND.",
            )
        content = _read(descriptor)
    except OSError as error:
        raise MintError(
            f"{where}, which cannot be read ({error.strerror})", hint="The disk or the mount of that file is failing."
        ) from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise MintError(f"{where}, which has more than {MAX_FILE_BYTES} bytes", hint=_CONTENT_HINT)
    text = content.decode("utf-8", "replace").strip()
    if not text:
        raise MintError(f"{where}, which is empty", hint="Whoever writes it has not written the token yet, or failed.")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise MintError(f"{where}, which does not hold one token", hint=_CONTENT_HINT)
    return text


def _read(descriptor: int) -> bytes:
    content = bytearray()
    while len(content) <= MAX_FILE_BYTES:
        chunk = os.read(descriptor, MAX_FILE_BYTES + 1)
        if not chunk:
            break
        content += chunk
    return bytes(content)
