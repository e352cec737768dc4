"""The verdicts as JUnit XML, which every CI system shows: one test case a prediction."""

from collections.abc import Sequence
from xml.etree import ElementTree

from waitlab.experiment import Experiment
from waitlab.judgement import Judgement
from waitlab.panels.printable import shown
from waitlab.verdict import Judged

LONGEST = 2_000


def suites(ended: Sequence[tuple[Experiment, Judgement | None, str, float]]) -> str:
    """The whole file; of each experiment: what was judged, None if nothing was, the reason and the seconds."""
    root = ElementTree.Element("testsuites", name="waitlab")
    for asked, found, reason, seconds in ended:
        root.append(_suite(asked, found, reason, seconds))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(asked: Experiment, found: Judgement | None, reason: str, seconds: float) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=asked.name, time=f"{seconds:.1f}")
    if found is None:
        case = ElementTree.SubElement(suite, "testcase", classname=asked.name, name="the experiment was run")
        ElementTree.SubElement(case, "error", message=_text(reason), type="not run")
    else:
        suite.extend(_case(asked.name, one) for one in found.judged)
    for kind in ("failure", "error"):
        suite.set(f"{kind}s", str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    return suite


def _case(experiment: str, one: Judged) -> ElementTree.Element:
    """A verdict that is not the expected one is a failure, an undecided one an error: neither is a success."""
    case = ElementTree.Element(
        "testcase", classname=experiment, name=_text(f"{one.says} ({one.about}, {one.quantity})")
    )
    if one.verdict == "inconclusive":
        ElementTree.SubElement(case, "error", message=_text(one.reason), type="inconclusive")
    elif not one.as_expected:
        message = f"{one.verdict}, but {one.expected} was expected: {one.reason}"
        ElementTree.SubElement(case, "failure", message=_text(message), type=one.verdict)
    else:
        ElementTree.SubElement(case, "system-out").text = _text(f"{one.verdict}: {one.reason}")
    return case


def _text(words: str) -> str:
    return shown(words, LONGEST)
