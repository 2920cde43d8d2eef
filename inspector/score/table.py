"""The figures as a page of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def share_text(row: Mapping[str, Any]) -> str:
    """Return k of n, the share and its interval."""
    if row["share"] is None:
        return "none"
    return f"{row['k']} of {row['n']}  {100 * row['share']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def table_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield f"{report['defects']} defects were there, {report['events']} events were published"
    shares = {
        "found": "recall", "published that were one": "precision", "found with one event": "one_event",
        "rightly named": "right_class", "alarmed": "alarmed", "box holds 90 % of it": "box_holds_90",
    }  # fmt: skip
    for words, key in shares.items():
        yield f"  {words:<26}{share_text(report[key])}"
    for words, key in (
        ("found by chance", "by_chance"), ("mean IoU", "iou_mean"), ("second events", "second_events"),
        ("of another class", "wrong_seconds"), ("events over two defects", "merged"),
        ("false calls", "false_calls"), ("false alarms", "false_alarms"),
    ):  # fmt: skip
        yield f"  {words:<26}{_text(report[key])}"
    if (off := report["position_error_m"]) is not None:
        yield f"  {'position error':<26}{off['mean']} m mean, {off['p95']} m 95 %, {off['max']} m most"
    if report["metres"] is not None:
        length, hours = f"{report['metres']} m ({report['metres_from']})", _text(report["hours"])
        yield f"over {length}, {hours} h ({report['hours_from']})"
    for words, key in (
        ("alarms a km", "alarms_per_km"), ("false calls a km", "false_calls_per_km"),
        ("alarms an operator hour", "alarms_per_operator_hour"),
    ):  # fmt: skip
        yield f"  {words:<26}{_text(report[key])}"
    yield from _sizes(report)
    if report["by_class"]:
        yield "by class"
        for label, row in report["by_class"].items():
            yield f"  {label:<26}{share_text(row)}, {row['right_class']} rightly named"
    if report["open"]:
        yield f"note: {report['open']} defects were not closed: the station had not come to their end"
    if report["missing_seqs"]:
        yield f"note: {report['missing_seqs']} messages between the first and the last are not here"


def _sizes(report: Mapping[str, Any]) -> Iterator[str]:
    for unit in ("px", "mm"):
        for number, row in enumerate(report[f"by_size_{unit}"] or ()):
            if not number:
                yield f"by longer side, {unit}"
            name = f"{row['from']:g} to {row['to']:g}"
            yield f"  {name:<26}{share_text(row)}, by chance {100 * row['by_chance']:.1f} %"
    if (a90 := report["a90"]) is None:
        if report["defects"]:
            yield "a90: too few defects, or of one size, or all found, or none"
        return
    if a90["px"] is None:
        yield "a90: no size is found nine times in ten"
        return
    mm = "" if a90["mm"] is None else f" = {a90['mm']} mm"
    bound = "no bound" if a90["px_95"] is None else f"with 95 % confidence at most {a90['px_95']} px"
    beyond = ", beyond the sizes shown" if a90["extrapolated"] else ""
    yield f"a90, found nine times in ten: {a90['px']} px{mm} ({bound}{beyond})"


def _text(value: Any) -> str:
    return "unknown" if value is None else f"{value:g}"
