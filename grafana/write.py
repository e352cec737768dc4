"""Writes waitlab/dashboards as Grafana's classic (v1) dashboards, through Grafana's own SDK: `make dashboards`.

python grafana/write.py [FOLDER]        v2 is newer, but every Grafana loads files of v1.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, prometheus, stat, table, tempo, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.dashboard import Threshold as Step
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

from waitlab.dashboards import ALL, ANNOTATIONS, VARIABLES
from waitlab.dashboards.vocabulary import GOOD, SERVICES, Annotation, Dashboard, Kind, Line, Panel, Query, Variable

FOLDER = Path(__file__).resolve().parent / "dashboards"
PROMETHEUS = DataSourceRef("prometheus", "prometheus")
TEMPO = DataSourceRef("tempo", "tempo")
TAG = "waitlab"
DASHES: dict[Line, dict[str, Any]] = {
    "solid": {"fill": "solid"},
    "dashed": {"fill": "dash", "dash": [8, 6]},
    "dotted": {"fill": "dot", "dash": [0, 8]},
}
MOST_TRACES = 50
COLUMN_PIXELS = 60  # a table's columns are never narrower; Grafana's own 150 would push some out of sight

AnyPanel = timeseries.Panel | stat.Panel | table.Panel


def main(folder: Path) -> None:
    """One file a dashboard."""
    for said in ALL:
        text = json.dumps(written(said).build(), cls=JSONEncoder, indent=2, sort_keys=True)
        (folder / f"{said.name}.json").write_text(f"{text}\n")


def written(said: Dashboard) -> build.Dashboard:
    """A whole dashboard: a heading over each row's panels, laid out as their widths and heights say."""
    made = (
        build.Dashboard(said.title)
        .uid(f"lab-{said.name}")
        .description(said.description)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
        .time("now-5m", "now")
        .refresh("5s")
        .timepicker(build.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m"]))
        .variables([variable(one) for one in VARIABLES])
        .annotations([annotation(one) for one in ANNOTATIONS])
        .link(links())
    )
    number = 0
    for row in said.rows:
        number += 1
        made.with_row(build.Row(row.title).id(number))
        for one in row.panels:
            number += 1
            made.with_panel(panel(one).id(number))
    return made


def links() -> build.DashboardLink:
    """From every dashboard to the others, with the time range and the choices of this one."""
    of_tag = build.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return of_tag.as_dropdown(False).keep_time(True).include_vars(True).placement("")  # and not in a menu


def variable(said: Variable) -> build.QueryVariable:
    """A choice of one, several or all values of a label, which grow as load goes on."""
    query = f"label_values({said.metric}, {said.label})"
    return (
        build.QueryVariable(said.name)
        .datasource(PROMETHEUS)
        .query({"qryType": 1, "query": query, "refId": said.name})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def annotation(said: Annotation) -> build.AnnotationQuery:
    """A mark on every panel; the step is Prometheus' own, so that none is missed."""
    made = build.AnnotationQuery().name(said.name).datasource(PROMETHEUS).enable(True).hide(False)
    return made.icon_color(said.colour).expr(said.expr).step("2s").title_format(said.title)


def panel(said: Panel) -> AnyPanel:
    """A panel of whatever kind."""
    made = KINDS[said.kind](said).title(said.title).description(said.description).unit(said.unit)
    may_be_empty = next((query.may_be_empty for query in said.queries if query.may_be_empty), "")
    return (made.no_value(may_be_empty) if may_be_empty else made).span(said.width).height(said.height)


def lines(said: Panel) -> timeseries.Panel:
    """Lines over time from 0 up, a service in its colour, each threshold a line of its own."""
    made = (
        timeseries.Panel()
        .datasource(PROMETHEUS)
        .min(0)
        .fill_opacity(0)
        .show_points(VisibilityMode.NEVER)
        .thresholds(thresholds(said, below="transparent"))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(threshold_lines(said)))
        .color_scheme(colour(SERVICES.get(said.service)))
        .legend(legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if said.top is not None:
        made.axis_soft_max(said.top)
    if not said.service:
        for service, fixed in SERVICES.items():
            made.override_by_regexp(rf"/^{service}\b/", [of_colour(fixed)])
    for letter, query in lettered(said):
        made.with_target(asked(query, letter).range().exemplar(query.exemplars))
        changes = [
            DynamicConfigValue("custom.lineStyle", DASHES[query.line]),
            DynamicConfigValue("custom.lineWidth", query.weight),
        ]
        made.override_by_query(letter, [*changes, *([of_colour(query.colour)] if query.colour else [])])
    return made


def figures(said: Panel) -> stat.Panel:
    """The last values, in the colour of the threshold they have passed."""
    made = (
        stat.Panel()
        .datasource(PROMETHEUS)
        .thresholds(thresholds(said, below=GOOD))
        .color_scheme(build.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    for letter, query in lettered(said):
        made.with_target(asked(query, letter).instant())
    return made


def labels(said: Panel) -> table.Panel:
    """A line for each series: the labels it is grouped by, and its value under the legend."""
    (query,) = said.queries
    columns = query.expr.partition("by (")[2].partition(")")[0].split(", ")
    names = {service: {"text": service, "color": fixed} for service, fixed in SERVICES.items()}
    coloured = [
        DynamicConfigValue("mappings", [{"type": "value", "options": names}]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
    ]
    # Worker 2 is not 2 seconds, and an alert of no worker is not an empty table.
    plain = [DynamicConfigValue("unit", "string"), DynamicConfigValue("noValue", "")]
    shown = {
        "excludeByName": {"Time": True},
        "indexByName": {column: place for place, column in enumerate([*columns, "Value"])},
        "renameByName": {"Value": query.legend},
    }
    return (
        table.Panel()
        .datasource(PROMETHEUS)
        .with_target(asked(query, "A").instant().format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="organize", options=shown))
        .min_width(COLUMN_PIXELS)
        .override_by_field_type("string", plain)
        .override_by_name("service", coloured)
    )


def traces(said: Panel) -> table.Panel:
    """What Tempo finds, the latest first; each line leads to its trace."""
    made = table.Panel().datasource(TEMPO)
    for letter, query in lettered(said):
        found = tempo.Dataquery().ref_id(letter).datasource(TEMPO).query_type("traceql").query(query.expr)
        made.with_target(found.limit(MOST_TRACES).table_type(SearchTableType.TRACES))
    return made


def lettered(said: Panel) -> list[tuple[str, Query]]:
    """Grafana knows the queries of a panel as A, B, C."""
    return list(zip("ABCDEFGH", said.queries, strict=False))


def asked(query: Query, letter: str) -> prometheus.Dataquery:
    """A question to Prometheus, range or instant still to be said."""
    return prometheus.Dataquery().ref_id(letter).datasource(PROMETHEUS).expr(query.expr).legend_format(query.legend)


def legend() -> common.VizLegendOptions:
    """One line below the panel."""
    made = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    return made.placement(LegendPlacement.BOTTOM)


def thresholds(said: Panel, below: str) -> build.ThresholdsConfig:
    """The steps from the lowest value up."""
    steps = [Step(color=below), *(Step(value=step.at, color=step.colour) for step in said.thresholds)]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def threshold_lines(said: Panel) -> GraphThresholdsStyleMode:
    """Dashed lines are the clients', so a threshold is a full one."""
    return GraphThresholdsStyleMode.LINE if said.thresholds else GraphThresholdsStyleMode.OFF


def colour(fixed: str | None) -> build.FieldColor:
    """One colour for all lines, or one for each name."""
    if fixed:
        return build.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(fixed)
    return build.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def of_colour(fixed: str) -> DynamicConfigValue:
    """The change of a line to one colour."""
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": fixed})


KINDS: dict[Kind, Callable[[Panel], AnyPanel]] = {"lines": lines, "figures": figures, "table": labels, "traces": traces}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
