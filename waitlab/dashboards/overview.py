"""The first look: the services side by side, what they run with, and what binds them now."""

from waitlab.dashboards.load import ANSWERS, FAILED
from waitlab.dashboards.vocabulary import CHOSEN, SERVICES, Dashboard, Panel, Query, Row

RATE = Panel(
    title="Requests/s",
    description=(
        "Solid: requests that each service answered a second, errors too. Dashed: answers that Locust got. It cannot "
        "show what never reached the application: connections that wait in the accept queue, or were refused."
    ),
    queries=(
        Query(
            f"sum by (service) (rate(http_server_request_duration_seconds_count{CHOSEN}[$__rate_interval]))",
            "{{service}}",
        ),
        ANSWERS,
    ),
    unit="reqps",
    width=6,
    height=7,
)

ERRORS = Panel(
    title="Errors/s",
    description=(
        "Solid: requests that a service answered with a 5xx. Dashed: requests that Locust counted as failed, which "
        "besides have refused connections, timeouts, answers cut short and every answer but 2xx. It cannot show why: "
        "see the service's log."
    ),
    queries=(
        Query(
            "sum by (service) (rate(http_server_request_duration_seconds_count"
            '{service=~"$service", style=~"$style", workload=~"$workload", status=~"5.."}[$__rate_interval]))'
            f" or 0 * sum by (service) (rate(http_server_request_duration_seconds_count{CHOSEN}[$__rate_interval]))",
            "{{service}}",
        ),
        FAILED,
    ),
    unit="reqps",
    width=6,
    height=7,
    top=1,
)

IN_FLIGHT = Panel(
    title="In flight",
    description=(
        "Requests inside the applications at the moment of the scrape, all workers of a service together and whatever "
        "their style. It cannot show those that wait before a worker takes them, nor a peak between two scrapes (2 s)."
    ),
    queries=(Query('sum by (service) (http_server_active_requests{service=~"$service"})', "{{service}}"),),
    unit="short",
    width=6,
    height=7,
    top=1,
)

USERS = Panel(
    title="Users",
    description=(
        "Users that Locust runs, each with one request under way at most. It cannot show which service they ask: the "
        "rates do."
    ),
    queries=(Query("sum(lab_load_users)", "users"),),
    unit="short",
    width=6,
    height=7,
    top=1,
)


def response_time(service: str) -> Panel:
    """The percentiles of one service."""
    chosen = f'{{service="{service}", style=~"$style", workload=~"$workload"}}'

    def percentile(q: float, metric: str) -> str:
        return f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{chosen}[$__rate_interval])))"

    return Panel(
        title=f"{service}: response time",
        description=(
            "Solid: what the server measured, from the first line of the application to the last byte of its answer. "
            "Dashed: what its clients waited, from the moment each request was due. Where the two part, requests wait "
            "where the server does not look. It cannot show a percentile finer than its bucket, 5 % wide around 200 "
            "ms; over few requests it jumps. Each dot is one sampled request: click it for its trace."
        ),
        queries=(
            Query(percentile(0.5, "http_server_request_duration_seconds"), "p50", weight=1),
            Query(percentile(0.95, "http_server_request_duration_seconds"), "p95", exemplars=True),
            Query(percentile(0.99, "http_server_request_duration_seconds"), "p99", weight=3),
            Query(percentile(0.95, "lab_load_response_seconds"), "p95 of its clients", line="dashed"),
        ),
        unit="s",
        service=service,
        width=24 // len(SERVICES),
        height=8,
    )


CONFIGURATION = Panel(
    title="What the services run with",
    description=(
        "The settings of each service, and how many of its workers live now. It cannot show what a setting does: the "
        "README's table of knobs does."
    ),
    queries=(
        Query(
            "sum by (service, replica, server, worker_class, threads, tokens, executor_threads, pool_size, loop, cpus)"
            ' (lab_service_info{service=~"$service"}'
            ' * on (instance) group_left () lab_service_workers{state="alive"})',
            "workers",
        ),
    ),
    unit="short",
    kind="table",
    width=16,
    height=8,
)

BINDING = Panel(
    title="What binds now",
    description=(
        "Alerts that fire, and for how long already. Each is a bottleneck or a fault; Prometheus' page Alerts says "
        "what to do about it. It cannot show a bottleneck that lasted for less than a few seconds."
    ),
    queries=(
        Query(
            "max by (alertname, service, worker, replica)"
            ' ((time() - ALERTS_FOR_STATE) and ignoring (alertstate) ALERTS{alertstate="firing"})',
            "for",
            may_be_empty="nothing binds",
        ),
    ),
    unit="s",
    kind="table",
    width=8,
    height=8,
)

DASHBOARD = Dashboard(
    name="overview",
    title="Lab overview",
    description="The services side by side: what they do, how long it takes, and what they run with.",
    rows=(
        Row(
            "Side by side",
            (RATE, ERRORS, IN_FLIGHT, USERS, *(response_time(service) for service in SERVICES), CONFIGURATION, BINDING),
        ),
    ),
)
