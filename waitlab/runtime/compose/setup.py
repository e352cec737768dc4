"""What must be there before the first part starts: this lab's own secrets and upstream's certificate.

`python -m waitlab.runtime.compose.setup FOLDER` makes what is missing in FOLDER, a volume that goes with the lab: no
password is written into a file of the project, none is the same twice.
"""

import secrets
import sys
from pathlib import Path

from waitlab.runtime.local import certificate, state

PASSWORD = "postgres-password"  # read by PostgreSQL's own user
PASSFILE = "pgpass"  # the same for its clients, in the form of libpq, which wants it to be theirs alone
LOCUST_SECRET = "locust-secret"


def ensure(folder: Path) -> None:
    """Make each file unless it is there: the parts of a running lab know the old ones."""
    if not (folder / PASSFILE).exists():
        password = secrets.token_hex(16)
        state.replace(folder / PASSWORD, password, 0o444)
        state.replace(folder / PASSFILE, f"*:*:*:*:{password}\n", 0o600)
    if not (folder / LOCUST_SECRET).exists():
        state.replace(folder / LOCUST_SECRET, secrets.token_hex(16), 0o600)
    certificate.ensure(folder)


if __name__ == "__main__":
    ensure(Path(sys.argv[1]))
