"""The grammar of a resource (S4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import ConfigurationError, ResourceSyntaxError
from keyless.resource import MAX_RESOURCE_CHARS, PACKAGE_TYPES, RESERVED_NAMESPACES, ResourceType, parse_resource

GOOD = [
    ("acme/model", ResourceType.MODEL, "models/acme/model", "acme/model"),
    ("models/acme/model", ResourceType.MODEL, "models/acme/model", "acme/model"),
    ("datasets/acme/data", ResourceType.DATASET, "datasets/acme/data", "datasets/acme/data"),
    ("spaces/acme/app", ResourceType.SPACE, "spaces/acme/app", "spaces/acme/app"),
    ("kernels/acme/k", ResourceType.KERNEL, "kernels/acme/k", "kernels/acme/k"),
    ("buckets/acme/b", ResourceType.BUCKET, "buckets/acme/b", "buckets/acme/b"),
    ("acme", ResourceType.USER, "users/acme", "acme"),
    ("users/acme", ResourceType.USER, "users/acme", "acme"),
    ("a1/b.c_d-e", ResourceType.MODEL, "models/a1/b.c_d-e", "a1/b.c_d-e"),
    ("pypi/acme-wheel", ResourceType.PYPI, "pypi/acme-wheel", "pypi/acme-wheel"),
    ("pypi/Acme_.Wheel", ResourceType.PYPI, "pypi/acme-wheel", "pypi/acme-wheel"),
    ("npm/ui", ResourceType.NPM, "npm/ui", "npm/ui"),
    ("npm/@acme/ui.kit_2", ResourceType.NPM, "npm/@acme/ui.kit_2", "npm/@acme/ui.kit_2"),
    ("cargo/acme_core", ResourceType.CARGO, "cargo/acme_core", "cargo/acme_core"),
    ("gem/acme.core", ResourceType.GEM, "gem/acme.core", "gem/acme.core"),
    ("oci/app", ResourceType.OCI, "oci/app", "oci/app"),
    ("oci/acme/team/app__x--y", ResourceType.OCI, "oci/acme/team/app__x--y", "oci/acme/team/app__x--y"),
]


@pytest.mark.parametrize(("text", "kind", "canonical", "short"), GOOD, ids=[case[0] for case in GOOD])
def test_accepted_spellings(text: str, kind: ResourceType, canonical: str, short: str) -> None:
    """Many spellings are read, one is written, and what is written reads as the same."""
    resource = parse_resource(text)

    assert (resource.type, str(resource), resource.short) == (kind, canonical, short)
    assert parse_resource(canonical) == parse_resource(short) == resource


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "a/b/c",
        "datasets",
        "datasets/a",
        "datasets/a/b/c",
        "datasets/datasets/a",
        "api/x",
        "oauth/token",
        "users/a/b",
        "a b",
        "a/b ",
        "a/b\n",
        "a/..",
        "a/.b",
        "a/b.",
        "a/-b",
        "a/b-",
        "a/b--c",
        "a/b..c",
        "a/b.git",
        "a/b.GIT",
        "ä/b",
        "a/" + "b" * 97,
        "a/b?c",
        "a/b#c",
        "a/b%2Fc",
        "https://hub.example.org/a/b",
        "x" * (MAX_RESOURCE_CHARS + 1),
        "pypi",
        "pypi/",
        "pypi/a/b",
        "pypi/-a",
        "pypi/a-",
        "pypi/ä",
        "npm/UI",
        "npm/a/b",
        "npm/@acme",
        "npm/@/ui",
        "npm/@acme/ui/x",
        "npm/.hidden",
        "npm/_hidden",
        "npm/a%2fb",
        "npm/a..b",
        "npm/" + "a" * 215,
        "cargo/1a",
        "cargo/a.b",
        "gem/-a",
        "oci/App",
        "oci/a//b",
        "oci/a/",
        "oci/a..b",
        "oci/a:latest",
        "oci/../a",
    ],
)
def test_refused_spellings(text: str) -> None:
    """Nothing that a path or a URL could understand otherwise; the error is one of configuration."""
    with pytest.raises(ResourceSyntaxError) as caught:
        parse_resource(text)

    assert isinstance(caught.value, ConfigurationError)
    assert len(caught.value.message) < 500


def test_below_the_public_url() -> None:
    """D22: URIs below our own URL are accepted, and only below it."""
    base = "https://hub.example.org/prefix"

    assert str(parse_resource(f"{base}/datasets/a/b", base_url=base)) == "datasets/a/b"
    with pytest.raises(ResourceSyntaxError):
        parse_resource("https://hub.example.org/datasets/a/b", base_url=base)


@given(st.text(max_size=300))
def test_any_text_is_a_resource_or_a_syntax_error(text: str) -> None:
    """No other exception, and reading back what is written changes nothing."""
    try:
        resource = parse_resource(text)
    except ResourceSyntaxError:
        return

    assert parse_resource(str(resource)) == resource
    assert (resource.namespace in RESERVED_NAMESPACES) is (resource.type in PACKAGE_TYPES)
