"""Write down everything that versions promise, out of the code itself (`make promises`); a test sees that it stays.

    .venv/bin/python -m scripts.promises [--check | --withdraw]

The record is tests/promises.json. What is new is added to it when a release is made; what is gone stops this program,
and the tests, until somebody decides that it may go (docs/versioning.md).
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from keyless.cli import grammar
from keyless.server.audit.event import EventKind
from keyless.server.doors.errors import ErrorProfile, answer_for
from keyless.server.metrics import Metrics
from keyless.server.settings import DoorSettings, Settings
from keyless.server.sign_in_settings import SignInSettings
from keyless.server.store.schema import SCHEMA_VERSION
from scripts.docs.api import DOCUMENT
from scripts.docs.errors import _ON_THE_WIRE, AUDIENCE, EXIT_CODES, error_classes, exits, specimen

ROOT: Final = Path(__file__).resolve().parent.parent
RECORD: Final = ROOT / "tests" / "promises.json"
MODULES: Final = (
    "keyless", "keyless.errors", "keyless.resource", "keyless.secret", "keyless.testing", "keyless.verifier",
    "keyless.verifier.asgi", "keyless.verifier.fastapi", "keyless.verifier.starlette", "keyless.verifier.wsgi",
)  # fmt: skip
"""What may be imported; every other module is ours to change."""
Promises = dict[str, list[str]]


def current() -> Promises:
    """Return what the code keeps today, by kind, each in words that a removal or a change makes disappear."""
    found = {
        "python": _python(),
        "error codes": _error_codes(),
        "exit codes": (f"{code}: {meaning}" for code, meaning in EXIT_CODES.items()),
        "reasons": _reasons(),
        "command line": _command_line(),
        "settings": _settings(),
        "http api": _http_api(),
        "audit events": (kind.value for kind in EventKind),
        "metrics": re.findall(r"^# TYPE (\S+ \S+)$", Metrics().text().decode(), re.MULTILINE),
        "package": _package(),
    }
    return {kind: sorted(set(lines)) for kind, lines in found.items()}


def _python() -> Iterator[str]:
    for module_name in MODULES:
        module = import_module(module_name)
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module_name
        ]
        for name in names:
            value = getattr(module, name)
            yield f"{module_name}.{name}"
            if inspect.isclass(value):
                yield from _members(f"{module_name}.{name}", value)
            if callable(value) and not (inspect.isclass(value) and issubclass(value, Enum)):
                yield from _parameters(f"{module_name}.{name}", value)


def _members(path: str, kind: type) -> Iterator[str]:
    for name in dir(kind):
        inherited = name in dir(Exception) or name in dir(dict) or name in dir(str)
        if name.startswith("_") or inherited:
            continue
        yield f"{path}.{name}"
        member = inspect.getattr_static(kind, name)
        if inspect.isfunction(member) or isinstance(member, classmethod | staticmethod):
            yield from _parameters(f"{path}.{name}", getattr(kind, name))


def _parameters(path: str, function: Any) -> Iterator[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a built-in
        return
    for part in parameters:
        if part.name != "self" and not part.name.startswith("_"):
            yield f"{path}({part.name}{'=' if part.default is not part.empty else ''})"


def _error_codes() -> Iterator[str]:
    for kind in error_classes():
        for code in exits(kind):
            yield f"{kind.code}: exit {code}"


def _reasons() -> Iterator[str]:
    for error in (*(specimen(kind) for kind in _ON_THE_WIRE), ValueError()):
        for profile in ErrorProfile:
            answer = answer_for(error, profile, audience=AUDIENCE)
            yield f"{answer.reason}: {answer.status} {answer.error} ({profile.value})"


def _command_line() -> Iterator[str]:
    for command in grammar.commands():
        words = " ".join(("keyless", *command.words))
        yield words
        yield from (f"{words} {option.name}{' VALUE' if option.value else ''}" for option in command.options)


def _settings() -> Iterator[str]:
    tables = (("", Settings), ("doors.NAME.", DoorSettings), ("sign_in.", SignInSettings))
    for prefix, model in tables:
        for name, field in model.model_fields.items():
            yield f"{prefix}{name}{' (needed)' if field.is_required() else ''}"


def _http_api() -> Iterator[str]:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            yield f"{method.upper()} {path}"
            yield f"{method.upper()} {path} is {call['operationId']}"
            yield from (f"{method.upper()} {path} answers {status}" for status in call["responses"])
    for name, schema in document["components"]["schemas"].items():
        yield from (f"{name}.{field}" for field in schema.get("properties", {}))


def _package() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield f"Python {project['requires-python']}"
    yield from (line for line in project["classifiers"] if line.startswith("Programming Language"))
    yield from (f"extra {name}" for name in project["optional-dependencies"])
    yield from (f"command {name}" for name in project["scripts"])
    for group, names in project["entry-points"].items():
        yield from (f"entry point {group} {name}" for name in names)
    yield f"opens databases up to schema {SCHEMA_VERSION}"


def recorded() -> Promises:
    """Return what is written down."""
    found: Promises = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def gone(before: Promises, now: Promises) -> list[str]:
    """Return what was promised and is not there any more. A newer schema is no loss."""
    lost = [f"{kind}: {line}" for kind, lines in before.items() for line in lines if line not in set(now.get(kind, ()))]
    return [line for line in lost if not line.startswith("package: opens databases up to schema ")]


def main() -> None:
    """Write the record, or say what is missing in it."""
    parser = argparse.ArgumentParser(description="Write down what versions promise.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 when the record is not current")
    parser.add_argument("--withdraw", action="store_true", help="also take out what is gone")
    options = parser.parse_args()
    before, now = (recorded() if RECORD.exists() else {}), current()
    lost = gone(before, now)
    if lost and not options.withdraw:
        sys.exit("promised, and gone:\n  " + "\n  ".join(lost) + "\nSee docs/versioning.md for what that takes.")
    if options.check:
        sys.exit(0 if before == now else "tests/promises.json is not current: run make promises")
    RECORD.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new = sum(len(set(lines) - set(before.get(kind, ()))) for kind, lines in now.items())
    print(f"{sum(map(len, now.values()))} promises, {new} of them new, {len(lost)} withdrawn")


if __name__ == "__main__":
    main()
