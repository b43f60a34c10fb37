"""The reference hub on our own origin: for the demo, for tests, and for trying things out (D19, D25).

It is a resource server like any other: it verifies tokens with the public verifier and asks the inside listener whether
they still stand. Only its credential is special: it is renewed at each start and never leaves the process.
"""

from __future__ import annotations

from collections.abc import Callable

from keyless.errors import ConfigurationError
from keyless.hub import create_hub
from keyless.hub.stored_tokens import StoredTokens, load_stored_tokens
from keyless.secret import Secret
from keyless.server.doors.http import Door
from keyless.server.services.keys import SigningKeys
from keyless.server.settings import Settings
from keyless.server.store import Store
from keyless.verifier import Introspection, ResourceStates, Verifier


def mount_hub(
    settings: Settings, store: Store, signing_keys: SigningKeys, *, inside_url: str
) -> tuple[Door, Callable[[], None]] | None:
    """Return the hub that serves what is not ours on the public listener, with what closes its connections.

    `None` when no hub is configured.

    Args:
        settings: `hub_directory` says where its repositories live.
        store: Holds the resource server that stands for our origin.
        signing_keys: Our keys; the hub need not fetch over the network what is in the same process.
        inside_url: Where the hub asks about tokens.

    Raises:
        ConfigurationError: `hub_directory` does not exist.
    """
    if settings.hub_directory is None:
        return None
    if not settings.hub_directory.is_dir():
        raise ConfigurationError(f"hub_directory: {settings.hub_directory} is not a directory")
    server = store.ensure_default_resource_server(settings.public_url, settings.token_profile)
    credential = store.renew_resource_server_credential(server.name, actor="serve") or Secret("")
    verifier = Verifier(
        settings.public_url,
        server.audience,
        introspection=Introspection(f"{inside_url}/oauth/introspect", server.name, credential),
        fetch=lambda _url: signing_keys.jwks(),
    )
    states = ResourceStates(inside_url, server.name, credential)
    tokens = {} if settings.hub_tokens_file is None else load_stored_tokens(settings.hub_tokens_file)
    hub = create_hub(
        settings.hub_directory,
        StoredTokens(verifier, tokens, states.publishers_only) if tokens else verifier,
        public_url=settings.public_url,
        on_created=states.created,
    )

    def close() -> None:
        verifier.close()
        states.close()

    return hub, close
