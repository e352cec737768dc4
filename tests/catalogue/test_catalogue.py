"""docs/experiments is what its writer writes from the files and the recorded runs, which are fit to be passed on."""

import json
import re
import shutil
import socket
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.report import reported
from waitlab import experiment, judgement, results, suites
from waitlab.catalogue import __main__ as catalogue
from waitlab.catalogue import pages, recordings
from waitlab.experiment import Experiment, Prediction
from waitlab.judgement import Judgement
from waitlab.report.picture import picture
from waitlab.trial import Trial

RUNS = sorted((catalogue.FOLDER / recordings.RUNS).glob("*.zip"))
MOST_BYTES, OF_A_TRIAL = 60_000, 1_100  # a map has a trial for each of its cells and settings, over a hundred
PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|var|usr|opt|mnt|srv|work|Users)\b[^\s\"']*")


def asked(name: str) -> Experiment:
    return experiment.read(experiment.find(name))


def ended(root: Path, name: str, change: Callable[[Trial], Trial] = lambda trial: trial) -> Path:
    """A run that came to its end, its verdict stored with a path in it, as `lab run` once did."""
    folder = reported.write(root, name, change)
    results.conclude(folder, judgement.as_json(judgement.of(results.read(folder)), folder, 12.0))
    return folder


def judged(folder: Path) -> Judgement:
    return judgement.of(results.read(folder))


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_committed_pages_are_what_the_writer_writes(tmp_path: Path) -> None:
    shutil.copytree(
        catalogue.FOLDER, tmp_path / "pages", ignore=shutil.ignore_patterns("*.html", "c*-*.md", "l*-*.md", "r*-*.md")
    )
    catalogue.write(suites.catalogue(), tmp_path / "pages")
    ours = shutil.ignore_patterns("*.html")
    shutil.copytree(catalogue.FOLDER, tmp_path / "committed", ignore=ours)
    for reported_beside in (tmp_path / "committed" / recordings.RUNS).glob("*.md"):
        reported_beside.unlink()
    assert files(tmp_path / "pages") == files(tmp_path / "committed"), "make catalogue writes them anew"


@pytest.mark.parametrize("file", RUNS, ids=lambda file: file.stem)
def test_a_recorded_run_is_small_and_names_no_place(file: Path) -> None:
    with zipfile.ZipFile(file) as packed:
        trials = packed.read(results.TRIALS).count(b"\n")
        assert file.stat().st_size <= max(MOST_BYTES, trials * OF_A_TRIAL)
        for name in packed.namelist():
            text = packed.read(name).decode()
            assert not PATH.findall(text), name
        assert socket.gethostname() not in json.loads(packed.read(results.MACHINE)).values()


def test_the_newest_run_that_ended_is_recorded_and_stays(tmp_path: Path) -> None:
    root, folder = tmp_path / "results", tmp_path / "docs"
    run = ended(root, "c06")
    assert recordings.take(asked("c06"), root, folder) == run.name
    recorded = recordings.path(asked("c06"), folder)
    with zipfile.ZipFile(recorded) as packed:
        assert json.loads(packed.read(results.VERDICT))["run"] == run.name
    assert recordings.take(asked("c06"), root, folder) == ""
    newer = run.rename(root / run.name.replace("10-32", "11-32"))
    assert recordings.take(asked("c06"), root, folder) == newer.name
    with zipfile.ZipFile(recorded) as packed:
        assert json.loads(packed.read(results.VERDICT))["run"] == newer.name
    assert recordings.take(asked("c02"), root, folder) == ""


@pytest.mark.parametrize("code", [105, 122, None])
def test_a_run_that_did_not_end_is_not_recorded(tmp_path: Path, code: int | None) -> None:
    run = ended(tmp_path, "c06")
    told = json.loads((run / results.VERDICT).read_text())
    results.conclude(run, told | {"code": code})
    assert recordings.take(asked("c06"), tmp_path, tmp_path / "docs") == ""


def test_what_cannot_be_read_is_not_recorded(tmp_path: Path) -> None:
    run = ended(tmp_path, "c06")
    (run / results.TRIALS).write_bytes(b"nothing\n")
    assert recordings.take(asked("c06"), tmp_path, tmp_path / "docs") == ""


