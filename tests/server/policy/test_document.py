"""Policy files: what they may say, and what is said of those that say something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyless.errors import ConfigurationError
from keyless.server.policy.document import make_schema, parse_policy, policy_json, read_policy, schema_text

TOML = """
version = 1
namespaces = ["acme"]

[[issuer]]
url = "https://ci.example.org"
immutable_claims = ["project_uuid"]

[[publisher]]
resource = "acme/model"
provider = "github"
claims = { repository = "acme/train", branch = ["main", "release/*"] }
pins = { repository_id = "11", repository_owner_id = "22" }
expires_at = 2027-01-31
ttl_seconds = 600
"""


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    """D13: whichever a team likes better; and what the API is sent says it again."""
    (tmp_path / "policy.toml").write_text(TOML)
    policy = read_policy([tmp_path / "policy.toml"])
    (tmp_path / "policy.json").write_text(json.dumps(policy_json(policy)))

    assert read_policy([tmp_path / "policy.json"]) == policy
    new = policy.publishers[0].new_publisher()
    assert new.claims == {"repository": ["acme/train"], "branch": ["main", "release/*"]}
    assert new.expires_at == 1801353600  # 2027-01-31T00:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-31", 1801353600),
        ('"2027-01-31"', 1801353600),
        ("2027-01-31T01:00:00+01:00", 1801353600),
        ('"2027-01-31T00:00:00Z"', 1801353600),
        ("1801353600", 1801353600),
    ],
)
def test_a_moment_has_several_spellings(text: str, seconds: int) -> None:
    """D13: a date is midnight UTC, a number is Unix seconds."""
    import tomllib

    document = tomllib.loads(TOML.replace("2027-01-31", text))

    assert parse_policy(document).publishers[0].expires_at == seconds


def test_files_are_put_together(tmp_path: Path) -> None:
    """D13: one file for each team; they are one policy."""
    (tmp_path / "a.toml").write_text(TOML)
    (tmp_path / "b.toml").write_text(TOML.replace("acme", "other").replace("ci.example", "ci2.example"))
    policy = read_policy([tmp_path / "a.toml", tmp_path / "b.toml"])

    assert list(policy.namespaces) == ["acme", "other"]
    assert [entry.resource for entry in policy.publishers] == ["acme/model", "other/model"]
    assert len(policy.issuers) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("version = 1", "version = 2"), "version"),
        (("version = 1", ""), "version"),
        (('"acme/model"', "7"), "publisher.1.resource"),
        (("ttl_seconds", "ttl"), "publisher.1.ttl"),
        (("600", "59"), "publisher.1.ttl_seconds"),
        (("600", '"600"'), "publisher.1.ttl_seconds"),
        (("2027-01-31", '"soon"'), "publisher.1.expires_at"),
        (("2027-01-31", "12:00:00"), "publisher.1.expires_at"),
        (('repository_id = "11"', "repository_id = 11"), "publisher.1.pins.repository_id"),
        (("[[publisher]]", "[publisher]"), "publisher"),
        (("[[issuer]]", "[[issuers]]"), "issuers"),
        (('["acme"]', '"acme"'), "namespaces"),
        (("version = 1", "version = "), "TOML"),
        (("acme/train", "acme/tr\u0430in"), "publisher.1.claims.repository"),
    ],
)
def test_what_a_policy_cannot_say_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    """D13: the file, the member, and no half-read policy."""
    file = tmp_path / "policy.toml"
    file.write_text(TOML.replace(*change, 1))

    with pytest.raises(ConfigurationError) as caught:
        read_policy([file])
    assert str(file) in str(caught.value)
    assert named in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"version": 1, "version": 1}', b"x" * 3_000_000])
@pytest.mark.parametrize("name", ["policy.toml", "policy.json"])
def test_any_bytes_are_read_or_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """V05: a hostile file is an error with its name, nothing else."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError, match=name):
        read_policy([tmp_path / name])


def test_the_schema_in_the_repository_is_that_of_the_code() -> None:
    """D13: editors complete what is really read. Write it anew with `make_schema` when this fails."""
    assert schema_text() == make_schema()
    assert json.loads(schema_text())["additionalProperties"] is False


def test_the_policy_of_the_page_can_be_read(tmp_path: Path) -> None:
    """docs/policy.md: an example that does not work is worse than none."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text()
    (tmp_path / "policy.toml").write_text(page.split("```toml file=policy.toml\n")[1].split("```")[0])

    assert read_policy([tmp_path / "policy.toml"]).publishers[0].ttl_seconds == 900
