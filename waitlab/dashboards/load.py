"""What Locust did, as Locust saw it, and whether it could keep up."""

from waitlab.dashboards.vocabulary import CHOSEN, Dashboard, Panel, Query, Row, Threshold

# What clients got, for the overview too.
ANSWERS = Query(
    f"sum by (service) (rate(lab_load_requests_total{CHOSEN}[$__rate_interval]))",
    "{{service}}, its clients",
    line="dashed",
)
FAILED = Query(
    "sum by (service) (rate(lab_load_requests_total"
    '{service=~"$service", style=~"$style", workload=~"$workload", outcome="failure"}[$__rate_interval]))'
    f" or 0 * {ANSWERS.expr}",
    "{{service}}, its clients",
    line="dashed",
)

USERS = Panel(
    title="Users",
    description=(
        "Users that each Locust process runs, each with one request under way at most. It cannot show whether they "
        "wait for an answer or think."
    ),
    queries=(Query("sum by (process) (lab_load_users)", "{{process}}"),),
    unit="short",
    width=6,
    height=7,
    top=1,
)

RATE = Panel(
    title="Answers/s",
    description=(
        "Answers that Locust got a second, failures too. In a closed loop users wait for their answer before they ask "
        "again, so a slow service is asked less. It cannot show requests that are still under way."
    ),
    queries=(ANSWERS,),
    unit="reqps",
    width=6,
    height=7,
)

FAILURES = Panel(
    title="Failures/s",
    description=(
        "Requests that failed a second: refused, timed out, cut short, or answered with anything but what was asked "
        "for. It cannot show why: Locust's page Failures does."
    ),
    queries=(FAILED,),
    unit="reqps",
    width=6,
    height=7,
    top=1,
)

GENERATOR = Panel(
    title="CPU of Locust, of one core",
    description=(
        "Share of one core that each Locust process uses (the busiest of a name, when several bear it). Above the line "
        "(70 %) Locust itself makes requests wait: the run is invalid. Add Locust workers. It cannot show a core taken "
        "away by another process."
    ),
    queries=(Query("max by (process) (lab_load_cpu_ratio)", "{{process}}"),),
    unit="percentunit",
    thresholds=(Threshold(0.7),),
    width=6,
    height=7,
    top=1,
)


def response_time(q: float) -> Panel:
    """One percentile of every kind of request."""
    return Panel(
        title=f"p{q * 100:.0f} by request",
        description=(
            "What clients waited for each kind of request, from the moment it was due to the end of its answer. It "
            "cannot show a percentile finer than its bucket (5 % wide around 200 ms), nor requests that wait still."
        ),
        queries=(
            Query(
                f"histogram_quantile({q}, sum by (name, le) (rate(lab_load_response_seconds_bucket"
                f"{CHOSEN}[$__rate_interval])))",
                "{{name}}",
                line="dashed",
            ),
        ),
        unit="s",
        width=12,
    )


CLIENTS_COUNT = Panel(
    title="What Locust counted",
    description=(
        "Every answer since Locust was started, by request and outcome. It cannot show requests of a Locust process "
        "that has ended."
    ),
    queries=(
        Query(
            f"sum by (name, outcome) (lab_load_requests_total{CHOSEN})",
            "answers",
            may_be_empty="no Locust that still runs has had an answer",
        ),
    ),
    unit="short",
    kind="table",
    width=12,
    height=8,
)

SERVICES_COUNT = Panel(
    title="What the services counted",
    description=(
        "Every request since a service was started, dead workers' included: accepted by the application, completed, "
        "and failed (not answered whole). Once no load runs, accepted is completed and failed together. It cannot "
        "show who asked: requests from elsewhere count too."
    ),
    queries=(Query('sum by (service, outcome) (lab_service_requests_total{service=~"$service"})', "requests"),),
    unit="short",
    kind="table",
    width=12,
    height=8,
)

DASHBOARD = Dashboard(
    name="load",
    title="Load",
    description="What Locust did and what its users waited. Above 70 % of a core Locust itself is the bottleneck.",
    rows=(
        Row(
            "As the clients saw it",
            (USERS, RATE, FAILURES, GENERATOR, response_time(0.5), response_time(0.95), CLIENTS_COUNT, SERVICES_COUNT),
        ),
    ),
)
