"""A run as a page, as Markdown and as tables in the terminal: each from the results folder alone, all from `facts`."""
