"""Who is asked for an id token, in which order: data, and nothing of a platform is loaded before its turn.

A token or a way to one that the user names comes first, then CI platforms from the most to the least specific, then the
identities of machines: a CI job that runs on somebody's virtual machine or pod is that job, not that machine. A
platform is loaded when one of its markers is set, so a job pays for its own platform only.
"""

from __future__ import annotations

from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

    from keyless.providers.base import CanMint, CannotMint, Provider

    Kind = Literal["source", "ci", "machine"]


class Entry:
    """One provider's place in the order.

    Args:
        name: Its name, for users.
        module: Its module in this room, or the table that holds it.
        kind: `source` for what the user names, `ci` for a platform, `machine` for the identity of a machine.
        markers: Variables of which at least one is set wherever it could answer. Necessary, not sufficient.
        named_when_unable: Whether `detect_provider` names it for a job that cannot mint there.
    """

    __slots__ = ("NAME", "kind", "markers", "module", "named_when_unable")

    def __init__(
        self, name: str, module: str, kind: Kind, markers: tuple[str, ...], *, named_when_unable: bool = True
    ) -> None:
        self.NAME: Final = name
        self.module = module
        self.kind: Final = kind
        self.markers = markers
        self.named_when_unable = named_when_unable

    @property
    def TITLE(self) -> str:  # noqa: N802  # the name that the modules of this room have
        """Return the platform's full name."""
        return self.load().TITLE

    @property
    def SETUP(self) -> str:  # noqa: N802  # as above
        """Return what to configure there, in one line."""
        return self.load().SETUP

    def load(self) -> Provider:
        """Return the provider itself."""
        with import_lock:
            module = __import__(f"keyless.providers.{self.module}", fromlist=["detect"])
        provider: Provider = module.ROWS[self.NAME] if hasattr(module, "ROWS") else module
        return provider

    def detect(self, environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:
        """Say whether this is where the job runs, without loading what cannot be it (see `Provider.detect`)."""
        if environ.get("KEYLESS_PROVIDER", "").strip().lower() != self.NAME and not self._is_marked(environ):
            return None
        return self.load().detect(environ, audience)

    def _is_marked(self, environ: Mapping[str, str]) -> bool:
        return any(environ.get(name) for name in self.markers)

    def __repr__(self) -> str:
        return f"Entry({self.NAME!r})"


ORDER: Final[tuple[Entry, ...]] = (
    Entry("handed-over", "handed_over", "source", ("KEYLESS_ID_TOKEN_VAR", "HF_OIDC_ID_TOKEN", "KEYLESS_ID_TOKEN")),
    Entry("file", "token_file", "source", ("KEYLESS_ID_TOKEN_FILE",)),
    Entry("command", "token_command", "source", ("KEYLESS_ID_TOKEN_COMMAND",)),
    # Sets all markers of GitHub, so it is asked before. Not named when unable: an instance older than the feature looks
    # the same as a job without permission, and huggingface_hub names neither.
    Entry("forgejo", "forgejo", "ci", ("FORGEJO_ACTIONS",), named_when_unable=False),
    Entry("github", "github", "ci", ("GITHUB_ACTIONS",)),
    Entry("gitlab", "gitlab", "ci", ("GITLAB_CI",)),
    Entry("circleci", "circleci", "ci", ("CIRCLECI",)),
    Entry("buildkite", "buildkite", "ci", ("BUILDKITE", "BUILDKITE_AGENT_ACCESS_TOKEN")),
    Entry("azure-devops", "azure_devops", "ci", ("TF_BUILD",)),
    Entry("bitbucket", "bitbucket", "ci", ("BITBUCKET_BUILD_NUMBER", "BITBUCKET_STEP_OIDC_TOKEN")),
    Entry("semaphore", "variables", "ci", ("SEMAPHORE", "SEMAPHORE_OIDC_TOKEN")),
    Entry("spacelift", "variables", "ci", ("SPACELIFT_OIDC_TOKEN",)),
    Entry("terraform-cloud", "variables", "ci", ("TFC_RUN_ID", "TFC_WORKLOAD_IDENTITY_TOKEN")),
    Entry("vercel", "variables", "ci", ("VERCEL", "VERCEL_OIDC_TOKEN", "VERCEL_OIDC_TOKEN_FILE")),
    Entry("harness", "variables", "ci", ("HARNESS_BUILD_ID", "PLUGIN_OIDC_TOKEN_ID")),
    Entry("bitrise", "variables", "ci", ("BITRISE_IO", "BITRISE_IDENTITY_TOKEN")),
    Entry("pulumi", "variables", "ci", ("PULUMI_OIDC_TOKEN",)),
    Entry("env0", "variables", "ci", ("ENV0_OIDC_TOKEN",)),
    Entry("jenkins", "jenkins", "ci", ("JENKINS_URL", "BUILD_TAG")),  # agents of Jenkins run inside other systems' jobs
    Entry(
        "google-cloud",
        "google_cloud",
        "machine",
        ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP", "CLOUD_RUN_JOB", "BUILDER_OUTPUT", "K_SERVICE"),
    ),
    Entry(
        "aws",
        "aws",
        "machine",
        ("CODEBUILD_BUILD_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_LAMBDA_FUNCTION_NAME"),
    ),
    Entry("kubernetes", "kubernetes", "machine", ("KUBERNETES_SERVICE_HOST", "KEYLESS_KUBERNETES_TOKEN_FILE")),
    Entry("spiffe", "spiffe", "machine", ("SPIFFE_ENDPOINT_SOCKET",)),
)
NAMES: Final = tuple(entry.NAME for entry in ORDER)


def enabled(environ: Mapping[str, str]) -> tuple[Entry, ...]:
    """Return the order without what `KEYLESS_DISABLE_PROVIDERS` switches off.

    Raises:
        OIDCConfigurationError: It names a provider that does not exist.
    """
    if not environ.get("KEYLESS_DISABLE_PROVIDERS"):
        return ORDER
    with import_lock:
        from keyless.providers.choice import read_disabled
    disabled = read_disabled(environ, NAMES)
    return tuple(entry for entry in ORDER if entry.NAME not in disabled)


def chosen(environ: Mapping[str, str]) -> Entry | None:
    """Return the provider that the user insists on, or `None`.

    Raises:
        OIDCConfigurationError: It does not exist, or is switched off.
    """
    if not environ.get("KEYLESS_PROVIDER"):
        return None
    with import_lock:
        from keyless.providers.choice import read_choice
    name = read_choice(environ, NAMES)
    return next((entry for entry in ORDER if name == entry.NAME), None)


def identity_variables(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables of this environment that let a process act as the job, for all providers there are."""
    names: set[str] = set()
    for entry in ORDER:
        names.update(getattr(entry.load(), "VARIABLES", ()))
    names.add("KEYLESS_ID_TOKEN_VAR")
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return frozenset(name for name in environ if name in names or (prefixes and name.startswith(prefixes)))
