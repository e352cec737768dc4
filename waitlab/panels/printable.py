"""Words that come from outside, such as the name of a request: as they can be shown in a page or a terminal."""

LONGEST = 120


def shown(text: str, most: int = LONGEST) -> str:
    """The text without what would move a cursor, turn the writing round or end a page, and cut where it is endless."""
    kept = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[: most + 1])
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"
