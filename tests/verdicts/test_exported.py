"""A run that is passed on is the same run, and files from strangers harm nobody."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verdicts.kept import change, full_at, refused
from waitlab import results
from waitlab.errors import LabError


def exported(folder: Path) -> Path:
    target = folder.parent / "run.zip"
    results.export(folder, target)
    return target


def test_an_exported_run_is_the_same_run(folder: Path) -> None:
    results.conclude(folder, {"predictions": []})
    target = exported(folder)
    assert results.read(target) == results.read(folder)
    first = target.read_bytes()
    assert exported(folder).read_bytes() == first


def test_a_broken_run_is_not_passed_on(folder: Path) -> None:
    change(folder / results.TRIALS, lambda raw: raw.replace(b'"counted": 1000', b'"counted": 2000', 1))
    with pytest.raises(LabError, match="checksum"):
        exported(folder)
    assert not (folder.parent / "run.zip").exists()


def test_an_export_that_does_not_fit_leaves_nothing(folder: Path) -> None:
    with pytest.raises(LabError, match="cannot be written"), full_at(100):
        exported(folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/experiment.toml", "raw/x", "EXPERIMENT.TOML", ""])
def test_a_file_that_no_run_has_is_refused(folder: Path, name: str) -> None:
    target = exported(folder)
    with zipfile.ZipFile(target, "a") as packed:
        packed.writestr(zipfile.ZipInfo(name), b"x")
    assert "files that no run has" in refused(target).message
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted([folder.name, "run.zip"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(folder: Path) -> None:
    target = exported(folder)
    with zipfile.ZipFile(target, "a") as packed:
        packed.writestr(results.TRIALS, b"x")
    assert "holds a file twice" in refused(target).message


def test_a_bomb_is_not_blown_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_BYTES", 1_000_000)
    target = folder.parent / "bomb.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(results.QUESTION, b"\0" * 50_000_000)
    assert target.stat().st_size < 100_000
    assert "holds more than 1 MB in experiment.toml" in refused(target).message


def test_a_file_that_is_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_BYTES", 1000)
    assert "trials.jsonl is larger than" in refused(folder).message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\0" * 1000])
def test_what_is_no_exported_run_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.zip"
    path.write_bytes(content)
    assert "is no exported run" in refused(path).message


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5000), st.integers(0, 255))
def test_a_damaged_export_is_refused_or_the_same(folder: Path, at: int, byte: int) -> None:
    target = exported(folder)
    raw = bytearray(target.read_bytes())
    raw[at % len(raw)] = byte
    target.write_bytes(raw)
    try:
        assert results.read(target).trials == results.read(folder).trials
    except LabError as error:
        assert error.code == 2
