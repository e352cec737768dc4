"""What a page of the docs shows for typing or saving."""

import re


def blocks(page: str, kind: str) -> list[str]:
    """Its fenced blocks of that kind, in order; in a list they are indented."""
    return re.findall(rf"^ *```{kind}\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
