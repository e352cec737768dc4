"""The host exporter: what it reads from the kernel, and that it bears what is missing."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from waitlab import host
from waitlab.telemetry import names

STAT = "cpu  200 0 100 1000 5 0 1 50 0 0\ncpu0 100 0 50 500 5 0 1 25 0 0\ncpu1 100 0 50 500 0 0 0 25 0 0\nintr 1\n"


def test_cpu_by_mode() -> None:
    samples = {(name, *labels.values()): value for name, labels, value in host.cpu_samples(STAT)}
    assert samples[names.HOST_CPUS,] == 2
    assert samples[names.HOST_CPU, "idle"] == 10 * samples[names.HOST_CPU, "system"]
    assert samples[names.HOST_CPU, "steal"] > 0


def test_pressure(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text("some avg10=12.50 avg60=1.00 avg300=0.00 total=9\n")
    assert list(host.pressure_samples(tmp_path)) == [
        (names.HOST_PRESSURE, {"resource": "cpu", "kind": "some"}, 0.125),
    ]
    assert list(host.pressure_samples(tmp_path / "kernel without PSI")) == []


def test_a_database_that_is_down_gives_no_figures() -> None:
    assert list(host.Database("postgresql://lab@127.0.0.1:1/lab").samples()) == []


def test_the_page_is_what_prometheus_reads() -> None:
    families = {
        family.name: family for family in text_string_to_metric_families(host.page(host.cpu_samples(STAT)).decode())
    }
    assert families["lab_host_cpu_seconds"].type == "counter"
    assert len(families["lab_host_cpu_seconds"].samples) == len(host.CPU_MODES)
    assert families[names.HOST_CPUS].samples[0].value == 2
