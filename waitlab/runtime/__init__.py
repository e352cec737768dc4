"""Where the lab runs: as processes of this machine (local) or in containers (compose), with the same verbs and words.

`./lab` chooses. It starts, scales and stops containers itself, since only the host may ask the engine; all other verbs
are this package's, run in `.venv` or in the container `lab`.
"""

from collections.abc import Mapping

from waitlab.errors import LabError


def in_container(environment: Mapping[str, str]) -> bool:
    """Whether this process is the one in which `./lab` runs the verbs of a lab in containers."""
    return environment.get("LAB_INSIDE") == "compose"


def why_local(environment: Mapping[str, str]) -> str:
    """Why the lab runs as local processes. LabError where it was told not to."""
    wanted = environment.get("RUNTIME", "")
    if wanted == "compose":
        raise LabError("this command runs the lab as local processes, and RUNTIME=compose", "use ./lab, or make", 122)
    if wanted not in ("", "local"):
        raise LabError(f"RUNTIME={wanted[:80]!r} is not allowed", "RUNTIME takes local or compose", 2)
    return environment.get("LAB_WHY") or ("RUNTIME=local" if wanted else "started without ./lab")
