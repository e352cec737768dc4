"""The ledger: one owner a slot, counts that outlive their owners, and readers that disturb nobody."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from waitlab.telemetry import ledger
from waitlab.telemetry.worker import Worker

FORK = multiprocessing.get_context("fork")


def in_child(work: Callable[[], None]) -> None:
    """Run `work` in another process, which then ends without cleaning up, as a killed worker does."""

    def run() -> None:
        ledger._claims.clear()
        work()
        os._exit(0)

    child = FORK.Process(target=run)
    child.start()
    child.join()
    assert child.exitcode == 0


def test_slot_is_free_again_when_its_owner_dies_and_counts_on(tmp_path: Path) -> None:
    ledger.create(tmp_path)

    def work() -> None:
        claim = ledger.claim(tmp_path)
        assert claim.number == 1
        claim.words[ledger.ACCEPTED] += 3
        claim.words[ledger.COMPLETED] += 2
        (slot,) = ledger.read(tmp_path)
        assert slot.alive
        assert ledger.claim(tmp_path) is not None  # reading has not given the lock away

    in_child(work)
    (slot,) = ledger.read(tmp_path)
    assert (slot.number, slot.alive, slot.accepted, slot.completed, slot.unfinished) == (1, False, 3, 2, 1)

    def successor() -> None:
        claim = ledger.claim(tmp_path)
        claim.words[ledger.ACCEPTED] += 1
        assert (claim.number, claim.active) == (1, 1)  # what its forerunner lost is not in flight

    in_child(successor)
    assert ledger.read(tmp_path)[0].accepted == 4


def test_lowest_free_slot_is_taken_and_the_owner_is_seen_from_outside(tmp_path: Path) -> None:
    ledger.create(tmp_path)
    release = FORK.Event()
    taken = FORK.Queue()

    def hold() -> None:
        ledger._claims.clear()
        taken.put(ledger.claim(tmp_path).number)
        release.wait(20)
        os._exit(0)

    holders = [FORK.Process(target=hold) for _ in range(3)]
    for holder in holders:
        holder.start()
    assert sorted(taken.get(timeout=20) for _ in holders) == [1, 2, 3]
    slots = ledger.read(tmp_path)
    assert all(slot.alive for slot in slots)
    assert {slot.pid for slot in slots} == {holder.pid for holder in holders}
    release.set()
    for holder in holders:
        holder.join()
    assert not any(slot.alive for slot in ledger.read(tmp_path))


def test_new_ledger_carries_nothing_over(tmp_path: Path) -> None:
    ledger.create(tmp_path)
    in_child(lambda: ledger.claim(tmp_path) and None)
    assert ledger.read(tmp_path)
    ledger.create(tmp_path)
    assert ledger.read(tmp_path) == []


def test_threads_lose_no_count(begin: Callable[..., Worker]) -> None:
    worker = begin()

    def requests() -> None:
        for _ in range(500):
            worker.begin(("sync", "ping"), "GET", "/sync/ping", "", "").end(200, 2, whole=True)

    threads = [threading.Thread(target=requests) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worker.claim.words[ledger.ACCEPTED] == worker.claim.words[ledger.COMPLETED] == 4000


@pytest.mark.parametrize("fault", ["no ledger", "no folder", "full"])
def test_worker_without_a_slot_still_counts_and_says_so(
    begin: Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "full":
        monkeypatch.setattr(ledger, "SLOTS", 0)
    run_dir = tmp_path / "elsewhere"
    if fault == "no ledger":
        run_dir.mkdir()
    worker = begin(run_dir=tmp_path if fault == "full" else run_dir, traces="sampled")
    worker.begin(("sync", "ping"), "GET", "/", "t=1", f"00-{1:032x}-{1:016x}-01").end(200, 1, whole=True)
    page = worker.instruments.page(False).decode()
    assert 'lab_telemetry_degraded{reason="ledger",service="tiny",worker=""} 1.0' in page
    assert 'lab_ledger_requests_total{outcome="completed",service="tiny",worker=""} 1.0' in page
    assert ('reason="tracing"' in page) == (fault == "no folder")
