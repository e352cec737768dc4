"""The pages as text: one an experiment, and the tables of them all: by number, and by chapter."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from waitlab import forecast, suites
from waitlab.catalogue import recordings
from waitlab.experiment import Experiment, Prediction
from waitlab.judgement import Judgement
from waitlab.laws import LAWS
from waitlab.report import facts
from waitlab.report.facts import Group
from waitlab.report.markdown import block, code, maps, origin, text
from waitlab.verdict import Judged

INDEX, PICTURES = "README.md", "pictures"
WRITTEN = "<!-- Written by `make catalogue` from experiments/{} and the last recorded run. Change those, not this. -->"
NOT_YET = "not run yet"
Row = tuple[Experiment, Judgement | None]


def page(asked: Experiment, found: Judgement | None) -> str:
    """The page of one experiment; without a run, what it asks and what theory says."""
    return "\n\n".join(_parts(asked, found)) + "\n"


def index(rows: Sequence[Row]) -> str:
    """The tables of them all."""
    parts = [WRITTEN.format("*.toml"), "# The catalogue", *_about(rows)]
    parts += ["## Every number, and its answer", _answers(rows)]
    ordered = sorted(rows, key=lambda row: (suites.NAMES.index(suites.of(row[0])), suites.number(row[0])))
    for chapter, members in groupby(ordered, key=lambda row: suites.of(row[0])):
        parts.append(f"## {chapter}: {suites.CHAPTERS[chapter]}")
        parts.append(_index_table(list(members)))
    return "\n\n".join(parts) + "\n"


def _parts(asked: Experiment, found: Judgement | None) -> Iterator[str]:
    yield WRITTEN.format(f"{asked.name}.toml")
    yield f"[The catalogue]({INDEX}) / {suites.of(asked)}: {suites.CHAPTERS[suites.of(asked)]}"
    yield f"# {suites.number(asked)}: {text(asked.title)}"
    yield f"**{text(asked.question)}**"
    yield from origin(asked)
    yield _answer(found)
    needs = [f"This experiment needs {asked.needs}."] if asked.needs else []
    for notice in facts.notices(found) if found else needs:
        yield f"> {text(notice)}"
    yield "## What theory says"
    yield "\n".join(_theory(asked))
    if found:
        yield "## What was measured"
        yield f"![{text(asked.title)}: what was predicted, and what was measured]({PICTURES}/{asked.name}.svg)"
        yield from _caption(found)
        yield _verdicts(asked, found)
        yield from maps(found, found.judged)
    instead = list(_instead(asked))
    if instead:
        yield "## What is true instead"
        yield "\n".join(instead)
    if found:
        yield "## How far to believe it"
        yield "\n".join(_belief(found))
    yield "## See for yourself"
    yield block("\n".join(_commands(asked, found)), "console")


def _caption(found: Judgement) -> Iterator[str]:
    """What the picture's marks mean."""
    if facts.has_bands(found):
        yield (
            "Blue is what theory says, and how far one may be from it. Each dot is a repeat, with a service started "
            "anew. Green came out as expected, amber could not be decided, red came out otherwise."
        )
    if any(one.squares for one in found.judged):
        yield (
            "Each cell of the map has the letters and colours of who won. Lines run through a tie and through what "
            "could not be decided, a red frame is around what theory had otherwise, and beyond the black line, by "
            "theory, others win."
        )


def _answer(found: Judgement | None) -> str:
    return f"{_tally(found)}, measured on {_day(found)}." if found else f"*{NOT_YET.capitalize()}.*"


def _theory(asked: Experiment) -> Iterator[str]:
    """Each sentence, with the law that it rests on, which is explained once."""
    explained = {""}  # and a sentence without a law has nothing to explain
    for number, sentence in enumerate(_sentences(asked), 1):
        expected = " *Theory says that this is wrong.*" if sentence.expected == "refuted" else ""
        law = f" ({_linked(sentence.law)})" if sentence.law else ""
        summary = f"<br>{text(LAWS[sentence.law].summary)}" if sentence.law not in explained else ""
        explained.add(sentence.law)
        yield f"{number}. {text(sentence.says)}{expected}{law}{summary}"


def _linked(law: str) -> str:
    return f"[{code(law)}](../experiments.md#laws)"


def _sentences(asked: Experiment) -> list[Prediction]:
    """The first prediction of each sentence: one about a family stands for all of its members."""
    return list({_sentence(one): one for one in reversed(asked.predictions)}.values())[::-1]


def _sentence(prediction: Prediction) -> tuple[str, str]:
    return prediction.says, prediction.quantity


