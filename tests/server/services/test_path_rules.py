"""The rules of forward auth: what they match, and which files stop the start (T18, V20)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.services.path_rules import PathRules, load_path_rules, parse_path_rules

ROOT = Path(__file__).resolve().parents[3]
GOOD: dict[str, Any] = {
    "methods": ["PUT"],
    "path": "/{namespace}/{name}/files/{file*}",
    "operations": ["write"],
    "resource": "models/{namespace}/{name}",
}


def rules(*changes: dict[str, Any], **server: Any) -> PathRules:
    """Return rules that are good but for these changes; `None` leaves a key out."""
    made = [{k: v for k, v in {**GOOD, **change}.items() if v is not None} for change in changes or ({},)]
    return parse_path_rules({"servers": {"hub": {"rules": made, **server}}})["hub"]


def test_rule_names_operation_and_resource() -> None:
    """V20: what the request wants comes out of method and path."""
    found = rules().find("PUT", "/acme/model/files/a/b.txt")

    assert found is not None
    assert found[0].operations == {"write"}
    assert found[0].resources_of(found[1]) == (parse_resource("acme/model"),)


@pytest.mark.parametrize(
    "method, path",
    [
        ("put", "/acme/model/files/a"),
        ("GET", "/acme/model/files/a"),
        ("PUT", "/acme/model/files"),
        ("PUT", "/acme/model/files/"),
        ("PUT", "/acme/model/Files/a"),
        ("PUT", "/acme/model/files/a/"),
        ("PUT", "/acme/model/x/files/a"),
        ("PUT", "/acme%2Fmodel/files/a"),
        ("PUT", "/acme/a%2Fb/files/a"),
        ("PUT", "/acme/model/files/a%2Fb"),
        ("PUT", "/x/acme/model/files/a"),
    ],
)
def test_one_change_matches_no_rule(method: str, path: str) -> None:
    """T18: method and path are compared letter by letter, and no encoded slash is anything's part."""
    assert rules().find(method, path) is None


def test_encoded_slash_only_where_a_rule_says_so() -> None:
    """T18: `refs%2Fpr%2F1` is a revision; npm's scoped names are spelled out."""
    branch = rules({"path": "/{namespace}/{name}/tree/{revision%2F}"})
    npm = rules({"path": "/@{namespace}%2f{name}"})

    assert branch.find("PUT", "/acme/model/tree/refs%2Fpr%2F1")
    assert not branch.find("PUT", "/acme/model/tree/refs/pr/1")
    found = npm.find("PUT", "/@acme%2fwidgets")
    assert found is not None
    assert found[0].resources_of(found[1]) == (parse_resource("acme/widgets"),)
    assert not npm.find("PUT", "/@acme/widgets")


def test_first_rule_decides() -> None:
    """V20: the order is the operator's."""
    both = rules({"path": "/a/{name}", "resource": "acme/{name}"}, {"path": "/{x}/{name}", "resource": "users/{name}"})

    found = both.find("PUT", "/a/b")
    assert found is not None
    assert found[0].path == "/a/{name}"


def test_several_resources_and_one_that_is_none() -> None:
    """T18: a text that is no resource's name stands for nothing."""
    either = rules({"path": "/{namespace}/{name}", "resource": ["{namespace}/{name}", "users/{namespace}"]})

    for path, expected in (("/acme/m", ["models/acme/m", "users/acme"]), ("/acme/m--x", ["users/acme"])):
        found = either.find("PUT", path)
        assert found is not None
        assert [str(resource) for resource in found[0].resources_of(found[1])] == expected


@pytest.mark.parametrize(
    "change, text",
    [
        ({"methods": None}, "methods"),
        ({"methods": ["put"]}, "capitals"),
        ({"methods": "*"}, "capitals"),
        ({"path": None}, "no path"),
        ({"path": "{namespace}/{name}"}, "slash"),
        ({"path": "/a/../b", "resource": "token"}, "relative"),
        ({"path": "/A//{name}", "resource": "token"}, "empty"),
        ({"path": "/{name}/{name}", "resource": "token"}, "twice"),
        ({"path": "/{namespace}-{name}"}, "between two variables"),
        ({"path": "/{namespace}{name}"}, "between two variables"),
        ({"path": "/{namespace*}/{name}"}, "must end"),
        ({"path": "/{Name}", "resource": "token"}, "character"),
        ({"path": "/{namespace}/{name%2F}"}, "plain"),
        ({"path": "/{namespace}/{name*}"}, "plain"),
        ({"resource": "models/{namespace}/{other}"}, "plain"),
        ({"resource": "models/{namespace}"}, "resource"),
        ({"resource": None}, "needs operations and resource"),
        ({"operations": None}, "needs operations and resource"),
        ({"operations": ["admin"]}, "unknown operation"),
        ({"operations": [1]}, "texts"),
        ({"public": True}, "neither"),
        ({"public": "yes"}, "true or false"),
        ({"method": "PUT"}, "unknown key"),
    ],
)
def test_rule_that_cannot_work_stops_the_start(change: dict[str, Any], text: str) -> None:
    """D9: the message says which rule of which server, and what is wrong."""
    with pytest.raises(ConfigurationError, match=r"servers.hub, rule 1.*" + text):
        rules(change)


@pytest.mark.parametrize(
    "content, text",
    [
        ("", "servers"),
        ("servers = 1", "servers"),
        ("[servers.hub]", "no rules"),
        ("[servers.hub]\nrules = []", "no rules"),
        ("[servers]\nhub = 1", "not a table"),
        ("[servers.hub]\nrules = [1]", "rule 1 is not a table"),
        ('[servers.hub]\nuri_header = "a b"', "header"),
        ("[servers.hub]\nrule = []", "unknown key"),
        ("x = 1", "unknown key"),
        ("x", "x"),
    ],
)
def test_file_that_cannot_work_stops_the_start(tmp_path: Path, content: str, text: str) -> None:
    """D9: the message names the file."""
    file = tmp_path / "rules.toml"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match=rf"forward_auth: .*rules.toml.*{text}"):
        load_path_rules(file)


def test_missing_file_stops_the_start(tmp_path: Path) -> None:
    """D9: no rules is not the same as none wanted."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_path_rules(tmp_path / "none.toml")


@pytest.mark.parametrize("file", sorted((ROOT / "deploy" / "forward-auth").glob("*.toml")), ids=lambda file: file.name)
def test_shipped_rules_load(file: Path) -> None:
    """D25: each example is a file that works."""
    assert load_path_rules(file).keys() == tomllib.loads(file.read_text())["servers"].keys()
