"""Reading a map: what its cells are, and what is refused."""

from pathlib import Path

import pytest

from waitlab import configuration
from waitlab.errors import LabError
from waitlab.experiment import Experiment, find, maps, read
from waitlab.mapped import DECIDABLE, best
from waitlab.verbs import planned

GOOD = """
title = "A title"
question = "A question?"

[load]
users = 8

[arms.threads]
service = "flask"
threads = 8
request = ["/sync/mixed?ms=0&rounds=5", "/sync/mixed?ms=100&rounds=1"]
users = [24, 8]

[arms.loop]
service = "fastapi"
request = ["/async/mixed?ms=0&rounds=5", "/async/mixed?ms=100&rounds=1"]
users = [24, 8]

[map]
says = "The loop wins."
of = ["threads", "loop"]
within = 0.2
besides_ms = { threads = 1, loop = 1 }
"""


def asked(folder: Path, *changes: tuple[str, str]) -> Experiment:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.toml").write_text(text)
    return read(folder / "mine.toml")


def test_every_combination_is_a_cell_the_least_first(tmp_path: Path) -> None:
    (found,) = asked(tmp_path).predictions
    assert [(cell.cpu_ms, cell.wait_ms, cell.users) for cell in found.cells] == [
        (1, 100, 8),
        (1, 100, 24),
        (5, 0, 8),
        (5, 0, 24),
    ]
    assert found.cells[0].cpu_of("loop") == 2
    assert found.cells[0].arms == {
        "threads": "threads ms=100 rounds=1 users=8",
        "loop": "loop ms=100 rounds=1 users=8",
    }
    assert (found.arm, found.quantity, found.law) == ("threads, loop", "throughput_rps", "closed_loop")
    assert found.at_least == maps.RIGHT
    assert len(set(found.arms)) == 8
    assert list(found.quantities_of("loop ms=100 rounds=1 users=8")) == ["throughput_rps"]


@pytest.mark.parametrize(
    ("old", "new", "says", "hint"),
    [
        ('of = ["threads", "loop"]', 'of = ["threads", "lop"]', "map.of is not known", "did you mean loop?"),
        ('of = ["threads", "loop"]', 'of = ["threads"]', "map.of = ['threads'] is not allowed", "2 to 4"),
        ('of = ["threads", "loop"]', 'of = ["loop", "loop"]', "is not allowed", "different families"),
        (", loop = 1 }", " }", "map.besides_ms has no loop", "add map.besides_ms.loop"),
        ("loop = 1 }", "lop = 1 }", "map.besides_ms.lop is not known", "did you mean loop?"),
        ("within = 0.2", "within = 0.9", "map.within = 0.9", "0.01 to 0.5"),
        ("within = 0.2", "within = 0.2\nright = 1", "map.right is not known", "there are says, of"),
        ("users = [24, 8]\n\n[arms.loop]", "users = [24, 9]\n\n[arms.loop]", "has no arm of", "the same lists"),
        (
            "users = [24, 8]\n\n[arms.loop]",
            "users = [24, 8]\nworkers = [1, 2]\n\n[arms.loop]",
            "two arms in one cell",
            "",
        ),
        ("/async/mixed?ms=100&rounds=1", "/async/sleep?ms=100", "has no place on a map", "/STYLE/mixed"),
        ("/async/mixed?ms=100&rounds=1", "/async/mixed?ms=100", "has no place on a map", "rounds"),
        ("[load]\nusers = 8", "[load]\nusers = 8\nthink_ms = 5", "has another load", "ask again at once"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused(tmp_path: Path, old: str, new: str, says: str, hint: str) -> None:
    with pytest.raises(LabError) as fault:
        asked(tmp_path, (old, new))
    assert fault.value.code == 2
    assert says in fault.value.message
    assert hint in fault.value.remedy


def test_a_file_needs_predictions_or_a_map(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="says no predictions"):
        asked(tmp_path, (GOOD[GOOD.index("[map]") :], ""))


def test_the_plan_says_who_is_to_win(tmp_path: Path) -> None:
    found = planned.plan(asked(tmp_path), 1, 1.0)["predictions"][0]["cells"]
    both = ["threads", "loop"]
    assert [cell["winners"] for cell in found] == [both, ["loop"], both, both]
    assert found[1]["predicted"]["loop"] == pytest.approx(24 / 0.102)


def test_the_labs_map_is_what_its_page_says() -> None:
    """The border moves with CPU, wait and users, and what is to be decided lies where a shared core bears it."""
    experiment = read(find("c54"))
    (one,) = experiment.predictions
    arms = {arm.name: arm for arm in experiment.arms}
    found = {}
    for cell in one.cells:
        said = {
            family: configuration.predict(one, arms[name], {"cpu_ms": cell.cpu_of(family)}, cores=1).value
            for family, name in cell.arms.items()
        }
        cores = max(value * cell.cpu_of(family) / 1000 for family, value in said.items())
        found[cell.cpu_ms, cell.wait_ms, cell.users] = best(said, one.within), cores
    assert len(found) == 12
    every, two, loop = maps_families(one.arm, 3), maps_families(one.arm, 2), maps_families(one.arm, 1)
    assert {where: won for where, (won, _) in found.items()} == {
        (1, 0, 8): loop,
        (1, 0, 24): loop,
        (1, 100, 8): two,
        (1, 100, 24): loop,
        (1, 400, 8): two,
        (1, 400, 24): loop,
        (5, 0, 8): every,
        (5, 0, 24): every,
        (5, 100, 8): two,
        (5, 100, 24): two,
        (5, 400, 8): two,
        (5, 400, 24): loop,
    }
    claims = [cores for won, cores in found.values() if won != every]
    assert sum(cores <= 0.5 for cores in claims) / len(claims) > DECIDABLE


def maps_families(names: str, last: int) -> tuple[str, ...]:
    return tuple(names.split(", "))[-last:]
