"""An application that cannot be loaded."""

raise RuntimeError("this application cannot be loaded")
