"""Signature Version 4 for one kind of request: a form posted to the root of a regional AWS endpoint. Pure.

Vendor documentation: "Create a signed AWS API request" of the IAM User Guide. Written here because a job that holds an
id token gets no third-party package (D1), and because a form without a query needs few of the rules.
"""

from __future__ import annotations

import hashlib
import hmac
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from keyless.secret import Secret

ALGORITHM: Final = "AWS4-HMAC-SHA256"
FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"


class AwsCredentials:
    """What signs a request to AWS.

    Args:
        access_key_id: Public half.
        secret_access_key: Secret half.
        session_token: Goes with temporary credentials; `None` for a user's permanent ones.
    """

    __slots__ = ("access_key_id", "secret_access_key", "session_token")

    def __init__(self, access_key_id: str, secret_access_key: Secret, session_token: Secret | None) -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token

    def __repr__(self) -> str:
        return "AwsCredentials(***)"

    @property
    def secrets(self) -> list[str]:
        """Return what must not be in a message."""
        return [part.reveal() for part in (self.secret_access_key, self.session_token) if part is not None]


def sign_form(
    body: bytes, *, host: str, region: str, service: str, credentials: AwsCredentials, now: float | None = None
) -> dict[str, str]:
    """Return the headers that make `POST /` with this form a signed request.

    Args:
        body: The form, encoded.
        host: The `Host` header that will be sent.
        region: Region of the endpoint.
        service: Name of the service in the credential scope, for example `sts`.
        credentials: Who signs.
        now: Seconds since 1970; the system's clock by default. AWS accepts five minutes of difference.
    """
    moment = time.gmtime(time.time() if now is None else now)
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", moment), time.strftime("%Y%m%d", moment)
    signed = {"content-type": FORM, "host": host, "x-amz-date": stamp}
    if credentials.session_token is not None:
        signed["x-amz-security-token"] = credentials.session_token.reveal()
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_access_key.reveal()}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    headers = {"Content-Type": FORM, "X-Amz-Date": stamp}
    if credentials.session_token is not None:
        headers["X-Amz-Security-Token"] = credentials.session_token.reveal()
    headers["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers
