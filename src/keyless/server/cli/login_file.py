"""Where a person's login waits between two commands: a private file for each service, for its 15 minutes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError
from keyless.secret import Secret

LOGIN_VARIABLE: Final = "KEYLESS_LOGIN"
_MAX_BYTES: Final = 4096


def path_for(url: str, environ: Mapping[str, str]) -> Path:
    """Return the file of a service's login, below the user's cache directory."""
    base = environ.get("XDG_CACHE_HOME") or ""
    directory = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return directory / "keyless" / f"login-{hashlib.sha256(url.encode()).hexdigest()[:20]}.json"


def save(url: str, token: Secret, *, expires_at: int, environ: Mapping[str, str]) -> Path:
    """Write a login where `load` finds it, readable by its owner only."""
    path = path_for(url, environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = json.dumps({"url": url, "token": token.reveal(), "expires_at": expires_at})
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        new.replace(path)
    except OSError as error:
        raise ConfigurationError(f"the login cannot be kept in {path}: {error.strerror}") from None
    return path


def load(url: str, environ: Mapping[str, str]) -> Secret:
    """Return the login for a service: the one in `KEYLESS_LOGIN`, else the one that `admin login` kept.

    Raises:
        ConfigurationError: There is none, it is over, or others may read it.
    """
    if handed_over := environ.get(LOGIN_VARIABLE, "").strip():
        return Secret(handed_over)
    path = path_for(url, environ)
    hint = f"Sign in: keyless admin login --url {url}\nIn CI, a reading token goes into {LOGIN_VARIABLE}."
    try:
        with path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"others may read the login in {path}", hint=f"Remove it: rm {path}\n{hint}")
            kept = json.loads(file.read(_MAX_BYTES))
        token, expires_at = kept["token"], kept["expires_at"]
    except FileNotFoundError:
        raise ConfigurationError(f"nobody is signed in at {url}", hint=hint) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"the login in {path} cannot be read", hint=hint) from None
    if not isinstance(token, str) or not isinstance(expires_at, int) or expires_at <= time.time():
        raise ConfigurationError(f"the login at {url} is over", hint=hint)
    return Secret(token)


def forget(url: str, environ: Mapping[str, str]) -> None:
    """Remove a kept login; none is fine."""
    path_for(url, environ).unlink(missing_ok=True)
