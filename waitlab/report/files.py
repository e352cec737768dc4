"""A report's files: both forms beside the trials, or one form wherever it is wanted."""

from pathlib import Path

from waitlab.errors import LabError
from waitlab.judgement import Judgement
from waitlab.panels import output
from waitlab.report.markdown import markdown
from waitlab.report.page import page

PAGE, TEXT = "report.html", "report.md"
FORMS = {".html": page, ".md": markdown}
OPTION = "-o FILE.html or -o FILE.md"


def write(of: Judgement, folder: Path) -> list[Path]:
    """Page and Markdown into a folder; where they are. LabError 122 where that cannot be written."""
    paths = [folder / PAGE, folder / TEXT]
    for path in paths:
        write_one(of, path)
    return paths


def write_one(of: Judgement, path: Path) -> None:
    """One form, by the file's ending; standard output gets the page."""
    ending = ".html" if path == output.STDOUT else path.suffix.lower()
    if ending not in FORMS:
        raise LabError(f"{path} is neither .html nor .md", OPTION, 2)
    with output.whole_file(path, OPTION) as file:
        file.write(FORMS[ending](of))
