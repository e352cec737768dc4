"""`python -m waitlab.catalogue`: take the newest runs from the results folder, then write every page."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from waitlab import suites
from waitlab.catalogue import pages, recordings
from waitlab.errors import LabError
from waitlab.experiment import Experiment
from waitlab.report.picture import picture
from waitlab.runtime.local.state import PROJECT

FOLDER = PROJECT / "docs" / "experiments"


def main(results: Path, folder: Path = FOLDER) -> None:
    """Record what was run anew, and write the pages. LabError where a recorded run cannot be read."""
    experiments = suites.catalogue()
    for asked in experiments:
        taken = recordings.take(asked, results, folder)
        if taken:
            print(f"recorded: {taken}")
    write(experiments, folder)
    print(f"written: {len(experiments)} pages in {folder}")


def write(experiments: Sequence[Experiment], folder: Path) -> None:
    """Every page and picture anew, and nothing that is of no experiment."""
    rows = [(asked, recordings.kept(asked, folder)) for asked in experiments]
    known = {recordings.path(asked, folder) for asked, found in rows if found}
    pictures = folder / pages.PICTURES
    for old in (*folder.glob("*.md"), *pictures.glob("*.svg"), *folder.glob(f"{recordings.RUNS}/*.zip")):
        if old not in known:
            old.unlink()
    pictures.mkdir(parents=True, exist_ok=True)
    for asked, found in rows:
        (folder / f"{asked.name}.md").write_text(pages.page(asked, found), encoding="utf-8")
        if found:
            (pictures / f"{asked.name}.svg").write_text(picture(found), encoding="utf-8")
    (folder / pages.INDEX).write_text(pages.index(rows), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(Path(os.environ.get("LAB_RESULTS") or PROJECT / "results"))
    except LabError as error:
        print(error.told, file=sys.stderr)
        sys.exit(error.code)
