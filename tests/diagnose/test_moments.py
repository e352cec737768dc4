"""What looks add up to: shares of looks, rates between them, and who holds whom up."""

from collections.abc import Mapping, Sequence

import pytest

from waitlab.diagnose import moments
from waitlab.diagnose.moments import Moment
from waitlab.diagnose.sockets import Call, Connection, Turn
from waitlab.runtime.pages import Metrics

QUICK = Connection(b"quick", 7, unread=0, unsent=0, received=100, sent=0, since_received_ms=3, since_sent_ms=900)


def page(**values: float) -> Metrics:
    """A worker's page: names as in waitlab.telemetry.names, with __ before a label's value."""
    return Metrics("\n".join(f"{name} {value}" for name, value in values.items()))


def looks(*pages: Mapping[str, float], seconds: float = 1.0) -> list[Moment]:
    return [Moment(number * seconds, {"1": page(**values)}) for number, values in enumerate(pages)]


def seen(*connections: tuple[Connection, ...]) -> list[Moment]:
    return [Moment(number / 2, {}, connections=found) for number, found in enumerate(connections)]


def test_places_are_counted_by_looks() -> None:
    states = ((40, 0), (40, 9), (40, 1), (12, 0))
    pool = "lab_threadpool_"
    taken = looks(
        *({f"{pool}tokens": 40, f"{pool}tokens_borrowed": busy, f"{pool}tasks_waiting": rest} for busy, rest in states)
    )
    (worker,) = moments.figures("shop", taken, 1.0, None).workers
    assert worker.tokens
    assert (worker.tokens.size, worker.tokens.used, worker.tokens.waiting) == (40, 33, 2.5)
    assert (worker.tokens.full_ratio, worker.tokens.waiting_ratio) == (0.75, 0.5)
    assert worker.executor is None


def test_rates_are_of_the_time_between_the_first_look_and_the_last() -> None:
    done = 'lab_ledger_requests_total{outcome="completed"}'
    taken = looks({done: 100, "lab_worker_cpu_seconds_total": 5}, {}, {done: 160, "lab_worker_cpu_seconds_total": 6.5})
    found = moments.figures("shop", taken, 2.0, None)
    assert found.rps == 30
    assert found.cores == 0.75
    assert found.looks == 3


def test_cpu_of_processes_goes_before_that_of_pages() -> None:
    first = Moment(0.0, {"1": page(lab_worker_cpu_seconds_total=1)}, cpu_s={"1": 1.0})
    last = Moment(2.0, {"1": page(lab_worker_cpu_seconds_total=1)}, cpu_s={"1": 3.0})  # its children computed
    assert moments.figures("shop", [first, last], 2.0, None).cores == 1.0


@pytest.mark.parametrize(
    ("pages", "ratio"),
    [
        ([(0.0, 10, 0.004), (0.02, 50, 0.004)], 0.01),  # a healthy one
        ([(1.0, 10, 0.2), (2.6, 18, 0.2)], 0.8),  # blocked again and again
        ([(1.0, 10, 0.9), (1.0, 10, 2.9)], 1.45),  # one block, longer than the watch
    ],
)
def test_a_loop_is_late_for_what_it_noticed_or_for_a_block_that_goes_on(
    pages: list[tuple[float, int, float]], ratio: float
) -> None:
    taken = looks(
        *(
            {
                "lab_event_loop_lag_duration_seconds_sum": total,
                "lab_event_loop_lag_duration_seconds_count": count,
                "lab_event_loop_lag_seconds": worst,
            }
            for total, count, worst in pages
        ),
        seconds=2.0,
    )
    (worker,) = moments.figures("shop", taken, 1.0, None).workers
    assert worker.late_ratio == pytest.approx(ratio)


