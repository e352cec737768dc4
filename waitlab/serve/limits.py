"""The limits that both servers get, so that a difference between them is never one of these."""

# Load generators hold their connections and pause between requests: with gunicorn's 2 s or uvicorn's 5 s the server
# closes just as the next request is sent, and the client counts a failure that is nobody's. 75 s is nginx's default.
KEEP_ALIVE_SECONDS = 75
# How long a worker that was told to go may finish what it has; the whole service is held to `service.STOP_SECONDS`.
GRACEFUL_SECONDS = 5
# Long enough for a parameter of 10,000 digits to reach the application, which answers a problem document.
REQUEST_LINE_BYTES = 65_536
HEAD_BYTES = 131_072  # of a whole head; only uvicorn has no bound of its own
# The longest message of a WebSocket; the servers' own 16 MiB, times its connections, is more than the lab's memory.
WEBSOCKET_MESSAGE_BYTES = 65_536
WEBSOCKET_MESSAGE_PARTS = 1_024  # of one message; each costs memory, also an empty one
