"""Where the verbs write: tables to standard output, what goes on meanwhile to standard error."""

import sys

from rich.console import Console

WIDTH_OF_A_FILE = 120


def console(stderr: bool = False) -> Console:
    """A console for words; a file or pipe has no width of its own."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(highlight=False, stderr=stderr, width=None if is_terminal else WIDTH_OF_A_FILE)
