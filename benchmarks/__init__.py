"""The project's own figures: scripts that measure and print tables, never tests."""