def test_pools_to_the_outside_are_calls_and_the_fullest_database_counts() -> None:
    def pool(name: str, used: int, waiting: int) -> dict[str, float]:
        kinds = {"max": 5, "used": used, "waiting": waiting}
        return {f'lab_pool_connections_{kind}{{pool="{name}"}}': value for kind, value in kinds.items()}

    state = pool("psycopg", 5, 8) | pool("psycopg-async", 0, 0) | pool("aiohttp", 3, 0)
    found = moments.figures("shop", looks(state, state), 1.0, 2)
    (worker,) = found.workers
    assert worker.pools
    assert (worker.pools.used, worker.pools.waiting) == (5, 8)
    assert worker.calls
    assert worker.calls.used == 3
    assert found.upstream
    assert (found.upstream.used, found.upstream.waiting, found.upstream.full_ratio) == (2, 1, 1)


def test_a_worker_that_is_new_or_gone_has_changed() -> None:
    first = Moment(0.0, {"1": page(lab_x=1), "2": page(lab_x=1)})
    last = Moment(1.0, {"1": page(lab_x=1), "3": page(lab_x=1)})
    assert moments.figures("shop", [first, last], 1.0, None).changed == 2


def test_a_worker_whose_process_is_another_has_changed() -> None:
    first, last = (Moment(at, {}, cpu_s={"1": 5.0 - at}, pids={"1": pid}) for at, pid in ((0.0, 70), (1.0, 71)))
    assert moments.figures("shop", [first, last], 1.0, None).changed == 1


def test_threads_that_only_wake_up_do_not_wait_for_a_core() -> None:
    woken = {str(number): 0.1 for number in range(40)}
    first = Moment(0.0, {}, cpu_s={"1": 0.0}, ready_s={"1": {**dict.fromkeys(woken, 0.0), "main": 1.0, "gone": 1.0}})
    last = Moment(2.0, {}, cpu_s={"1": 0.5}, ready_s={"1": {**woken, "main": 2.0, "new": 1.0}})
    assert moments.figures("shop", [first, last], 1.0, None).workers[0].ready == 0.5


def test_errors_are_a_share_of_the_answers_of_the_watch() -> None:
    def answers(good: int, bad: int) -> dict[str, float]:
        name = "http_server_request_duration_seconds_count"
        return {f'{name}{{status="200"}}': good, f'{name}{{status="503"}}': bad}

    assert moments.figures("shop", looks(answers(10, 10), answers(40, 20)), 1.0, None).error_ratio == 0.25


def test_requests_queue_when_they_lie_longer_than_it_takes_to_pick_them_up() -> None:
    fresh = QUICK._replace(unread=80, since_received_ms=1)
    old = QUICK._replace(unread=80, since_received_ms=200)
    unaccepted = old._replace(inode=0)
    found = moments.figures("shop", seen((fresh,), (old,), (unaccepted, fresh), (QUICK,)), 1.0, None).connections
    assert found
    assert (found.unaccepted, found.unread, found.queued_ratio, found.answering) == (0.25, 0.75, 0.5, 0.25)


def test_who_asks_again_within_a_millisecond_of_its_answer_is_being_answered() -> None:
    asked = [QUICK._replace(received=100 * turn, sent=50 * turn, since_sent_ms=3) for turn in (1, 2, 3)]
    found = moments.figures("shop", seen(*((one,) for one in asked), (asked[-1],)), 1.0).connections
    assert found
    assert found.answering == 0.5  # at the first look nobody knows, after the last one it has not asked again


def test_who_sends_bit_by_bit_holds_the_service_up() -> None:
    sips = [QUICK._replace(peer=b"slow", received=100 + number) for number in range(5)]
    found = moments.figures("shop", seen(*((one, QUICK) for one in sips)), 1.0, None).connections
    assert found
    assert (found.slow, found.slow_ratio) == (1, 1)


def test_who_asks_again_does_not() -> None:
    asked = [QUICK._replace(received=100 * number, sent=500 * number) for number in range(1, 5)]
    found = moments.figures("shop", seen(*((one,) for one in asked)), 1.0, None).connections
    assert found
    assert found.slow == 0


