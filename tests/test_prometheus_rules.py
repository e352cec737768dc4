"""The rules of Prometheus. promtool tests what they answer; here: that it does, and that its tests cover every rule.

The promtool is that of the local runtime's Prometheus, 2.42 in Debian 12; tests/containers asks that of the image, 3.x.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitlab.errors import LabError
from waitlab.runtime.local import prometheus
from waitlab.telemetry import names

FOLDER = prometheus.CONFIGURATION
CONFIGURATION: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
METRICS = {value for value in vars(names).values() if isinstance(value, str)}


@pytest.fixture(scope="session")
def binary() -> Path:
    return prometheus.ensure(os.environ, print)


def test_promtool_accepts_configuration_rules_and_their_answers(binary: Path) -> None:
    prometheus.check(binary)


def test_a_rule_that_answers_wrongly_is_named(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = shutil.copytree(FOLDER, tmp_path / "prometheus")
    (wrong / "rules.yml").write_text((FOLDER / "rules.yml").read_text().replace("== 0", "== 2"))
    monkeypatch.setattr(prometheus, "CONFIGURATION", wrong)
    with pytest.raises(LabError, match=r"promtool test rules refuses .*rules_test\.yml:\n(.*\n)+.*TargetSilent"):
        prometheus.check(binary)


def test_the_configuration_loads_just_these_rules() -> None:
    assert CONFIGURATION["rule_files"] == ["rules.yml"]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_what_to_do_and_is_tested_both_ways(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].count(".") >= 2, "what is wrong, and what to do"
    cases = [case for test in TESTS for case in test.get("alert_rule_test", ()) if case["alertname"] == rule["alert"]]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}


def test_every_recorded_value_is_tested_and_with_none_too() -> None:
    for record in RECORDS:
        cases = [case for test in TESTS for case in test.get("promql_expr_test", ()) if record in case["expr"]]
        assert {bool(case["exp_samples"]) for case in cases} == {True, False}, record


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_every_rule_asks_for_metrics_there_are(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"\b(?:lab|http_server)_\w+", rule["expr"]))
    assert {re.sub("_(sum|count)$", "", metric) for metric in asked} <= METRICS
    recorded = set(re.findall(r"\b\w+:\w+:\w+", rule["expr"]))
    assert recorded <= RECORDS
    assert asked or recorded or "up{" in rule["expr"]
