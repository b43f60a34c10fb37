"""The TLS side of a connection: whom to trust, and errors that say which variable to set.

`SSL_CERT_FILE` and `SSL_CERT_DIR` mean what they mean to OpenSSL.
"""

from __future__ import annotations

import os
import ssl

from keyless.errors import OIDCConfigurationError
from keyless.http.fork import reset_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Final

    from keyless.http.deadline import Deadline

CA_HINT: Final = (
    "If the service or a proxy uses a private certificate authority, set SSL_CERT_FILE to a PEM file that holds it "
    "(or SSL_CERT_DIR to a hashed directory). REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are not read."
)

# What OpenSSL says about the certificate of another host or address (X509_verify_cert_error_string): the refusal
# that no larger store turns into trust.
_NOT_THE_HOST: Final = frozenset({62, 64})


class _Trust:
    """A context, and whether there are more authorities to trust than it has looked at.

    Parsing a bundle of 145 certificates takes some 20 ms, a third of a whole job's token; from a hashed directory
    OpenSSL reads the one file that it needs. So the directory alone is asked first, and the bundle only for a server
    that the directory does not vouch for. Never is more trusted than by OpenSSL's own rules: file and directory.
    """

    __slots__ = ("context", "is_partial")

    def __init__(self, context: ssl.SSLContext, *, is_partial: bool) -> None:
        self.context = context
        self.is_partial = is_partial


# Mint and exchange share a context. Keyed by what it was made from: the variables may change within a process.
_trusts: dict[tuple[str | None, str | None], _Trust] = {}
# Another thread may have held one of OpenSSL's locks inside the context when the process forked.
reset_in_child(_trusts.clear)


def _current_trust() -> _Trust:
    """Return whom to trust now.

    Raises:
        OIDCConfigurationError: `SSL_CERT_FILE` cannot be read.
    """
    file, directory = key = _key()
    trust = _trusts.get(key)
    if trust is None:
        # OpenSSL says nothing about a file that is not there, and every host then looks untrusted.
        if file and not os.access(file, os.R_OK):
            raise OIDCConfigurationError(f"SSL_CERT_FILE names {file!r}, which cannot be read")
        directory = (directory or _default_directory()) if file is None else None
        if directory and _is_hashed(directory):
            trust = _Trust(ssl.create_default_context(capath=directory), is_partial=True)
        else:
            trust = _Trust(_everything(), is_partial=False)
        _trusts[key] = trust
    return trust


def _widen(trust: _Trust, error: ssl.SSLCertVerificationError) -> bool:
    """Trust the bundle too from now on, where that may help after a failed handshake; say whether to try again."""
    if not trust.is_partial or error.verify_code in _NOT_THE_HOST:
        return False
    if _trusts.get(_key()) is trust:  # else another thread has done it
        _trusts[_key()] = _Trust(_everything(), is_partial=False)
    return True


def _key() -> tuple[str | None, str | None]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


def _everything() -> ssl.SSLContext:
    return ssl.create_default_context()


def _default_directory() -> str:
    return ssl.get_default_verify_paths().openssl_capath if os.name == "posix" else ""


def _is_hashed(directories: str) -> bool:
    """Return whether OpenSSL finds authorities there by name, as `openssl rehash` lays them out: `5ed36f99.0`."""
    for directory in directories.split(os.pathsep):
        try:
            names = os.listdir(directory)  # noqa: PTH208  # pathlib costs the cold path 3 ms
        except (OSError, ValueError):  # a null character
            continue
        if any(name.endswith(".0") for name in names):
            return True
    return False


def connect_trusted(open_socket: Callable[[], socket.socket], host: str, deadline: Deadline) -> ssl.SSLSocket:
    """Connect, do the TLS handshake with `host` and check its certificate.

    Args:
        open_socket: Connects; called once more when the server is to be judged by more authorities.
        host: Whose certificate it has to be.
        deadline: For each handshake.

    Raises:
        DeadlineExceededError: Not done in time.
        OSError: The handshake failed (`ssl.SSLError` and its children); or what `open_socket` raised.
        OIDCConfigurationError: `SSL_CERT_FILE` cannot be read.
    """
    while True:
        trust = _current_trust()
        sock = open_socket()
        try:
            sock.settimeout(deadline.check())  # OpenSSL's handshake keeps the time-out for all of its steps
            # As bytes the name does not load the idna codec.
            return trust.context.wrap_socket(sock, server_hostname=host.encode("ascii"))
        except ssl.SSLCertVerificationError as error:
            sock.close()
            if not _widen(trust, error):
                raise
        except BaseException:
            sock.close()
            raise


def describe(error: ssl.SSLError) -> tuple[str, str | None]:
    """Return one phrase about a TLS failure, and a hint for the kind that a user can mend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message.rstrip('.')})", CA_HINT
    reason = (error.reason or "protocol error").replace("_", " ").lower()
    if "wrong version" in reason or "http request" in reason:
        return f"it does not speak TLS ({reason})", "Is the port right, and should the URL start with http://?"
    return f"the TLS handshake failed ({reason})", None
