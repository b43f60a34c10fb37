"""`keyless trust issuer …` about keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.server.cli import trust
from keyless.testing import FakeIssuer, Fault

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb of `keyless trust issuer` with `--json` and return what it printed."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("KEYLESS_DATABASE", str(tmp_path / "keyless.db"))

    def call(*argv: str, status: int = 0) -> Any:
        assert trust.run(["issuer", *argv, "--json"]) == status
        captured = capsys.readouterr()
        return json.loads(captured.out) if captured.out else captured.err

    return call


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as issuer:
        yield issuer


def test_adding_an_issuer_fetches_its_keys_once(run: Run, issuer: FakeIssuer) -> None:
    """S08: what was found is printed and kept."""
    added = run("add", issuer.url, "--kind", "github", "--network", "loopback")

    assert added["keys"]["kids"] == list(issuer.kids)
    assert added["keys"]["jwks_uri"] == issuer.jwks_uri
    assert "sub" in added["keys"]["claims_supported"]
    assert run("keys", issuer.url)["seen"] == list(issuer.kids)


def test_an_issuer_that_is_down_is_saved_with_a_warning(
    run: Run, issuer: FakeIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    """T39, K14: configuring does not depend on a remote that is slow or down; refresh tries again."""
    issuer.misbehave(Fault.UNAVAILABLE)
    argv = ["issuer", "add", issuer.url, "--kind", "github", "--network", "loopback"]
    assert trust.run(argv) == 0
    assert "its keys cannot be had" in capsys.readouterr().err
    assert run("refresh", issuer.url, status=5)["problem"]
    issuer.behave()

    assert run("refresh", issuer.url)["kids"] == list(issuer.kids)


def test_nothing_is_fetched_when_that_is_not_wanted(run: Run, issuer: FakeIssuer) -> None:
    """S08: for a machine that may not reach the issuer while the servers may."""
    assert run("add", issuer.url, "--kind", "github", "--network", "loopback", "--no-fetch")["keys"] is None
    assert not issuer.fetches["jwks"]


def test_distrusting_a_key_and_trusting_it_again(run: Run, issuer: FakeIssuer) -> None:
    """K15: by its id, known or not."""
    run("add", issuer.url, "--kind", "github", "--network", "loopback")

    assert run("distrust", issuer.url, issuer.key.kid)["distrusted"] == [issuer.key.kid]
    assert run("list")[0]["distrusted_kids"] == [issuer.key.kid]
    assert run("distrust", issuer.url, "unseen")["distrusted"] == sorted([issuer.key.kid, "unseen"])
    assert run("distrust", issuer.url, issuer.key.kid, "--undo")["distrusted"] == ["unseen"]
    assert "key id" in run("distrust", issuer.url, "a\nb", status=2)


def test_pinned_keys_have_an_end(run: Run, issuer: FakeIssuer, tmp_path: Path) -> None:
    """K13: from the start or later, and back to what the issuer publishes."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.key_set()))
    pin = ("--jwks-file", str(file), "--jwks-expires", "2099-01-31")
    added = run("add", "https://ci.inside.example.org", *pin)

    assert added["keys"]["kids"] == list(issuer.kids)
    assert added["keys_pinned_until"] > 0
    assert run("unpin-keys", "https://ci.inside.example.org")["pinned_until"] is None
    assert run("pin-keys", "https://ci.inside.example.org", *pin)["pinned_until"] == added["keys_pinned_until"]
    file.write_text("{}")
    assert "cannot be pinned" in run("pin-keys", "https://ci.inside.example.org", *pin, status=2)
    assert "go together" in run("add", "https://ci2.example.org", "--jwks-file", str(file), status=2)


def test_an_outbound_proxy_brings_its_list_of_hosts(run: Run) -> None:
    """D20: the issuer's host, that of the pinned key set, and those the operator adds; nothing with a password."""
    added = run(
        *("add", "https://ci.example.org", "--jwks-uri", "https://keys.example.org/jwks", "--no-fetch"),
        *("--outbound-proxy", "http://proxy.example.org:3128", "--outbound-host", "cdn.example.org"),
    )

    assert added["network"] == "proxy=http://proxy.example.org:3128,ci.example.org,keys.example.org,cdn.example.org"
    assert run("list")[0]["network"] == added["network"]
    refused = run("add", "https://b.example.org", "--outbound-proxy", "http://me:secret@proxy:1", status=2)
    assert "secret" not in refused
    for argv in (("--outbound-host", "x"), ("--outbound-proxy", "http://p:1", "--network", "private=10.0.0.0/8")):
        assert run("add", "https://b.example.org", *argv, status=2)
