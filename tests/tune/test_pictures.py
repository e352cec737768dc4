"""The charts of docs/tuning.md: as the code draws them, all shown, and whole."""

import re
from pathlib import Path

import pytest

from tests.pages import parsed
from waitlab.tune import pictures

PAGE = (Path(__file__).resolve().parents[2] / "docs/tuning.md").read_text()


@pytest.mark.parametrize(("file", "text"), list(pictures.files()), ids=list(pictures.PICTURES))
def test_a_picture_is_what_the_code_draws(file: Path, text: str) -> None:
    assert file.read_text() == text, "python -m waitlab.tune.pictures writes them anew"
    parsed(text)


def test_the_page_shows_them_all() -> None:
    assert set(re.findall(r"\(images/tuning/([^)]+)\.svg\)", PAGE)) == set(pictures.PICTURES)


def test_the_page_names_the_knee_that_is_drawn() -> None:
    assert f"{(0.2 + 0.005) / 0.005:.0f} here" in PAGE
