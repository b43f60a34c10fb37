"""`keyless exec`: run a command that finds a fresh token by itself, and nothing else that could be stolen (D23).

The child reads a token file that is kept fresh (`HF_TOKEN_PATH`); stored secrets and the CI's means to mint are taken
out of its environment. When it ends the files are gone and the tokens are revoked where the service can do that.
"""

from __future__ import annotations

import os

from keyless.cli.options import HelpRequested, Options, UsageError, parse_options
from keyless.cli.output import help_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless exec [--resource R] [--resource NAME=R2 …] [--env NAME] [--endpoint URL] [--keep-ci-identity]
                    -- COMMAND …
       keyless exec --for pypi|npm|oci --endpoint URL [--resource PACKAGE] [--keep-ci-identity] -- COMMAND …

Run COMMAND with a token that is exchanged for this job and kept fresh while COMMAND runs. Tools that know
HF_TOKEN_PATH (hf, huggingface_hub) find it there by themselves.

  --resource R        what the token is for (default: HF_OIDC_RESOURCE)
  --resource NAME=R2  a further token for R2; the variable NAME holds the path of its file
  --env NAME          also put the token of R into the variable NAME; it cannot be refreshed there
  --endpoint URL      base URL of the service, also for COMMAND (default: HF_ENDPOINT, else https://huggingface.co)
  --for KIND          the endpoint is a package registry: COMMAND finds a token where pip, uv and twine (pypi), npm,
                      pnpm and yarn (npm), skopeo, docker and podman (oci) look; npm and oci want PACKAGE
  --keep-ci-identity  leave the CI's id-token variables in COMMAND's environment

COMMAND does not see HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_OIDC_* nor, unless kept, the variables to mint id tokens.
A tool that reads the token once, at the beginning of a long upload, keeps that one: an upload that takes longer than
the token's life fails, and keyless says so before COMMAND runs where lives are short.

examples:
  keyless exec --resource acme/model -- hf upload acme/model ./out
  keyless exec --resource acme/model --resource DATA=datasets/acme/data -- ./publish.sh
  keyless exec --resource acme/model --env HF_TOKEN -- ./old-tool
  keyless exec --for pypi --endpoint https://pypi.example.org -- twine upload dist/*

exit codes: those of COMMAND (128+n when signal n ended it), 126 cannot be run, 127 not found; before COMMAND runs:
2 usage or configuration, 3 no CI platform or no permission to mint, 4 refused, 5 outage, 1 anything else."""


def run(argv: list[str]) -> int:
    """Run the verb."""
    try:
        options = parse_options(
            "exec",
            argv,
            valued=("--resource", "--env", "--endpoint", "--for"),
            flags=("--keep-ci-identity",),
            takes_command=True,
        )
    except HelpRequested:
        help_page(HELP)
        return 0
    if not options.command or not options.command[0]:
        raise UsageError(
            "keyless exec has no command to run", hint="Write it after two dashes: keyless exec … -- COMMAND"
        )
    if options.one("--for") is not None:
        return _run_for_registry(options)
    main_resource, named = _resources(options)
    from keyless.cli.supervisor import Plan, supervise

    return supervise(
        Plan(
            command=options.command,
            resource=main_resource,
            named_resources=named,
            endpoint=options.one("--endpoint"),
            exported=_exported(options),
            keeps_ci_identity="--keep-ci-identity" in options.flags,
        )
    )


def _run_for_registry(options: Options) -> int:
    if options.one("--env") is not None:
        raise UsageError("--env and --for exclude each other", hint="--for sets what the registry's tools read.")
    from keyless.cli.supervisor import Plan, supervise
    from keyless.client.registries.login import find_dialect

    kind, endpoint = options.one("--for") or "", options.one("--endpoint")
    find_dialect(kind)
    if endpoint is None:
        raise UsageError(f"--for {kind} needs the registry's URL", hint="Pass --endpoint https://…")
    return supervise(
        Plan(
            command=options.command or [],
            resource=options.one("--resource"),
            named_resources={},
            endpoint=endpoint,
            keeps_ci_identity="--keep-ci-identity" in options.flags,
            registry=kind,
        )
    )


def _is_variable_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _resources(options: Options) -> tuple[str | None, dict[str, str]]:
    """Split the given resources into the main one and the named ones.

    Raises:
        UsageError: Two main ones, a name twice, a name that is none, or no resource at all.
    """
    main_resource: str | None = None
    named: dict[str, str] = {}
    for given in options.values.get("--resource", []):
        name, is_named, resource = given.partition("=")
        if not is_named:
            if main_resource is not None:
                raise UsageError(
                    "--resource was given twice without a name",
                    hint="Name the further ones: --resource DATA=datasets/acme/data; $DATA is then its token file.",
                )
            main_resource = given
        elif not _is_variable_name(name) or not resource.strip():
            raise UsageError(f"--resource {given[:100]!r} is neither R nor NAME=R with NAME a variable's name")
        elif name in named:
            raise UsageError(f"--resource names {name} twice")
        else:
            named[name] = resource
    if main_resource is None and not os.environ.get("HF_OIDC_RESOURCE", "").strip() and not named:
        raise UsageError(
            "keyless exec has no resource to get a token for", hint="Pass --resource, or set HF_OIDC_RESOURCE."
        )
    if main_resource is None:
        main_resource = os.environ.get("HF_OIDC_RESOURCE", "").strip() or None
    return main_resource, named


def _exported(options: Options) -> str | None:
    name = options.one("--env")
    if name is not None and not _is_variable_name(name):
        raise UsageError(f"--env {name[:40]!r} is not a variable's name")
    return name