def test_who_does_not_take_an_answer_holds_the_service_up() -> None:
    filled = QUICK._replace(unsent=60_000, sent=10)
    found = moments.figures("shop", seen((filled,), (filled,), (filled,)), 1.0, None).connections
    assert found
    assert (found.slow, found.slow_ratio) == (1, 1)
    once = moments.figures("shop", seen((QUICK,), (filled,), (QUICK,)), 1.0, None).connections
    assert once
    assert once.slow == 0


def test_who_connects_and_says_nothing_holds_whoever_took_the_connection() -> None:
    silent = QUICK._replace(received=0, since_received_ms=2000)
    found = moments.figures("shop", seen((silent, silent._replace(inode=0)), (silent,)), 1.0, None).connections
    assert found
    assert found.slow == 1


ASKED, EITHER, ANSWERED = Turn.ASKED, Turn.EITHER, Turn.ANSWERED


@pytest.mark.parametrize(
    ("turns", "bytes_", "awaited"),
    [
        ((ASKED, EITHER, EITHER, ASKED), (1, 2, 3, 4), 4),  # asked anew within a tick of each answer
        ((ANSWERED, EITHER, ANSWERED, ASKED), (1, 2, 3, 4), 1),
        ((EITHER, EITHER, EITHER, EITHER), (1, 2, 2, 2), 0),  # answered within a tick
        ((ASKED, ASKED, ASKED, ASKED), (1, 1, 1, 1), 0),  # nobody has asked anything all the time
        ((ASKED, ASKED), (1, 1), 2),  # a call that began and ended meanwhile
    ],
)
def test_a_call_waits_from_its_question_to_its_answer(
    turns: Sequence[Turn], bytes_: Sequence[int], awaited: int
) -> None:
    history = [
        Call("10.0.0.7:5432", 5, turn, sent=count, received=count) for turn, count in zip(turns, bytes_, strict=True)
    ]
    padded = [[one] for one in history] + [[]] * (4 - len(history))
    found = moments.figures("shop", [Moment(at, {}, calls=calls) for at, calls in enumerate(padded)], 1)
    assert (found.callee, found.awaited) == ("10.0.0.7:5432", awaited / 4)


def test_who_asks_after_an_answer_does_not_only_send() -> None:
    looks = [Call("10.0.0.7:5432", 5, turn, sent, received=1) for turn, sent in ((ANSWERED, 1), (ASKED, 2), (ASKED, 2))]
    assert moments.figures("shop", [Moment(at, {}, calls=[one]) for at, one in enumerate(looks)], 1).awaited == 2 / 3


def test_who_only_sends_asks_nothing_and_all_calls_count() -> None:
    log = [Call("10.0.0.9:5170", 9, ASKED, sent=at, received=0) for at in range(3)]
    pools = [[Call(f"10.0.0.{host}:5432", host, ASKED, sent=at, received=at) for host in (1, 2)] for at in range(3)]
    looks = [Moment(at, {}, calls=[*pools[at], log[at]]) for at in range(3)]
    found = moments.figures("shop", looks, 1)
    assert (found.callee, found.awaited) == ("10.0.0.1:5432", 2)


def test_the_busiest_thread_of_a_generator_counts_unless_it_shows_itself() -> None:
    first = Moment(0.0, {}, senders={"wrk\0001": 1.0, "wrk\0002": 1.0})
    last = Moment(2.0, {}, senders={"wrk\0001": 1.5, "wrk\0002": 2.9})
    found = moments.figures("shop", [first, last], 1.0, None)
    assert (found.generator, found.generator_ratio) == ("wrk", pytest.approx(0.95))
    shows = Moment(2.0, {}, load_ratio={"main": 0.4}, load_requests=90.0)
    found = moments.figures("shop", [first, shows], 1.0, None)
    assert (found.generator, found.generator_ratio) == ("Locust, process main", 0.4)


def test_cores_are_busy_with_whatever_is_not_idle() -> None:
    first, last = Moment(0.0, {}, cores=[0] * 8), Moment(1.0, {}, cores=[50, 0, 10, 20, 10, 0, 0, 10])
    found = moments.figures("shop", [first, last], 1.0, None)
    assert (found.busy_ratio, found.steal_ratio) == (pytest.approx(0.7), pytest.approx(0.1))
