"""Reading a prediction about a whole sweep: what it becomes, how often its arms are measured, and what is refused."""

from pathlib import Path

import pytest

from waitlab.errors import LabError
from waitlab.experiment import Experiment, Reference, read

GOOD = """
title = "A title"
question = "A question?"

[load]
users = 20
repeats = 5

[arms.sync]
service = "flask"
request = "/sync/sleep?ms=200"
workers = [8, 1, 4, 2]

[arms.async]
service = "fastapi"
request = "/async/sleep?ms=200"
workers = [1, 2, 4, 8]

[[predictions]]
says = "It is so."
arm = "sync"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.10
fit = true

[[predictions]]
says = "And here."
arm = "async"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.10
"""
FIT = "within = 0.10\nfit = true"
MEASURED = f'law = "closed_loop"\nmeasured = {{ cpu_ms = "sync workers=2" }}\n{FIT}'


def asked(folder: Path, *changes: tuple[str, str]) -> Experiment:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.toml").write_text(text)
    return read(folder / "mine.toml")


def repeats(of: Experiment, family: str = "sync") -> dict[str, int]:
    return {arm.name.removeprefix(f"{family} "): arm.load.repeats for arm in of.arms if arm.family == family}


def test_a_family_is_one_prediction_with_its_levels_in_order(tmp_path: Path) -> None:
    found = asked(tmp_path).predictions
    assert len(found) == 1 + 4
    assert (found[0].arm, found[0].over, found[0].about) == ("sync", "workers", "sync over workers")
    assert list(found[0].members) == [1, 2, 4, 8]
    assert found[0].arms == tuple(f"sync workers={count}" for count in (1, 2, 4, 8))
    assert found[1].arms == ("async workers=1",)
    assert not found[1].members


def test_only_what_a_fit_alone_is_about_is_measured_once(tmp_path: Path) -> None:
    found = asked(tmp_path)
    assert repeats(found) == {"workers=8": 5, "workers=1": 5, "workers=4": 1, "workers=2": 1}
    assert set(repeats(found, "async").values()) == {5}


@pytest.mark.parametrize(
    ("changes", "of_two", "of_four"),
    [
        ([("repeats = 5", "repeats = 5\ninner_repeats = 2")], 2, 2),
        ([("repeats = 5", "repeats = 3\ninner_repeats = 9")], 3, 3),
        ([("workers = [8, 1, 4, 2]", "workers = [8, 1, 4, 2]\ninner_repeats = 3")], 3, 3),
        ([('arm = "async"', 'arm = "sync workers=2"')], 5, 1),
        ([(f'law = "concurrency_limit"\n{FIT}', MEASURED)], 5, 1),
    ],
)
def test_an_arm_that_something_else_needs_keeps_its_repeats(
    tmp_path: Path, changes: list[tuple[str, str]], of_two: int, of_four: int
) -> None:
    found = repeats(asked(tmp_path, *changes))
    assert (found["workers=2"], found["workers=4"]) == (of_two, of_four)
    assert found["workers=1"] == found["workers=8"] >= 3


def test_an_arm_that_a_bound_refers_to_keeps_its_repeats(tmp_path: Path) -> None:
    bound = '\n[[predictions]]\nsays = "More."\narm = "async workers=1"\nquantity = "throughput_rps"\n'
    (tmp_path / "more.toml").write_text(GOOD + bound + 'at_least = { arm = "sync workers=4" }\n')
    found = repeats(read(tmp_path / "more.toml"))
    assert (found["workers=2"], found["workers=4"]) == (1, 5)


def test_each_level_has_the_inputs_of_its_law(tmp_path: Path) -> None:
    found = asked(tmp_path, (f'law = "concurrency_limit"\n{FIT}', MEASURED)).predictions[0]
    assert set(found.references) == {Reference("sync workers=2", "cpu_ms_per_request")}
    assert not found.measured
    each = asked(tmp_path, (f'law = "concurrency_limit"\n{FIT}', MEASURED.replace("sync workers=2", "async")))
    assert [one.measured["cpu_ms"].arm for one in each.predictions[0].members.values()] == [
        f"async workers={count}" for count in (1, 2, 4, 8)
    ]


@pytest.mark.parametrize(
    ("over", "request_", "key", "levels"),
    [
        ("users = [1, 2, 5, 20]", "/sync/sleep?ms=200", "users", [1, 2, 5, 20]),
        (
            "workers = 1",
            '["/sync/sleep?ms=50", "/sync/sleep?ms=100", "/sync/sleep?ms=200", "/sync/sleep?ms=400"]',
            "ms",
            [50, 100, 200, 400],
        ),
    ],
)
def test_other_numbers_vary_too(tmp_path: Path, over: str, request_: str, key: str, levels: list[int]) -> None:
    request_ = request_ if request_.startswith("[") else f'"{request_}"'
    found = asked(tmp_path, ('"/sync/sleep?ms=200"', request_), ("workers = [8, 1, 4, 2]", over)).predictions[0]
    assert (found.over, list(found.members)) == (key, levels)


def test_without_fit_all_is_as_before(tmp_path: Path) -> None:
    found = asked(tmp_path, (FIT, "within = 0.10\nfit = false"))
    assert [one.over for one in found.predictions] == [""] * 8
    assert set(repeats(found).values()) == {5}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ([("workers = [8, 1, 4, 2]", "workers = [8, 1, 4]")], "prediction 1.fit needs a family"),
        ([("workers = [8, 1, 4, 2]", "workers = [4, 8]\nusers = [5, 20]")], "prediction 1.fit needs a family"),
        ([("workers = [8, 1, 4, 2]", "think_ms = [1, 2, 3, 4]")], "prediction 1.fit needs a family"),
        ([('arm = "sync"', 'arm = "sync workers=8"')], "prediction 1.fit needs a family"),
        ([(f'law = "concurrency_limit"\n{FIT}', f"equals = 5\n{FIT}")], "prediction 1.fit is of a law"),
        ([(f'law = "concurrency_limit"\n{FIT}', "at_most = 5\nfit = true")], "prediction 1.fit is of a law"),
        ([("fit = true", "fit = 1")], "prediction 1.fit = 1 is not allowed"),
        ([("repeats = 5", "repeats = 5\ninner_repeats = 0")], "load.inner_repeats = 0 is not allowed"),
        (
            [("repeats = 5", "repeats = 5\ninner_repeats = 2"), ("fit = true", "fit = false")],
            "load.inner_repeats is of a sweep that is judged by its fit",
        ),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path: Path, changes: list[tuple[str, str]], key: str) -> None:
    with pytest.raises(LabError) as fault:
        asked(tmp_path, *changes)
    assert fault.value.code == 2
    assert key in fault.value.message
