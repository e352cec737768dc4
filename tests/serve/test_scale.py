"""`python -m waitlab.serve.scale N`, beside a running service, as it is called inside a container."""

import json
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port
from tests.serve.served import ROOT, environment, service
from waitlab.runtime.local import postgres
from waitlab.serve import scale


def scaled(folder: Path, *words: str, **settings: object) -> tuple[int, str]:
    command = [sys.executable, "-m", "waitlab.serve.scale", *words]
    given = environment(folder, **settings)
    done = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_workers_come_and_go_while_the_service_serves(tmp_path: Path) -> None:
    with service(tmp_path, WORKERS=1) as served:
        assert scaled(tmp_path, "3") == (0, "tiny: 1 -> 3 workers, all live.\n")
        assert len(served.live()) == 3
        assert scaled(tmp_path, "1") == (0, "tiny: 3 -> 1 workers, all live.\n")
        assert len(served.live()) == 1
        assert scaled(tmp_path, "65") == (2, "65 workers are not allowed\n  -> a service takes 1 to 64\n")
        for wrong in ((), ("many",), ("-1",), ("1", "2")):
            assert scaled(tmp_path, *wrong)[0] == 2
        assert not list(served.run_dir.glob("workers.*"))


def test_what_postgresql_cannot_bear_is_refused_with_the_sum(tmp_path: Path) -> None:
    with postgres.running(tmp_path / "postgres", free_port()) as database_url:
        settings = {"DATABASE_URL": database_url, "WORKERS": 1, "POOL_SIZE": 40, "TARGETS_DIR": tmp_path / "targets"}
        with service(tmp_path, **settings) as served:
            remedy = "\n  -> start the lab with a smaller TINY_POOL_SIZE\n"
            words = "tiny: 3 workers x 40 pooled connections = 120, but PostgreSQL gives 97"
            assert scaled(tmp_path, "3", **settings) == (2, words + remedy)
            (tmp_path / "targets/tiny-other.json").write_text(
                json.dumps([{"targets": ["other:1"], "labels": {"service": "tiny", "worker": "", "replica": "other"}}])
            )
            words = "tiny: 2 replicas x 2 workers x 40 pooled connections = 160, but PostgreSQL gives 97"
            assert scaled(tmp_path, "2", **settings) == (2, words + remedy)
            assert len(served.live()) == 1


def test_a_service_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert scaled(tmp_path, "2") == (1, "tiny does not serve\n  -> see why: ./lab logs tiny\n")
    assert scaled(tmp_path, "2", RUN_DIR="")[0] == 2
    assert scaled(tmp_path, "2", WORKERS="many")[0] == 2


def test_every_replica_is_counted_by_its_own_target_file(tmp_path: Path) -> None:
    for name, service_label, worker in (
        ("a", "tiny", ""),
        ("b", "tiny", ""),
        ("c", "tiny-two", ""),
        ("d", "tiny", "1"),
    ):
        entry = {"targets": ["x:1"], "labels": {"service": service_label, "worker": worker}}
        (tmp_path / f"{name}.json").write_text(json.dumps([entry]))
    (tmp_path / "torn.json").write_text("[")
    (tmp_path / "empty.json").write_text("[]")
    assert scale.replicas_of("tiny", tmp_path) == 2
    assert scale.replicas_of("tiny", tmp_path / "nowhere") == 1
