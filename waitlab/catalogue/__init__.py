"""docs/experiments: a page for every experiment of the lab, made of its file and of its last recorded run.

`make catalogue` takes new runs from results/ and writes all pages; nobody writes in them by hand.
"""
