"""`keyless setup`: write the CI file that publishes without a secret, and say which publisher to enter.

Asks what it is not told, on a terminal only. Changes nothing but the file that `--write` names, and the store only
with `--create`.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyless.ci_files import HUB, PLATFORMS, WHEEL, CiFile, Job
from keyless.ci_files.publisher import NEEDS, Identity, Steps, on_our_service, on_the_hub, settings_page
from keyless.cli.options import HelpRequested, Options, UsageError, parse_options
from keyless.cli.output import EXIT_OK, data, help_page, json_data, note
from keyless.client.environment import read_endpoint
from keyless.errors import ConfigurationError
from keyless.resource import PACKAGE_TYPES, parse_resource

if TYPE_CHECKING:
    from collections.abc import Sequence

_VALUED: Final = (
    "--provider",
    "--resource",
    "--endpoint",
    "--repository",
    "--branch",
    "--environment",
    "--file-name",
    "--folder",
    "--issuer",
    "--pin",
    "--install",
    "--directory",
    "--db",
    "--config",
    "--url",
)
_FLAGS: Final = ("--write", "--force", "--create", "--json", "--no-input")
_STORE: Final = ("--db", "--config", "--url")
# What goes into a file of somebody else's language without quotes: a branch that needs them is typed in by hand.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", re.ASCII)
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.ya?ml", re.ASCII)
_HOSTS: Final = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket",
    "codeberg.org": "forgejo",
    "dev.azure.com": "azure-devops",
    "ssh.dev.azure.com": "azure-devops",
}
_REMOTE: Final = re.compile(r"(?:[a-z+]+://)?(?:[^@/\s]+@)?([A-Za-z0-9.-]+)(?::\d+)?[:/](.+?)(?:\.git)?/?", re.ASCII)
_REMOTE_SECTION: Final = re.compile(r'^\[remote "origin"\]\n(?:(?!\[).*\n?)*?\s*url\s*=\s*(\S+)', re.MULTILINE)
MAX_CONFIG_BYTES: Final = 1024 * 1024

HELP: Final = f"""\
usage: keyless setup [--provider P] [--resource R …] [--folder DIR …] [--endpoint URL] [--repository NAME]
                     [--branch NAME] [--environment E] [--file-name F] [--issuer URL] [--pin NAME=VALUE …]
                     [--install WHAT] [--write [--force]] [--directory DIR] [--create [--url URL]] [--no-input] [--json]

Write the CI file that publishes without a stored secret, and say which publisher to enter and where. What is not
given is asked for on a terminal; in a script it is taken from the git repository around, or is an error.

  --provider P       {", ".join(sorted(PLATFORMS))}
  --resource R       what to publish to: acme/model, datasets/acme/data, pypi/NAME, …; may be given several times
  --folder DIR       what lies in it is uploaded; once for each --resource, in the same order
  --endpoint URL     the service, or the package registry; else HF_ENDPOINT, else the Hugging Face Hub
  --repository NAME  owner/name of the repository that the job runs in; else out of its git remote
  --branch NAME      the branch that publishes (main)
  --environment E    deployment environment of the job
  --file-name F      name of the workflow's file, where the platform lets one choose it (publish.yml)
  --issuer URL       issuer of a platform of your own (self-managed GitLab, Forgejo, a cluster, …)
  --pin NAME=VALUE   an id that never changes, as the publisher has to demand it; may be given several times
  --install WHAT     what pip installs to have keyless in the job ({WHEEL})
  --write            write the file into the repository; without, it is printed
  --directory DIR    the repository's root (the one around this folder)
  --force            write over a file that is there already
  --create           also make the publishers: at --url, else in the local store
  --url URL          with --create: a service's inside listener
  --db PATH          with --create: database file or postgresql:// URL; else the one in the settings
  --config FILE      with --create: settings file (TOML); else KEYLESS_CONFIG
  --no-input         ask nothing
  --json             print one JSON document

examples:
  keyless setup --provider github --resource acme/model --write
  keyless setup --provider gitlab --resource acme/model --resource datasets/acme/data --endpoint https://hub.example.org

