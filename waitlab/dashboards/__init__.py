"""What people look at: each dashboard is a module, said in the words of `vocabulary`."""

from waitlab.dashboards import load, overview, traces, where_time_goes, workers
from waitlab.dashboards.vocabulary import BAD, Annotation, Variable

ALL = (
    overview.DASHBOARD,
    where_time_goes.DASHBOARD,
    workers.DASHBOARD,
    load.DASHBOARD,
    traces.DASHBOARD,
)

VARIABLES = (
    Variable("service", metric="lab_service_info", label="service"),
    Variable("style", metric="http_server_request_duration_seconds_count", label="style"),
    Variable("workload", metric="http_server_request_duration_seconds_count", label="workload"),
)

# A change of the number of workers is marked for the 4 s (two scrapes) after it was asked for.
_ASKED = 'count_values by (service) ("workers", sum by (service) (lab_service_workers{state="asked"}%s))'

ANNOTATIONS = (
    Annotation("trial", expr="lab_load_trial", title="{{run}}: {{arm}}", colour="#8ab8ff"),
    Annotation(
        "scale",
        expr=f"{_ASKED % ''} unless {_ASKED % ' offset 4s'}",
        title="{{service}}: {{workers}} workers asked for",
        colour="#b877d9",
    ),
    Annotation("alert", expr='ALERTS{alertstate="firing"}', title="{{alertname}} {{service}}", colour=BAD),
)
