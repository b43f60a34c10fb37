"""CircleCI: one issuer per organisation, and a root issuer for all of them.

Source: CircleCI docs, "Using OpenID Connect tokens in jobs" and "OIDC tokens with custom claims". The tokens in a job's
environment are for the organisation's UUID; one for us is asked for with `circleci run oidc get`. Names of claims hold
a slash and dots. Every organisation's issuer answers with the same keys, so the URL alone separates nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from keyless.errors import ConfigurationError, InvalidClaimError, MissingClaimError
from keyless.issuers.profile import UUID, Attributes, Guard, Profile, bare_ref, name_ref
from keyless.oidc.issuer import ReplayMode

ROOT_ISSUER: Final = "https://oidc.circleci.com"
_ORG_ISSUER: Final = f"{ROOT_ISSUER}/org/"
_NAMESPACE: Final = "oidc.circleci.com/"
ORG_ID: Final = f"{_NAMESPACE}org-id"
PROJECT_ID: Final = f"{_NAMESPACE}project-id"
DEFINITION_ID: Final = f"{_NAMESPACE}pipeline-definition-id"
CONTEXT_IDS: Final = f"{_NAMESPACE}context-ids"
VCS_ORIGIN: Final = f"{_NAMESPACE}vcs-origin"
VCS_REF: Final = f"{_NAMESPACE}vcs-ref"
SSH_RERUN: Final = f"{_NAMESPACE}ssh-rerun"


def _reject(claims: Mapping[str, object]) -> None:
    # V15, T76: whoever may rerun a job with SSH types what it does. M02: a claim that is not there says nothing.
    rerun = claims.get(SSH_RERUN)
    if rerun is None:
        raise MissingClaimError(f"the token has no {SSH_RERUN!r} claim", claim=SSH_RERUN)
    if rerun is not False:  # T82: a boolean here; a text of any spelling is not the platform's
        raise InvalidClaimError("the job was rerun with SSH: a person can type what it does", claim=SSH_RERUN)
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer.startswith(_ORG_ISSUER) and claims.get(ORG_ID) != issuer[len(_ORG_ISSUER) :]:
        raise InvalidClaimError("the token's organisation is not the one of its issuer", claim=ORG_ID)


def _derive(claims: dict[str, str]) -> None:
    if VCS_REF in claims:
        name_ref(claims, claims[VCS_REF])


def _guards(attributes: Attributes) -> Sequence[Guard]:
    if VCS_ORIGIN in attributes:
        # T75: a fork's build has the project's ids, and gets a token where "pass secrets to forks" is on.
        return [Guard(VCS_ORIGIN, "a fork's pipeline carries the same project id")]
    return [Guard(DEFINITION_ID, "a pipeline started by a custom webhook names no repository")]


def _normalise(claim: str, value: str) -> str:
    if claim.startswith("context:") and value != "true":
        raise ConfigurationError(f"claim {claim!r} is true or absent", hint=f"Write {claim}=true.")
    return bare_ref(claim, value)


CIRCLECI: Final = Profile(
    kind="circleci",
    default_url=ROOT_ISSUER,
    url_templates=(f"{_ORG_ISSUER}<uuid>",),
    required_claims=(ORG_ID, PROJECT_ID),
    optional_claims=(
        DEFINITION_ID,
        VCS_ORIGIN,
        VCS_REF,
        f"{_NAMESPACE}pipeline-id",
        f"{_NAMESPACE}workflow-id",
        f"{_NAMESPACE}job-id",
    ),
    list_claims={CONTEXT_IDS: "context"},
    derived_claims=("ref", "branch", "tag"),
    hidden_claims=frozenset(
        {VCS_REF, f"{_NAMESPACE}pipeline-id", f"{_NAMESPACE}workflow-id", f"{_NAMESPACE}job-id"},
    ),
    pin_claims={ORG_ID: UUID, PROJECT_ID: UUID},
    glob_claims=frozenset({"branch", "tag", "ref"}),
    denied={
        SSH_RERUN: "`true`, absent, or no boolean",
        ORG_ID: "not the one in an issuer `…/org/<uuid>`",
    },
    guarded={
        VCS_ORIGIN: "it is there: a fork's pipeline differs from yours in nothing else",
        DEFINITION_ID: f"there is no `{VCS_ORIGIN}`",
    },
    notes={
        VCS_ORIGIN: "such as `github.com/acme/widgets`; the fork's in a fork's pipeline, absent with a custom webhook",
        CONTEXT_IDS: "`context:<uuid>` is `true` for each context of the job; a context can be kept to some people",
        DEFINITION_ID: "which configuration of the project",
        "ref": f"`{VCS_REF}`",
        "branch": f"out of `{VCS_REF}`",
        "tag": f"out of `{VCS_REF}`",
    },
    reject=_reject,
    derive=_derive,
    guards=_guards,
    normalise=_normalise,
    repository_claim=VCS_ORIGIN,
    subject_claims=(
        ORG_ID,
        PROJECT_ID,
        VCS_ORIGIN,
        VCS_REF,
        DEFINITION_ID,
        f"{_NAMESPACE}pipeline-id",
        f"{_NAMESPACE}workflow-id",
        f"{_NAMESPACE}job-id",
    ),
    replay=ReplayMode.COUNTED,  # D8; no `jti` is documented
)