exit codes: 0 done, 2 usage or configuration, 4 the service refused the publisher, 5 outage (worth another try),
1 anything else."""


def run(argv: Sequence[str]) -> int:
    """Run the verb and return its exit code.

    Raises:
        UsageError: The options cannot be understood, or something is missing that nobody can be asked for.
        ConfigurationError: The file cannot be written, or is there already.
    """
    try:
        options = parse_options("setup", argv, valued=_VALUED, flags=_FLAGS)
    except HelpRequested:
        help_page(HELP)
        return EXIT_OK
    root = Path(options.one("--directory") or _root(Path.cwd()))
    ask = _may_ask(options)
    host, remote = _remote(root)
    platform = _platform(options, host, ask=ask)
    job = _job(options, ask=ask)
    identity = Identity(
        repository=_plain(options.one("--repository") or _repository(platform, host, remote), "--repository"),
        issuer=options.one("--issuer"),
        pins=_pins(options),
    )
    file = PLATFORMS[platform](job)
    steps = on_our_service(platform, job, identity) if _is_ours(job) else Steps((), ())
    written = _write(root, file, force="--force" in options.flags) if "--write" in options.flags else None
    if "--json" in options.flags:
        json_data(_document(platform, job, identity, file, steps, written))
    else:
        _show(platform, job, identity, file, steps, written)
    return _create(options, job, steps) if "--create" in options.flags else EXIT_OK


# --- what is known, and what is asked for ----------------------------------------------------------------------------


def _may_ask(options: Options) -> bool:
    if {"--no-input", "--json"} & options.flags or os.environ.get("CI"):
        return False
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def _asked(question: str, default: str | None) -> str:
    sys.stderr.write(f"{question}{f' [{default}]' if default else ''}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise UsageError("the questions were not answered", hint="Give the options instead: keyless setup --help")
    return answer.strip() or default or ""


def _platform(options: Options, host: str, *, ask: bool) -> str:
    guess = _HOSTS.get(host)
    name = options.one("--provider") or (_asked("CI platform", guess) if ask else guess)
    if name is None:
        raise UsageError(
            "which CI platform runs the job?", hint=f"Say --provider with one of: {', '.join(sorted(PLATFORMS))}."
        )
    if name not in PLATFORMS:
        from difflib import get_close_matches

        close = get_close_matches(name.lower(), PLATFORMS, n=1)
        raise UsageError(
            f"--provider {name[:40]!r} is not a platform that keyless knows",
            hint=f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(PLATFORMS))}.",
        )
    return name


def _job(options: Options, *, ask: bool) -> Job:
    endpoint = read_endpoint(os.environ, options.one("--endpoint"))
    texts = options.values.get("--resource") or []
    if not texts and (variable := os.environ.get("HF_OIDC_RESOURCE")):
        texts = [variable]
    if not texts and ask:
        texts = _asked("Publish to (acme/model, datasets/acme/data, …)", None).split()
    if not texts:
        raise UsageError("what shall the job publish to?", hint="Say --resource acme/model.")
    resources = tuple(parse_resource(text, base_url=endpoint) for text in texts)
    kinds = {resource.type for resource in resources if resource.type in PACKAGE_TYPES}
    if kinds and (len(kinds) > 1 or any(resource.type not in kinds for resource in resources)):
        raise UsageError("one job publishes to one registry", hint="Call setup once for each kind of package.")
    if kinds and endpoint == HUB:
        raise UsageError("where is the package registry?", hint="Say --endpoint with its URL.")
    folders = tuple(options.values.get("--folder") or ())
    if folders and len(folders) != len(resources):
        raise UsageError(
            f"--folder was given {len(folders)} times for {len(resources)} resources",
            hint="Give it once for each --resource, in the same order.",
        )
    branch = options.one("--branch") or (_asked("Branch that publishes", "main") if ask else "main")
    file_name = options.one("--file-name") or "publish.yml"
    if not _FILE_NAME.fullmatch(file_name):
        raise UsageError(
            f"--file-name {file_name[:60]!r} is no name of a workflow's file", hint="For example train.yml."
        )
    environment = options.one("--environment")
    return Job(
        resources=resources,
        endpoint=endpoint,
        branch=_plain(branch, "--branch") or "main",
        environment=_plain(environment, "--environment"),
        file_name=file_name,
        install=options.one("--install") or WHEEL,
        folders=folders,
    )


def _plain(value: str | None, option: str) -> str | None:
    if value is not None and not _NAME.fullmatch(value):
        raise UsageError(
            f"{option} {value[:60]!r} has characters that would have to be quoted in the file",
            hint="Use letters, digits and . _ / + - here, and change the written file by hand.",
        )
    return value


def _pins(options: Options) -> dict[str, str]:
    pins = {}
    for text in options.values.get("--pin", []):
        name, found, value = text.partition("=")
        if not found or not name or not value:
            raise UsageError("--pin takes NAME=VALUE", hint="For example --pin repository_id=456789")
        pins[name] = value
    return pins


def _root(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def _remote(root: Path) -> tuple[str, str]:
    """Return host and path of the repository's remote `origin`; empty texts where there is none.

    Reads git's file instead of running git: a program of that name in a folder of somebody else is not started here.
    """
    try:
        with (root / ".git" / "config").open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return "", ""
    found = _REMOTE_SECTION.search(text)
    parts = _REMOTE.fullmatch(found[1]) if found else None
    return (parts[1].lower(), parts[2]) if parts else ("", "")


def _repository(platform: str, host: str, path: str) -> str | None:
    if not path or NEEDS[platform].repository is None or not _NAME.fullmatch(path):
        return None
    if platform == "circleci":
        return f"{host}/{path}"
    return None if platform == "buildkite" else path


# --- what comes out --------------------------------------------------------------------------------------------------


def _write(root: Path, file: CiFile, *, force: bool) -> Path:
    path = root / file.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as out:
            out.write(file.text)
        if file.text.startswith("#!"):
            path.chmod(0o755)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already", hint="Leave --write out to see what would be in it, or say --force."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def _show(platform: str, job: Job, identity: Identity, file: CiFile, steps: Steps, written: Path | None) -> None:
    if written is None:
        note(f"# {file.path}")
        data(file.text.rstrip("\n"))
    else:
        note(f"wrote {written}")
    for sentence in file.before:
        note(f"first: {sentence}")
    if _is_ours(job):
        note(f"the publisher, at {job.endpoint}:")
        note("\n".join(f"  {line}" for line in steps.commands))
        note("\n".join(f"  put in {name}: {where}" for name, where in steps.missing) or "  nothing is left to fill in")
        return
    fields = on_the_hub(platform, job, identity)
    if not fields:
        note(f"The Hub's form has no publisher for {platform} by name; see its documentation of trusted publishers.")
        return
    for resource in job.resources:
        note(f"the publisher of {resource.short}: {settings_page(resource, job.endpoint)} > Trusted Publishers")
    note("\n".join(f"  {name}: {value}" for name, value in fields))


def _document(
    platform: str, job: Job, identity: Identity, file: CiFile, steps: Steps, written: Path | None
) -> dict[str, object]:
    hub = {} if _is_ours(job) else dict(on_the_hub(platform, job, identity))
    return {
        "provider": platform,
        "endpoint": job.endpoint,
        "file": {"path": file.path, "text": file.text, "written": None if written is None else str(written)},
        "before": list(file.before),
        "publisher": {
            "commands": list(steps.commands),
            "missing": dict(steps.missing),
            "form": hub,
            "pages": [] if _is_ours(job) else [settings_page(r, job.endpoint) for r in job.resources],
        },
    }


def _is_ours(job: Job) -> bool:
    """Tell whether the publishers are made at a service of one's own, and not on the Hub."""
    return job.needs_endpoint or job.packages


def _create(options: Options, job: Job, steps: Steps) -> int:
    if not _is_ours(job):
        raise UsageError("publishers on the Hub are made in its settings", hint="Leave --create out.")
    if steps.missing:
        lacking = ", ".join(name for name, _ in steps.missing)
        raise UsageError(f"--create does not know {lacking}", hint="Give them with --pin, --repository or --issuer.")
    from keyless.cli.main import VERBS

    store = [word for name in _STORE if (value := options.one(name)) for word in (name, value)]
    for line in steps.commands:
        _, verb, *words = shlex.split(line)
        __import__(VERBS[verb][0])  # the service's packages, which a job's installation need not have
        if code := int(sys.modules[VERBS[verb][0]].run([*words, *store])):
            return code
    return EXIT_OK
