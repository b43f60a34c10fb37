"""The lines to write into the user's CI file, in the language of the platform the job runs on. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from keyless.ci_files.job import scalar


def is_github_like(environ: Mapping[str, str]) -> bool:
    """Return whether the job's file is a workflow: GitHub, Forgejo, Gitea and act share the language."""
    return bool(environ.get("GITHUB_ACTIONS"))


def is_gitlab(environ: Mapping[str, str]) -> bool:
    """Return whether the job's file is a `.gitlab-ci.yml`."""
    return bool(environ.get("GITLAB_CI"))


def set_variable(environ: Mapping[str, str], name: str, value: str) -> str:
    """Return how to give a variable a value."""
    if is_github_like(environ):
        return f"Write this at the step (or the job) in the workflow file:\n    env:\n      {name}: {scalar(value)}"
    if is_gitlab(environ):
        return f"Write this at the job in .gitlab-ci.yml:\n    variables:\n      {name}: {scalar(value)}"
    return f"Set it in the job's environment:\n    export {name}={shlex.quote(value)}"


def check_variable(environ: Mapping[str, str], name: str) -> str:
    """Return which line to look at when a variable's value may be misspelt."""
    if not environ.get(name):
        return f"{name} is not set in this job; it was given on the command line, or the default is used."
    return f"Is this line right? {set_variable(environ, name, environ[name].strip())}"


def unset_variable(environ: Mapping[str, str], name: str) -> str:
    """Return how to take a variable away."""
    if is_github_like(environ):
        return f"Delete the line `{name}: …` under env: in the workflow file."
    if is_gitlab(environ):
        return f"Delete `{name}` under variables: in .gitlab-ci.yml, or under Settings > CI/CD > Variables."
    return f"Take it out of the job's environment:\n    unset {name}"


def rename_variable(environ: Mapping[str, str], wrong: str, right: str) -> str:
    """Return how to write a variable's name right. Its value may be a secret and is not repeated."""
    if wrong.upper() == right:
        return f"Write its name in capitals: {right}"
    if is_github_like(environ):
        return f"Under env: in the workflow file, write `{right}:` instead of `{wrong}:`."
    if is_gitlab(environ):
        return f"Under variables: or id_tokens: in .gitlab-ci.yml, write `{right}:` instead of `{wrong}:`."
    return f'Give it its right name:\n    export {right}="${wrong}"; unset {wrong}'


def change_events() -> str:
    """Return what starts a workflow whose identity is its own."""
    return (
        "Publish from an event that only people with write access can start, in the workflow file:\n"
        "    on:\n      push:\n        branches: [main]"
    )
