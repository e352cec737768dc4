"""What a container needs to serve a user's application measured: one folder, mounted there and run by its own Python.

python -m waitlab.serve.folder DIR lays it; in the container `python DIR shop:app --workers 4` then takes the place of
the image's command (see `in_container`). It holds the part of the lab that serves, and prometheus_client, no more.
"""

import shutil
import sys
from pathlib import Path

import prometheus_client

import waitlab

_MODULES = ("__init__.py", "errors.py", "process.py", "serve", "telemetry")
_MAIN = """\
import os, sys
from waitlab.serve import in_container
sys.exit(in_container.main(sys.argv[1:], os.environ))
"""


def lay(folder: Path) -> None:
    """Make the folder, or make it anew; anybody may read it, whoever the container's user is."""
    source = Path(waitlab.__file__).parent
    for name in _MODULES:
        _copy(source / name, folder / "waitlab" / name)
    _copy(Path(prometheus_client.__file__).parent, folder / "prometheus_client")
    (folder / "__main__.py").write_text(_MAIN, encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)


if __name__ == "__main__":
    lay(Path(sys.argv[1]))
