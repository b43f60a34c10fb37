"""What to tell a job for which no provider was found: it depends on what the place looks like. Sends nothing."""

from __future__ import annotations

from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_HAND_OVER: Final = (
    "On another CI, put the job's id token into HF_OIDC_ID_TOKEN (its audience must be the endpoint), or name a file "
    "with it in KEYLESS_ID_TOKEN_FILE, or a program that prints it in KEYLESS_ID_TOKEN_COMMAND."
)
_PRODUCT_FILE: Final = "/sys/class/dmi/id/product_name"  # where google-auth and others look, too
_GOOGLE_PRODUCTS: Final = ("Google", "Google Compute Engine")


def explain_absence(environ: Mapping[str, str], audience: str) -> str:
    """Return the hint for a job on no platform that we know.

    The identity of a machine is never taken silently, but the user is told that there is one.

    Args:
        environ: Variables of the job.
        audience: What a token would be for.
    """
    if environ.get("ACT"):
        with import_lock:
            from keyless.providers.github import act_hint
        return act_hint(environ) or _HAND_OVER
    if environ.get("GITEA_ACTIONS"):
        return f"Gitea's runners look like GitHub but give no id tokens (Forgejo's do). {_HAND_OVER}"
    if environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return f"There are AWS credentials here: KEYLESS_PROVIDER=aws uses the identity of their role. {_HAND_OVER}"
    if environ.get("KUBERNETES_SERVICE_HOST"):
        with import_lock:
            from keyless.providers.kubernetes import pod_hint
        return pod_hint(environ, audience) or _HAND_OVER
    if is_google_machine():
        return f"This is a Google machine: KEYLESS_PROVIDER=google-cloud uses its service account. {_HAND_OVER}"
    return _HAND_OVER


def is_google_machine(product_file: str = _PRODUCT_FILE) -> bool:
    """Return whether the firmware says that this is a machine of Google's."""
    try:
        with open(product_file, encoding="ascii", errors="replace") as file:  # noqa: PTH123  # pathlib costs 3 ms
            return file.read(64).strip() in _GOOGLE_PRODUCTS
    except OSError:
        return False
