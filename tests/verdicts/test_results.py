"""A results folder keeps what was measured: through kills, full disks and edits."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verdicts import made
from tests.verdicts.kept import MACHINE, QUESTION, STAMP, TRIALS, change, full_at, refused, signed
from waitlab import results
from waitlab.errors import LabError


def test_what_was_written_is_read_again(folder: Path) -> None:
    results.conclude(folder, {"predictions": [{"verdict": "confirmed"}]})
    run = results.read(folder)
    assert (run.name, run.began, run.question, run.machine) == ("sync-worker", STAMP, QUESTION, MACHINE)
    assert [replace(trial, identity=()) for trial in run.trials] == [replace(trial, identity=()) for trial in TRIALS]
    assert [dict(entry) for entry in run.trials[0].identity] == [made.IDENTITY] * 3
    assert run.verdict == {"predictions": [{"verdict": "confirmed"}]}
    assert run.remarks == ()
    assert run.measured == {("sync", 1), ("blocked", 1)}


def test_each_line_is_json_that_other_tools_read(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / results.TRIALS).read_text().splitlines()]
    assert [line["record"].get("arm") for line in lines] == [None, "sync", "blocked", "sync"]


def test_a_name_that_is_taken_gets_a_number(folder: Path) -> None:
    again = results.create(folder.parent, "sync-worker", STAMP, QUESTION, MACHINE)
    assert again.name == f"{STAMP}-sync-worker-2"
    assert len(results.read(folder).trials) == 3


@pytest.mark.parametrize(
    ("name", "stamp"), [("../up", STAMP), ("", STAMP), ("a b", STAMP), ("a", "now"), ("a", "../..")]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str, stamp: str) -> None:
    with pytest.raises(LabError, match="no name"):
        results.create(tmp_path, name, stamp, QUESTION, MACHINE)
    assert not list(tmp_path.iterdir())


# Interrupted writes


def test_killed_at_any_byte_of_a_write_all_earlier_trials_are_there(folder: Path) -> None:
    journal = folder / results.TRIALS
    whole, end = journal.read_bytes(), (folder / results.TRIALS).stat().st_size
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in range(end - last, end):
        journal.write_bytes(whole[:cut])
        run = results.read(folder)
        assert len(run.trials) == 2
        assert bool(run.remarks) == (cut > end - last)


def test_a_trial_of_before_there_were_duets_ran_beside_nobody(folder: Path) -> None:
    record = json.loads((folder / results.TRIALS).read_bytes().splitlines()[3])["record"]
    del record["beside"]
    change(folder / results.TRIALS, lambda raw: raw[: raw.rstrip(b"\n").rfind(b"\n") + 1] + signed(record))
    assert results.read(folder).trials == tuple(TRIALS)


def test_what_ran_at_once_is_written_at_once(folder: Path) -> None:
    pair = [made.trial(repeat=2, arm=name) for name in ("left", "right")]
    results.append(folder, *pair)
    assert list(results.read(folder).trials[3:]) == pair


def test_the_next_trial_is_written_over_what_a_kill_left(folder: Path) -> None:
    change(folder / results.TRIALS, lambda raw: raw[:-100])
    results.append(folder, made.trial(repeat=2))
    run = results.read(folder)
    assert [trial.ended for trial in run.trials] == ["measured"] * 3
    assert run.remarks == ()


WRITER = """
import sys
from pathlib import Path
from tests.verdicts import made
from waitlab import results
folder = results.create(Path(sys.argv[1]), "killed", "2026-11-21T10-32-07", "", {})
for repeat in range(1, 10_000):
    results.append(folder, made.trial(repeat=repeat))
    print(repeat, flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_called_written(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert writer.stdout
    said = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    said += [int(line) for line in writer.communicate()[0].splitlines()]
    found = [trial.repeat for trial in results.read(tmp_path / "2026-11-21T10-32-07-killed").trials]
    assert found[: len(said)] == said
    assert len(found) <= len(said) + 1


# A disk that takes no more


def test_a_trial_that_does_not_fit_leaves_the_others_whole(folder: Path) -> None:
    journal = folder / results.TRIALS
    before = journal.read_bytes()
    with pytest.raises(LabError, match="cannot be written: File too large") as error, full_at(len(before) + 200):
        results.append(folder, made.trial(repeat=2))
    assert error.value.code == 122
    assert journal.read_bytes() == before


def test_a_verdict_that_does_not_fit_leaves_the_old_one(folder: Path) -> None:
    results.conclude(folder, {"old": True})
    with pytest.raises(LabError, match="cannot be written"), full_at(1000):
        results.conclude(folder, {"new": "x" * 2000})
    assert results.read(folder).verdict == {"old": True}
    assert sorted(path.name for path in folder.iterdir()) == sorted(results.FILES)


def test_a_folder_that_does_not_fit_is_not_there_at_all(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be written"), full_at(10):
        results.create(tmp_path, "large", STAMP, "x" * 100, MACHINE)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_nearly_full_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 50_000_000))  # type: ignore[attr-defined]
    with pytest.raises(LabError, match="only 50 MB are free") as error:
        results.create(tmp_path, "full", STAMP, QUESTION, MACHINE)
    assert error.value.code == 122


def test_a_write_error_of_the_disk_is_a_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / results.TRIALS).read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LabError, match="Input/output error"):
        results.append(folder, made.trial(repeat=2))
    assert (folder / results.TRIALS).read_bytes() == before


