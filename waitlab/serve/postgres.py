"""How many connections a PostgreSQL server gives to ordinary users: `python -m waitlab.serve.postgres URL` prints it.

A program of its own, because the driver would stay in the memory of a parent that needs it for one question.
"""

import subprocess
import sys
from collections.abc import Mapping

_SECONDS = 3
_QUESTION = """
    select sum(case name when 'max_connections' then setting::int else -setting::int end)
    from pg_settings
    where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""


def connections(environment: Mapping[str, str]) -> int | None:
    """The number of connections that DATABASE_URL's server gives; None when it does not answer."""
    command = [sys.executable, "-m", "waitlab.serve.postgres"]
    try:
        answer = subprocess.run(command, env=dict(environment), capture_output=True, timeout=_SECONDS + 2, check=False)
    except subprocess.TimeoutExpired:
        return None
    return int(answer.stdout) if answer.returncode == 0 else None


def main(environment: Mapping[str, str]) -> None:
    """Ask, and print the answer."""
    import psycopg  # noqa: PLC0415  only the one who asks needs it

    with psycopg.connect(environment["DATABASE_URL"], connect_timeout=_SECONDS) as connection:
        row = connection.execute(_QUESTION).fetchone()
        print(row[0] if row else 0)


if __name__ == "__main__":
    import os

    main(os.environ)
