"""Where requests wait: what two witnesses say of the same requests, and every queue there is between them."""

from waitlab.dashboards.vocabulary import BAD, CHOSEN, WARN, Dashboard, Panel, Query, Row, Threshold

WITNESSES = Panel(
    title="Two witnesses: p95 that clients waited, p95 that the server saw",
    description=(
        "Dashed: from the moment a request was due to the end of its answer, as Locust measured it. Solid: from the "
        "first line of the application to its last byte, as the server did. A gap is time that requests spent where "
        "the server does not look: in a queue in front of it, or behind a blocked event loop. It cannot show which: "
        "the panels below do. Each dot is one sampled request: click it for its trace."
    ),
    queries=(
        Query(
            "histogram_quantile(0.95, sum by (service, le) (rate(lab_load_response_seconds_bucket"
            f"{CHOSEN}[$__rate_interval])))",
            "{{service}}, its clients",
            line="dashed",
        ),
        Query(
            "histogram_quantile(0.95, sum by (service, le) (rate(http_server_request_duration_seconds_bucket"
            f"{CHOSEN}[$__rate_interval])))",
            "{{service}}",
            exemplars=True,
        ),
    ),
    unit="s",
    width=12,
    height=11,
)

LOOP_LAG = Panel(
    title="Event loop lag: how late the loop runs what is due",
    description=(
        "The worst lag of the last 5 s in any worker of a service. Above the line (100 ms) something holds the loop: a "
        "call that does not await, or CPU work. Everyone else on that loop waits meanwhile, also for /healthz. A "
        "service without event loops has no line. It cannot show which call: look for `blocked` in the requests, or at "
        "a trace."
    ),
    queries=(Query('max by (service) (lab_event_loop_lag_seconds{service=~"$service"})', "{{service}}"),),
    unit="s",
    thresholds=(Threshold(0.1),),
    width=12,
    height=11,
    top=0.15,
)

QUEUE = Panel(
    title="A mean request: in the queue, in the application",
    description=(
        "Dashed: mean time from the moment a client meant to send its request to the first line of the application. "
        "Solid: mean time inside the application. Both together are what the client waits, but for the way back. It "
        "cannot show the queue of clients that send no X-Request-Start, and trusts their clock."
    ),
    queries=(
        Query(
            f"sum by (service) (rate(http_server_request_queue_seconds_sum{CHOSEN}[$__rate_interval]))"
            f" / sum by (service) (rate(http_server_request_queue_seconds_count{CHOSEN}[$__rate_interval]))",
            "{{service}}, in the queue",
            line="dashed",
        ),
        Query(
            f"sum by (service) (rate(http_server_request_duration_seconds_sum{CHOSEN}[$__rate_interval]))"
            f" / sum by (service) (rate(http_server_request_duration_seconds_count{CHOSEN}[$__rate_interval]))",
            "{{service}}, in the application",
        ),
    ),
    unit="s",
    width=12,
    height=10,
)

# Of the seconds that requests spend inside a service, those that its workers spent on a CPU: at most all of them. While
# there are no requests there is no share, or the little that an idle worker does would be all of nothing.
_CPU_SHARE = (
    'clamp_max(sum by (service) (rate(lab_worker_cpu_seconds_total{service=~"$service"}[$__rate_interval]))'
    " / (sum by (service) (rate(http_server_request_duration_seconds_sum"
    '{service=~"$service"}[$__rate_interval])) > 0), 1)'
)
_IDLE = "no request is being answered"

SHARES = Panel(
    title="Inside the application: waiting, or on a CPU",
    description=(
        "Of the seconds that requests spent inside a service, whatever their style: the share that its workers were on "
        "a CPU (solid), and the share that they waited (dashed): for a database, a timer, a lock, or for their turn on "
        "a CPU. It cannot show the wait in front of the application, and counts the server's own CPU too, so that very "
        "light requests seem to be all CPU."
    ),
    queries=(
        Query(f"1 - {_CPU_SHARE}", "{{service}}, waiting", line="dashed", may_be_empty=_IDLE),
        Query(_CPU_SHARE, "{{service}}, on a CPU", may_be_empty=_IDLE),
    ),
    unit="percentunit",
    width=12,
    height=10,
    top=1,
)

