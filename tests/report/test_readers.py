"""What a reader of a report takes in first, on a screen or a phone: what is true, what was taken away, the levels."""

import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.report import reported
from tests.verdicts import made
from waitlab import judgement, results
from waitlab.judgement import Judgement
from waitlab.report import chart, facts
from waitlab.report.markdown import markdown
from waitlab.report.page import page
from waitlab.report.terminal import report as tables

PHONE = 390
# What the browser says of a page: how wide it would like to be, and how far its pictures' words stand out of them.
MEASURE = """<script>addEventListener("load", () => parent.postMessage(JSON.stringify({
  wide: document.documentElement.scrollWidth,
  cut: [...document.querySelectorAll("svg text")].filter((text) => {
    const [inner, outer] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
    return inner.left < outer.left - 1 || inner.right > outer.right + 1;
  }).map((text) => text.textContent),
}), "*"))</script>"""
FRAME = """<!DOCTYPE html><title>-</title><script>onmessage = (told) => { document.title = told.data }</script>
<iframe src="probe.html" width="390" height="900"></iframe>"""


def judged(root: Path, name: str, **changes: object) -> Judgement:
    return judgement.of(results.read(reported.write(root, name, lambda trial: replace(trial, **changes))))  # type: ignore[arg-type]


def terminal(of: Judgement) -> str:
    paper = io.StringIO()
    Console(file=paper, width=1000).print(tables(of))
    return paper.getvalue()


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_what_is_refuted_says_what_is_true_instead(tmp_path: Path) -> None:
    of = judged(tmp_path, "c03")
    (wrong,) = [one for one in of.experiment.predictions if one.expected == "refuted"]
    assert plain(page(of)).count(f"True instead: {wrong.instead}") == 1
    assert markdown(of).count(f"True instead: {wrong.instead}") == 1
    assert f"Not: {wrong.says} {wrong.instead}" in terminal(of)


def test_every_level_of_a_sweep_is_shown_with_its_figures(tmp_path: Path) -> None:
    of = judged(tmp_path, "c02")
    for workers in (1, 2, 4, 8):
        formula = f"min(20 users / 0.2 s, {workers} worker{'s' if workers > 1 else ''} / 0.2 s)"
        assert f"<code>concurrency_limit: {formula}</code>" in page(of)
        assert f"{formula} |" in markdown(of).replace("\\", "")
    assert plain(page(of)).count("verdict") >= len(of.judged)
    levels = [one for group in facts.groups(of) for one in facts.with_levels(group)]
    assert sum(not is_level for _, _, is_level in levels) == len(of.judged)


def test_what_was_taken_away_is_said_before_the_table_of_rules(tmp_path: Path) -> None:
    quiet = judged(tmp_path / "quiet", "c02")
    assert not list(facts.voided(quiet))
    assert "Nothing that was asked about was taken away." in page(quiet)
    wrong = judged(tmp_path / "wrong", "c02", wrong_answers=("answer 17: status 200, an empty body",))
    (words,) = facts.voided(wrong)
    taken = "mean_ms, server_mean_ms, throughput_rps"
    trials = len(wrong.run.trials)
    assert words.startswith(f"G1 (answers are as the contract says) took {taken} away from {trials} of {trials} trials")
    assert plain(page(wrong)).index("answer 17") < page(wrong).index("Every rule, with its figures")
    assert "- G1" in markdown(wrong)
    assert words in terminal(wrong)


def test_noise_takes_nothing_from_partners_that_met_it_together(tmp_path: Path) -> None:
    noisy = made.machine(made.trial(), noisy_slices=0.9, steal_ratio=0.1).machine
    alone = judged(tmp_path / "alone", "c14", machine=noisy)
    together = judged(tmp_path / "together", "c20", machine=noisy, beside=("another",))
    assert [words.partition(" ")[0] for words in facts.voided(alone)] == ["G7"]
    assert not list(facts.voided(together))


def test_the_machine_is_one_line_with_what_speaks_against_it(tmp_path: Path) -> None:
    of = judged(tmp_path, "c02")
    assert facts.machine_in_short(of) == "4 cores, 8 GB"
    doubted = replace(of, run=replace(of.run, machine={**of.run.machine, "python": "3.11.7", "doubts": ["steal: 9 %"]}))
    assert facts.machine_in_short(doubted) == "4 cores, 8 GB, Python 3.11.7; steal: 9 %"
    assert facts.machine_in_short(replace(of, run=replace(of.run, machine={}))) == ""


def test_where_nothing_counts_no_axis_pretends_to_have_figures(tmp_path: Path) -> None:
    of = judged(tmp_path, "c09", ended="the service died")
    group = next(one for one in facts.groups(of) if one.quantity == "throughput_rps")
    drawn = chart.of_group(of, group)
    assert "nothing that counts was measured" in drawn
    assert 'class="mark"' not in drawn
    assert facts.predicted(*group.pairs[0]) == "-"


@pytest.mark.long
@pytest.mark.parametrize("name", ["c02", "c06", "c15", "c16", "c34"])
def test_nothing_is_cut_off_on_a_phone(tmp_path: Path, name: str) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        lacks = "there is no Chromium: not checked is that reports are laid out on a phone"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacks)
    html = page(judged(tmp_path / "results", name)).replace("default-src 'none'", "script-src 'unsafe-inline'")
    (tmp_path / "probe.html").write_text(html + MEASURE)
    (tmp_path / "frame.html").write_text(FRAME)
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "frame.html").as_uri()]
    dump = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    layout = json.loads(re.search(r"<title>(\{.*?\})</title>", dump.stdout)[1])  # type: ignore[index]
    assert layout["wide"] <= PHONE
    assert layout["cut"] == []
