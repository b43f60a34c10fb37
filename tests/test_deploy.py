"""What the files of `deploy/` say of the service is true of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keyless.server.metrics import REASONS, STEPS, Metrics
from keyless.server.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
NAMES = re.compile(r"\bkeyless_[a-z_]+")


def shown() -> set[str]:
    """Return every series that the service shows."""
    metrics = Metrics()
    metrics.gauge("keyless_live_tokens", "", lambda: 0.0)
    return {line.split("{")[0].split(" ")[0] for line in metrics.text().decode().splitlines() if line[:1] != "#"}


@pytest.mark.parametrize("name", ["prometheus/alerts.yaml", "grafana/dashboard.json"])
def test_no_alert_and_no_panel_asks_for_a_number_that_is_not_there(name: str) -> None:
    """Build 5: an alert over a series that nobody writes never fires."""
    text = (DEPLOY / name).read_text()
    assert set(NAMES.findall(text)) <= shown()
    for reasons in re.findall(r'reason=~?\\?"([a-z_|]+)', text):
        assert set(reasons.split("|")) <= set(REASONS)
    for step in re.findall(r'step=\\?"([a-z]+)', text):
        assert step in STEPS


def test_the_dashboard_is_json_with_panels() -> None:
    """Build 5."""
    assert len(json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())["panels"]) >= 10


def test_the_settings_in_the_manifest_are_settings() -> None:
    """Build 6: the ConfigMap is a settings file that the service takes."""
    text = (DEPLOY / "kubernetes" / "keyless.yaml").read_text()
    block = re.search(r"keyless\.toml: \|\n((?: {4}.*\n)+)", text)
    assert block
    names = re.findall(r"^ {4}([a-z_]+) =", block[1], re.MULTILINE)
    assert "public_url" in names
    assert set(names) <= set(Settings.model_fields)
    assert set(re.findall(r"name: KEYLESS_([A-Z_]+)", text)) <= {field.upper() for field in Settings.model_fields}


def test_probes_of_the_manifest_are_paths_of_the_inside_listener() -> None:
    """Build 6: readiness looks at the database, liveness never does."""
    text = (DEPLOY / "kubernetes" / "keyless.yaml").read_text()
    assert re.search(r"livenessProbe:(?:\n\s+#.*)?\n\s+httpGet: \{path: /healthz, port: inside\}", text)
    assert text.count("httpGet: {path: /readyz, port: inside}") == 2
