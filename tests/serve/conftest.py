"""What the tests of strangers' services share."""

from pathlib import Path

import pytest

from tests.serve import strangers


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with frameworks and servers, and nothing of ours."""
    wanted = (*strangers.FLASK, *strangers.STARLETTE, *strangers.SERVERS, *strangers.GEVENT)
    return strangers.make_environment(tmp_path_factory.mktemp("environment") / "venv", *wanted)
