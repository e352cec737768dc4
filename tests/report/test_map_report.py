"""A map in a report: its picture, its tables, and what programs are told."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.pages import parsed
from tests.report import reported
from tests.report.test_report import forms, judged
from waitlab import experiment, judgement
from waitlab.catalogue import pages
from waitlab.judgement import Judgement
from waitlab.mapped import Answer
from waitlab.report import cells, facts, map_chart
from waitlab.report.picture import picture
from waitlab.verbs import junit, past


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    return judged(reported.write(tmp_path_factory.mktemp("runs"), "c54", lambda trial: replace(trial, warm_up_s=9.0)))


def drawn(of: Judgement) -> str:
    return map_chart.draw(of, of.experiment.predictions[0], of.judged[0])


def answered(of: Judgement, answer: Answer) -> Judgement:
    """The same with the first cell answered otherwise."""
    one = of.judged[0]
    squares = (replace(one.squares[0], answer=answer), *one.squares[1:])
    return replace(of, judged=(replace(one, squares=squares),))


def test_a_map_is_confirmed_by_trials_that_are_as_theory_has_them(mapped: Judgement) -> None:
    (one,) = mapped.judged
    assert (one.verdict, one.predicted, one.measured) == ("confirmed", 0.9, (1.0,))
    assert [cell.answer for cell in one.squares].count("tie") == 2
    assert facts.predicted(mapped.experiment.predictions[0], one) == "right in at least 90 %"
    assert facts.measured(one) == "100 %"


def test_every_form_has_every_cell_and_every_family(mapped: Judgement) -> None:
    for form, text in forms(mapped).items():
        plain = " ".join(text.split())
        for cell in mapped.judged[0].squares:
            assert f"work {cell.cpu_ms:g} ms, wait {cell.wait_ms:g} ms" in plain, form
        for family in ("four processes", "sixteen threads", "event loop"):
            assert family in plain, form


def test_the_picture_says_without_colour_what_it_says_in_colour(mapped: Judgement) -> None:
    text = drawn(mapped)
    ElementTree.fromstring(text)
    words = re.findall(r'<text class="winner"[^>]*>([^<]*)<', text)
    short = cells.letters(mapped.judged[0])
    squares = sorted(mapped.judged[0].squares, key=lambda cell: cell.cpu_ms)
    assert words == [" ".join(short[family] for family in cell.measured) for cell in squares]
    assert text.count('class="hatch"') == 4 + 1  # two ties, two that are undecided, and one in the legend
    for said in ("A  four processes", "work of 1 ms", "no wait", "24 users", "theory had named others"):
        assert said.replace("  ", " ") in " ".join(text.split()), said


def test_what_theory_had_otherwise_is_marked(mapped: Judgement) -> None:
    wrong = drawn(answered(mapped, "wrong"))
    assert wrong.count('class="cell wrong"') == 1 + 1
    assert ">not C<" in wrong


def test_the_border_is_where_the_law_has_it(mapped: Judgement) -> None:
    """At a wait of 400 ms and little work sixteen threads keep up with 20 users: 16 / (1 - 0.2)."""
    text = drawn(mapped)
    panel = map_chart._panels(mapped.judged[0])[0]
    ends = re.findall(r"L(\d+\.\d) (\d+\.\d)", re.findall(r'class="border" d="([^"]+)"', text)[0])
    heights = {float(y) for x, y in ends if float(x) > panel.across.middle(2)}
    users = [panel.up.value((panel.up.first - y) / -panel.up.step) for y in heights]
    assert all(min(abs(found - 20), abs(found - 5)) < 1.2 for found in users)
    assert max(users) > 18


def test_a_map_stands_alone_too(mapped: Judgement) -> None:
    text = picture(mapped)
    ElementTree.fromstring(text)
    assert "url(" not in text
    assert "95 % interval" not in text
    assert not parsed(drawn(mapped)).elements & {"script", "image"}


def test_programs_are_told_every_cell(mapped: Judgement) -> None:
    (told,) = json.loads(json.dumps(list(judgement.predictions(mapped))))
    first = told["cells"][0]
    assert (first["wait_ms"], first["cpu_ms"], first["users"], first["answer"]) == (0, 1, 8, "undecided")
    assert [one["family"] for one in first["contenders"]] == ["four processes", "sixteen threads", "event loop"]
    assert len(first["contenders"][0]["measured"]) == 3
    asked = mapped.experiment
    root = ElementTree.fromstring(junit.suites([(asked, mapped, "", 1.0)]).partition("\n")[2])
    assert len(root.findall(".//testcase")) == 1
    assert {one.quantity for one in past._compared(mapped, mapped, ())} == {"throughput_rps"}


def test_a_map_that_nobody_measured_can_be_shown(mapped: Judgement) -> None:
    empty = judgement.judge(replace(mapped.run, trials=()), mapped.experiment)
    assert empty.judged[0].verdict == "inconclusive"
    assert drawn(empty).count(">?<") == 12
    assert all("inconclusive" in text for text in forms(empty).values())


def test_its_page_in_the_catalogue_has_the_map(mapped: Judgement) -> None:
    asked = experiment.read(experiment.find("c54"))
    assert "Where nothing waits" in pages.page(asked, None)
    text = pages.page(asked, mapped)
    assert text.count("| work 1 ms, wait ") == 6
    assert "Each cell of the map" in text
    assert "Each dot is a repeat" not in text