def _verdicts(asked: Experiment, found: Judgement) -> str:
    """Sentence by sentence, as they are counted above."""
    numbers = {_sentence(one): number for number, one in enumerate(_sentences(asked), 1)}
    places = [numbers[_sentence(one)] for one in asked.predictions]  # the recorded run may have other words for them
    rows = [["", "arm", "predicted", "measured", "verdict", "reason"], ["---:", *["---"] * 5]]
    for number, prediction, one in zip(places, found.experiment.predictions, found.judged, strict=True):
        alone = Group(one.says, one.quantity, ((prediction, one),))
        for of_it, level, is_level in facts.with_levels(alone):
            rows.append([str(number), *_cells(of_it, level), "", ""])
            if not is_level:
                rows[-1][-2:] = [_verdict(one), text(one.reason)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(prediction: Prediction, one: Judged) -> list[str]:
    formula = f"<br>{code(one.formula)}" if one.formula else ""
    return [text(one.about), f"{text(facts.predicted(prediction, one))}{formula}", text(facts.measured(one))]


def _verdict(one: Judged) -> str:
    words = text(facts.verdict(one))
    return words if facts.mood(one) == facts.GOOD else f"**{words}**"


def _instead(asked: Experiment) -> Iterator[str]:
    for one in _sentences(asked):
        if one.instead:
            yield f"- Not: *{text(one.says)}* {text(one.instead)}"


def _belief(found: Judgement) -> Iterator[str]:
    machine = facts.machine_in_short(found)
    yield f"- {text(f'Measured with {machine}.' if machine else 'Nothing is known of the machine.')}"
    untouched = "- No rule of [validity.md](../validity.md) took away anything that was asked about."
    yield from [f"- {text(words)}." for words in facts.voided(found)] or [untouched]


def _commands(asked: Experiment, found: Judgement | None) -> Iterator[str]:
    short = asked.name.partition("-")[0]
    takes = forecast.minutes(forecast.run_s(asked, forecast.CORES))
    yield f"./lab plan {short}     # what it would do; runs nothing"
    yield f"./lab run {short}      # measure and judge it here, in about {takes}"
    if found:
        yield f"./lab report {recordings.SHOWN}/{asked.name}.zip     # the run above, with all its figures"


def _tally(found: Judgement) -> str:
    """How many came out as expected, and how many did not."""
    moods = [facts.mood(one) for one in found.judged]
    refuted = sum(one.verdict == "refuted" and one.as_expected for one in found.judged)
    told = {
        "confirmed": moods.count(facts.GOOD) - refuted,
        "refuted as expected": refuted,
        "inconclusive": moods.count(facts.OPEN),
        "**not as expected**": moods.count(facts.BAD),
    }
    return ", ".join(f"{count} {word}" for word, count in told.items() if count)


def _day(found: Judgement) -> str:
    return found.run.began[:10]


def _about(rows: Sequence[Row]) -> Iterator[str]:
    """What the table is, and the sum of it."""
    runs = [found for _, found in rows if found]
    judged = [one for found in runs for one in found.judged]
    moods = [facts.mood(one) for one in judged]
    yield (
        "Checkable claims about how Python web servers wait, each as an experiment that says what it expects before it "
        "measures. A claim that theory holds to be wrong is expected to be *refuted*, and its page says what is true "
        "instead. How to ask a question of one's own: [experiments.md](../experiments.md). What a verdict requires: "
        "[validity.md](../validity.md). Which five to show in ten minutes: [talk.md](../talk.md)."
    )
    yield (
        f"{len(runs)} of {len(rows)} experiments have a recorded run: of {len(judged)} predictions "
        f"{moods.count(facts.GOOD)} came out as expected, {moods.count(facts.OPEN)} could not be decided on the "
        f"machine that measured, {moods.count(facts.BAD)} came out otherwise."
    )


def _answers(rows: Sequence[Row]) -> str:
    """A row for each number of the catalogue, whatever there is of it: its verdict, and what is true instead."""
    lines = ["| | claim | verdict of the last run | claimed, and true instead |", "|---|---|---|---|"]
    for number in suites.NUMBERS:
        asking = [row for row in rows if number in row[0].settles]
        lines += [_number_row(number, asked, found) for asked, found in asking]
        if not asking:
            lines.append(f"| {number} | *no experiment asks it yet* | {NOT_YET} | |")
    return "\n".join(lines)


def _number_row(number: str, asked: Experiment, found: Judgement | None) -> str:
    needs = f"; needs {text(asked.needs)}" if asked.needs else ""
    verdict = f"{_tally(found)}; {_day(found)}" if found else f"{NOT_YET}{needs}"
    instead = "<br>".join(_corrected(asked, found)) if found else ""
    return f"| [{number}]({asked.name}.md) | {text(asked.title)}. | {verdict} | {instead} |"


def _corrected(asked: Experiment, found: Judgement) -> Iterator[str]:
    """Of each sentence that came out refuted what is true instead."""
    said = set()
    for prediction, one in zip(asked.predictions, found.judged, strict=True):
        if one.verdict == "refuted" and prediction.says not in said:
            said.add(prediction.says)
            instead = prediction.instead or "Theory had expected it: its page has what was measured."
            yield f"Not: *{text(prediction.says)}* {text(instead)}"


def _index_table(rows: Sequence[Row]) -> str:
    lines = ["| | claim | question | last run | undecided, or needed |", "|---|---|---|---|---|"]
    for asked, found in rows:
        number = f"[{suites.number(asked)}]({asked.name}.md)"
        run = f"{_tally(found)}; {_day(found)}" if found else NOT_YET
        cells = (number, _claim(asked), text(asked.question), run, _undecided(asked, found))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _claim(asked: Experiment) -> str:
    """The claim, and what is claimed to the contrary."""
    wrong = " ".join(text(one.says) for one in _sentences(asked) if one.expected == "refuted")
    return f"{text(asked.title)}.{f'<br>Claimed instead: *{wrong}*' if wrong else ''}"


def _undecided(asked: Experiment, found: Judgement | None) -> str:
    open_ = [one for one in found.judged if facts.mood(one) == facts.OPEN] if found else []
    says = [text(one.says) for one in open_]
    needs = [f"needs {text(asked.needs)}"] if asked.needs else []
    return "<br>".join([*dict.fromkeys(says), *needs])
