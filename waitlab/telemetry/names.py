"""The names of every metric of the lab, the bounds of their buckets, and the forms of a page; imports nothing."""

# Every metric carries these two. `worker` is the slot 1..W of a worker, "" for a figure of the whole service.
SERVICE = "service"
WORKER = "worker"
OTHER = ("other", "other")  # style and workload of a request that has no name of its own
LATER = ("", "")  # those of one whose name is known only once it is answered

# One worker's requests.
REQUEST_DURATION = "http_server_request_duration_seconds"  # style, workload, status
REQUEST_QUEUE = "http_server_request_queue_seconds"  # style, workload
ACTIVE_REQUESTS = "http_server_active_requests"
RESPONSE_BYTES = "http_server_response_body_bytes_total"  # style, workload
WEBSOCKETS_OPEN = "lab_websockets_open"
WEBSOCKET_MESSAGES = "lab_websocket_messages_total"  # direction = received | sent
LIFESPAN_EVENTS = "lab_lifespan_events_total"  # event = started | stopped
LEDGER_REQUESTS = "lab_ledger_requests_total"  # outcome = accepted | completed | failed

# Where one worker waits.
LOOP_LAG = "lab_event_loop_lag_seconds"
LOOP_LAG_DURATION = "lab_event_loop_lag_duration_seconds"
TOKENS = "lab_threadpool_tokens"
TOKENS_BORROWED = "lab_threadpool_tokens_borrowed"
TOKENS_WAITING = "lab_threadpool_tasks_waiting"
EXECUTOR_THREADS = "lab_executor_threads"
EXECUTOR_BUSY = "lab_executor_threads_busy"
EXECUTOR_WAITING = "lab_executor_tasks_waiting"
WORKER_THREADS = "lab_worker_threads"
WORKER_THREADS_BUSY = "lab_worker_threads_busy"
WORKER_REQUESTS_WAITING = "lab_worker_requests_waiting"
POOL_MAX = "lab_pool_connections_max"  # pool
POOL_USED = "lab_pool_connections_used"  # pool
POOL_WAITING = "lab_pool_connections_waiting"  # pool
POOL_WAIT = "lab_pool_wait_seconds"  # pool
TASK_QUEUE = "lab_task_queue_seconds"

# What one worker's process costs.
WORKER_CPU = "lab_worker_cpu_seconds_total"
WORKER_PSS = "lab_worker_pss_bytes"
WORKER_SWITCHES = "lab_worker_context_switches_total"  # kind = voluntary | involuntary
WORKER_OS_THREADS = "lab_worker_os_threads"

# What the telemetry says of itself.
TELEMETRY_DEGRADED = "lab_telemetry_degraded"  # reason
SPANS = "lab_trace_spans_total"  # outcome = exported | dropped
ACCESS_LINES_DROPPED = "lab_access_log_lines_dropped_total"

# One service, from its parent's listener (worker="").
ACCEPT_QUEUE = "lab_accept_queue_length"
ACCEPT_QUEUE_LIMIT = "lab_accept_queue_limit"
ACCEPT_QUEUE_OVERFLOWS = "lab_accept_queue_overflows_total"
SERVICE_CPUS = "lab_service_cpus"
SERVICE_INFO = "lab_service_info"  # every knob
SERVICE_REQUESTS = "lab_service_requests_total"  # outcome; every slot's ledger, dead workers' too
SERVICE_WORKERS = "lab_service_workers"  # state = asked | alive
CGROUP_CPUS = "lab_cgroup_cpus"
CGROUP_THROTTLED = "lab_cgroup_throttled_seconds_total"
CGROUP_MEMORY = "lab_cgroup_memory_bytes"
CGROUP_MEMORY_LIMIT = "lab_cgroup_memory_limit_bytes"
CGROUP_OOM_KILLS = "lab_cgroup_oom_kills_total"

# The host, from the lab's own exporter.
HOST_CPU = "lab_host_cpu_seconds_total"  # mode
HOST_PRESSURE = "lab_host_pressure_ratio"  # resource, kind
HOST_CPUS = "lab_host_cpus"
POSTGRES_BACKENDS = "lab_postgres_backends"  # state
POSTGRES_CONNECTIONS_MAX = "lab_postgres_connections_max"

# The load, from Locust's exporters.
LOAD_USERS = "lab_load_users"
LOAD_REQUESTS = "lab_load_requests_total"  # name, style, workload, outcome; service is who was asked
LOAD_RESPONSE = "lab_load_response_seconds"  # name, style, workload; service is who was asked
LOAD_PARTS = "lab_load_part_seconds"  # part = first_event | gap | round_trip, and the labels of LOAD_RESPONSE
LOAD_CPU = "lab_load_cpu_ratio"  # process
LOAD_TRIAL = "lab_load_trial"  # run, arm

# Dense between 50 and 300 ms: the lab's favourite wait is 200 ms, and a queue of one more must show as another bucket.
# A wait ends just above the bound of its own length, and a percentile is interpolated in the bucket that begins there:
# 0.205 and 1.05 keep the p95 of a wait of 200 ms or 1 s within 5 % of the truth.
REQUEST_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.19, 0.2, 0.205, 0.21, 0.225),
    *(0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.05, 1.25, 1.5, 2.0, 2.5, 5.0, 7.5, 10.0, 20.0),
)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# The content types of a page of metrics: Prometheus' own form, and the one that alone has exemplars.
PLAIN_PAGE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_PAGE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
