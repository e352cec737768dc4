"""What a report says of a run, in each of its forms: from the folder alone, and harmless whoever wrote that."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.pages import parsed
from tests.report import reported
from tests.verdicts import made
from tests.verdicts.recorded import FOLDERS
from waitlab import experiment, judgement, results
from waitlab.errors import LabError
from waitlab.judgement import Judgement
from waitlab.report import chart, facts, figures, files
from waitlab.report.facts import Group
from waitlab.report.markdown import markdown
from waitlab.report.page import page
from waitlab.report.sweep import Sweep, sweep
from waitlab.report.terminal import report as tables
from waitlab.trial import Single, Trial
from waitlab.verdict import Judged

HOSTILE = "</script></title><img src=x onerror=alert(1)>\"'&|`*_[x](javascript:1)\u202e\u0007\x1b[31m"


def judged(folder: Path) -> Judgement:
    return judgement.of(results.read(folder))


def terminal(of: Judgement) -> str:
    paper = io.StringIO()
    Console(file=paper, width=200).print(tables(of))
    return paper.getvalue()


def forms(of: Judgement) -> dict[str, str]:
    return {"page": page(of), "markdown": markdown(of), "terminal": terminal(of)}


@pytest.fixture(scope="module")
def waits(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    return judged(reported.write(tmp_path_factory.mktemp("runs"), "c02"))


@pytest.fixture(scope="module")
def blocking(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    return judged(reported.write(tmp_path_factory.mktemp("runs"), "c06"))


@pytest.mark.parametrize("name", FOLDERS)
def test_every_form_says_every_verdict_and_its_reason(name: str) -> None:
    of = judged(FOLDERS[name])
    for form, text in forms(of).items():
        plain = " ".join(re.sub(r"<[^>]+>", " ", text).replace("\\", "").split())
        assert of.experiment.question in plain, form
        for one in of.judged:
            assert one.verdict in plain
            if one.verdict == "inconclusive" or form != "terminal":
                assert one.reason.split(":")[0] in plain, form


def test_a_page_is_one_whole_file_without_program_or_network(waits: Judgement, blocking: Judgement) -> None:
    for of in (waits, blocking, judged(FOLDERS["broken"])):
        html = page(of)
        found = parsed(html)
        assert not found.elements & {"script", "iframe", "object", "form", "img", "base"}
        assert "default-src 'none'" in html
        assert not re.search(r"@import|url\((?!data:)", html)
        assert {"svg", "table", "pre"} <= found.elements


def test_the_parts_that_a_report_must_have(waits: Judgement) -> None:
    html, text = page(waits), markdown(waits)
    for said in (
        "How many requests a second do W sync workers serve",
        "min(20 users / 0.2 s, 8 workers / 0.2 s)",
        "throughput_rps",
        "G3",
        "Little's law: the generator keeps up",
        "workers = [1, 2, 4, 8]",
        "python -m waitlab.serve",
        "steal_ratio",
        reported.NOTICE,
        f"./lab run {waits.experiment.name} --seed 1",
        f"./lab compare {facts.name(waits)} NEW_RUN",
    ):
        assert said in html.replace("&quot;", '"').replace("&#x27;", "'"), said
        assert said in text.replace("\\", ""), said


def test_what_comes_from_outside_stays_words(tmp_path: Path) -> None:
    question = made.QUESTION.replace("A synchronous", "</script><b>|`A` synchronous")
    folder = results.create(tmp_path, "hostile", reported.STAMP, question, {HOSTILE: HOSTILE, "deep": {"x": [HOSTILE]}})
    for trial in made.healthy():
        evil = replace(trial, commands={HOSTILE: HOSTILE}, service={**trial.service, HOSTILE: HOSTILE})
        results.append(folder, replace(evil, ended="measured" if trial.repeat < 3 else HOSTILE))
    found = forms(judged(folder))
    assert not parsed(found["page"]).elements & {"script", "img", "b", "a"} - {"b"}
    assert "onerror=alert" in found["page"]
    assert "<img" not in found["page"] + found["markdown"]
    for text in found.values():
        assert not set(text) & {"\u202e", "\u0007"}
    assert "\x1b[31m" not in found["terminal"]
    rows = [line for line in found["markdown"].splitlines() if "onerror" in line and line.startswith("| ")]
    assert rows
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) in (3, 4, 7)


@pytest.mark.parametrize("name", ["good", "broken", "interrupted"])
def test_the_same_folder_gives_the_same_report(name: str) -> None:
    assert forms(judged(FOLDERS[name])) == forms(judged(FOLDERS[name]))


def test_an_export_says_what_its_folder_says(tmp_path: Path) -> None:
    results.export(FOLDERS["good"], tmp_path / "run.zip")
    assert page(judged(tmp_path / "run.zip")) == page(judged(FOLDERS["good"]))


def test_what_went_wrong_is_said_before_any_verdict() -> None:
    told = {name: list(facts.notices(judged(FOLDERS[name]))) for name in ("broken", "interrupted", "cut-off")}
    assert told["broken"][0] == "1 of 6 planned trials were not measured"
    assert told["broken"][1].startswith("sync, repeat 3: the service ended")
    assert told["interrupted"][0] == "4 of 6 planned trials were not measured"
    assert told["interrupted"][1].endswith("repeat 2: interrupted")
    assert told["cut-off"][0].startswith("the trial on line 7 was cut off")
    html = page(judged(FOLDERS["broken"]))
    assert html.index("the service ended") < html.index("What was predicted")


def test_a_verdict_that_was_edited_is_told(tmp_path: Path) -> None:
    folder = reported.write(tmp_path, "c02")
    of = judged(folder)
    results.conclude(folder, judgement.as_json(of, folder, 12.0))
    assert not list(facts.notices(judged(folder)))
    told = json.loads((folder / results.VERDICT).read_text())
    told["predictions"][0]["verdict"] = "refuted"
    results.conclude(folder, told)
    assert "not these" in next(iter(facts.notices(judged(folder))))


def test_an_older_question_is_run_again_from_its_folder(tmp_path: Path, waits: Judgement) -> None:
    changed = replace(waits, run=replace(waits.run, question=waits.run.question + "\n"))
    assert facts.again(waits, facts.in_the_lab)[0] == "./lab run c02-sync-worker-serves-one --seed 1"
    assert facts.again(changed, facts.in_the_lab)[0].startswith(
        f"./lab run results/{facts.name(waits)}/experiment.toml"
    )


def test_one_sentence_about_a_family_is_one_picture(waits: Judgement) -> None:
    assert [(group.quantity, len(group.pairs)) for group in facts.groups(waits)] == [
        ("throughput_rps", 1),
        ("mean_ms", 1),
        ("server_mean_ms", 1),
        ("throughput_rps", 1),
    ]
    assert [len(facts.by_level(group).pairs) for group in facts.groups(waits)] == [4, 4, 4, 1]


def test_a_sweep_is_one_verdict_in_every_form(waits: Judgement) -> None:
    (pair,) = facts.groups(waits)[0].pairs
    assert (facts.predicted(*pair), pair[1].about) == ("the law ± 10%", "sync over workers")
    assert facts.measured(pair[1]).endswith("% of it")
    for form, text in forms(waits).items():
        assert "sync over workers" in " ".join(text.split()), form
        assert "of it" in " ".join(text.split()), form


def test_the_predicted_line_goes_through_what_was_not_measured(waits: Judgement) -> None:
    group = facts.by_level(facts.groups(waits)[0])
    found = sweep(waits, group)
    assert found
    assert found.key == "workers"
    assert [at for at, _, _ in found.members] == [1, 2, 4, 8]
    assert dict(found.line)[6] == pytest.approx(30)
    assert chart.line(found, group).count("<circle") == 12


def test_a_line_breaks_where_the_law_says_nothing(tmp_path: Path) -> None:
    text = made.QUESTION.replace("workers = 2", "workers = [2, 30, 40]").replace(
        'quantity = "throughput_rps"\nlaw = "concurrency_limit"', 'quantity = "victim_p50_ms"\nlaw = "victim_queue"'
    )
    text = text.replace("repeats = 3", 'repeats = 3\nvictim = "/sync/ping"')
    folder = results.create(tmp_path, "line", reported.STAMP, text, {})
    of = judged(folder)
    found = sweep(of, facts.groups(of)[0])
    assert found
    line = dict(found.line)
    assert line[19] is not None
    assert line[25] is None
    assert chart.line(found, facts.groups(of)[0])


@pytest.mark.parametrize("name", ["c03", "c06", "c10", "c19"])
def test_two_arms_or_words_make_no_line(tmp_path: Path, name: str) -> None:
    of = judged(reported.write(tmp_path, name))
    assert not any(sweep(of, group) for group in facts.groups(of))
    assert page(of)


@pytest.mark.parametrize("file", experiment.files(), ids=lambda file: file.stem.partition("-")[0])
def test_every_experiment_of_the_lab_can_be_reported(tmp_path: Path, file: Path) -> None:
    of = judged(reported.write(tmp_path, file.stem))
    parsed(page(of))
    assert markdown(of).count("\n| ") > len(of.judged)


def test_a_report_names_what_it_re_creates(tmp_path: Path) -> None:
    of = judged(reported.write(tmp_path, "r3"))
    assert of.experiment.source
    for told in (page(of), markdown(of)):
        assert of.experiment.source.address in told
        assert of.experiment.source.title in told.replace("\\", "")


def test_a_request_is_a_bar_of_what_it_did() -> None:
    waited = Single(0.0, 2.0, 4.0, 200)
    assert facts.pieces(waited, 0.5) == (("queued", 0.0, 2.0), ("waiting", 2.0, 3.5), ("computing", 3.5, 4.0))
    assert facts.pieces(replace(waited, begun=None), 0.5) == (("unknown", 0.0, 4.0),)
    assert facts.pieces(waited, None) == (("queued", 0.0, 2.0), ("inside", 2.0, 4.0))
    assert facts.pieces(Single(0.0, 9.0, 4.0, 200), 9.0) == (("queued", 0.0, 4.0),)
    assert chart.of_single(3, replace(waited, status=503), 0.5).told == "4 s, status 503"


def test_all_arms_with_single_requests_share_one_time_axis(blocking: Judgement) -> None:
    html = page(blocking)
    part = html[html.index("Request by request") : html.index("Both witnesses")]
    ends = re.findall(r'<text class="mark"[^>]*text-anchor="end">(\d+ s)</text>', part)
    assert ends == ["4 s", "4 s", "4 s"]
    assert part.count('class="waiting"') == 6 + 1  # one in the legend
    assert "Request by request" not in page(judged(FOLDERS["good"]))


def test_more_than_twenty_requests_are_no_bars() -> None:
    many = replace(made.singles(*[0.1] * 21), arm="sync")
    of = judged(FOLDERS["good"])
    assert not facts.with_singles(replace(of, run=replace(of.run, trials=(many,))))


def test_the_gap_between_the_witnesses_is_drawn(waits: Judgement) -> None:
    gaps = {name: (waited, seen) for name, waited, seen in facts.gaps(waits)}
    waited, seen = gaps["sync workers=1"]
    assert (round(waited), round(seen, 1)) == (4, 0.2)
    assert 'class="unseen"' in page(waits)


def test_the_rules_table_has_every_rule_with_its_worst_case() -> None:
    table = facts.rules(judged(FOLDERS["broken"]))
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == [f"G{number}" for number in range(12)]
    assert rows["G2"][2:6] == ("everything", "0", "-4 to 0", "1 void, 4 pass")
    assert re.fullmatch(r"sync, repeat 1: clients sent (\d+), the service took (\d+) and finished \2", rows["G2"][6])
    assert rows["G8"][2] == "nothing"


def test_nothing_measured_is_a_report_too(tmp_path: Path) -> None:
    folder = results.create(tmp_path, "empty", reported.STAMP, made.QUESTION, {})
    found = forms(judged(folder))
    assert "3 of 3 planned trials were not measured" in found["page"]
    assert "No trial of it was run" in found["page"]


def test_a_run_with_a_measure_file_is_read_without_it(tmp_path: Path) -> None:
    text = made.QUESTION.replace("question =", 'measure = "mine.py"\nquestion =').replace(
        '"throughput_rps"\nlaw = "concurrency_limit"\nwithin = 0.10',
        '"mine"\nat_least = { arm = "sync", quantity = "p50_ms" }',
    )
    folder = results.create(tmp_path, "own", reported.STAMP, text, {})
    assert judged(folder).judged[0].verdict == "inconclusive"
    for trial in made.healthy():
        results.append(folder, replace(trial, measured={"mine": 7.0}))
    assert judged(folder).judged[0].measured == (7.0, 7.0, 7.0)
    assert "a quantity of this experiment&#x27;s own" in page(judged(folder))


@pytest.mark.parametrize(
    ("quantity", "value", "words"),
    [
        ("mean_ms", 2040.8, "2.04 s"),
        ("p95_ms", 12.34, "12.3 ms"),
        ("cpu_ms_per_request", 0.4, "400 µs"),
        ("throughput_rps", 9.83, "9.83 req/s"),
        ("pss_mb", 40.0, "40 MB"),
        ("error_ratio", 0.071, "7.1 %"),
        ("busiest_share", 0.25, "25 %"),
        ("cores_used", 1.934, "1.93"),
        ("mean_ms", None, "-"),
        ("mean_ms", math.inf, "-"),
    ],
)
def test_figures_as_a_person_reads_them(quantity: str, value: float | None, words: str) -> None:
    assert figures.said(quantity, value) == words


def test_an_interval_is_said_in_one_unit() -> None:
    assert figures.span("mean_ms", 980.0, 1020.0) == "0.98 to 1.02 s"
    assert figures.span("mean_ms", 980.0, 980.0) == "980 ms"
    assert figures.span("mean_ms", None, 1.0) == "-"


VALUES = st.floats(-1e300, 1e300)


@given(
    st.lists(st.one_of(st.none(), VALUES), min_size=1, max_size=3),
    st.one_of(st.none(), VALUES),
    st.sampled_from(["law", "equals", "at_least", "at_most"]),
)
def test_any_numbers_can_be_drawn(values: list[float | None], predicted: float | None, bound: str) -> None:
    prediction = made.prediction(**{bound: "x" if bound == "law" else predicted or 0.0})
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (None, None)
    one = Judged("", "sync", "mean_ms", "", "", predicted, low, high, tuple(values), "confirmed", "confirmed", "")
    group = Group("says", "mean_ms", ((prediction, one),) * 3)
    members = tuple((float(at), prediction, one) for at in (1, 2, 3))
    drawn = chart.rows(group) + chart.line(Sweep("x", members, tuple((at, predicted) for at, _, _ in members)), group)
    parsed(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_trials_of_impossible_figures_can_be_reported(tmp_path: Path) -> None:
    def huge(trial: Trial) -> Trial:
        changed = made.client(trial, seconds=1e300, response_us={10**17: 2**63 - 1, 0: 0}, victim_us={1: 0})
        return made.server(changed, duration_mean_s=-1e300, queue_mean_s=1e300, workers={})

    for name in ("c02", "c06"):
        for text in forms(judged(reported.write(tmp_path, name, huge))).values():
            assert "inconclusive" in text


def test_a_report_is_written_whole_and_by_its_ending(tmp_path: Path) -> None:
    of = judged(FOLDERS["good"])
    assert [path.name for path in files.write(of, tmp_path)] == ["report.html", "report.md"]
    assert (tmp_path / "report.html").read_text() == page(of)
    with pytest.raises(LabError, match=r"neither .html nor .md"):
        files.write_one(of, tmp_path / "report.pdf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]
