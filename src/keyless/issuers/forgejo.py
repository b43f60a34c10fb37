"""Forgejo Actions: Codeberg and other instances.

Source: Forgejo docs, "Forgejo Actions | Security OpenID Connect" (15.0 and newer). GitHub's protocol with other claims:
no `jti`, no environment, and nothing that says whether a job is defined in a called workflow (M05 cannot be checked).
`sub` joins names and ids with `-`, which names may hold (T67), so it is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keyless.issuers.github import GUARDED_EVENTS
from keyless.issuers.profile import Attributes, Guard, Profile, bare_ref, fold_ascii, name_ref
from keyless.oidc.issuer import ReplayMode

# Forgejo reads the first of these that a commit has, so within one commit a file name is unique.
WORKFLOW_FOLDERS: Final = ("/.forgejo/workflows/", "/.gitea/workflows/", "/.github/workflows/")


def _own_file(claims: Attributes) -> str | None:
    """Return the file name out of `owner/repo/.forgejo/workflows/file.yml@ref`, of the own repository and ref (T70)."""
    reference, repository = claims.get("workflow_ref", ""), claims.get("repository", "")
    if not repository or fold_ascii(reference[: len(repository)]) != fold_ascii(repository):
        return None
    rest = reference[len(repository) :]
    for folder in WORKFLOW_FOLDERS:
        if rest.startswith(folder):
            file, _at, ref = rest[len(folder) :].partition("@")
            own = ref and ref in {claims.get("ref"), claims.get("sha")}
            return file if file and "/" not in file and own else None
    return None


def _derive(claims: dict[str, str]) -> None:
    if (ref := claims.get("ref")) is not None:
        name_ref(claims, ref)
        ref_type = claims.get("ref_type")
        for kind in ("branch", "tag"):
            if ref_type not in {None, "", kind}:
                claims.pop(kind, None)  # T88: the prefix and `ref_type` have to agree
    if (file := _own_file(claims)) is not None:
        claims["workflow"] = file


def _guards(attributes: Attributes) -> Sequence[Guard]:
    if (event := attributes.get("event_name", "")) in GUARDED_EVENTS:
        return [Guard("event_name", f"the event {event!r} can run a stranger's input with this identity")]
    return ()


def _normalise(claim: str, value: str) -> str:
    if claim == "workflow":
        return value.removeprefix(WORKFLOW_FOLDERS[0].removeprefix("/"))
    return bare_ref(claim, value)


FORGEJO: Final = Profile(
    kind="forgejo",
    url_templates=("https://<host>/api/actions", "https://<host>/<name>/api/actions"),
    required_claims=("repository", "repository_id", "repository_owner_id", "workflow_ref", "event_name", "run_id"),
    optional_claims=(
        "repository_owner",
        "ref",
        "ref_type",
        "ref_protected",
        "sha",
        "actor",
        "actor_id",
        "run_number",
        "run_attempt",
    ),
    derived_claims=("branch", "tag", "workflow"),
    hidden_claims=frozenset({"workflow_ref", "actor", "run_id", "run_number"}),
    ignored_claims=("workflow (as the token spells it)", "head_ref", "base_ref"),
    id_claims=("repository_id", "repository_owner_id"),
    glob_claims=frozenset({"branch", "tag", "ref"}),
    folded_claims=frozenset({"repository", "repository_owner"}),
    guarded={"event_name": "`pull_request*`, `workflow_run`, `issue_comment`"},
    notes={
        "repository_id": "unique within one instance: the issuer counts too",
        "workflow": "file name out of `workflow_ref`, of the token's own repository at its own ref or commit; whether"
        " the job is defined in a workflow that this one calls, nothing says",
        "branch": "out of `ref`",
        "tag": "out of `ref`",
        "ref_protected": "`true` or `false`",
    },
    derive=_derive,
    guards=_guards,
    normalise=_normalise,
    repository_claim="repository",
    subject_claims=(
        "repository",
        "repository_id",
        "repository_owner_id",
        "ref",
        "workflow_ref",
        "event_name",
        "sha",
        "run_id",
        "run_number",
        "run_attempt",
        "actor",
    ),
    max_lifetime_seconds=3600,  # an instance's setting; 1 h in the documentation's sample
    max_age_seconds=3600,
    replay=ReplayMode.ONCE,  # D8: a job can always mint again
)
