"""A publisher in words: for a terminal, as JSON, and as the lines its job needs. Pure."""

from __future__ import annotations

from typing import Final

from keyless.cli.terminal import visible
from keyless.resource import PACKAGE_TYPES
from keyless.server.cli.package_text import id_token_audience, package_job_lines
from keyless.server.cli.store_access import moment
from keyless.trust.publisher import Condition, Operator, Pin, Publisher

HEADER: Final = ("ID", "RESOURCE", "ISSUER", "JOB", "IDS", "OPERATIONS", "LAST USED", "STATE")


def table_row(publisher: Publisher) -> tuple[str, ...]:
    """Return the cells of one line of `trust list`."""
    job = ", ".join(f"{c.claim}={'|'.join(c.values)}" for c in publisher.conditions)
    ids = ", ".join(f"{pin.claim}={pin.value}" if pin.value else f"{pin.claim} unpinned" for pin in publisher.pins)
    return (
        publisher.id,
        publisher.resource.short,
        publisher.issuer_kind if publisher.issuer_kind != "generic" else publisher.issuer_url,
        job or "-",
        ids or "-",
        ",".join(publisher.operations),
        moment(publisher.last_used_at),
        _state(publisher),
    )


def describe(publisher: Publisher) -> list[str]:
    """Return the lines of `trust show`."""
    words = {Operator.EQUALS: "is", Operator.ONE_OF: "is one of", Operator.GLOB: "matches"}
    lines = [
        f"publisher {publisher.id}{'' if publisher.enabled else f' ({visible(_state(publisher))})'}",
        f"  may     {', '.join(publisher.operations)} {publisher.resource.short}",
        f"  issuer  {publisher.issuer_url}",
        "  a token must carry",
        f"    aud = {id_token_audience(publisher)}",
    ]
    lines += [_condition(condition, words[condition.operator]) for condition in publisher.conditions]
    lines += [f"    {_pin(pin)}" for pin in publisher.pins]
    if publisher.ttl_seconds is not None:
        lines.append(f"  tokens  live {publisher.ttl_seconds} s")
    if publisher.replay is not None:
        lines.append(f"  replay  {publisher.replay.value}")
    lines += [
        f"  {name}  {'any number of' if most == 0 else f'at most {most}'} {what}"
        for name, most, what in (
            ("live  ", publisher.max_live_tokens, "tokens at once"),
            ("hourly", publisher.max_grants_per_hour, "tokens, or it is paused"),
            ("re-run", publisher.max_run_attempt, "attempts of a run"),
        )
        if most is not None
    ]
    if publisher.pending_until is not None:
        lines.append(f"  waits   for {publisher.resource.short} to exist, until {moment(publisher.pending_until)}")
    if publisher.expires_at is not None:
        lines.append(f"  until   {moment(publisher.expires_at)}")
    lines.append(f"  added   {moment(publisher.created_at)} by {visible(publisher.created_by)}")
    lines.append(f"  used    {moment(publisher.last_used_at)}")
    return lines


def job_lines(publisher: Publisher) -> list[str]:
    """Return what the job's file needs, or nothing for a platform we cannot write it for."""
    if publisher.resource.type in PACKAGE_TYPES:
        return package_job_lines(publisher)
    environment = [f"HF_ENDPOINT: {publisher.audience}", f"HF_OIDC_RESOURCE: {publisher.resource.short}"]
    if publisher.issuer_kind == "github":
        return [
            "permissions:",
            "  contents: read",
            "  id-token: write",
            "env:",
            *(f"  {line}" for line in environment),
        ]
    if publisher.issuer_kind == "gitlab":
        return [
            "id_tokens:",
            "  HF_OIDC_ID_TOKEN:",
            f"    aud: {publisher.audience}",
            "variables:",
            *(f"  {line}" for line in environment),
        ]
    return []


def _state(publisher: Publisher) -> str:
    if publisher.enabled:
        return "enabled" if publisher.pending_until is None else "pending"
    return f"paused: {publisher.paused_reason}" if publisher.paused_reason else "paused"


def _condition(condition: Condition, verb: str) -> str:
    return f"    {condition.claim} {verb} {', '.join(condition.values)}"


def _pin(pin: Pin) -> str:
    if pin.value is not None:
        return f"{pin.claim} = {pin.value}"
    return f"{pin.claim} unpinned (taken from the first use until {moment(pin.lapses_at)})"