TOKENS = Panel(
    title="Thread-pool tokens",
    description=(
        "Threads that run `def` endpoints of an ASGI service, all workers together: borrowed (solid), requests that "
        "wait for one (dashed), and how many there are (dotted). When all are borrowed the next request waits. A WSGI "
        "service has none. It cannot show that one worker has none left while another has."
    ),
    queries=(
        Query('sum by (service) (lab_threadpool_tokens_borrowed{service=~"$service"})', "{{service}}, borrowed"),
        Query(
            'sum by (service) (lab_threadpool_tasks_waiting{service=~"$service"})',
            "{{service}}, waiting",
            line="dashed",
        ),
        Query('sum by (service) (lab_threadpool_tokens{service=~"$service"})', "{{service}}, tokens", line="dotted"),
    ),
    unit="short",
)

EXECUTOR = Panel(
    title="Executor threads",
    description=(
        "Threads of the event loops' default executors, which style `offload` uses, all workers together: busy "
        "(solid), tasks that wait for one (dashed), and how many there may be (dotted). A WSGI service has none. It "
        "cannot show the processes that `offload/burn` works in."
    ),
    queries=(
        Query('sum by (service) (lab_executor_threads_busy{service=~"$service"})', "{{service}}, busy"),
        Query(
            'sum by (service) (lab_executor_tasks_waiting{service=~"$service"})', "{{service}}, waiting", line="dashed"
        ),
        Query('sum by (service) (lab_executor_threads{service=~"$service"})', "{{service}}, threads", line="dotted"),
    ),
    unit="short",
)

ACCEPT_QUEUE = Panel(
    title="Accept queue",
    description=(
        "Connections that wait in the kernel until a worker accepts them: the queue in front of synchronous workers. "
        "An event loop accepts at once, so its requests wait inside the process instead. It cannot show a peak between "
        "two scrapes (2 s)."
    ),
    queries=(
        Query('sum by (service) (lab_accept_queue_length{service=~"$service"})', "{{service}}, waiting", line="dashed"),
    ),
    unit="short",
    width=5,
    top=1,
)

ACCEPT_QUEUE_FULL = Panel(
    title="Accept queue: share of its limit",
    description=(
        "How full the fullest accept queue of a service is: its length by its limit (BACKLOG, and the kernel's own "
        "bound). At 100 % the kernel refuses connections. It cannot show how many: lab_accept_queue_overflows_total "
        "does, for the whole host."
    ),
    queries=(
        Query(
            'max by (service) (lab_accept_queue_length{service=~"$service"} / lab_accept_queue_limit)', "{{service}}"
        ),
    ),
    unit="percentunit",
    kind="figures",
    thresholds=(Threshold(0.5, WARN), Threshold(0.9, BAD)),
    width=3,
)

_DATABASE = 'service=~"$service", pool=~"psycopg.*|asyncpg|sqlalchemy.*|django"'
_NO_DATABASE = "no request has asked for the database yet"

POOL = Panel(
    title="Database connections",
    description=(
        "Connections of the workers' database pools, all workers together: used (solid), callers that wait for one "
        "(dashed), and how many there may be (dotted). It cannot show that one worker's pool is exhausted while "
        "another's is not, nor pools of workers that have had no query yet."
    ),
    queries=(
        Query(
            f"sum by (service) (lab_pool_connections_used{{{_DATABASE}}})",
            "{{service}}, used",
            may_be_empty=_NO_DATABASE,
        ),
        Query(
            f"sum by (service) (lab_pool_connections_waiting{{{_DATABASE}}})",
            "{{service}}, waiting",
            line="dashed",
            may_be_empty=_NO_DATABASE,
        ),
        Query(
            f"sum by (service) (lab_pool_connections_max{{{_DATABASE}}})",
            "{{service}}, at most",
            line="dotted",
            may_be_empty=_NO_DATABASE,
        ),
    ),
    unit="short",
)

