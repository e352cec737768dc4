"""A Locust that has imported what it needs and waits for its command line: it becomes ready while a service starts.

Its one argument is the file descriptor from which it reads its words, as a JSON list; where none come, it ends.
"""

import json
import sys
from pathlib import Path

from locust.main import main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Locust is started in the folder of a trial

from locustfiles import recorder, stream  # noqa: F401  what recorded.py imports, when it is loaded

with open(int(sys.argv[1])) as told:  # noqa: PTH123  a descriptor has no path
    words = json.loads(told.read() or "[]")
if words:
    sys.argv = words
    main()  # type: ignore[no-untyped-call]
