"""The fields of the form for a new publisher: from a pasted address, or from an exchange that was refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlencode, urlsplit

from keyless.errors import ClaimError
from keyless.issuers.profile import Profile
from keyless.server.audit.reader import AuditRecord

HOSTS: Final[Mapping[str, str]] = {"github.com": "github", "gitlab.com": "gitlab"}
CLAIMS: Final = ("branch", "tag", "workflow", "environment")
MAX_URL_CHARS: Final = 2000
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)


def from_url(url: str) -> dict[str, str]:
    """Return what an address of a repository, of a workflow or of its file tells; nothing for any other text.

    Knows `https://github.com/acme/widgets`, `…/blob/main/.github/workflows/train.yml`,
    `…/actions/workflows/train.yml`, `…/tree/main`, and GitLab's `https://gitlab.com/group/sub/widgets/-/…`.
    """
    url = url.strip()
    if len(url) > MAX_URL_CHARS or not url.isprintable():
        return {}
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError:
        return {}
    provider = HOSTS.get((parts.hostname or "").lower().removeprefix("www."))
    if parts.scheme not in {"https", "http"} or provider is None:
        return {}
    names = [unquote(name) for name in parts.path.split("/") if name]
    fields = _github(names) if provider == "github" else _gitlab(names)
    return {"provider": provider, **fields} if fields else {}


def _github(names: list[str]) -> dict[str, str]:
    if len(names) < 2 or not all(map(_PART.fullmatch, names[:2])):
        return {}
    found = {"repository": f"{names[0]}/{names[1].removesuffix('.git')}"}
    rest = names[2:]
    if rest[:2] == ["actions", "workflows"] and len(rest) > 2:
        found["workflow"] = rest[2]
    elif rest[:1] in (["blob"], ["tree"], ["edit"]) and len(rest) > 1:
        # A branch may hold slashes: the file's folder says where it ends.
        folder = rest.index(".github") if ".github" in rest else len(rest)
        found["branch"] = "/".join(rest[1:folder])
        if rest[folder : folder + 2] == [".github", "workflows"] and len(rest) > folder + 2:
            found["workflow"] = rest[folder + 2]
    return found


def _gitlab(names: list[str]) -> dict[str, str]:
    end = names.index("-") if "-" in names else len(names)
    place, rest = names[:end], names[end + 1 :]
    if len(place) < 2 or not all(map(_PART.fullmatch, place)):
        return {}
    found = {"repository": "/".join(place).removesuffix(".git")}
    if rest[:1] in (["blob"], ["tree"]) and len(rest) > 1:
        last = len(rest) - 1 if rest[0] == "blob" and len(rest) > 2 else len(rest)
        found["branch"] = "/".join(rest[1:last])
    return found


def prefilled_from(event: AuditRecord, profile: Profile) -> str | None:
    """Return the query of the form that would let exactly this job in, or `None` where nobody should be led to that.

    The values are the claims that came with a good signature; everything is shown and judged again before it counts. A
    run that may be a stranger's is not offered at all (V15).
    """
    if event.issuer is None or event.resource is None:
        return None
    try:
        attributes = profile.attributes({"iss": event.issuer, **event.claims})
    except ClaimError:  # nothing can be said of such claims
        return None
    named = {guard.claim for guard in profile.guards(attributes)}
    if named - {"workflow", "job_workflow"}:
        return None
    fields = {"resource": event.resource, "issuer": event.issuer, "from": str(event.id)}
    if profile.repository_claim is not None and attributes.get(profile.repository_claim):
        fields["repository"] = attributes[profile.repository_claim]
    fields |= {name: attributes[name] for name in CLAIMS if attributes.get(name)}
    if "job_workflow" in named and attributes.get("job_workflow"):
        fields["claim.job_workflow"] = attributes["job_workflow"]
    for claim in (*profile.pin_claims, *profile.id_claims):
        if attributes.get(claim):
            fields[f"pin.{claim}"] = attributes[claim]
    return urlencode(fields)
