"""The service under load and the starter of Locust processes, fresh for each test."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import Service, Starter


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def locust(service: Service, tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(service, tmp_path)
    yield starter
    starter.stop_all()
