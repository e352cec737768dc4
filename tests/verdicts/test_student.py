"""Student's t against what is printed in every table of it, and against its closed forms."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitlab import student

# NIST-SEMATECH e-Handbook 1.3.6.7.2, as printed, but for its misprint 318.313: it is tan(0.499 pi)
TABLE = [
    (0.90, 1, 3.078),
    (0.95, 1, 6.314),
    (0.975, 1, 12.706),
    (0.995, 1, 63.657),
    (0.999, 1, 318.309),
    (0.90, 2, 1.886),
    (0.975, 2, 4.303),
    (0.999, 2, 22.327),
    (0.95, 3, 2.353),
    (0.975, 3, 3.182),
    (0.975, 4, 2.776),
    (0.99, 4, 3.747),
    (0.975, 5, 2.571),
    (0.95, 9, 1.833),
    (0.975, 9, 2.262),
    (0.995, 10, 3.169),
    (0.975, 19, 2.093),
    (0.975, 30, 2.042),
    (0.995, 60, 2.660),
    (0.975, 100, 1.984),
    (0.975, 1e9, 1.960),
]


@pytest.mark.parametrize(("p", "freedom", "t"), TABLE)
def test_quantiles_are_those_of_the_printed_tables(p: float, freedom: float, t: float) -> None:
    assert student.quantile(p, freedom) == pytest.approx(t, abs=5.1e-4)
    assert student.quantile(1 - p, freedom) == pytest.approx(-t, abs=5.1e-4)


@settings(deadline=None)
@given(st.floats(1e-6, 1 - 1e-6))
def test_one_and_two_degrees_of_freedom_have_closed_forms(p: float) -> None:
    assert student.quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-7, abs=1e-9)
    assert student.quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-7, abs=1e-9)


@settings(deadline=None)
@given(st.floats(0.5, 0.999999), st.floats(1, 1000))
def test_the_tail_beyond_a_quantile_is_what_was_asked_for(p: float, freedom: float) -> None:
    assert student.tail(student.quantile(p, freedom), freedom) == pytest.approx(1 - p, rel=1e-7)


@pytest.mark.parametrize(("p", "freedom"), [(0, 3), (1, 3), (1.5, 3), (math.nan, 3), (0.5, 0), (0.5, math.nan)])
def test_what_has_no_quantile_is_refused(p: float, freedom: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        student.quantile(p, freedom)
