"""A page that is one file: it asks nothing of any network, runs no program, and follows the reader's light or dark."""

from html import escape
from pathlib import Path

DRAWING = Path(__file__).with_name("drawing.css")  # what a picture needs too where it stands alone
STYLE = Path(__file__).with_name("document.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, body: str, *styles: Path) -> str:
    """The whole of it: `title` is plain text, `styles` files of rules besides those that all pages share."""
    rules = "".join(file.read_text(encoding="utf-8") for file in (DRAWING, STYLE, *styles))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{rules}</style>
</head>
<body>
{body}
</body>
</html>
"""
