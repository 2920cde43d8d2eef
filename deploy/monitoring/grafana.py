"""The dashboards as JSON that Grafana provisions, built by its own Foundation SDK: only looks are decided here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model

from deploy.monitoring.board import Board, Kind, Panel, Query
from deploy.monitoring.dashboards import STATION
from deploy.monitoring.records import STATE_CODES
from deploy.monitoring.series import JOB

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24
COUNTED_OVER = "15s"
"""Shortest step of panels that count events: three scrapes, for `increase` needs two."""
STATE_COLOURS = {
    "down": "dark-red", "blind": "red", "degraded": "orange", "paused": "purple", "starting": "blue",
    "idle": "text", "ok": "green",
}  # fmt: skip


def render(board: Board) -> str:
    """Return the dashboard as Grafana's file provisioning reads it."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.text)
        .tags(["inspector"])
        .readonly()
        .timezone("browser")
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("Inspector").type(model.DashboardLinkType.DASHBOARDS).tags(["inspector"])
              .as_dropdown(True).include_vars(True).keep_time(True))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_station_variable(board.many))
    )  # fmt: skip
    for annotation in board.annotations:
        builder = builder.annotation(
            dashboard.AnnotationQuery().name(annotation.name).datasource(SOURCE).enable(True)
            .icon_color(annotation.colour).expr(annotation.expr)
        )  # fmt: skip
    top = 0
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title).grid_pos(_at(0, top, COLUMNS, 1)))
        top += 1
        for panel, position in _place(row.panels, top):
            builder = builder.with_panel(_build(panel, board.many).grid_pos(position))
            top = max(top, position.y + position.h)
    built = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    for variable in built["templating"]["list"]:
        for key in ("id", "auto", "auto_min", "auto_count"):  # of other kinds of variables: the SDK writes them all
            variable.pop(key, None)
    for number, panel_json in enumerate(built["panels"], start=1):
        panel_json["id"] = number
    for shown, annotation in zip(built["annotations"]["list"], board.annotations, strict=True):
        shown |= {"titleFormat": annotation.title, "textFormat": annotation.text, "step": "30s"}
    return json.dumps(built, indent=1, sort_keys=True) + "\n"


def _station_variable(many: bool) -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable("station").label("Station").datasource(SOURCE)
        .query({"query": f'label_values(up{{job="{JOB}"}}, station)', "refId": "station"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
        .description("site/line/name, from the target file: stations that are down are in the list, too.")
    )  # fmt: skip
    if many:
        everything = model.VariableOption(selected=True, text="All", value="$__all")
        variable = variable.multi(True).include_all(True).all_value(".+").current(everything)
    return variable


def _at(x: int, y: int, w: int, h: int) -> model.GridPos:
    return model.GridPos(x=x, y=y, w=w, h=h)


def _place(panels: Sequence[Panel], top: int) -> Iterator[tuple[Panel, model.GridPos]]:
    x, tallest = 0, 0
    for panel in panels:
        width, height = panel.size
        if x + width > COLUMNS:
            x, top, tallest = 0, top + tallest, 0
        yield panel, _at(x, top, width, height)
        x, tallest = x + width, max(tallest, height)


def _build(panel: Panel, linked: bool) -> Any:
    builder = {
        "stat": _stat, "lines": _lines, "stacked": _lines, "bars": _lines, "heatmap": _heatmap,
        "timeline": _timeline, "table": _table,
    }[panel.kind](panel)  # fmt: skip
    builder = builder.title(panel.title).description(panel.text).datasource(SOURCE)
    if panel.kind != "heatmap":
        builder = builder.unit(panel.unit).thresholds(_thresholds(panel.limits))
        if panel.states:
            builder = builder.mappings([_state_mapping()])
    if panel.kind in ("bars", "heatmap"):
        builder = builder.interval(COUNTED_OVER)
    if linked and panel.kind not in ("stat", "table"):
        builder = builder.data_links([_to_station()])
    for name, colour in panel.colours:
        fixed = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        builder = builder.override_by_name(name, [fixed])
    for letter, query in zip("ABCD", panel.queries, strict=False):
        builder = builder.with_target(_target(letter, query, panel.kind))
    return builder


def _to_station() -> dashboard.DashboardLink:
    address = (
        f"/d/{STATION.uid}?var-station=${{__field.labels.station}}&${{datasource:queryparam}}&${{__url_time_range}}"
    )
    return dashboard.DashboardLink("Show ${__field.labels.station}").type(model.DashboardLinkType.LINK).url(address)


def _target(letter: str, query: Query, kind: Kind) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend).datasource(SOURCE)
    target = target.editor_mode(prometheus_model.QueryEditorMode.CODE)
    if kind == "heatmap":
        return target.range().format(prometheus_model.PromQueryFormat.HEATMAP)
    if kind == "table":
        return target.instant().format(prometheus_model.PromQueryFormat.TABLE)
    return target.instant() if kind == "stat" else target.range()


