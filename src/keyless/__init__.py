"""CI jobs get short-lived tokens by OIDC instead of stored secrets.

The names below are loaded when they are first used (PEP 562), so `import keyless` itself costs next to nothing and
never loads a third-party module.
"""

import sys

from keyless.http.fork import import_lock

TYPE_CHECKING = False  # type checkers read this name as true; `typing` itself stays out of a job's start-up time
if TYPE_CHECKING:
    from keyless.client.credential import Credential
    from keyless.client.exchange import ExchangedToken, exchange_oidc_token
    from keyless.client.oidc import get_oidc_token, oidc_login
    from keyless.client.sources import get_token
    from keyless.errors import (
        AudienceError,
        Error,
        ExchangeRefusedError,
        ExchangeUnavailableError,
        IdTokenPermissionError,
        MintError,
        MintUnavailableError,
        OIDCConfigurationError,
        OIDCError,
        ProviderNotFoundError,
        ResponseError,
    )
    from keyless.providers.detect import detect_provider
    from keyless.secret import Secret

__version__ = "0.1.0"

__all__ = [
    "AudienceError",
    "Credential",
    "Error",
    "ExchangeRefusedError",
    "ExchangeUnavailableError",
    "ExchangedToken",
    "IdTokenPermissionError",
    "MintError",
    "MintUnavailableError",
    "OIDCConfigurationError",
    "OIDCError",
    "ProviderNotFoundError",
    "ResponseError",
    "Secret",
    "__version__",
    "detect_provider",
    "exchange_oidc_token",
    "get_oidc_token",
    "get_token",
    "oidc_login",
]

_HOMES = {
    "Credential": "keyless.client.credential",
    "ExchangedToken": "keyless.client.exchange",
    "Secret": "keyless.secret",
    "detect_provider": "keyless.providers.detect",
    "exchange_oidc_token": "keyless.client.exchange",
    "get_oidc_token": "keyless.client.oidc",
    "get_token": "keyless.client.sources",
    "oidc_login": "keyless.client.oidc",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with import_lock:
        home = _HOMES.get(name, "keyless.errors")
        __import__(home)  # the package importlib costs a job more than this line
        value: object = getattr(sys.modules[home], name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