def test_a_folder_that_was_removed_is_a_message(folder: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(LabError, match=r"trials\.jsonl cannot be written: No such file"):
        results.append(folder, made.trial(repeat=2))


# Edited, foreign, from another version


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda raw: raw.replace(b'"counted": 1000', b'"counted": 2000', 1), "line 2: its checksum is wrong"),
        (lambda raw: raw.replace(b'"arm": "blocked"', b'"arm": "awaited"'), "line 3: its checksum is wrong"),
        (lambda raw: raw.replace(b'"format": 1', b'"format": 2', 1), "line 1: its checksum is wrong"),
        (lambda raw: b"", "is empty"),
        (lambda raw: raw.split(b"\n", 1)[1], "line 1: format None"),
        (lambda raw: b"\n" + raw, "line 1: not a line that Waitlab wrote"),
        (lambda raw: raw + b"{}\n", "line 5: not a line that Waitlab wrote"),
        (lambda raw: raw + b"\xff\xfe\n", "line 5: not a line that Waitlab wrote"),
        (lambda raw: raw.replace(b"\n", b"\r\n"), "line 1: not a line that Waitlab wrote"),
        (lambda raw: raw + raw.splitlines(keepends=True)[1], "repeat 1 of 'sync' was measured twice"),
        (lambda raw: b"\0" * 4096 + b"\n", "line 1: not a line that Waitlab wrote"),
    ],
)
def test_a_journal_that_is_not_as_it_was_written_is_refused_with_its_line(
    folder: Path, how: Callable[[bytes], bytes], says: str
) -> None:
    change(folder / results.TRIALS, how)
    assert says in refused(folder).message


@pytest.mark.parametrize("name", [results.QUESTION, results.MACHINE])
def test_a_question_that_was_changed_after_the_fact_is_refused(folder: Path, name: str) -> None:
    change(folder / name, lambda raw: raw + b" ")
    assert f"{name} is not what it was when this was measured" in refused(folder).message
    (folder / name).unlink()
    assert f"{name} is missing" in refused(folder).message


def test_a_newer_format_is_named(folder: Path) -> None:
    change(folder / results.TRIALS, lambda raw: signed({"format": 2, "name": "x", "what": "is this"}))
    error = refused(folder)
    assert "format 2, this version reads 1" in error.message
    assert "newer" in error.remedy


def test_a_broken_verdict_is_said_and_the_trials_are_read(folder: Path) -> None:
    (folder / results.VERDICT).write_bytes(b'{"predictions": [')
    run = results.read(folder)
    assert len(run.trials) == 3
    assert "the trials can be judged again" in run.remarks[0]


