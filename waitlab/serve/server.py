"""The server child of a service: `python -m waitlab.serve.server FD` serves APP on the listening socket it inherits."""

import os
import sys

from waitlab.serve import settings


def main() -> None:
    """Become the server; the settings come from the parent's environment, already checked."""
    asked = settings.read(os.environ)
    descriptor = int(sys.argv[1])
    if asked.cores is not None:
        os.sched_setaffinity(0, asked.cores)
    if asked.server == "uvicorn":
        from waitlab.serve import under_uvicorn  # noqa: PLC0415  only one of the servers is needed

        under_uvicorn.run(asked, descriptor)
    elif asked.server == "hypercorn":
        from waitlab.serve import under_hypercorn  # noqa: PLC0415

        under_hypercorn.run(asked, descriptor)
    else:
        from waitlab.serve import under_gunicorn  # noqa: PLC0415

        under_gunicorn.run(asked, descriptor)


if __name__ == "__main__":
    main()
