"""Azure DevOps Pipelines: one issuer per organisation, one fixed audience for everybody.

Source: Microsoft Learn, "Oidctoken - Create" (Azure DevOps REST API), and tokens of pipelines. Nobody can choose the
audience, so every service that takes these tokens can be shown one meant for another (T43): the ids are pinned, `jti`
is required, and a token counts once. All organisations share one key set, so the URL alone separates nobody. The issuer
is announced to retire on 2027-07-01 for plain pipeline tokens; its successor is added by URL with `--kind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from keyless.errors import InvalidClaimError
from keyless.issuers.profile import UUID, Attributes, Guard, Profile, bare_ref, name_ref
from keyless.oidc.issuer import ReplayMode

AUDIENCE: Final = "api://AzureADTokenExchange"
_ISSUER: Final = "https://vstoken.dev.azure.com/"


def _reject(claims: Mapping[str, object]) -> None:
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer.startswith(_ISSUER) and claims.get("org_id") != issuer[len(_ISSUER) :]:
        raise InvalidClaimError("the token's organisation is not the one of its issuer", claim="org_id")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.startswith("p://"):
        raise InvalidClaimError("the token speaks for a service connection, not for a pipeline", claim="sub")


def _derive(claims: dict[str, str]) -> None:
    if "rpo_ref" in claims:
        name_ref(claims, claims["rpo_ref"])


def _guards(attributes: Attributes) -> Sequence[Guard]:
    if attributes.get("ref", "").startswith("refs/pull/"):
        # T75: no claim says whether the pull request comes from a fork.
        return [Guard("ref", "a pull request's pipeline can run a stranger's code")]
    return ()


AZURE_DEVOPS: Final = Profile(
    kind="azure-devops",
    url_templates=(f"{_ISSUER}<uuid>",),
    required_claims=("org_id", "prj_id", "def_id", "jti"),
    optional_claims=("rpo_id", "rpo_uri", "rpo_ver", "rpo_ref", "run_id"),
    derived_claims=("sub", "ref", "branch", "tag"),
    hidden_claims=frozenset({"jti", "rpo_ref", "rpo_ver", "run_id"}),
    id_claims=("def_id",),
    pin_claims={"org_id": UUID, "prj_id": UUID},
    glob_claims=frozenset({"branch", "tag", "ref"}),
    denied={
        "org_id": "not the one in the issuer",
        "sub": "anything but a pipeline's `p://…`: a service connection names no pipeline",
    },
    guarded={"ref": "`refs/pull/…`"},
    notes={
        "aud": f"always `{AUDIENCE}`",
        "jti": "required, because the audience is everybody's: a token counts once",
        "def_id": "the pipeline's definition",
        "sub": "`p://ORGANISATION/PROJECT/PIPELINE`: names, compared as a whole and never trusted alone",
        "rpo_uri": "URL of the repository",
        "ref": "`rpo_ref`",
        "branch": "out of `rpo_ref`",
        "tag": "out of `rpo_ref`",
    },
    reject=_reject,
    derive=_derive,
    guards=_guards,
    normalise=bare_ref,
    repository_claim="sub",
    subject_claims=("sub", "org_id", "prj_id", "def_id", "rpo_uri", "rpo_ref", "rpo_ver", "run_id"),
    fixed_audience=AUDIENCE,
    max_lifetime_seconds=900,  # V12: about 300 s; `nbf` lies 600 s before `iat`
    max_age_seconds=900,
    replay=ReplayMode.ONCE,  # D8: a job can always mint again
)