def test_a_run_that_asked_something_else_is_neither_taken_nor_shown(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    ended(tmp_path, "c06")
    now = asked("c06")
    other = replace(now, arms=(replace(now.arms[0], request="/blocked/sleep?ms=9"), *now.arms[1:]))
    assert recordings.take(other, tmp_path, folder) == ""
    assert recordings.take(now, tmp_path, folder)
    assert recordings.kept(now, folder)
    assert recordings.kept(other, folder) is None
    catalogue.write([other], folder)
    assert not recordings.path(now, folder).exists()
    assert "Not run yet" in (folder / f"{now.name}.md").read_text()


def reworded(one: Prediction) -> Prediction:
    return replace(one, says="It is.", instead="", members={at: reworded(each) for at, each in one.members.items()})


@pytest.mark.parametrize("name", ["c04", "c06"])
def test_other_words_are_the_same_question(tmp_path: Path, name: str) -> None:
    ended(tmp_path, name)
    now = asked(name)
    said = replace(now, predictions=tuple(map(reworded, now.predictions)))
    assert recordings.take(said, tmp_path, tmp_path / "docs")


def test_a_page_has_all_that_a_reader_asks(tmp_path: Path) -> None:
    found = judged(reported.write(tmp_path, "c06"))
    page = pages.page(asked("c06"), found).replace("\\", "")
    for one in found.experiment.predictions:
        assert one.says in page
        assert one.instead in page
    for one in found.judged:
        assert one.reason in page
        assert f"`{one.formula}`" in page or not one.formula
    for said in (
        found.experiment.question,
        ", 1 refuted as expected",
        ", measured on 2026-11-21.",
        "](pictures/c06-blocking-the-loop.svg)",
        "Theory says that this is wrong",
        "Measured with 4 cores",
        "./lab run c06",
    ):
        assert said in page


def test_a_verdict_that_is_not_as_expected_stands_out(tmp_path: Path) -> None:
    one = asked("c03")
    twice = replace(one, predictions=tuple(replace(each, expected="confirmed") for each in one.predictions))
    found = judgement.judge(results.read(reported.write(tmp_path, "c03")), twice)
    assert "**refuted, but confirmed was expected**" in pages.page(one, found)
    assert "1 **not as expected**" in pages.index([(one, found)])


def test_a_page_without_a_run_says_so_and_what_theory_says() -> None:
    page = pages.page(asked("c34"), None)
    assert "Not run yet" in page
    assert "two cores that nobody else uses" in page
    assert "cores x (1 + wait / CPU)" in page
    assert "pictures/" not in page


def test_every_experiment_stands_once_by_chapter_and_once_by_each_number() -> None:
    index = pages.index([(one, None) for one in suites.catalogue()])
    for one in suites.catalogue():
        assert index.count(f"]({one.name}.md)") == 1 + len(one.settles)
    assert [index.index(f"## {chapter}: ") for chapter in suites.CHAPTERS] == sorted(
        index.index(f"## {chapter}: ") for chapter in suites.CHAPTERS
    )


def numbered(index: str) -> dict[str, list[str]]:
    """The rows of the table of numbers, each as its cells."""
    table = index.partition("## Every number")[2].partition("## A:")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if re.match(r"\| \[?[CL]\d", line)]
    return {re.sub(r"\W", "", row[0].partition("]")[0]): [cell.strip() for cell in row] for row in rows}


def test_no_number_is_without_an_answer() -> None:
    rows = numbered(pages.index([(asked("c02"), None), (asked("c14"), None)]))
    assert list(rows) == list(suites.NUMBERS)
    assert rows["C02"][2] == "not run yet"
    assert rows["C14"][2] == "not run yet; needs two cores that nobody else uses"
    assert "no experiment asks it yet" in rows["C01"][1]


def test_a_number_has_the_verdict_of_its_run_and_what_is_true_instead(tmp_path: Path) -> None:
    found = judged(reported.write(tmp_path, "c06"))
    row = numbered(pages.index([(asked("c06"), found)]))["C06"]
    (wrong,) = {one.says: one.instead for one in asked("c06").predictions if one.expected == "refuted"}.items()
    assert row[2].endswith("1 refuted as expected; 2026-11-21")
    assert row[3].replace("\\", "") == f"Not: *{wrong[0]}* {wrong[1]}"


def test_a_page_links_to_what_its_experiment_re_creates() -> None:
    one = asked("r3")
    assert one.source
    page = pages.page(one, None)
    assert f"]({one.source.address})" in page
    assert one.source.title in page.replace("\\", "")
    assert page.splitlines()[4].startswith("# R3: ")


def test_every_link_of_a_page_leads_somewhere() -> None:
    sources = {one.source.address for one in suites.catalogue() if one.source}
    for file in catalogue.FOLDER.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text()):
            assert link in sources or (file.parent / link).exists(), f"{file.name}: {link}"


@pytest.mark.parametrize("name", [file.stem for file in experiment.files()])
def test_a_picture_stands_alone(tmp_path: Path, name: str) -> None:
    found = judged(reported.write(tmp_path, name))
    drawn = picture(found)
    whole = ElementTree.fromstring(drawn)
    texts = " ".join(filter(None, (element.text for element in whole.iter() if element.tag.endswith("text"))))
    for one in found.experiment.predictions:
        assert one.says.split()[0] in texts
    assert "prefers-color-scheme: dark" in drawn
    assert set(re.findall(r"https?://[^\"' )]+", drawn)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|image|foreignObject|use)\b|\bhref=", drawn)
    height = float(whole.attrib["viewBox"].split()[3])
    for inner in whole:
        if inner.tag.endswith("svg"):
            assert float(inner.attrib["y"]) + float(inner.attrib["height"]) < height
    assert pages.page(found.experiment, found)
