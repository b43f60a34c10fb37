from __future__ import annotations

import base64
import json
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.errors import ConfigurationError, UnavailableError
from keyless.jose.signing import SigningKey
from keyless.server.services.key_encryption import load_key_encryption_key
from keyless.server.services.keys import ACCESS_TOKEN_PURPOSE, RETIRED_PUBLISHED_SECONDS, SigningKeys
from keyless.server.settings import Settings
from keyless.server.store import Store, open_store

RAW = bytes(range(224, 256))  # holds both characters in which the base64 alphabets differ
KEY = base64.b64encode(RAW).decode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(public_url="https://hub.example.org", database=tmp_path / "keyless.db")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.database) as opened:
        yield opened


def key_file(settings: Settings) -> Path:
    assert isinstance(settings.database, Path)
    return settings.database.with_name("secret.key")


def change(store: Store, statement: str, *values: object) -> None:
    connection = sqlite3.connect(store.path)
    connection.execute(statement, values)
    connection.execute("UPDATE meta SET value = value + 1")
    connection.commit()
    connection.close()


def kids(keys: SigningKeys) -> list[str]:
    return [key["kid"] for key in json.loads(keys.jwks())["keys"]]


def test_the_first_start_makes_a_key_and_later_ones_find_it(store: Store, settings: Settings) -> None:
    """D21: tokens signed before a restart still verify after it."""
    first = SigningKeys.open(store, settings)
    second = SigningKeys.open(store, settings)

    assert first.active().kid == second.active().kid
    assert first.active().algorithm == "ES256"
    assert kids(second) == [first.active().kid]
    assert second.key_set().kids == {first.active().kid}


def test_what_is_published_verifies_and_tells_no_secret(store: Store, settings: Settings) -> None:
    """D21: public members only."""
    published = json.loads(SigningKeys.open(store, settings).jwks())["keys"][0]

    assert published.keys() == {"kty", "crv", "x", "y", "use", "kid", "alg"}


def test_the_private_part_is_nowhere_on_the_disk(store: Store, settings: Settings) -> None:
    """D21: a copy of the database alone signs nothing."""
    key = SigningKeys.open(store, settings).active()
    der = key.to_pkcs8()
    scalar = key.material.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    files = b"".join(path.read_bytes() for path in store.path.parent.iterdir())

    assert der not in files
    assert scalar not in files


def test_a_key_of_its_own_is_made_once_and_kept_private(store: Store, settings: Settings) -> None:
    """D21: secret.key beside the database, 0600, whole."""
    SigningKeys.open(store, settings)
    path = key_file(settings)
    content = path.read_bytes()
    SigningKeys.open(store, settings)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == content
    assert len(base64.urlsafe_b64decode(content.strip())) == 32
    assert [p.name for p in path.parent.glob(".secret*")] == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o606])
