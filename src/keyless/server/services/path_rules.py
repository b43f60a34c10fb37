"""Which operation on which resource an HTTP request is: rules that an operator writes (T18, V20).

A TOML file, one table per resource server. The first rule whose methods and path fit decides; what no rule names is
refused. In a path `{name}` is one segment, or a part of one; `{name%2F}` may hold encoded slashes, for an upstream
that splits before it decodes; `{name*}` at the end is one segment or more.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keyless.errors import ConfigurationError, ResourceSyntaxError
from keyless.resource import Resource, parse_resource
from keyless.server.services.canonical_uri import SEGMENT_CHARS, UncanonicalUriError, canonical_path
from keyless.verifier.access_token import OPERATIONS

MAX_RULES_BYTES: Final = 1 << 20
DEFAULT_URI_HEADER: Final = "X-Original-URI"
DEFAULT_METHOD_HEADER: Final = "X-Original-Method"
TOKENS_OWN: Final = "token"
"""As a rule's `resource`: whatever the token is good for. The upstream looks at the identity headers itself."""

_VARIABLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)(%2F|\*)?\}")
_ONE: Final = rf"(?:{SEGMENT_CHARS}|%(?!2[Ff])[0-9A-F]{{2}})+"
_PATTERNS: Final = {
    None: _ONE,
    "%2F": rf"(?:{SEGMENT_CHARS}|%[0-9A-F]{{2}}|%2f)+",
    "*": rf"{_ONE}(?:/{_ONE})*",
}
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_SERVER_KEYS: Final = frozenset({"uri_header", "method_header", "rules"})
_RULE_KEYS: Final = frozenset({"methods", "path", "operations", "resource", "public"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Say what one kind of request needs.

    `operations`: one of these is enough. `resources`: templates, one of them must be what the token is good for; empty
    for `resource = "token"`. `public`: nothing is needed, and a token that is sent must still be good.
    """

    methods: frozenset[str]
    path: str
    pattern: re.Pattern[str]
    operations: frozenset[str]
    resources: tuple[str, ...]
    public: bool

    def resources_of(self, variables: Mapping[str, str]) -> tuple[Resource, ...]:
        """Return the resources that a request is about; a text that is no resource's name is left out."""
        found = []
        for template in self.resources:
            try:
                found.append(parse_resource(_VARIABLE.sub(lambda match: variables[match[1]], template)))
            except ResourceSyntaxError:
                continue
        return tuple(found)


@dataclass(frozen=True, slots=True)
class PathRules:
    """Hold the rules of one resource server, and the headers in which its proxy names the request."""

    uri_header: str
    method_header: str
    rules: tuple[Rule, ...]

    def find(self, method: str, path: str) -> tuple[Rule, dict[str, str]] | None:
        """Return the first rule for a request and the variables of its path, or `None`.

        Args:
            method: As sent; compared letter by letter.
            path: As `canonical_path` returns it.
        """
        for rule in self.rules:
            if method in rule.methods and (match := rule.pattern.fullmatch(path)):
                return rule, match.groupdict()
        return None


def load_path_rules(file: Path) -> dict[str, PathRules]:
    """Read the rules by the name of their resource server.

    Raises:
        ConfigurationError: The file cannot be read, or a rule cannot work; the message names it.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_RULES_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"forward_auth: {file} cannot be read: {error.strerror}") from None
    if len(text) > MAX_RULES_BYTES:
        raise ConfigurationError(f"forward_auth: {file} is larger than {MAX_RULES_BYTES} bytes")
    try:
        return parse_path_rules(tomllib.loads(text.decode("utf-8")))
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationError(f"forward_auth: {file}: {error}") from None


def parse_path_rules(content: Mapping[str, Any]) -> dict[str, PathRules]:
    """Read the rules from a parsed file; see `load_path_rules`.

    Raises:
        ConfigurationError: A rule cannot work; the message names it.
    """
    _only(content, frozenset({"servers"}), "the file")
    servers = content.get("servers")
    if not isinstance(servers, dict) or not servers:
        raise ConfigurationError("there is no table [servers.NAME] for a resource server")
    return {name: _parse_server(name, table) for name, table in servers.items()}


def _parse_server(name: str, table: object) -> PathRules:
    where = f"servers.{name}"
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table")
    _only(table, _SERVER_KEYS, where)
    headers = [table.get("uri_header", DEFAULT_URI_HEADER), table.get("method_header", DEFAULT_METHOD_HEADER)]
    for header in headers:
        if not isinstance(header, str) or not _HEADER.fullmatch(header):
            raise ConfigurationError(f"{where}: {header!r} is not the name of a header")
    rules = table.get("rules")
    if not isinstance(rules, list) or not rules:
        raise ConfigurationError(f"{where} has no rules")
    parsed = tuple(_parse_rule(f"{where}, rule {number}", rule) for number, rule in enumerate(rules, 1))
    return PathRules(headers[0].lower(), headers[1].lower(), parsed)


def _parse_rule(where: str, rule: object) -> Rule:
    if not isinstance(rule, dict):
        raise ConfigurationError(f"{where} is not a table")
    _only(rule, _RULE_KEYS, where)
    methods = _texts(rule, "methods", where)
    if not methods or (bad := [method for method in methods if not _METHOD.fullmatch(method)]):
        raise ConfigurationError(f"{where}: methods must name HTTP methods in capitals, not {bad if methods else []!r}")
    path = rule.get("path")
    if not isinstance(path, str):
        raise ConfigurationError(f"{where} has no path")
    public = rule.get("public", False)
    if not isinstance(public, bool):
        raise ConfigurationError(f"{where}: public must be true or false")
    operations, resources = _texts(rule, "operations", where), _texts(rule, "resource", where)
    if public and (operations or resources):
        raise ConfigurationError(f"{where} is public, so it needs neither operations nor resource")
    if not public and not (operations and resources):
        raise ConfigurationError(f"{where} needs operations and resource, or public = true")
    if unknown := set(operations) - OPERATIONS:
        raise ConfigurationError(f"{where}: unknown operation {min(unknown)!r}")
    pattern, variables = _compile(path, where)
    if resources == (TOKENS_OWN,):
        resources = ()
    for template in resources:
        _check_template(template, variables, where)
    return Rule(frozenset(methods), path, pattern, frozenset(operations), resources, public)


def _compile(path: str, where: str) -> tuple[re.Pattern[str], dict[str, str | None]]:
    variables: dict[str, str | None] = {}
    pattern, position = "", 0
    for match in _VARIABLE.finditer(path):
        name, kind = match[1], match[2]
        if name in variables:
            raise ConfigurationError(f"{where}: the variable {name} occurs twice in {path!r}")
        between = path[position : match.start()]
        if variables and "/" not in between and between.lower() != "%2f":
            # Two readings of one segment would be two resources of one request.
            raise ConfigurationError(f"{where}: only / or %2f can stand between two variables in {path!r}")
        if kind == "*" and match.end() != len(path):
            raise ConfigurationError(f"{where}: {{{name}*}} must end the path {path!r}")
        variables[name] = kind
        pattern += f"{re.escape(between)}(?P<{name}>{_PATTERNS[kind]})"
        position = match.end()
    pattern += re.escape(path[position:])
    try:
        canonical_path(_VARIABLE.sub("x", path))
    except UncanonicalUriError as error:
        raise ConfigurationError(f"{where}: no request can match the path {path!r}: {error}") from None
    return re.compile(pattern), variables


def _check_template(template: str, variables: Mapping[str, str | None], where: str) -> None:
    for match in _VARIABLE.finditer(template):
        if match[2] is not None or variables.get(match[1], "") is not None:
            raise ConfigurationError(f"{where}: resource {template!r} uses {match[0]}, which is no plain {{variable}}")
    try:
        # Any three segments need a type in front; which one decides the request.
        parse_resource(_VARIABLE.sub("x", re.sub(r"^\{[^}]*\}(?=/.*/)", "models", template)))
    except ResourceSyntaxError as error:
        raise ConfigurationError(f"{where}: resource {template!r}: {error}") from None


def _texts(rule: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = rule.get(name, [])
    values: Sequence[object] = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) and item for item in values):
        raise ConfigurationError(f"{where}: {name} must be a text or a list of texts")
    return tuple(str(item) for item in values)


def _only(table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    if unknown := sorted(table.keys() - known):
        raise ConfigurationError(f"{where}: unknown key {unknown[0]!r}", hint=f"Keys: {', '.join(sorted(known))}.")
