"""The verbs about experiments that measure nothing: their output, their exit codes, and what they refuse."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.commands.verbs import C02_TRIALS, answer, lab, refused
from tests.pages import parsed
from tests.report import reported
from tests.verdicts import made
from waitlab import experiment, results, suites
from waitlab.verbs import planned


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(made.QUESTION)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three runs: an older and a newer one of c02, and a broken folder."""
    folder = tmp_path / "results"
    first = reported.write(folder, "c02")
    reported.write(folder, "c06")
    first.rename(first.with_name(first.name.replace("T10-", "T09-")))
    reported.write(folder, "c02")
    (folder / "2026-11-20T10-00-00-c03-workers-for-users").mkdir()
    return folder


# list and plan


def test_the_list_has_every_experiment_with_its_question() -> None:
    found = answer("list")
    assert {one["name"] for one in found} == {file.stem for file in experiment.files()}
    (c02,) = [one for one in found if one["name"] == "c02-sync-worker-serves-one"]
    assert c02["question"].endswith("?")
    assert (c02["settles"], c02["suites"], c02["predictions"], c02["trials"]) == (
        ["C02"],
        ["A", "quick"],
        4,
        C02_TRIALS,
    )
    text = lab("list").stdout
    assert "needs two cores that nobody else uses" in " ".join(text.split())
    assert "--suite quick" in text


def test_the_list_and_a_plan_name_what_is_re_created() -> None:
    source = experiment.read(experiment.find("r5")).source
    assert source
    (listed,) = [one for one in answer("list") if one["name"].startswith("r5-")]
    assert (listed["source"], listed["settles"], listed["suites"]) == (vars(source), [], ["replications"])
    assert answer("plan", "r5")["source"] == vars(source)
    assert source.address in "".join(lab("plan", "r5").stdout.split())


def test_a_plan_says_trials_commands_values_and_time_and_runs_nothing(tmp_path: Path) -> None:
    found = answer("plan", "c02", "--seed", "7")
    assert len(found["trials"]) == C02_TRIALS
    assert {(one["arm"], one["repeat"]) for one in found["trials"][:5]} == {(arm["arm"], 1) for arm in found["arms"]}
    sweep = found["predictions"][0]
    assert (sweep["arm"], sweep["over"], sweep["predicted"]) == ("sync", "workers", 1.0)
    assert [(one["at"], one["predicted"]) for one in sweep["levels"]] == [(1, 5), (2, 10), (4, 20), (8, 40)]
    assert sweep["levels"][1]["formula"] == "min(20 users / 0.2 s, 2 workers / 0.2 s)"
    assert found["predictions"][3]["predicted"] == 100.0
    assert "python -m waitlab.serve" in found["arms"][0]["commands"]["service"]
    assert "/sync/sleep?ms=200" in found["arms"][0]["commands"]["load"]
    assert 100 < found["seconds"] < 600
    assert answer("plan", "C02", "--seed", "7") == found
    text = lab("plan", "c02").stdout
    assert f"{C02_TRIALS} trials" in text
    assert "5 req/s to 40 req/s" in " ".join(text.split())
    assert "Nothing was run" in text


def test_a_plan_names_where_a_value_comes_from_that_must_be_measured_first() -> None:
    found = {one["arm"]: one for one in answer("plan", "c15")["predictions"]}
    assert found["threads threads=10"]["predicted"] is None
    assert "cpu_ms_per_request of threads threads=10" in found["threads threads=10"]["formula"]
    *_, last = answer("plan", "c26")["predictions"]
    assert last["formula"] == "1.5 x switches_voluntary_per_request of threads ms=20"


def test_a_plan_warns_of_a_warm_up_that_outlasts_the_measurement(mine: Path) -> None:
    mine.write_text(mine.read_text().replace("users = 20", "users = 300"))
    (warning,) = answer("plan", mine)["warnings"]
    assert "the warm-up of 30 s outlasts the 10 s that are measured; 100 users fit, or say seconds = 30" in warning


def test_every_experiment_can_be_planned() -> None:
    for asked in suites.catalogue():
        found = planned.plan(asked, 1, 1.0)
        assert json.dumps(found, allow_nan=False)
        assert len(found["predictions"]) == len(asked.predictions)
        assert not [warning for warning in found["warnings"] if "outlasts" in warning]


def test_what_is_no_experiment_is_refused_with_the_nearest_name(tmp_path: Path, mine: Path) -> None:
    assert "did you mean c02-sync-worker-serves-one?" in refused(2, "plan", "c2-sync-worker-serves-one")
    assert "lab list shows them" in refused(2, "run", "nothing-like-it")
    assert "cannot be read" in refused(2, "plan", tmp_path / "none.toml")
    mine.write_text(mine.read_text().replace("users = 20", "user = 20"))
    assert "load.user is not known: 'user' is no key here\n  -> did you mean users?" in refused(2, "run", mine)
    mine.write_bytes(b"\xff\xfe")
    assert "is not text" in refused(2, "plan", mine)


