"""Which trial deserves a second try: one from which the machine took what is asked for."""

from dataclasses import replace

import pytest

from tests.verdicts import made
from waitlab import judgement
from waitlab.experiment import Reference
from waitlab.trial import Trial

HEALTHY = made.trial()
NOISY = made.machine(HEALTHY, noisy_slices=0.9)
CROWDED = made.machine(HEALTHY, foreign_ratio=0.6, noisy_slices=0.9)
SLOW_GENERATOR = made.client(HEALTHY, cpu_ratio=0.9)
MISCOUNTED = made.client(HEALTHY, sent=7)
WRONG = replace(HEALTHY, wrong_answers=("a word too many",))


@pytest.mark.parametrize(
    ("trial", "quantity", "says"),
    [
        (HEALTHY, "throughput_rps", ""),
        (NOISY, "throughput_rps", ""),  # waiting bears it
        (NOISY, "cpu_ms_per_request", "G7, 90% of the slices were noisy"),
        (CROWDED, "throughput_rps", "G7, 90% of the slices were noisy"),
        (SLOW_GENERATOR, "throughput_rps", "G4, the generator used 90%"),
        (SLOW_GENERATOR, "pss_mb", ""),
        (MISCOUNTED, "throughput_rps", ""),  # the service's doing: a finding
        (WRONG, "throughput_rps", ""),
    ],
)
def test_what_the_machine_took_of_what_is_asked(trial: Trial, quantity: str, says: str) -> None:
    asked = made.experiment([made.arm()], made.prediction(quantity=quantity, equals=1.0, within=0.1))
    found = judgement.spoilt(asked, trial)
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_noise_spoils_no_duet() -> None:
    pair = [made.arm(name, duet=True) for name in ("sync", "other")]
    asked = made.experiment(pair, made.prediction(quantity="cpu_ms_per_request", equals=1.0, within=0.1))
    assert judgement.spoilt(asked, replace(NOISY, beside=("other",))) == ""


def test_an_arm_that_a_verdict_rests_on_counts_too() -> None:
    asked = made.experiment(
        [made.arm(), made.arm("other")],
        made.prediction(
            quantity="cpu_ms_per_request", arm="other", equals=Reference("sync", "cpu_ms_per_request"), within=0.1
        ),
    )
    assert judgement.spoilt(asked, NOISY).startswith("G7")
    bound = made.prediction(quantity="cpu_ms_per_request", arm="other", at_most=Reference("sync", "cpu_ms_per_request"))
    assert judgement.spoilt(replace(asked, predictions=(bound,)), NOISY) == ""  # a bound bears it