def test_a_key_file_that_others_can_touch_is_refused(store: Store, settings: Settings, mode: int) -> None:
    """D21: also when it was private once."""
    SigningKeys.open(store, settings)
    key_file(settings).chmod(mode)

    with pytest.raises(ConfigurationError, match="other users"):
        SigningKeys.open(store, settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_user_is_refused(store: Store, settings: Settings) -> None:
    """D21: whoever owns it can change it."""
    SigningKeys.open(store, settings)
    os.chown(key_file(settings), 12345, 12345)

    with pytest.raises(ConfigurationError, match="another user"):
        SigningKeys.open(store, settings)


def test_another_key_encryption_key_stops_the_start(store: Store, settings: Settings) -> None:
    """D21: nothing is overwritten or replaced in silence."""
    SigningKeys.open(store, settings)
    key_file(settings).write_bytes(base64.b64encode(bytes(32)))

    with pytest.raises(ConfigurationError, match="can be opened"):
        SigningKeys.open(store, settings)
    assert len(store.signing_keys(ACCESS_TOKEN_PURPOSE)) == 1


def test_another_issuers_rows_do_not_open(store: Store, settings: Settings) -> None:
    """D21: the issuer is part of what a row is bound to."""
    SigningKeys.open(store, settings)

    with pytest.raises(ConfigurationError):
        SigningKeys.open(store, settings.model_copy(update={"public_url": "https://other.example.org"}))


@pytest.mark.parametrize("column", ["encrypted_private", "nonce", "public_jwk", "algorithm", "kid"])
def test_a_tampered_row_is_never_published(
    store: Store, settings: Settings, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    """D21: not published, not used, and said so."""
    keys = SigningKeys.open(store, settings)
    good = keys.active().kid
    other = SigningKey.generate("ES256")
    row = keys._seal(other, state="pending")
    assert store.add_signing_key(row, actor="test")
    assert set(kids(keys)) == {good, other.kid}
    value: object = {
        "encrypted_private": bytes([row.encrypted_private[0] ^ 1]) + row.encrypted_private[1:],
        "nonce": bytes(12),
        "public_jwk": json.dumps(SigningKey.generate("ES256").public_jwk()),
        "algorithm": "ES384",
        "kid": "other",
    }[column]
    change(store, f"UPDATE signing_key SET {column} = ? WHERE kid = ?", value, other.kid)

    with caplog.at_level(logging.ERROR, "keyless.server"):
        fresh = SigningKeys.open(store, settings)

    assert kids(fresh) == [good]
    assert "signing key" in caplog.text


def test_two_rows_cannot_change_places(store: Store, settings: Settings) -> None:
    """D21: the private part of one row does not open under another's name."""
    keys = SigningKeys.open(store, settings)
    other = SigningKey.generate("ES256")
    row = keys._seal(other, state="pending")
    store.add_signing_key(row, actor="test")
    change(
        store,
        "UPDATE signing_key SET encrypted_private = ?, nonce = ? WHERE state = 'active'",
        row.encrypted_private,
        row.nonce,
    )

    with pytest.raises(ConfigurationError):
        SigningKeys.open(store, settings)


def test_keys_of_another_process_are_seen_at_once(store: Store, settings: Settings) -> None:
    """D4, T114: a pending key is published before it signs; a retired one until its last token is over."""
    keys = SigningKeys.open(store, settings)
    first = keys.active().kid
    other = SigningKey.generate("ES256")
    store.add_signing_key(keys._seal(other, state="pending"), actor="test")
    pending = (keys.active().kid, set(kids(keys)))
    now = int(store.clock())
    change(store, "UPDATE signing_key SET state = 'retired', retired_at = ? WHERE kid = ?", now, first)
    change(store, "UPDATE signing_key SET state = 'active' WHERE kid = ?", other.kid)
    rotated = (keys.active().kid, kids(keys))
    change(store, "UPDATE signing_key SET retired_at = ? WHERE kid = ?", now - RETIRED_PUBLISHED_SECONDS, first)

    assert pending == (first, {first, other.kid})
    assert rotated == (other.kid, [other.kid, first])
    assert kids(keys) == [other.kid]


def test_a_race_of_first_starts_makes_one_key(store: Store, settings: Settings) -> None:
    """D21: whoever is second takes the first one's key."""
    one = SigningKeys(store, load_key_encryption_key(settings), issuer=settings.public_url)
    assert store.add_signing_key(one._seal(SigningKey.generate("ES256"), state="active"), actor="a")

    assert not store.add_signing_key(one._seal(SigningKey.generate("ES256"), state="active"), actor="b")


def test_without_any_key_the_service_is_down_not_wrong(store: Store, settings: Settings) -> None:
    """D9: an outage, never a refusal."""
    with pytest.raises(UnavailableError):
        SigningKeys(store, load_key_encryption_key(settings), issuer=settings.public_url).active()


@pytest.mark.parametrize(
    "text",
    [KEY, KEY.rstrip("="), KEY.replace("+", "-").replace("/", "_"), f" {KEY}\n"],
    ids=["base64", "no padding", "base64url", "blanks"],
)
def test_the_key_may_come_from_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """D21: base64 in both alphabets, with or without padding."""
    monkeypatch.setenv("KEYLESS_KEY_ENCRYPTION_KEY", text)
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", settings.public_url)

    key = load_key_encryption_key(Settings())  # type: ignore[call-arg]

    assert key.reveal() == RAW
    assert repr(key) == "KeyEncryptionKey('***')"


@pytest.mark.parametrize("text", ["", "short", "not base64 !", KEY + "AAAA"], ids=["empty", "short", "junk", "long"])
def test_a_key_of_the_wrong_shape_is_refused_without_showing_it(settings: Settings, tmp_path: Path, text: str) -> None:
    """D21: the message names the file, never its content."""
    path = tmp_path / "kek"
    path.touch(mode=0o600)
    path.write_text(text)

    with pytest.raises(ConfigurationError, match="32 bytes") as caught:
        load_key_encryption_key(settings.model_copy(update={"key_encryption_key_file": path}))
    assert not text or text not in str(caught.value)


def test_a_missing_key_file_is_named(settings: Settings, tmp_path: Path) -> None:
    """D21: a named file is never made by itself."""
    with pytest.raises(ConfigurationError, match="missing"):
        load_key_encryption_key(settings.model_copy(update={"key_encryption_key_file": tmp_path / "missing"}))
