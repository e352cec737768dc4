"""What a report says of arms that shared one core."""

from pathlib import Path

from tests.verdicts import made
from waitlab import experiment, judgement, results
from waitlab.report import arms, facts

QUESTION = """
title = "A pair"
question = "Does it cost the same?"

[load]
users = 4
repeats = 1
duet = true

[arms.left]
service = "flask"
request = "/sync/burn?rounds=10"

[arms.right]
service = "flask"
request = "/sync/burn?rounds=10"

[[predictions]]
says = "It does."
arm = "left"
quantity = "cpu_ms_per_request"
equals = { arm = "right" }
within = 0.10
"""


def test_a_report_says_who_ran_beside_whom_and_what_can_be_compared(tmp_path: Path) -> None:
    file = tmp_path / "pair.toml"
    file.write_text(QUESTION)
    asked = experiment.read(file)
    folder = results.create(tmp_path / "results", "pair", "2026-11-21T10-32-07", QUESTION, {})
    results.append(
        folder, *(made.trial(arm=one, beside=(other,)) for one, other in (("left", "right"), ("right", "left")))
    )
    found = judgement.judge(results.read(folder), asked)
    assert "left and right ran beside one another on one core: only what a request costs them can be compared." in (
        list(facts.notices(found))
    )
    assert ("beside, on one core", "right") in facts.everything(found, asked.arms[0]).rows
    assert arms.load(asked.arms[0].load) == "4 users, 10 s, 1 repeat, in duet"