def _thresholds(limits: tuple[float, float] | None) -> dashboard.ThresholdsConfig:
    if limits is None:
        steps = [model.Threshold(value=None, color="green")]
    elif limits[0] <= limits[1]:
        steps = [model.Threshold(value=None, color="green"), model.Threshold(value=limits[0], color="orange"),
                 model.Threshold(value=limits[1], color="red")]  # fmt: skip
    else:
        steps = [model.Threshold(value=None, color="red"), model.Threshold(value=limits[1], color="orange"),
                 model.Threshold(value=limits[0], color="green")]  # fmt: skip
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _state_mapping() -> model.ValueMap:
    return model.ValueMap(
        options={
            str(code): model.ValueMappingResult(text=state, color=STATE_COLOURS[state], index=code)
            for state, code in STATE_CODES.items()
        }
    )


def _colour_by(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _stat(panel: Panel) -> Any:
    mode = common_model.BigValueColorMode
    plain = panel.limits is None and not panel.states
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(mode.NONE if plain else mode.BACKGROUND)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .text_mode(
            common_model.BigValueTextMode.VALUE_AND_NAME
            if len(panel.queries) > 1
            else common_model.BigValueTextMode.VALUE
        )
    )


def _lines(panel: Panel) -> Any:
    builder = (
        timeseries.Panel()
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_model.LegendDisplayMode.LIST)
            .placement(common_model.LegendPlacement.BOTTOM)
        )
        .color_scheme(_colour_by(model.FieldColorModeId.PALETTE_CLASSIC))
        .show_points(common_model.VisibilityMode.NEVER)
    )
    if not panel.signed:
        builder = builder.min(0)
    if panel.top is not None:
        builder = builder.max(panel.top)
    if panel.kind != "lines":
        builder = builder.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL)).fill_opacity(60)
    if panel.kind == "bars":
        builder = builder.draw_style(common_model.GraphDrawStyle.BARS).line_width(0)
    return builder


def _heatmap(panel: Panel) -> Any:
    return (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_model.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .fill("dark-orange")
            .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
        .cell_gap(1)
        .show_legend()
        .show_tooltip()
    )


def _timeline(panel: Panel) -> Any:
    builder = (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(common_model.VisibilityMode.AUTO)
        .row_height(0.9)
        .line_width(0)
        .fill_opacity(85)
    )
    if not panel.states:
        builder = builder.mappings([
            model.ValueMap(options={"0": model.ValueMappingResult(text=" ", color="transparent", index=0),
                                    "1": model.ValueMappingResult(text="yes", color="blue", index=1)})
        ])  # fmt: skip
    return builder


def _table(panel: Panel) -> Any:
    values = [f"Value #{letter}" for letter in "ABCD"]
    hidden = dict.fromkeys(("Time", "Value", *values, "__name__", "job", "exported_site", "exported_line"), True)
    organise = model.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    builder = table.Panel().show_header(True)
    if len(panel.queries) > 1:
        builder = builder.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    return builder.with_transformation(organise)
