"""What makes two runs hard to compare: a difference between them that is none of what they measured."""

from collections.abc import Iterator, Mapping
from typing import Any

from waitlab.experiment import Arm
from waitlab.judgement import Judgement

OF_MACHINE = ("kernel", "python", "cores", "usable_cores", "cgroup_cpus", "memory_bytes")
VERSIONS = "versions"


def notes(a: Judgement, b: Judgement) -> Iterator[str]:
    """Each difference in words: what was asked, how arms were set up, the services' code, packages, the machine."""
    if a.run.question != b.run.question:
        yield "the runs did not ask the same: their experiment files differ"
    arms = {arm.name: arm for arm in a.experiment.arms}
    shared = [arm for arm in b.experiment.arms if arm.name in arms]
    for arm in shared:
        if arm != arms[arm.name]:
            yield f"{arm.name} was not set up the same in both"
    others = [arm.name for arm in shared if len(_codes(a, arm) | _codes(b, arm)) > 1]
    if others:
        yield f"the code of what was measured differs: {', '.join(others)}"
    machines = [run.run.machine for run in (a, b)]
    packages = [_table(facts.get(VERSIONS)) for facts in machines]
    yield from _differing("package versions differ", packages, sorted({*packages[0], *packages[1]}))
    yield from _differing("the machines differ", machines, OF_MACHINE)


def _codes(of: Judgement, arm: Arm) -> set[str]:
    """The hashes of the application's source that the arm's services gave."""
    return {str(said["code"]) for trial in of.trials_of(arm) for said in trial.identity if "code" in said}


def _table(found: object) -> Mapping[str, Any]:
    """A table of machine.json, which anybody may have written."""
    return found if isinstance(found, dict) else {}


def _differing(what: str, facts: list[Mapping[str, Any]], keys: tuple[str, ...] | list[str]) -> Iterator[str]:
    values = {key: [str(one.get(key, "unknown"))[:40] for one in facts] for key in keys}
    told = [f"{key} {before} and {after}" for key, (before, after) in values.items() if before != after]
    if told:
        yield f"{what}: {', '.join(told)}"
