"""What this machine is worth as a measuring instrument: cores, steal, clocks, limits, CPU probes, loopback.

Run as `python -m waitlab.machine cpu CORE SECONDS` it is one probe: a fixed piece of work, timed again and again.
"""

import json
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from waitlab.telemetry import cgroup

PROBE_STEPS = 200_000
PROBE_SECONDS = 4.0
IDLE_SECONDS = 1.5
LOOPBACK_SECONDS = 1.5
SLEEPS = 300

# Above these a CPU-bound figure of this machine is not to be trusted; I/O-bound throughput bears far more steal.
STEAL_LIMIT = 0.02
FOREIGN_LIMIT = 0.03
SPREAD_LIMIT = 0.05
IO_STEAL_LIMIT = 0.20


@dataclass(frozen=True)
class Machine:
    """Facts and probes; ratios are fractions of one, times are in the unit their name ends in."""

    kernel: str
    python: str
    cores: int
    usable_cores: int
    cgroup_cpus: float | None
    memory_bytes: int
    memory_available_bytes: int
    clock_source: str
    open_files: int
    processes: int
    steal_ratio: float
    foreign_cpu_ratio: float
    clock_step_ms: float
    sleep_overshoot_p99_ms: float
    probe_ms: dict[str, float]
    probe_spread: float
    loopback_round_trip_us: float

    def doubts(self) -> list[str]:
        """Why CPU-bound figures of this machine deserve doubt; empty when they do not."""
        found = [
            (self.steal_ratio, STEAL_LIMIT, "steal: another virtual machine took {0:.1%} of the CPU (limit {1:.0%})"),
            (
                self.foreign_cpu_ratio,
                FOREIGN_LIMIT,
                "other processes used {0:.1%} of the CPU while idle (limit {1:.0%})",
            ),
            (
                self.probe_spread,
                SPREAD_LIMIT,
                "the same work took up to {0:.0%} longer from one slice to another (limit {1:.0%})",
            ),
        ]
        return [text.format(value, limit) for value, limit, text in found if value > limit]

    @property
    def trusted_for_io(self) -> bool:
        """Whether throughput of requests that wait can be quoted."""
        return self.steal_ratio <= IO_STEAL_LIMIT and abs(self.clock_step_ms) <= 50

    @property
    def trusted_for_cpu(self) -> bool:
        """Whether throughput of requests that burn CPU can be quoted."""
        return self.trusted_for_io and not self.doubts()

    def as_dict(self) -> dict[str, object]:
        """Facts, probes and judgement, as JSON can hold them."""
        return asdict(self) | {
            "doubts": self.doubts(),
            "trusted_for_io": self.trusted_for_io,
            "trusted_for_cpu": self.trusted_for_cpu,
        }


def measure(progress: Callable[[str], None] = lambda step: None) -> Machine:
    """Look at this machine for about ten seconds. `progress` is told each step before it begins."""
    wall, monotonic, before = time.time(), time.monotonic(), _cpu_times()
    progress(f"who else uses the CPU ({IDLE_SECONDS:.0f} s)")
    foreign = _foreign_cpu(IDLE_SECONDS)
    progress(f"CPU probes on every core ({PROBE_SECONDS:.0f} s)")
    probes = _cpu_probes(PROBE_SECONDS)
    progress("timers")
    overshoot = _sleep_overshoot()
    progress(f"loopback ({LOOPBACK_SECONDS:.0f} s)")
    round_trip = _loopback_round_trip(LOOPBACK_SECONDS)
    memory, quota = memory_bytes(), cgroup.cpu()
    return Machine(
        kernel=platform.release(),
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)),
        cgroup_cpus=quota.cpus if quota else None,
        memory_bytes=memory["MemTotal"],
        memory_available_bytes=memory["MemAvailable"],
        clock_source=_read("/sys/devices/system/clocksource/clocksource0/current_clocksource") or "unknown",
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        processes=resource.getrlimit(resource.RLIMIT_NPROC)[0],
        steal_ratio=_steal(before, _cpu_times()),
        foreign_cpu_ratio=foreign,
        clock_step_ms=((time.time() - wall) - (time.monotonic() - monotonic)) * 1000,
        sleep_overshoot_p99_ms=overshoot,
        probe_ms={core: statistics.median(times) * 1000 for core, times in probes.items()},
        probe_spread=max((_spread(times) for times in probes.values()), default=0.0),
        loopback_round_trip_us=round_trip * 1e6,
    )


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def memory_bytes() -> dict[str, int]:
    """The kernel's figures of this machine's memory: MemTotal, MemAvailable and the others."""
    rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def _cpu_times() -> list[int]:
    """Ticks since boot: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _steal(before: list[int], after: list[int]) -> float:
    spent = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return spent[7] / max(1, sum(spent))


def _foreign_cpu(seconds: float) -> float:
    before = _cpu_times()
    time.sleep(seconds)
    spent = [later - earlier for earlier, later in zip(before, _cpu_times(), strict=True)]
    busy = sum(spent) - spent[3] - spent[4] - spent[7]
    return busy / max(1, sum(spent))


def _cpu_probes(seconds: float) -> dict[str, list[float]]:
    """Seconds that the fixed work took, again and again, on every usable core at the same time."""
    command = [sys.executable, "-m", "waitlab.machine", "cpu"]
    probes = {
        str(core): subprocess.Popen([*command, str(core), str(seconds)], stdout=subprocess.PIPE)
        for core in sorted(os.sched_getaffinity(0))
    }
    return {core: json.loads(probe.communicate()[0]) for core, probe in probes.items()}


def _probe(core: int, seconds: float) -> list[float]:
    os.sched_setaffinity(0, {core})
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(PROBE_STEPS):
            pass
        times.append(time.perf_counter() - began)
    return times


def _spread(times: list[float]) -> float:
    """How much longer the slowest tenth-of-the-time took than the fastest, by medians: single hiccups do not count."""
    size = max(1, len(times) // 10)
    medians = [statistics.median(times[at : at + size]) for at in range(0, size * 10, size) if times[at : at + size]]
    return max(medians) / min(medians) - 1


def _sleep_overshoot() -> float:
    over = []
    for _ in range(SLEEPS):
        began = time.perf_counter()
        time.sleep(0.001)
        over.append((time.perf_counter() - began - 0.001) * 1000)
    return sorted(over)[int(0.99 * len(over))]


def _loopback_round_trip(seconds: float) -> float:
    """Median seconds of one byte there and back over a TCP connection to 127.0.0.1, between two threads."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        echo, _ = server.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_echo, args=(echo,), daemon=True).start()
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            client.sendall(b"x")
            client.recv(1)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1):
            connection.sendall(data)


if __name__ == "__main__":
    print(json.dumps(_probe(int(sys.argv[2]), float(sys.argv[3]))))
