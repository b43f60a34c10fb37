"""Kubernetes service accounts: one issuer per cluster.

Source: Kubernetes docs, "Configure Service Accounts for Pods" and "Managing Service Accounts". An account that is
deleted and created again has its old name and a new UID, so both are pinned. `aud` is always a list. Clusters that
cannot be reached from outside get a pinned key set.
"""

from __future__ import annotations

import re
from typing import Final

from keyless.errors import InvalidClaimError
from keyless.issuers.profile import UUID, PinForm, Profile
from keyless.oidc.issuer import ReplayMode

_ACCOUNT: Final = PinForm(re.compile(r"[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}"), "NAMESPACE/NAME of the service account")


def _derive(claims: dict[str, str]) -> None:
    namespace, name = claims["namespace"], claims["service_account_name"]
    # Neither can hold a slash or a colon, so the two cannot be confused with another two (T67).
    if {"/", ":"} & {*namespace, *name} or claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
        raise InvalidClaimError("the token's subject is not the service account it describes", claim="sub")
    claims["service_account"] = f"{namespace}/{name}"


KUBERNETES: Final = Profile(
    kind="kubernetes",
    url_templates=(
        "https://oidc.eks.<region>.amazonaws.com/id/<cluster>",
        "https://oidc.eks.<region>.amazonaws.com.cn/id/<cluster>",
        "https://container.googleapis.com/v1/projects/<name>/locations/<region>/clusters/<name>",
        "https://<region>.oic.prod-aks.azure.com/<uuid>/<uuid>/",
    ),
    nested_claims={
        "namespace": ("kubernetes.io", "namespace"),
        "service_account_name": ("kubernetes.io", "serviceaccount", "name"),
        "service_account_uid": ("kubernetes.io", "serviceaccount", "uid"),
        "pod": ("kubernetes.io", "pod", "name"),
        "pod_uid": ("kubernetes.io", "pod", "uid"),
        "node": ("kubernetes.io", "node", "name"),
        "node_uid": ("kubernetes.io", "node", "uid"),
    },
    required_nested=("namespace", "service_account_name", "service_account_uid"),
    derived_claims=("service_account",),
    hidden_claims=frozenset({"service_account_name", "pod", "pod_uid", "node", "node_uid"}),
    ignored_claims=("kubernetes.io.warnafter",),
    pin_claims={"service_account": _ACCOUNT, "service_account_uid": UUID},
    glob_claims=frozenset(),
    denied={"sub": "not `system:serviceaccount:NAMESPACE:NAME` of the account described"},
    notes={
        "service_account": "`NAMESPACE/NAME`",
        "service_account_uid": "`kubectl get serviceaccount NAME -n NAMESPACE -o jsonpath='{.metadata.uid}'`",
        "pod": "whoever starts the pod names it",
    },
    derive=_derive,
    repository_claim="service_account",
    subject_claims=("sub", "namespace", "service_account_name", "service_account_uid", "pod", "pod_uid", "node"),
    replay=ReplayMode.COUNTED,  # a projected file is read again and again until the kubelet replaces it
)
