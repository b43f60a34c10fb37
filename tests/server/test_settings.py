from __future__ import annotations

import time
from pathlib import Path

import pytest

from keyless.errors import ConfigurationError
from keyless.http.guarded import GuardedFetcher
from keyless.server.settings import check_public_url, is_loopback, load_settings, load_store_settings
from keyless.server.sign_in.provider import IdentityProvider

GOOD = 'public_url = "https://hub.example.org"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "keyless.toml"
    path.write_text(text)
    return path


def test_one_setting_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """D19: everything but the public URL has a default."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    settings = load_settings()

    assert (settings.token_ttl_seconds, settings.leeway_seconds, settings.database) == (3600, 30, Path("keyless.db"))
    assert settings.warnings == ()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D19: one image, one file, differences by environment; an empty variable is no variable."""
    monkeypatch.setenv("KEYLESS_CONFIG", str(write(tmp_path, GOOD + 'log_level = "debug"\nleeway_seconds = 10\n')))
    monkeypatch.setenv("KEYLESS_LEEWAY_SECONDS", "20")
    monkeypatch.setenv("KEYLESS_LOG_LEVEL", "")
    settings = load_settings()

    assert (settings.leeway_seconds, settings.log_level) == (20, "debug")


def test_paths_in_the_file_are_meant_from_the_file(tmp_path: Path) -> None:
    """D4: where the service is started from does not matter."""
    settings = load_settings(write(tmp_path, GOOD + 'database = "data/keyless.db"\nhub_directory = "/srv/hub"\n'))

    assert (settings.database, settings.hub_directory) == (tmp_path / "data/keyless.db", Path("/srv/hub"))


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("", "public_url"),
        ('public_url = ""', "public_url"),
        ('public_url = "https://hub.example.org/"', "public_url"),
        ('public_url = "http://hub.example.org"', "public_url"),
        ('public_url = "ftp://hub.example.org"', "public_url"),
        ('public_url = "hub.example.org"', "public_url"),
        ('public_url = "https://hub.example.org?x=1"', "public_url"),
        ('public_url = "https://me@hub.example.org"', "public_url"),
        ('public_url = "https://Hub.example.org"', "public_url"),
        ('public_url = "https://hub.example.org:443"', "public_url"),
        ('public_url = "https://hub.example.org:port"', "public_url"),
        ('public_url = "https://h\u00fcb.example.org"', "public_url"),
        ('public_url = "https://hub_.example.org"', "public_url"),
        ('public_url = "sigstore"', "public_url"),
        ('public_url = "https://github.com"', "public_url"),
        ("public_url = 5", "public_url"),
        (GOOD + 'listen = "8080"', "listen"),
        (GOOD + 'listen = "127.0.0.1:99999"', "listen"),
        (GOOD + 'listen = "::1:8080"', "listen"),
        (GOOD + 'inside_listen = ":8081"', "inside_listen"),
        (GOOD + "token_ttl_seconds = 3601", "token_ttl_seconds"),
        (GOOD + "token_ttl_seconds = 0", "token_ttl_seconds"),
        (GOOD + 'token_ttl_seconds = "soon"', "token_ttl_seconds"),
        (GOOD + "leeway_seconds = 61", "leeway_seconds"),
        (GOOD + "leeway_seconds = -1", "leeway_seconds"),
        (GOOD + 'error_profile = "other"', "error_profile"),
        (GOOD + 'token_profile = "other"', "token_profile"),
        (GOOD + 'log_level = "loud"', "log_level"),
        (GOOD + 'log_format = "xml"', "log_format"),
        (GOOD + "database = 5", "database"),
        (GOOD + "listn = 1", "listn"),
        (GOOD + 'key_encryption_key = "in the file"', "key_encryption_key"),
        (GOOD + "[table", "keyless.toml"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(tmp_path: Path, text: str, setting: str) -> None:
    """D19, T41, T43: the error names the setting and the file."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, text))

    assert setting in str(caught.value)
    if text:
        assert "keyless.toml" in str(caught.value)


def test_a_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D19: the place is the environment, also when the file has the setting too."""
    monkeypatch.setenv("KEYLESS_LEEWAY_SECONDS", "99")
    with pytest.raises(ConfigurationError, match="environment variable KEYLESS_LEEWAY_SECONDS"):
        load_settings(write(tmp_path, GOOD + "leeway_seconds = 5\n"))


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    """D19: one round of corrections is enough."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, 'leeway_seconds = 99\nlog_level = "loud"\n'))

    assert all(name in str(caught.value) for name in ("public_url", "leeway_seconds", "log_level"))


@pytest.mark.parametrize(
    "line",
    ['"acme.semaphoreci.com" = "x"', '"https://acme.semaphoreci.com" = ""', '"https://acme.semaphoreci.com" = "a b"'],
)
def test_fixed_audiences_that_cannot_be_meant(tmp_path: Path, line: str) -> None:
    """T43: an issuer by its URL, and something that a token can carry."""
    with pytest.raises(ConfigurationError, match="fixed_audiences"):
        load_settings(write(tmp_path, f"{GOOD}\n[fixed_audiences]\n{line}\n"))


def test_fixed_audiences_by_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is JSON in the environment."""
    monkeypatch.setenv("KEYLESS_FIXED_AUDIENCES", '{"https://a.example": "b"}')

    assert load_settings(write(tmp_path, GOOD)).fixed_audiences == {"https://a.example": "b"}


LOGIN = """
[sign_in]
issuer = "https://login.example.org"
client_id = "keyless"
client_secret_file = "login.secret"
roles_claim = "groups"
roles = { ml = ["owner:acme"], all = ["auditor", "viewer:labs"] }
"""


def test_the_identity_providers_secret_lies_beside_the_settings(tmp_path: Path) -> None:
    """A path in a table is meant from the file's place as well."""
    login = load_settings(write(tmp_path, GOOD + LOGIN)).sign_in

    assert login is not None
    assert login.client_secret_file == tmp_path / "login.secret"
    assert (login.scopes, login.algorithms, login.network) == (("openid", "profile"), ("RS256",), "public")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"owner:acme"', '"owner"'),
        ('"owner:acme"', '"owner:a/b"'),
        ('"owner:acme"', '"admin:acme"'),
        ('"owner:acme"', '"root"'),
        ("client_id", 'algorithms = ["HS256"]\nclient_id'),
        ("client_id", 'algorithms = ["none"]\nclient_id'),
        ("client_id", 'scopes = ["profile"]\nclient_id'),
        ("client_id", 'client_secret = "in the file"\nclient_id'),
        ('"keyless"', '"key less"'),
        ("roles_claim", "role_claim"),
    ],
)
def test_an_identity_provider_that_cannot_be_meant(tmp_path: Path, old: str, new: str) -> None:
    """D13: a role that is none, a signature that proves nothing, or a slip of the pen stops the start."""
    with pytest.raises(ConfigurationError, match="sign_in"):
        load_settings(write(tmp_path, GOOD + LOGIN.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("pages", "old", "new", "mode", "words"),
    [
        ("", "", "", 0o600, "pages_url"),
        ('pages_url = "https://trust.example.org"\n', "", "", 0o644, "chmod 600"),
        ('pages_url = "https://trust.example.org"\n', "login.secret", "no.such", 0o600, "no.such"),
        ('pages_url = "https://trust.example.org"\n', "https://login", "http://login", 0o600, "sign_in"),
        ('pages_url = "https://trust.example.org"\n', "https://login", "login at", 0o600, "sign_in"),
        ('pages_url = "https://trust.example.org"\n', "client_id", 'network = "moon"\nclient_id', 0o600, "moon"),
        ('pages_url = "https://trust.example.org"\n', "", "", 0o600, ""),
    ],
)
def test_an_identity_provider_is_checked_at_the_start(
    tmp_path: Path, pages: str, old: str, new: str, mode: int, words: str
) -> None:
    """S02, S04: its address, its network and the secret's file; not when the first person wants to sign in."""
    secret = tmp_path / "login.secret"
    secret.write_text("s3cret\n")
    secret.chmod(mode)
    settings = load_settings(write(tmp_path, pages + GOOD + LOGIN.replace(old, new, 1)))
    if not words:
        found = IdentityProvider.of(settings, GuardedFetcher(), clock=time.time, monotonic=time.monotonic)
        assert found is not None
        assert found.name == "login.example.org"
        return
    with pytest.raises(ConfigurationError) as caught:
        IdentityProvider.of(settings, GuardedFetcher(), clock=time.time, monotonic=time.monotonic)
    assert words in f"{caught.value} {caught.value.hint}"


def test_a_variable_that_nearly_is_a_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D19: a slip of the pen does not silently mean the default."""
    monkeypatch.setenv("KEYLESS_TOKEN_TTL_SECOND", "600")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, GOOD))

    assert "token_ttl_seconds" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "name", ["PRECEDENCE", "ID_TOKEN", "ID_TOKEN_VAR", "INSECURE_HTTP_HOSTS", "RESOURCE", "CONFIG"]
)
def test_the_clients_variables_are_not_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """D1: one machine may have both."""
    path = write(tmp_path, GOOD)
    monkeypatch.setenv(f"KEYLESS_{name}", str(path))

    assert load_settings(path).public_url == "https://hub.example.org"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """D19: a path with a typing error does not mean the defaults."""
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        load_settings(tmp_path / "missing.toml")


def test_the_key_encryption_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """S8, D21: not in repr, text or a dump, and not in an error about something else."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("KEYLESS_KEY_ENCRYPTION_KEY", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I")
    settings = load_settings()
    shown = repr(settings) + str(settings.model_dump()) + settings.model_dump_json()
    monkeypatch.setenv("KEYLESS_LEEWAY_SECONDS", "99")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert "c2Vjcm" not in shown + str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
    assert settings.key_encryption_key is not None
    assert settings.key_encryption_key.reveal().startswith("c2Vjcm")


def test_a_short_lifetime_is_allowed_and_warned_of(tmp_path: Path) -> None:
    """D7: the Hub's client would exchange on every call."""
    settings = load_settings(write(tmp_path, GOOD + "token_ttl_seconds = 300\n"))

    assert "exchanges again" in settings.warnings[0]


def test_commands_on_the_store_do_without_a_public_url(tmp_path: Path) -> None:
    """D19: `keyless audit list` needs a database only."""
    settings = load_store_settings(write(tmp_path, 'database = "x.db"\n'))

    assert (settings.public_url, settings.database) == (None, tmp_path / "x.db")


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.example.org",
        "https://hub.example.org:8443/keyless",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "https://192.0.2.7",
    ],
)
def test_an_origin_of_our_own_is_accepted(url: str) -> None:
    """D19, D27: https, or plain http on this machine."""
    assert check_public_url(url) == url


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("a.localhost", True), ("127.9.9.9", True), ("::1", True), ("localhost.evil.org", False)],
)
def test_loopback_is_what_never_leaves_the_machine(host: str, expected: bool) -> None:
    """D27: by name and by address."""
    assert is_loopback(host) is expected
