"""The experiments of the lab: each one reads, asks only for what there is, can be planned, and can end in a verdict."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from services import contract, parameters
from waitlab import capacity, configuration, suites
from waitlab.errors import LabError
from waitlab.experiment import FOLDER, REPLICATIONS, Arm, Experiment, Load, Prediction, files, paths, read
from waitlab.runtime.local import plan

EXPERIMENTS = {file.stem: read(file) for file in files()}
LONGEST_WARM_UP_S = 10


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return EXPERIMENTS[request.param]


def each(experiment: Experiment) -> Iterator[Prediction]:
    """Every prediction of one arm, those of a sweep too."""
    for prediction in experiment.predictions:
        if not prediction.cells:
            yield from prediction.members.values() or (prediction,)


def test_the_table_of_requests_is_the_contracts() -> None:
    assert {
        service: {
            path: tuple(one.name for one in found.parameters) for path, found in contract.offered(service).items()
        }
        | ({} if service in contract.NO_SOCKET else {contract.SOCKET: ()})
        for service in contract.SERVICES
    } == paths.OFFERED
    assert set(paths.UNMEASURED) == contract.UNMEASURED


def test_every_request_is_offered(experiment: Experiment) -> None:
    for arm in experiment.arms:
        offered = contract.offered(arm.service)
        for request in arm.requests:
            path, _, query = request.partition("?")
            if path not in contract.UNMEASURED | {contract.SOCKET}:
                assert parameters.read(query.encode(), offered[path].parameters) is not None


def test_every_arm_can_be_started(experiment: Experiment) -> None:
    for arm in experiment.arms:
        with_database = "postgres" in configuration.dependencies(arm)
        plan.check_service(arm.service, configuration.environment(arm), with_database)


def test_every_law_gives_a_value(experiment: Experiment) -> None:
    arms = {arm.name: arm for arm in experiment.arms}
    for prediction in each(experiment):
        if prediction.law:
            measured = {name: 20.0 * (number + 1) for number, name in enumerate(prediction.measured)}
            predicted = configuration.predict(prediction, arms[prediction.arm], measured, cores=1)
            assert predicted.value > 0
            assert predicted.formula


def test_repeats_allow_a_verdict(experiment: Experiment) -> None:
    repeats = {arm.name: arm.load.repeats for arm in experiment.arms}
    for prediction in experiment.predictions:
        sources = [reference.arm for reference in prediction.references]
        ends = (prediction.arms[0], prediction.arms[-1])
        needed = 5 if sources and not prediction.members else 3
        assert min(repeats[name] for name in ends) >= needed, prediction.says
        assert min((repeats[name] for name in sources), default=5) >= 5, prediction.says


def test_the_queue_is_full_soon_enough(experiment: Experiment) -> None:
    for arm in experiment.arms:
        if arm.load.users and not arm.load.holds:
            limits = [limit.per_s for limit in capacity.given(configuration.case(arm, cores=1))]
            assert arm.load.users / min(limits, default=float("inf")) <= LONGEST_WARM_UP_S, arm.name


def test_a_stranger_can_read_it(experiment: Experiment) -> None:
    assert experiment.question.endswith("?")
    assert not experiment.title.endswith(".")
    assert len({arm.name for arm in experiment.arms}) > 1, "a claim needs its twin"
    assert {prediction.arm for prediction in experiment.predictions}
    number = re.match(r"[clr]\d+", experiment.name)
    assert number
    assert number[0].upper() in suites.number(experiment).split(", ")


def test_every_arm_is_used(experiment: Experiment) -> None:
    used = {name for prediction in experiment.predictions for name in prediction.arms}
    used |= {reference.arm for prediction in experiment.predictions for reference in prediction.references}
    shown_only = {arm.name for arm in experiment.arms if arm.name.startswith("(")}  # figures, and nothing to judge
    assert used == {arm.name for arm in experiment.arms} - shown_only


def test_who_needs_every_core_says_so(experiment: Experiment) -> None:
    if any(arm.knobs.get("cores", 1) != 1 for arm in experiment.arms):
        assert "cores" in experiment.needs


def test_the_catalogue_is_asked() -> None:
    asked = {number for experiment in EXPERIMENTS.values() for number in experiment.settles}
    assert asked == set(suites.NUMBERS)


def test_a_replication_names_its_source_and_what_it_does_otherwise() -> None:
    replications = {file.stem: EXPERIMENTS[file.stem] for file in REPLICATIONS.glob("*.toml")}
    assert {name: one for name, one in EXPERIMENTS.items() if one.source} == replications
    assert len({one.source for one in replications.values()}) == len(replications) == 5
    for one in replications.values():
        assert not one.settles  # whose question it is: the publication's
        told = " ".join(re.findall(r"^# (.*)", one.text, re.MULTILINE))
        assert told.startswith("Published: ")
        assert re.search(r"\bhere\b", told, re.IGNORECASE)


def arm(service: str, **knobs: int | str | bool) -> Arm:
    asked = EXPERIMENTS["c02-sync-worker-serves-one"].arms[0]
    return Arm("mine", "mine", service, "/sync/sleep?ms=200", knobs, asked.load)


def test_an_arms_case_has_the_services_defaults() -> None:
    case = configuration.case(arm("fastapi", tokens=8), cores=1)
    assert (case.worker_class, case.workers, case.tokens, case.pool_size) == ("asgi", 2, 8, 10)
    assert (case.style, case.workload, case.wait_s, case.cores) == ("sync", "sleep", 0.2, 1)
    assert configuration.case(arm("flask", threads=8, cores=4), cores=1).worker_class == "gthread"
    assert configuration.case(arm("flask", cores=4), cores=1).cores == 4


@pytest.mark.parametrize(
    ("request_", "beside", "parts"),
    [
        ("/async/sleep?ms=5", "", set()),
        ("/async/query?ms=5", "", {"postgres"}),
        ("/async/fetch?ms=5", "", {"upstream"}),
        ("/async/profile?ms=5", "", {"postgres", "upstream"}),
        ("/async/depends?ms=5&dep=session", "", {"postgres"}),
        ("/async/depends?ms=5&dep=sync", "/async/query?ms=5", {"postgres"}),
        ("/sample/httpx-await?ms=5", "", {"postgres", "upstream"}),
        ("/sample/client-per-request-corrected?ms=5", "/metrics", {"upstream"}),
    ],
)
def test_an_arm_needs_only_what_it_asks(request_: str, beside: str, parts: set[str]) -> None:
    asking = replace(arm("fastapi"), request=request_)
    loads = (Load(users=1, victim=beside), Load(users=1, background=tuple(filter(None, [beside])), background_users=1))
    assert [configuration.dependencies(replace(asking, load=load)) for load in loads] == [parts, parts]


@pytest.mark.parametrize(
    ("service", "knobs", "message"),
    [
        ("flask", {"server": "uvicorn"}, "server='uvicorn' is not allowed"),
        ("fastapi", {"worker_class": "sync"}, "worker_class='sync' is not allowed"),
        ("flask", {"worker_class": "sync", "threads": 4}, "threads=4 is not allowed: worker_class=sync takes 1"),
        ("fastapi", {"preload": True}, "preload='on' is not allowed"),
    ],
)
def test_knobs_that_do_not_go_together_are_refused(
    service: str, knobs: dict[str, int | str | bool], message: str
) -> None:
    with pytest.raises(LabError) as fault:
        configuration.environment(arm(service, **knobs))
    assert fault.value.code == 2
    assert fault.value.message.startswith("arm 'mine': ")
    assert message in fault.value.message


def test_no_experiment_is_hidden_in_a_file_of_another_name() -> None:
    found = {file for file in FOLDER.rglob("*") if file.is_file()}
    assert {file for file in found if file.suffix not in (".py", ".md", ".pyc")} == set(files())
