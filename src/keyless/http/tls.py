"""The TLS side of a connection: one context per process, and errors that say which variable to set.

`SSL_CERT_FILE` and `SSL_CERT_DIR` are read by OpenSSL itself.
"""

from __future__ import annotations

import os
import ssl

from keyless.errors import OIDCConfigurationError
from keyless.http.fork import reset_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Final

    from keyless.http.deadline import Deadline

CA_HINT: Final = (
    "If the service or a proxy uses a private certificate authority, set SSL_CERT_FILE to a PEM file that holds it "
    "(or SSL_CERT_DIR to a hashed directory). REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are not read."
)

# Loading a bundle of 145 certificates takes about 20 ms, so mint and exchange share a context. Keyed by what it was
# made from, because the variables may change within a process.
_contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}
# Another thread may have held one of OpenSSL's locks inside the context when the process forked.
reset_in_child(_contexts.clear)


def _context() -> ssl.SSLContext:
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    context = _contexts.get((file, directory))
    if context is None:
        # OpenSSL says nothing about a file that is not there, and every host then looks untrusted.
        if file and not os.access(file, os.R_OK):
            raise OIDCConfigurationError(f"SSL_CERT_FILE names {file!r}, which cannot be read")
        context = _contexts[file, directory] = ssl.create_default_context()
    return context


def wrap(sock: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    """Do the TLS handshake with `host` and check its certificate.

    Raises:
        DeadlineExceededError: Not done in time.
        OSError: The handshake failed (`ssl.SSLError` and its children).
        OIDCConfigurationError: `SSL_CERT_FILE` cannot be read.
    """
    context = _context()
    sock.settimeout(deadline.check())  # OpenSSL's handshake keeps the time-out for all of its steps
    # As bytes the name does not load the idna codec.
    return context.wrap_socket(sock, server_hostname=host.encode("ascii"))


def describe(error: ssl.SSLError) -> tuple[str, str | None]:
    """Return one phrase about a TLS failure, and a hint for the kind that a user can mend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message.rstrip('.')})", CA_HINT
    reason = (error.reason or "protocol error").replace("_", " ").lower()
    if "wrong version" in reason or "http request" in reason:
        return f"it does not speak TLS ({reason})", "Is the port right, and should the URL start with http://?"
    return f"the TLS handshake failed ({reason})", None
