"""npm-like registries: one exchange for each package, with the id token as Bearer, as npm 11.5 and later call it."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from keyless.client.registries.calls import call, read_token, text
from keyless.client.registries.files import write_private
from keyless.client.registries.login import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.client.exchange import ExchangedToken
    from keyless.client.registries.calls import Members
    from keyless.http.deadline import Deadline
    from keyless.secret import Secret

NEEDS_PACKAGE: Final = True
EXPIRES_IN: Final = 900  # seconds; the answer's own date is for people


def read_audience(endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]) -> str:
    """Return the audience that npm itself asks for: the registry's host, without its port."""
    del deadline, environ
    return f"npm:{urlsplit(endpoint).hostname}"


def exchange(
    id_token: Secret, endpoint: str, package: str, *, deadline: Deadline, environ: Mapping[str, str]
) -> ExchangedToken:
    """Exchange an id token for a token of one package."""
    answer = call(
        "POST",
        f"{root_of(endpoint)}/-/npm/v1/oidc/token/exchange/package/{quote(package, safe='@').replace('%2F', '%2f')}",
        id_token=id_token,
        body=b"",
        headers={"Authorization": f"Bearer {id_token.reveal()}"},
        explain=_explain,
        deadline=deadline,
        environ=environ,
    )
    return read_token(answer, "token", expires_in=EXPIRES_IN)


def variables(endpoint: str, token: Secret, folder: str) -> dict[str, str]:
    """Return what npm, pnpm and yarn read; the `.npmrc` names the token for this registry alone."""
    parts = urlsplit(endpoint)
    content = f"registry={endpoint}/\n//{parts.netloc}{parts.path}/:_authToken={token.reveal()}\n"
    path = write_private(folder, "npmrc", content)
    return {
        "NPM_CONFIG_USERCONFIG": path,
        "npm_config_registry": f"{endpoint}/",
        "YARN_NPM_REGISTRY_SERVER": endpoint,
        "YARN_NPM_AUTH_TOKEN": token.reveal(),
    }


def _explain(members: Members) -> str:
    return text(members, "message") or text(members, "error")