HOSTILE = [
    ({"order": -1}, "order: a whole number expected"),
    ({"order": 1.5}, "order: a whole number expected"),
    ({"order": True}, "order: a whole number expected"),
    ({"order": 10**30}, "order: a whole number expected"),
    ({"warm_up_s": "2"}, "warm_up_s: a number expected"),
    ({"warm_up_s": 10**400}, "not JSON"),
    ({"warm_up_s": None}, "warm_up_s: a number expected"),
    ({"arm": 5}, "arm: text expected"),
    ({"client": []}, "client: an object expected"),
    ({"slices": {}}, "slices: a list expected"),
    ({"slices": [{"at": 0}]}, "slices[0]: seconds is missing"),
    ({"__class__": "os.system"}, "unknown field '__class__'"),
    ({"\x1b[2J": 1}, "unknown field '\\x1b[2J'"),
    ({"commands": {"a": {}}}, "commands.'a': text expected"),
]


@pytest.mark.parametrize(("changes", "says"), HOSTILE)
def test_a_record_of_the_wrong_shape_is_refused_with_its_field(
    folder: Path, changes: dict[str, object], says: str
) -> None:
    record = json.loads((folder / results.TRIALS).read_bytes().splitlines()[3])["record"]
    if changes.get("warm_up_s") == 10**400:
        line = signed(record | {"warm_up_s": 12345}).replace(b"12345", b"1" + b"0" * 5000)
        text = line[line.index(b'"record": ') + 10 : -2]
        line = b'{"sum": "%s", "record": %s}\n' % (results._sum(text).encode(), text)
    else:
        line = signed(record | changes)
    change(folder / results.TRIALS, lambda raw: raw + line)
    error = refused(folder)
    assert "line 5" in error.message
    assert says in error.message
    assert "\x1b" not in error.message


@pytest.mark.parametrize(
    "text", [b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1, "a": 2}', b'{"a": ' + b"[" * 200_000 + b"}", b'{"a": 1e999}']
)
def test_json_that_is_none_is_refused(folder: Path, text: bytes) -> None:
    line = b'{"sum": "%s", "record": %s}\n' % (results._sum(text).encode(), text)
    change(folder / results.TRIALS, lambda raw: raw + line)
    assert "line 5" in refused(folder).message


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 6000))
def test_any_damage_is_refused_or_only_the_last_trial(folder: Path, junk: bytes, at: int) -> None:
    journal = folder / results.TRIALS
    whole = journal.read_bytes()
    journal.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    try:
        known = {trial.order for trial in results.read(folder).trials}
        assert known <= {trial.order for trial in TRIALS}
    except LabError:
        pass
    finally:
        journal.write_bytes(whole)


def test_a_trial_with_a_figure_that_is_no_number_is_not_written(folder: Path) -> None:
    with pytest.raises(LabError, match="no number"):
        results.append(folder, made.trial(repeat=2, warm_up_s=float("nan")))
    assert len(results.read(folder).trials) == 3


def test_a_missing_run_and_a_pipe_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere").message
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refused(tmp_path / "pipe").message
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / results.TRIALS)
    assert "is missing" in refused(tmp_path / "folder").message


# History


def test_the_history_lists_every_run_and_says_which_cannot_be_read(folder: Path) -> None:
    later = results.create(folder.parent, "later", "2026-11-22T00-00-00", QUESTION, MACHINE)
    results.conclude(later, {"predictions": []})
    change(folder / results.TRIALS, lambda raw: raw + b"junk\n")
    (folder.parent / ".draft").mkdir()
    (folder.parent / "note.txt").touch()
    first, second = results.history(folder.parent)
    assert (first.folder, first.trials, first.verdict, first.trouble) == (later, 0, {"predictions": []}, "")
    assert second.folder == folder
    assert "line 5" in second.trouble
    assert results.history(folder.parent / "nowhere") == []
