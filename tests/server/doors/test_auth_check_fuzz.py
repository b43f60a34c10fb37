"""Whatever a client puts into its request, forward auth has one of its documented answers for it (V01, T18)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.testing import FakeIssuer
from tests.server.doors.test_auth_check import RULES, WRITE, Proxy
from tests.server.service import Service
from tests.support.asgi import ask

_headers = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)
_words = ["api", "models", "acme", "model", "other", "commit", "main", "..", ".", "", "%2e", "%2F", "%2f", "\u00e9"]
_paths = st.lists(
    st.sampled_from(_words) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=4), max_size=9
).map(lambda parts: "/" + "/".join(parts))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, first_start: Path, issuer: FakeIssuer) -> Iterator[Proxy]:
    """One proxy for all examples."""
    directory = tmp_path_factory.mktemp("fuzz") / "service"
    shutil.copytree(first_start, directory)
    service = Service(directory, issuer, forward_auth=RULES)
    service.add_publisher()
    yield Proxy(service)
    service.administration.close()
    service.app.close()


@pytest.mark.hypothesis
@given(_paths, st.sampled_from(["POST", "GET", "PUT", "post", ""]) | _headers, _headers, st.booleans())
def test_any_request_has_a_documented_answer(
    proxy: Proxy, uri: str, method: str, authorization: str, with_token: bool
) -> None:
    """V01, T18: 200, 401 or 403; and a token writes nothing but its own repository, whatever the address looks like."""
    headers = {**proxy.headers(proxy.token, method, uri)}
    if not with_token:
        headers["Authorization"] = authorization
    answer = ask(proxy.service.app.inside, "GET", "/auth/check", headers=headers)

    assert answer.status in {200, 401, 403}
    if answer.status == 200 and method == "POST" and "/commit/" in uri:
        assert uri.startswith(WRITE.removesuffix("main"))


@pytest.mark.hypothesis
@given(_headers)
def test_any_proxy_credential_is_refused(proxy: Proxy, credential: str) -> None:
    """T106: there is one that is right."""
    assert proxy.ask_with({"X-Keyless-Proxy": credential or ":"}).status == 407
