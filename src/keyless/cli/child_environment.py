"""The environment of a command under `keyless exec`: the token file in, every stored or mintable secret out. Pure."""

from __future__ import annotations

from keyless.client.environment import TOKEN_VARIABLES
from keyless.providers import gitlab, handed_over
from keyless.providers.order import identity_variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

# huggingface_hub reads OIDC, then the environment, then the file: whatever is left of these would hide the file.
_SHADOWING_PREFIX: Final = "HF_OIDC_"


def ci_identity_variables(environ: Mapping[str, str], audience: str) -> frozenset[str]:
    """Return the variables that let a process act as this CI job: to mint an id token, or one that is there."""
    present = set(identity_variables(environ))
    pointed = environ.get(handed_over.POINTER_VARIABLE, "").strip()
    present.update(name for name in (pointed, *gitlab.variable_names(audience)) if name in environ)
    tokens = {environ[name].strip() for name in present - {handed_over.POINTER_VARIABLE}} - {""}
    # The same token under another name, as in "HF_OIDC_ID_TOKEN: $MY_TOKEN".
    return frozenset(present | {name for name, value in environ.items() if value.strip() in tokens})


def child_environment(
    environ: Mapping[str, str],
    *,
    audience: str,
    token_file: str,
    named_files: Mapping[str, str],
    endpoint: str | None,
    exported: tuple[str, str] | None,
    keeps_ci_identity: bool,
) -> dict[str, str]:
    """Return the environment for the command.

    Args:
        environ: What this process has.
        audience: The service's endpoint, for which some platforms name a variable.
        token_file: Path of the main token's file. Set even when there is no main token: then the file is absent, and
            a token stored in the user's home is not found either.
        named_files: Path of each further token's file by its variable.
        endpoint: The endpoint to pass on when it was given as an option, or `None`.
        exported: Name and value of a variable that holds the main token itself, or `None`.
        keeps_ci_identity: Leave the variables of `ci_identity_variables` in, except `HF_OIDC_*`.
    """
    removed: Iterable[str] = () if keeps_ci_identity else ci_identity_variables(environ, audience)
    hidden = {*TOKEN_VARIABLES, *removed}
    child = {
        name: value for name, value in environ.items() if name not in hidden and not name.startswith(_SHADOWING_PREFIX)
    }
    child["HF_TOKEN_PATH"] = token_file
    if endpoint is not None:
        child["HF_ENDPOINT"] = endpoint
    child.update(named_files)
    if exported is not None:
        child[exported[0]] = exported[1]
    return child
