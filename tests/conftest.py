"""What holds for every test."""

import signal

# A shell starts what it puts into the background with SIGINT ignored, and every child would inherit that: then no test
# could press Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
