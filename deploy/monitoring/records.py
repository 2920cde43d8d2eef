"""Recording rules, as data: what is computed ahead for alerts and panels, and the expressions that both use."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.monitoring.series import BY, make_metrics, select, up
from inspector.telemetry.metrics import HEALTH_STATES

M = make_metrics()
STATE_CODES = {"down": 0, "blind": 1, "degraded": 2, "paused": 3, "starting": 4, "idle": 5, "ok": 6}
"""Health as a number, so that one row of a timeline shows it; the worse, the smaller."""
assert set(STATE_CODES) == {"down", *HEALTH_STATES}  # noqa: S101 - a new state needs a code


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded series.

    Attributes:
        name: level:metric:operation, as is usual with Prometheus.
        text: What it is, with its unit.
    """

    name: str
    expr: str
    text: str


def _state_code() -> str:
    terms = [f"{code} * {select(M.health_state, state=state)}" for state, code in STATE_CODES.items() if code]
    return "\n+ ignoring (state) ".join(terms) + f"\nor\n0 * ({up()} == 0)"


def _quantile(share: float, metric_rate: str, *labels: str) -> str:
    return f"histogram_quantile({share}, sum by ({', '.join((BY, *labels, 'le'))}) ({metric_rate}))"


def rate(selector: str, window: str) -> str:
    """Return the rate per second over a window."""
    return f"rate({selector}[{window}])"


def increase(selector: str, window: str) -> str:
    """Return the growth over a window."""
    return f"increase({selector}[{window}])"


def by_station(expr: str, *labels: str) -> str:
    """Return the sum by station, and by more labels."""
    return f"sum by ({', '.join((BY, *labels))}) ({expr})"


def defects_per_tile(window: str) -> str:
    """Return defects of each label by tile, over a window."""
    defects = by_station(increase(select(M.defects), window), "label")
    return f"{defects} / on ({BY}) group_left () {by_station(increase(select(M.tiles), window))}"


FRAMES = select(M.frames)
INSPECTED = select(M.frames, outcome="inspected")

RECORDS = (
    Record("station:inspector_health:code", _state_code(),
           "Health as a number: " + ", ".join(f"{code} {state}" for state, code in STATE_CODES.items()) + "."),
    Record("station:inspector_frames_inspected:rate5m", by_station(rate(INSPECTED, "5m")),
           "Frames inspected per second."),
    Record("station:inspector_frames_missed:rate5m",
           by_station(rate(select(M.frames, outcome="!=inspected"), "5m")), "Frames not inspected per second."),
    Record("station:inspector_coverage:ratio15m",
           f"{by_station(increase(INSPECTED, '15m'))}\n/\n({by_station(increase(FRAMES, '15m'))} > 0)",
           "Share of the frames of the last 15 minutes that were inspected; nothing while no frame came. Time without a"
           " source brings no frames and is not in it."),
    Record("station:inspector_dropped:ratio5m",
           f"{by_station(rate(select(M.frames, outcome='dropped'), '5m'))}\n/\n"
           f"({by_station(rate(FRAMES, '5m'))} > 0)",
           "Share of the frames that were dropped for lack of time."),
    Record("station:inspector_tiles:rate5m", by_station(rate(select(M.tiles), "5m")), "Tiles inspected per second."),
    Record("station:inspector_unknown_tiles:ratio15m",
           f"{by_station(increase(select(M.tiles, verdict='=~unknown|unclassified'), '15m'))}\n/\n"
           f"({by_station(increase(select(M.tiles), '15m'))} > 0)",
           "Share of the tiles that the model does not know, or that are unclassified."),
    Record("station:inspector_workers:busy_ratio5m",
           f"{by_station(rate(select(M.worker_busy), '5m'))}\n/\n{by_station(select(M.workers))}",
           "Share of the workers' time that was spent scoring; 1: no reserve."),
    Record("station:inspector_frame_age_seconds:p90_5m",
           _quantile(0.9, rate(select(M.frame_age, "bucket"), "5m")), "From capture to commit, 90th percentile."),
    Record("station:inspector_frame_age_seconds:mean5m",
           f"{by_station(rate(select(M.frame_age, 'sum'), '5m'))}\n/\n"
           f"({by_station(rate(select(M.frame_age, 'count'), '5m'))} > 0)",
           "From capture to commit, mean: it rises for as long as frames arrive faster than they are inspected."),
    Record("station:inspector_delivery_duration_seconds:p90_5m",
           _quantile(0.9, rate(select(M.delivery_seconds, "bucket"), "5m")),
           "From commit to PUBACK, 90th percentile."),
    Record("station_stage:inspector_stage_duration_seconds:p90_5m",
           _quantile(0.9, rate(select(M.stage_seconds, "bucket"), "5m"), "stage"),
           "Time in each stage, 90th percentile."),
    Record("station_label:inspector_tile_score:mean1h",
           f"{by_station(increase(select(M.tile_score, 'sum'), '1h'), 'label')}\n/\n"
           f"({by_station(increase(select(M.tile_score, 'count'), '1h'), 'label')} > 0)",
           "Mean leading score of the tiles of a label over an hour: it sinks when light, optics or product drift."),
)  # fmt: skip


def recorded(name: str, **matchers: str) -> str:
    """Return a selector of a recorded series that exists.

    Raises:
        ValueError: No rule records it.
    """
    if name not in {record.name for record in RECORDS}:
        raise ValueError(f"no rule records {name}")
    parts = [f'{label}=~"{value}"' for label, value in matchers.items()]
    return f"{name}{{{','.join(parts)}}}" if parts else name
