"""Both applications in-process, driven through one client, with a real PostgreSQL and a real upstream behind them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from service_stacks import STACKS, Part, Stack, configured, postgres_part, upstream_part

from waitlab.runtime.local import certificate


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    with postgres_part(tmp_path_factory.mktemp("postgres")) as part:
        yield part


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    part = upstream_part(tmp_path_factory.mktemp("upstream"))
    part.start()
    yield part
    part.stop()


@pytest.fixture(scope="session")
def wired(database: Part, upstream: Part) -> dict[str, Any]:
    """The keyword arguments of `configure` that name both dependencies."""
    port = upstream.environment["TLS_PORT"]
    return {
        "service": "test",
        "database_url": database.url,
        "upstream_url": upstream.url,
        "upstream_tls_url": f"https://127.0.0.1:{port}",
        "upstream_ca": str(Path(upstream.environment["CERTIFICATE"]).with_name(certificate.AUTHORITY)),
    }


@pytest.fixture(scope="module")
def stacks(wired: dict[str, Any]) -> Iterator[dict[str, Stack]]:
    """Both applications, wired to living dependencies."""
    with configured(**wired), ExitStack() as opened:
        yield {name: opened.enter_context(make()) for name, make in STACKS.items()}
