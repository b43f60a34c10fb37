from __future__ import annotations

import pytest

from keyless.errors import ConfigurationError
from keyless.secret import Secret
from tests.server.store.world import PUBLIC_URL, World


def test_the_default_resource_server_is_our_own_origin(world: World) -> None:
    """D19: one origin for token service and hub; asking again changes nothing."""
    before = world.store.trust_version()
    server = world.store.ensure_default_resource_server(PUBLIC_URL, "keyless")

    assert (server.name, server.audience, server.token_prefix) == ("hub", PUBLIC_URL, "kl_")
    assert world.store.trust_version() == before


def test_the_default_resource_server_follows_the_settings(world: World) -> None:
    """D6, D19: another public URL or token profile is taken over at the next start, with its publishers."""
    server = world.store.ensure_default_resource_server("https://new.example.org", "huggingface")

    assert [server] == list(world.store.resource_servers())
    assert server.user_token_prefix == "hf_oauth_"
    assert world.admin.publisher(world.publisher.id).audience == "https://new.example.org"


def test_a_resource_server_is_known_by_its_credential(world: World) -> None:
    """T106: name and credential together; the credential is nowhere in the database."""
    credential = world.admin.add_resource_server("registry", audience="https://registry.example.org")

    assert world.store.resource_server_audience("registry", credential) == "https://registry.example.org"
    assert world.store.resource_server_audience("hub", credential) is None
    assert world.store.resource_server_audience("nobody", credential) is None
    assert world.store.resource_server_audience("reg\ud800", credential) is None
    assert world.store.resource_server_audience("registry", Secret(credential.reveal() + "x")) is None
    stored = world.rows("SELECT name, audience, credential_hash FROM resource_server")
    assert credential.reveal() not in str(stored)
    assert credential.reveal() not in str(world.rows("SELECT data FROM audit_event"))


def test_a_resource_server_without_credential_may_not_ask(world: World) -> None:
    """T106: not even with an empty one."""
    for text in ("", "\0" * 32, "hub"):
        assert world.store.resource_server_audience("hub", Secret(text)) is None


def test_a_new_credential_ends_the_old_one(world: World) -> None:
    """T97: a leaked credential can be replaced."""
    old = world.admin.add_resource_server("registry", audience="https://registry.example.org")
    new = world.store.renew_resource_server_credential("registry", actor="test")

    assert new is not None
    assert world.store.resource_server_audience("registry", old) is None
    assert world.store.resource_server_audience("registry", new) is not None
    assert world.store.renew_resource_server_credential("nobody", actor="test") is None


def test_a_resource_server_in_use_is_not_removed(world: World) -> None:
    """T91: tokens would lose their audience."""
    world.admin.add_resource_server("registry", audience="https://registry.example.org")
    world.admin.remove_resource_server("registry")

    with pytest.raises(ConfigurationError, match="publishers"):
        world.admin.remove_resource_server("hub")
    with pytest.raises(ConfigurationError, match="no resource server"):
        world.admin.remove_resource_server("registry")


@pytest.mark.parametrize(
    ("name", "audience", "profile"),
    [
        ("Registry", "https://r.example.org", "keyless"),
        ("hub", "https://r.example.org", "keyless"),
        ("r", PUBLIC_URL, "keyless"),
        ("r", "sigstore", "keyless"),
        ("r", "http://r.example.org", "keyless"),
        ("r", "https://r.example.org", "other"),
    ],
    ids=["name", "taken name", "taken audience", "generic audience", "plain http", "profile"],
)
def test_a_resource_server_that_cannot_be_is_refused(world: World, name: str, audience: str, profile: str) -> None:
    """T43, T106: names and audiences are unique and specific."""
    with pytest.raises(ConfigurationError):
        world.admin.add_resource_server(name, audience=audience, profile=profile)
