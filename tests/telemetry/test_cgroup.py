"""What a control group allows and has used: version 1, version 2, inside a container and outside, and the real one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.control_groups import limited
from waitlab.telemetry import cgroup

V2 = {
    "proc/self/cgroup": "0::/lab.slice/flask.scope\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 9\n",  # the root has no limit of its own, and no such file
    "sys/fs/cgroup/lab.slice/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/lab.slice/cpu.stat": "usage_usec 70\nnr_throttled 3\nthrottled_usec 2500000\n",
    "sys/fs/cgroup/lab.slice/memory.max": "max\n",
    "sys/fs/cgroup/lab.slice/flask.scope/cpu.max": "max 100000\n",
    "sys/fs/cgroup/lab.slice/flask.scope/cpu.stat": "usage_usec 70\n",
    "sys/fs/cgroup/lab.slice/flask.scope/memory.max": "67108864\n",
    "sys/fs/cgroup/lab.slice/flask.scope/memory.current": "50000000\n",
    "sys/fs/cgroup/lab.slice/flask.scope/memory.stat": "anon 1\ninactive_file 20000000\n",
    "sys/fs/cgroup/lab.slice/flask.scope/memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\n",
}
V2_CONTAINER = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n",
    "sys/fs/cgroup/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/cpu.stat": "throttled_usec 1000000\n",
    "sys/fs/cgroup/memory.max": "1024\n",
    "sys/fs/cgroup/memory.current": "512\n",
}
OWN = "/docker/0123456789ab"
V1_CONTAINER = {
    # What a container without a cgroup namespace sees: its host's path, of which only the last folder is mounted.
    "proc/self/cgroup": f"5:memory:{OWN}\n4:cpu,cpuacct:{OWN}\n1:name=systemd:{OWN}\n0::{OWN}\n",
    "proc/self/mountinfo": (
        f"41 40 0:36 {OWN} /sys/fs/cgroup/memory ro,nosuid master:17 - cgroup cgroup rw,memory\n"
        f"42 40 0:37 {OWN} /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:18 - cgroup cgroup rw,cpu,cpuacct\n"
        "43 40 0:38 / /dev/shm rw - tmpfs shm rw,size=65536k\n"
    ),
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 8\nnr_throttled 4\nthrottled_time 2500000000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "50000000\n",
    "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 20000000\n",
    "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
}
V1_NO_LIMIT = V1_CONTAINER | {
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_version_2_takes_the_tightest_limit_of_the_group_and_those_above_it(tmp_path: Path) -> None:
    root = tree(tmp_path, V2)
    assert cgroup.cpu(root) == cgroup.Cpu(1.5, throttled_seconds=2.5)
    assert cgroup.memory(root) == cgroup.Memory(64 * 2**20, used_bytes=30_000_000, oom_kills=1)
    tree(root, {"sys/fs/cgroup/lab.slice/memory.max": "4096", "sys/fs/cgroup/lab.slice/memory.current": "2048"})
    assert cgroup.memory(root) == cgroup.Memory(4096, used_bytes=2048, oom_kills=0)


def test_version_2_in_a_container(tmp_path: Path) -> None:
    root = tree(tmp_path, V2_CONTAINER)
    assert cgroup.cpu(root) == cgroup.Cpu(0.5, throttled_seconds=1)
    assert cgroup.memory(root) == cgroup.Memory(1024, used_bytes=512, oom_kills=0)


def test_version_1_in_a_container(tmp_path: Path) -> None:
    root = tree(tmp_path, V1_CONTAINER)
    assert cgroup.cpu(root) == cgroup.Cpu(2.5, throttled_seconds=2.5)
    assert cgroup.memory(root) == cgroup.Memory(64 * 2**20, used_bytes=30_000_000, oom_kills=1)


@pytest.mark.parametrize(("mounted", "seen"), [("/../..", 0.5), ("/other", None)])
def test_a_group_that_is_mounted_here_counts_only_if_it_is_above_ours(
    tmp_path: Path, mounted: str, seen: float | None
) -> None:
    mount = f"30 23 0:26 {mounted} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
    found = cgroup.cpu(tree(tmp_path, {**V2_CONTAINER, "proc/self/mountinfo": mount}))
    assert (found and found.cpus) == seen


@pytest.mark.parametrize(
    "files",
    [
        {},
        V1_NO_LIMIT,
        {**V2_CONTAINER, "proc/self/mountinfo": ""},
        {**V2_CONTAINER, "proc/self/mountinfo": "30 23 - cgroup2\n"},
        {**V2_CONTAINER, "proc/self/cgroup": "0\n"},
        {**V2_CONTAINER, "sys/fs/cgroup/cpu.max": "1 0", "sys/fs/cgroup/memory.max": "much"},
    ],
)
def test_nothing_where_no_limit_is_set_or_seen(tmp_path: Path, files: dict[str, str]) -> None:
    root = tree(tmp_path, files)
    assert (cgroup.cpu(root), cgroup.memory(root)) == (None, None)
    assert cgroup.usable_cpus(root=root) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores", "usable"),
    [("50000", 2, 0.5), ("100000", 2, 1), ("150000", 2, 1.5), ("150000", 1, 1), ("33333", 1, 0.333), ("max", 3, 3)],
)
def test_usable_cpus_are_the_smaller_of_cores_and_quota(tmp_path: Path, quota: str, cores: int, usable: float) -> None:
    root = tree(tmp_path, {**V2_CONTAINER, "sys/fs/cgroup/cpu.max": f"{quota} 100000"})
    found = cgroup.usable_cpus(frozenset(range(cores)), root)
    assert (found, type(found)) == (usable, type(usable))  # 2, not 2.0: it is shown to people


def test_the_group_of_another_process_is_its_own(tmp_path: Path) -> None:
    root = tree(
        tmp_path, {**V2, "proc/77/cgroup": "0::/shop.slice\n", "sys/fs/cgroup/shop.slice/cpu.max": "50000 100000\n"}
    )
    assert cgroup.usable_cpus(frozenset(range(4)), root, of=77) == 0.5
    assert cgroup.usable_cpus(frozenset(range(4)), root) == 1.5


def test_the_real_group_is_read_without_a_fault() -> None:
    assert 0 < cgroup.usable_cpus() <= len(os.sched_getaffinity(0))
    if (memory := cgroup.memory()) is not None:
        assert 0 < memory.used_bytes <= memory.limit_bytes


def test_a_real_quota_is_read_by_a_process_under_it() -> None:
    program = (
        "import os, sys, time; from pathlib import Path; from waitlab.telemetry import cgroup\n"
        "Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "end = time.monotonic() + 0.5\n"
        "while time.monotonic() < end: pass\n"
        "print(cgroup.usable_cpus(), cgroup.cpu().throttled_seconds)"
    )
    with limited("cpu", "cpu.cfs_quota_us", "20000") as group:
        command = [sys.executable, "-c", program, str(group / "cgroup.procs")]
        cpus, throttled = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert cpus == "0.2"
    assert 0 < float(throttled) < 0.6
