"""Results folders that the runner recorded; README.md says how."""

from pathlib import Path

FOLDERS = {file.parent.name: file.parent for file in sorted(Path(__file__).parent.glob("*/trials.jsonl"))}
