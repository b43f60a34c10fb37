"""Platforms whose job finds its id token in a documented variable or file: one row each, and one piece of code.

The token is made before the job (or its phase) starts and cannot be made again. Where the platform fixes the audience,
it is the token service that has to accept it, so it is not checked here.
"""

from __future__ import annotations

from keyless.errors import IdTokenPermissionError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.providers.choice import is_chosen
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final


class Row:
    """A platform whose token is in a variable.

    Args:
        name: Short name.
        title: Full name.
        marker: A variable of every job there, with its value where it always has the same; `None` where only the
            token's own variable tells.
        variables: Where the token may be, best first; one that ends in `*` stands for all that begin so.
        setup: What to configure, in one line.
        hint: The same in full, for a job without a token; `{audience}` in it becomes the audience.
        audience_is_fixed: The platform decides about `aud`, not the user.
        file_variable: A variable that names a file with the token.
        file: Where a file with the token always is.
    """

    __slots__ = (
        "NAME", "SETUP", "TITLE", "audience_is_fixed", "file", "file_variable", "hint", "marker", "variables",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        title: str,
        *,
        marker: tuple[str, str | None] | None,
        variables: tuple[str, ...],
        setup: str,
        hint: str,
        audience_is_fixed: bool = False,
        file_variable: str | None = None,
        file: str | None = None,
    ) -> None:
        self.NAME: Final = name
        self.TITLE: Final = title
        self.SETUP: Final = setup
        self.marker = marker
        self.variables = variables
        self.hint = hint
        self.audience_is_fixed = audience_is_fixed
        self.file_variable = file_variable
        self.file = file

    @property
    def VARIABLES(self) -> tuple[str, ...]:  # noqa: N802  # the name that the modules of this room have
        """Return the variables that hold the token."""
        return self.variables if self.file_variable is None else (*self.variables, self.file_variable)

    def detect(self, environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
        """Say whether the job runs there, and whether its token is."""
        with import_lock:
            from keyless.providers.ready_made import is_for

        hint = self.hint.replace("{audience}", audience)
        found = [(name, environ[name].strip()) for name in self._filled(environ)]
        for name, token in found:
            if len(found) == 1 or self.audience_is_fixed or is_for(token, audience):
                return self._held(name, token, hint)
        if found:
            return self._held(*found[0], hint)
        path = environ.get(self.file_variable, "").strip() if self.file_variable else ""
        if path and self.file_variable:
            return self._file(path, self.file_variable)
        if not self._is_here(environ):
            return None
        if self.file:
            return self._file(self.file, self.TITLE)
        return CannotMint(self.NAME, IdTokenPermissionError(f"this job of {self.TITLE} has no id token", hint=hint))

    def _is_here(self, environ: Mapping[str, str]) -> bool:
        if is_chosen(environ, self.NAME):
            return True
        if self.marker is None:
            return False
        name, value = self.marker
        return environ.get(name) == value if value is not None else bool(environ.get(name))

    def _filled(self, environ: Mapping[str, str]) -> list[str]:
        names: list[str] = []
        for name in self.variables:
            if name.endswith("*"):
                names += sorted(found for found in environ if found.startswith(name[:-1]) and found not in names)
            else:
                names.append(name)
        return [name for name in names if environ.get(name, "").strip()]

    def _held(self, name: str, token: str, hint: str) -> CanMint:
        with import_lock:
            from keyless.providers.handed_over import HandedOverToken
            from keyless.providers.ready_made import FixedAudienceToken

        if self.audience_is_fixed:
            return FixedAudienceToken(self.NAME, name, Secret(token))
        return HandedOverToken(
            self.NAME, name, Secret(token), hint=f"It was asked for with another audience. This one is wanted:\n{hint}"
        )

    def _file(self, path: str, source: str) -> CanMint:
        with import_lock:
            from keyless.providers.token_file import FileToken

        return FileToken(
            self.NAME,
            path,
            source=source,
            variables=self.VARIABLES,
            audience_hint=None if self.audience_is_fixed else self.hint,
            missing_hint=self.hint,
        )


_TABLE: Final = (
    Row(
        "semaphore",
        "Semaphore",
        marker=("SEMAPHORE", "true"),
        variables=("SEMAPHORE_OIDC_TOKEN",),
        setup="nothing (paid plans); the service must accept aud=https://<org>.semaphoreci.com",
        hint="Semaphore gives id tokens to organizations on a paid plan; a job in a container started by hand must be "
        "passed SEMAPHORE_OIDC_TOKEN.",
        audience_is_fixed=True,
    ),
    Row(
        "spacelift",
        "Spacelift",
        marker=None,
        variables=("SPACELIFT_OIDC_TOKEN",),
        setup="nothing (paid plans); the service must accept the account's host as aud",
        hint="Spacelift gives id tokens to accounts on a paid plan, in SPACELIFT_OIDC_TOKEN and in a file.",
        audience_is_fixed=True,
        file="/mnt/workspace/spacelift.oidc",
    ),
    Row(
        "terraform-cloud",
        "HCP Terraform / Terraform Enterprise",
        marker=("TFC_RUN_ID", None),
        variables=("TFC_WORKLOAD_IDENTITY_TOKEN", "TFC_WORKLOAD_IDENTITY_TOKEN_*"),
        setup="workspace environment variable TFC_WORKLOAD_IDENTITY_AUDIENCE=<endpoint>",
        hint="Add an environment variable (not a Terraform variable) to the workspace:\n"
        "    TFC_WORKLOAD_IDENTITY_AUDIENCE={audience}\n"
        "With a second audience, add _<TAG> to its name. Agents need version 1.7 or newer.",
    ),
    Row(
        "vercel",
        "Vercel",
        marker=("VERCEL", "1"),
        variables=("VERCEL_OIDC_TOKEN",),
        setup="OIDC federation in the project's settings; the service must accept aud=https://vercel.com/<team>",
        hint="Switch on OIDC federation in the settings of the Vercel project. In a function the token comes with the "
        "request (x-vercel-oidc-token): hand it over yourself.",
        audience_is_fixed=True,
        file_variable="VERCEL_OIDC_TOKEN_FILE",
    ),
    Row(
        "harness",
        "Harness CI",
        marker=("HARNESS_BUILD_ID", None),
        variables=("PLUGIN_OIDC_TOKEN_ID",),
        setup="a plugin step with an OIDC connector; the service must accept the connector's audience",
        hint="Harness gives an id token to plugin steps that use an OIDC connector, in PLUGIN_OIDC_TOKEN_ID.",
        audience_is_fixed=True,
    ),
    Row(
        "bitrise",
        "Bitrise",
        marker=("BITRISE_IO", "true"),
        variables=("BITRISE_IDENTITY_TOKEN",),
        setup="the step get-identity-token with audience: <endpoint>, before this one",
        hint="Put this step before the one that publishes:\n    - get-identity-token:\n        inputs:\n"
        "        - audience: {audience}",
    ),
    Row(
        "pulumi",
        "Pulumi Deployments",
        marker=None,
        variables=("PULUMI_OIDC_TOKEN",),
        setup="nothing; the service must accept the organization's name as aud",
        hint="Pulumi Deployments puts the token into PULUMI_OIDC_TOKEN and into a file.",
        audience_is_fixed=True,
        file="/mnt/pulumi/pulumi.oidc",
    ),
    Row(
        "env0",
        "env0",
        marker=None,
        variables=("ENV0_OIDC_TOKEN",),
        setup="OIDC switched on in the organization's settings",
        hint="Switch on OIDC in the settings of the env0 organization; the token is then in ENV0_OIDC_TOKEN.",
        audience_is_fixed=True,
    ),
)
ROWS: Final[Mapping[str, Row]] = {row.NAME: row for row in _TABLE}
