"""Single requests: the slow ones, and the way from a dot on a line to the waits inside one request."""

from waitlab.dashboards.vocabulary import CHOSEN, Dashboard, Panel, Query, Row

SLOW = Panel(
    title="Sampled requests that took longer than 100 ms in the application",
    description=(
        "The latest traces in Tempo; click one for the waits inside the request, and at a span the link to metrics for "
        "the worker that served it. It cannot show requests that were not sampled (Locust samples one in 100), nor the "
        "time before the application's first line: the two witnesses do."
    ),
    queries=(
        Query(
            '{ kind = server && resource.service.name =~ "$service" && name =~ "/($style)/($workload)"'
            " && duration > 100ms }",
            "traces",
            may_be_empty="no sampled request took so long, or there is no Tempo",
        ),
    ),
    unit="none",
    kind="traces",
    width=24,
    height=11,
)

LATENCY = Panel(
    title="Response time, each dot a sampled request",
    description=(
        "p50 and p95 that the server measured, and as dots the requests that have a trace: point at one, then at its "
        "trace. It cannot show dots without Prometheus' exemplar storage, and a trace is there from 5 s to an hour "
        "after its request."
    ),
    queries=tuple(
        Query(
            f"histogram_quantile({q}, sum by (service, le) (rate(http_server_request_duration_seconds_bucket"
            f"{CHOSEN}[$__rate_interval])))",
            f"{{{{service}}}} p{q * 100:.0f}",
            weight=weight,
            exemplars=q == 0.95,
        )
        for q, weight in ((0.5, 1), (0.95, 2))
    ),
    unit="s",
    width=16,
    height=11,
)

SPANS = Panel(
    title="Spans/s",
    description=(
        "Spans that each service exported (solid) and dropped (dashed) a second. Dropped are those that a full queue, "
        "a full file or a dead endpoint took: traces then have gaps. It cannot show spans that still wait for their "
        "batch, half a second at most."
    ),
    queries=(
        Query(
            'sum by (service) (rate(lab_trace_spans_total{service=~"$service", outcome="exported"}[$__rate_interval]))',
            "{{service}}, exported",
        ),
        Query(
            'sum by (service) (rate(lab_trace_spans_total{service=~"$service", outcome="dropped"}[$__rate_interval]))',
            "{{service}}, dropped",
            line="dashed",
        ),
    ),
    unit="short",
    width=8,
    height=11,
)

DASHBOARD = Dashboard(
    name="traces",
    title="Traces",
    description="Single requests: find a slow one and see what it waited for.",
    rows=(Row("Slow requests", (SLOW, LATENCY, SPANS)),),
)
