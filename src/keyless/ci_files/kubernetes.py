"""Kubernetes: a projected token for our audience (Kubernetes docs, "Service account token volume projection")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, scalar


def write(job: Job) -> CiFile:
    """Return a Job whose pod has a token of its service account for the service."""
    endpoint = (
        ["          env:", "            - name: HF_ENDPOINT", f"              value: {scalar(job.endpoint)}"]
        if job.needs_endpoint
        else []
    )
    lines = [
        "apiVersion: batch/v1",
        "kind: Job",
        "metadata:",
        "  name: publish",
        "  namespace: ci",
        "spec:",
        "  template:",
        "    spec:",
        "      serviceAccountName: publisher",
        "      automountServiceAccountToken: false # the default token is for the cluster only",
        "      restartPolicy: Never",
        "      containers:",
        "        - name: publish",
        "          image: python:3.12",
        *endpoint,
        '          command: ["sh", "-ceu"]',
        "          args:",
        "            - |",
        block(job.commands(), indent=14),
        "          volumeMounts:",
        "            - name: keyless",
        "              mountPath: /var/run/secrets/keyless # never with subPath: that one is not renewed",
        "              readOnly: true",
        "      volumes:",
        "        - name: keyless",
        "          projected:",
        "            sources:",
        "              - serviceAccountToken:",
        "                  path: token",
        f"                  audience: {scalar(job.audience)}",
        "                  expirationSeconds: 3600",
    ]
    before = ("Make the service account of this job: kubectl create serviceaccount publisher --namespace ci",)
    return CiFile("publish-job.yaml", "\n".join(lines) + "\n", before)