POOL_WAIT = Panel(
    title="Wait for a database connection: p95",
    description=(
        "How long callers waited until their pool gave them a connection; the query itself comes after that. It cannot "
        "show who waits still, nor those who gave up: they are failures."
    ),
    queries=(
        Query(
            "histogram_quantile(0.95, sum by (service, le) (rate(lab_pool_wait_seconds_bucket"
            f"{{{_DATABASE}}}[$__rate_interval])))",
            "{{service}}",
            line="dashed",
            may_be_empty=_NO_DATABASE,
        ),
    ),
    unit="s",
)

TASK_QUEUE = Panel(
    title="Wait in the task queue: p95",
    description=(
        "How long tasks of `offload/burn?to=queue` waited in PostgreSQL until a consumer took them, as the worker that "
        "asked was told; their work comes after that. It cannot show tasks that wait still, nor those that nobody took "
        "in time: they are failures."
    ),
    queries=(
        Query(
            "histogram_quantile(0.95, sum by (service, le) (rate(lab_task_queue_seconds_bucket"
            '{service=~"$service"}[$__rate_interval])))',
            "{{service}}",
            line="dashed",
            may_be_empty="no request has asked for a task yet",
        ),
    ),
    unit="s",
)

WEBSOCKETS = Panel(
    title="WebSockets open",
    description=(
        "WebSockets between handshake and end, all workers of an ASGI service together; each of them is a request in "
        "flight too. They cost a worker memory and no thread. It cannot show which of them say anything: the messages "
        "beside it do."
    ),
    queries=(Query('sum by (service) (lab_websockets_open{service=~"$service"})', "{{service}}"),),
    unit="short",
    top=1,
)

MESSAGES = Panel(
    title="WebSocket messages/s",
    description=(
        "Messages of all WebSockets a second: those that the application took (solid) and those that it sent (dashed). "
        "`/ws` sends back what it takes, so the two part only where clients do not read. It cannot show messages that "
        "still wait in front of the application."
    ),
    queries=(
        Query(
            "sum by (service) (rate(lab_websocket_messages_total"
            '{service=~"$service", direction="received"}[$__rate_interval]))',
            "{{service}}, received",
        ),
        Query(
            "sum by (service) (rate(lab_websocket_messages_total"
            '{service=~"$service", direction="sent"}[$__rate_interval]))',
            "{{service}}, sent",
            line="dashed",
        ),
    ),
    unit="short",
    top=1,
)

PARTS = Panel(
    title="Parts of long answers: p95",
    description=(
        "What Locust waited for the first event of a stream, for each next one (the gap), and for the echo of a "
        "WebSocket message (the round trip). A gap is the interval that was asked for, and what the service adds to "
        "it. It cannot show parts that never came: their request is a failure."
    ),
    queries=(
        Query(
            f"histogram_quantile(0.95, sum by (service, part, le) (rate(lab_load_part_seconds_bucket{CHOSEN}"
            "[$__rate_interval])))",
            "{{service}}, {{part}}",
            line="dashed",
            may_be_empty="Locust has read no stream and opened no WebSocket",
        ),
    ),
    unit="s",
)

DASHBOARD = Dashboard(
    name="where-the-time-goes",
    title="Where the time goes",
    description="What clients waited, what the server saw of it, and the queues in which the difference lies.",
    rows=(
        Row("In front of the application, and inside", (WITNESSES, LOOP_LAG, QUEUE, SHARES)),
        Row("The queues", (TOKENS, EXECUTOR, ACCEPT_QUEUE, ACCEPT_QUEUE_FULL, POOL, POOL_WAIT, TASK_QUEUE)),
        Row("Long answers", (WEBSOCKETS, MESSAGES, PARTS)),
    ),
)
