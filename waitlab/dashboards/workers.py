"""Who does the work, and what each worker's process costs."""

from waitlab.dashboards.vocabulary import PLAIN, WARN, Dashboard, Panel, Query, Row, Threshold

SHARE = Panel(
    title="Share of each worker",
    description=(
        "Of the requests that a service completes, the share of each worker (solid) against the fair one (dotted). A "
        "kernel wakes who waits, not who had least; few connections held open stay with whoever accepted them. It "
        "cannot show shares of requests that differ in weight: see the CPU."
    ),
    queries=(
        Query('worker:requests:share{service=~"$service"}', "{{service}} {{worker}} {{replica}}"),
        Query(
            '1 / sum by (service) (lab_service_workers{service=~"$service", state="alive"})',
            "{{service}}, fair share",
            line="dotted",
        ),
    ),
    unit="percentunit",
    width=6,
    top=1,
)

BUSY_WORKERS = Panel(
    title="Busy workers",
    description=(
        "Workers with at least one request inside the application at the moment of the scrape (solid), of those that "
        "live (dotted). It cannot show how busy: a worker that awaits a hundred requests counts as one that blocks on "
        "one."
    ),
    queries=(
        Query('sum by (service) (http_server_active_requests{service=~"$service"} > bool 0)', "{{service}}, busy"),
        Query(
            'sum by (service) (lab_service_workers{service=~"$service", state="alive"})',
            "{{service}}, alive",
            line="dotted",
        ),
    ),
    unit="short",
    width=6,
)

BUSY_THREADS = Panel(
    title="Busy worker threads",
    description=(
        "Of a WSGI service: threads that run a request now (solid), connections accepted that wait for one (dashed), "
        "and how many threads there are (dotted). A sync worker has one. Threads of ASGI workers are on Where the time "
        "goes. It cannot show who waits in the accept queue."
    ),
    queries=(
        Query('sum by (service) (lab_worker_threads_busy{service=~"$service"})', "{{service}}, busy"),
        Query(
            'sum by (service) (lab_worker_requests_waiting{service=~"$service"})', "{{service}}, waiting", line="dashed"
        ),
        Query('sum by (service) (lab_worker_threads{service=~"$service"})', "{{service}}, threads", line="dotted"),
    ),
    unit="short",
    width=6,
)

COUNT = Panel(
    title="Workers: asked for, alive",
    description=(
        "Solid: workers that live and can be scraped. Dotted: workers asked for; each `lab scale` is also a mark. "
        "Where the two part for long, some do not start or stay. It cannot show whether a living worker does anything."
    ),
    queries=(
        Query('sum by (service) (lab_service_workers{service=~"$service", state="alive"})', "{{service}}, alive"),
        Query(
            'sum by (service) (lab_service_workers{service=~"$service", state="asked"})',
            "{{service}}, asked for",
            line="dotted",
        ),
    ),
    unit="short",
    width=6,
)

CPU = Panel(
    title="CPU of each worker, in cores",
    description=(
        "Cores that each worker's process uses. The line at 1 is its interpreter's lock (GIL): Python code of one "
        "process takes no more, however many threads it has; C code that releases the lock can. It cannot show whether "
        "a worker below the line waits for a core or for something else."
    ),
    queries=(
        Query(
            "sum by (service, worker, replica)"
            ' (rate(lab_worker_cpu_seconds_total{service=~"$service"}[$__rate_interval]))',
            "{{service}} {{worker}} {{replica}}",
        ),
    ),
    unit="none",
    thresholds=(Threshold(1, WARN),),
    width=12,
    height=7,
    top=1.2,
)

CPU_OF_SERVICES = Panel(
    title="CPU of each service, in cores",
    description=(
        "Cores that all workers of a service use together, and the cores this machine has (dotted). It cannot show who "
        "else uses them: databases and Locust do, the row below says so."
    ),
    queries=(
        Query(
            'sum by (service) (rate(lab_worker_cpu_seconds_total{service=~"$service"}[$__rate_interval]))',
            "{{service}}",
        ),
        Query("max(lab_host_cpus)", "cores there are", line="dotted", colour=PLAIN),
    ),
    unit="none",
    width=12,
    height=7,
)

MEMORY = Panel(
    title="Memory of each worker (PSS)",
    description=(
        "Memory of each worker's process, in which pages shared by several are divided among them, so that the sum is "
        "what the service takes. It cannot show what the memory holds, nor who would give it back."
    ),
    queries=(
        Query(
            'sum by (service, worker, replica) (lab_worker_pss_bytes{service=~"$service"})',
            "{{service}} {{worker}} {{replica}}",
        ),
    ),
    unit="bytes",
    width=12,
    height=7,
)

SWITCHES = Panel(
    title="Context switches/s",
    description=(
        "How often threads of a service's workers left a CPU a second: because they had to wait (dashed), or because "
        "the kernel gave it to another while they had work to do (solid). Many of the latter mean too few cores. It "
        "cannot show what they waited for."
    ),
    queries=(
        Query(
            "sum by (service) (rate(lab_worker_context_switches_total"
            '{service=~"$service", kind="voluntary"}[$__rate_interval]))',
            "{{service}}, had to wait",
            line="dashed",
        ),
        Query(
            "sum by (service) (rate(lab_worker_context_switches_total"
            '{service=~"$service", kind="involuntary"}[$__rate_interval]))',
            "{{service}}, was pushed off",
        ),
    ),
    unit="short",
    width=12,
    height=7,
)

LIFESPANS = Panel(
    title="Lifespans: started, stopped",
    description=(
        "How often the application started (solid) and stopped in order (dashed) in the slots of an ASGI service's "
        "living workers. Each start without a stop beyond the workers that live is a worker that was killed, and had "
        "no time to close its clients and pools. It cannot show slots that no worker has now."
    ),
    queries=(
        Query(
            'sum by (service) (lab_lifespan_events_total{service=~"$service", event="started"})', "{{service}}, started"
        ),
        Query(
            'sum by (service) (lab_lifespan_events_total{service=~"$service", event="stopped"})',
            "{{service}}, stopped",
            line="dashed",
        ),
    ),
    unit="short",
    width=24,
    height=6,
    top=1,
)

HOST_CPU = Panel(
    title="CPU of the machine, in cores",
    description=(
        "What this machine's cores do, by mode. `steal` is time that another virtual machine took: what is measured "
        "meanwhile is worth little. It cannot show which process it was."
    ),
    queries=(
        Query("sum by (mode) (rate(lab_host_cpu_seconds_total[$__rate_interval]))", "{{mode}}"),
        Query("max(lab_host_cpus)", "cores there are", line="dotted", colour=PLAIN),
    ),
    unit="none",
    width=24,
)

DASHBOARD = Dashboard(
    name="workers",
    title="Workers",
    description="How work is spread over the workers of a service, and what each of them costs.",
    rows=(
        Row(
            "Who does the work, and what it costs",
            (SHARE, BUSY_WORKERS, BUSY_THREADS, COUNT, CPU, CPU_OF_SERVICES, MEMORY, SWITCHES),
        ),
        Row("Their lives", (LIFESPANS,)),
        Row("The machine", (HOST_CPU,)),
    ),
)
