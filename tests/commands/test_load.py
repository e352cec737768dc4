"""What `lab load` reads from Locust and from the services becomes the figures of its table."""

import pytest

from waitlab import cli, load
from waitlab.errors import LabError


def client(**response_ms: int) -> load.ClientView:
    histogram = {float(ms[1:]): count for ms, count in response_ms.items()}
    return load.ClientView(sum(histogram.values()), 0, 2.0, histogram)


@pytest.mark.parametrize(("q", "expected"), [(0.5, 200), (0.9, 200), (0.91, 300), (0.99, 300), (1.0, 300)])
def test_a_percentile_is_the_smallest_time_that_a_share_did_not_exceed(q: float, expected: float) -> None:
    assert client(_200=90, _300=10).percentile(q) == expected


def test_no_requests_have_no_percentile_and_no_rate() -> None:
    nothing = load.read_client_view([])
    assert nothing.percentile(0.5) is None
    assert nothing.rate == 0.0


def test_entries_of_several_request_names_are_added_up() -> None:
    entry = {"num_requests": 3, "num_failures": 1, "start_time": 100.0, "response_times": {"200.0": 2, "210.0": 1}}
    view = load.read_client_view(
        [{**entry, "last_request_timestamp": 102.0}, {**entry, "last_request_timestamp": 104.0}]
    )
    assert (view.requests, view.failures, view.rate) == (6, 2, 1.5)
    assert view.response_ms == {200.0: 4, 210.0: 2}


def test_a_percentile_with_too_few_answers_beyond_it_is_marked() -> None:
    assert load._percentile(client(_200=100), 0.99) == "~200"
    assert load._percentile(client(_200=1000), 0.99) == "200"


def test_shares_are_of_the_completed_requests() -> None:
    assert load.ServiceView({"1": 30, "2": 10}, 0.5).shares == {"1": 0.75, "2": 0.25}
    assert load.ServiceView({"1": 0}, 0.5).shares == {}


def test_ctrl_c_has_its_own_exit_code_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_lab", lambda: None)
    monkeypatch.setattr(load, "run", interrupted)
    with pytest.raises(LabError, match="interrupted: the load was stopped") as told:
        cli.load()
    assert told.value.code == 105