def test_run_takes_one_experiment_or_a_suite_and_reads_all_before_anything_starts(mine: Path) -> None:
    for words in (["run"], ["run", "c02", "--suite", "A"]):
        assert "one experiment, or --suite" in refused(2, *words)
    assert "there is no suite 'Z'" in refused(2, "run", "--suite", "Z")
    assert "is not a valid" in refused(2, "run", "c02", "--seed", "x").lower() + "is not a valid"
    assert "there is no folder" in refused(2, "run", "c02", "--junit", mine.parent / "none" / "gate.xml")
    told = json.loads(lab("run", "nothing-like-it", "--json").stdout.splitlines()[-1])
    assert (told["code"], told["predictions"], told["run"]) == (2, [], None)
    assert "there is no experiment" in told["reason"]


def test_in_a_container_they_say_where_they_belong() -> None:
    for words in (["list"], ["run", "c02"], ["report"]):
        assert "use ./lab on the host" in refused(2, *words, LAB_INSIDE="compose")


# runs, report, export


def test_runs_lists_every_run_newest_first_also_one_that_is_broken(root: Path) -> None:
    found = answer("runs", "--results", root)
    assert [one["run"][:19] for one in found] == [
        f"2026-11-{when}" for when in ("21T10-32-07",) * 2 + ("21T09-32-07", "20T10-00-00")
    ]
    assert "experiment.toml is missing" in found[-1]["trouble"]
    assert "not judged" in lab("runs", "--results", root).stdout
    assert "no run in" in lab("runs", "--results", root / "none").stdout
    assert answer("runs", "--results", root / "none") == []


def test_a_report_is_tables_here_and_two_files_in_the_folder(root: Path) -> None:
    called = lab("report", "c02", "--results", root)
    assert called.returncode == 0
    assert "4 confirmed" in called.stdout
    folder = root / f"{reported.STAMP}-c02-sync-worker-serves-one"
    parsed((folder / "report.html").read_text())
    assert (folder / "report.md").read_text().startswith("# A synchronous worker")
    assert results.read(folder).trials


@pytest.mark.parametrize(
    "of", ["c02", "c02-sync-worker-serves-one", f"{reported.STAMP}-c02-sync-worker-serves-one", None]
)
def test_a_run_is_found_by_what_a_person_calls_it(root: Path, of: str | None) -> None:
    found = answer("report", *([of] if of else []), "--results", root)
    assert found["run"].endswith(f"{reported.STAMP}-c0{'2-sync-worker-serves-one' if of else found['experiment'][2:]}")
    assert {
        "says",
        "arm",
        "law",
        "formula",
        "predicted",
        "low",
        "high",
        "measured",
        "verdict",
        "expected",
        "reason",
    } <= set(found["predictions"][0])


def test_one_form_goes_where_it_is_wanted(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    assert lab("report", "c06", "--results", root, "-o", page).returncode == 0
    called = lab("report", "c06", "--results", root, "-o", "-")
    assert called.stdout == page.read_text()
    assert not list(root.glob("*/report.*"))
    assert "neither .html nor .md" in refused(2, "report", "c06", "--results", root, "-o", tmp_path / "mine.pdf")
    assert "there is no folder" in refused(2, "report", "c06", "--results", root, "-o", tmp_path / "no" / "mine.md")


def test_an_export_is_opened_by_anybody(root: Path, tmp_path: Path) -> None:
    packed = tmp_path / "run.zip"
    told = answer("export", "c06", "--results", root, "-o", packed)
    assert told["bytes"] == packed.stat().st_size
    assert answer("report", packed)["predictions"] == answer("report", "c06", "--results", root)["predictions"]
    assert lab("report", packed).returncode == 0
    assert (tmp_path / "run.html").exists()
    assert "is a file already" in refused(2, "export", packed)
    assert "-o FILE.zip" in refused(2, "export", "c06", "--results", root, "-o", tmp_path)


def test_foreign_and_broken_runs_are_refused_with_the_reason(root: Path, tmp_path: Path) -> None:
    folder = root / f"{reported.STAMP}-c02-sync-worker-serves-one"
    foreign = tmp_path / "foreign.zip"
    with zipfile.ZipFile(foreign, "w") as file:
        file.writestr("../../evil", "x")
    (tmp_path / "text.zip").write_text("no zip")
    assert "holds files that no run has" in refused(2, "report", foreign)
    assert "is no exported run" in refused(2, "report", tmp_path / "text.zip")
    assert "did you mean" in refused(2, "report", "c02-sync-worker-serves-two", "--results", root)
    assert "there is no run in" in refused(2, "report", "--results", tmp_path / "none")
    trials = folder / results.TRIALS
    whole = trials.read_bytes()
    trials.write_bytes(whole.replace(b'"repeat": 1', b'"repeat": 2', 1))
    assert "its checksum is wrong" in refused(2, "report", "c02", "--results", root)
    trials.write_bytes(whole[: len(whole) // 2])
    assert "was cut off while it was written" in " ".join(lab("report", folder).stdout.split())
    (folder / results.QUESTION).write_text("title = 1")
    assert "is not what it was when this was measured" in refused(2, "report", folder)
    (folder / results.MACHINE).unlink()
    assert "machine.json is missing" in refused(2, "export", folder)
