"""The messages of a strip: a defect of all that its stations saw of it, and a gap of one of them; pure."""

from __future__ import annotations

from typing import Any

from inspector.clock import from_timestamp_ms, to_rfc3339
from inspector.drafts import UNSTORED
from inspector.ids import Ids
from inspector.joiner.coils import AWAY, JoinedCoil, StationGap
from inspector.joiner.defects import Group
from inspector.joiner.settings import JoinerSettings, StationPlace
from inspector.messages import CoverageMessage, DefectMessage, PeriodicMessage

_SEVERITIES = ("minor", "major", "critical")


def defect_name(ids: Ids, group: Group) -> str:
    """Return the id of a defect that is published first: by what its stations call it."""
    return ids.of("joined", *sorted(one.message["defect_id"] for one in group.members))


def defect_body(group: Group, settings: JoinerSettings, ids: Ids) -> DefectMessage:
    """Return the message of a defect: the surest finding's, with the place and size of all together.

    Args:
        group: With its name.
        settings: Where the stations look.
        ids: Of the strip.

    Raises:
        ValueError: A station's message is none that this program understands.
    """
    members = group.members
    best = max(members, key=lambda one: (one.message["score"], -one.station))
    edges = _edges([(one.from_mm, one.to_mm) for one in members])
    along = _edges([(one.from_m, one.to_m) for one in members])
    centre = sum(settings.edges) / 2
    first = min(members, key=lambda one: one.at_ms).message
    fields = best.message | {
        **UNSTORED,
        "schema": DefectMessage.model_fields["schema_"].default,
        "id": ids.of(group.defect_id, "closed", group.revision),
        "defect_id": group.defect_id,
        "phase": "closed",
        "captured_at": first["captured_at"],
        "timestamp_ms": first["timestamp_ms"],
        "station": settings.strip.text,
        "side": settings.station[best.station].side,
        "position_m": None if along is None else round(along[0], 4),
        "position_source": next(
            (one.message.get("position_source") for one in members if one.from_m is not None), None
        ),
        "length_mm": best.message.get("length_mm") if along is None else round((along[1] - along[0]) * 1000, 2),
        "across_mm": None if edges is None else round(edges[0], 2),
        "from_operator_mm": None if edges is None else round(edges[0], 2),
        "from_centre_mm": None if edges is None else round(sum(edges) / 2 - centre, 2),
        "width_mm": best.message.get("width_mm") if edges is None else round(edges[1] - edges[0], 2),
        "severity": max((one.message["severity"] for one in members), key=_SEVERITIES.index),
        "alarm": any(one.message["alarm"] for one in members),
        "periodic_id": next((one.message["periodic_id"] for one in members if one.message.get("periodic_id")), None),
        "tiles": sum(one.message["tiles"] for one in members),
        "frames": max(one.message["frames"] for one in members),
    }
    return DefectMessage.model_validate(fields)


def _edges(spans: list[tuple[float | None, float | None]]) -> tuple[float, float] | None:
    known = [(begin, end) for begin, end in spans if begin is not None and end is not None]
    return (min(begin for begin, _ in known), max(end for _, end in known)) if known else None


def gap_body(message: dict[str, Any], place: StationPlace, settings: JoinerSettings, ids: Ids) -> CoverageMessage:
    """Return a station's gap as the strip's: of the width that the station looks at.

    Raises:
        ValueError: It is no message that this program understands.
    """
    known = {name: message.get(name) for name in _aliases(CoverageMessage) if name in message}
    begin, end = place.edges
    where = f"{place.root}, {place.side}, {begin:g} to {end:g} mm"
    detail = message.get("detail")
    shifted = {
        name: None if message.get(name) is None else message[name] - place.along_m for name in ("from_m", "to_m")
    }
    return CoverageMessage.model_validate(
        known | UNSTORED | shifted
        | {"schema": CoverageMessage.model_fields["schema_"].default, "id": ids.of("coverage", message["id"]),
           "station": settings.strip.text, "side": place.side, "detail": f"{where}: {detail}" if detail else where}
    )  # fmt: skip


def periodic_body(message: dict[str, Any], place: StationPlace, settings: JoinerSettings, ids: Ids) -> PeriodicMessage:
    """Return a station's periodic finding as the strip's: at its place from the strip's operator side.

    Its defects keep its `periodic_id`; the strip's defects have it from theirs.

    Raises:
        ValueError: It is no message that this program understands.
    """
    known = {name: message[name] for name in _aliases(PeriodicMessage) if name in message}
    metres = {name: message[name] - place.along_m for name in ("first_m", "last_m")}
    return PeriodicMessage.model_validate(
        known | UNSTORED | metres
        | {"schema": PeriodicMessage.model_fields["schema_"].default, "id": ids.of("periodic", message["id"]),
           "station": settings.strip.text, "side": place.side,
           "across_mm": round(place.across(message["across_mm"], 0.0)[0], 2)}
    )  # fmt: skip


def away_body(
    coil: JoinedCoil, gap: StationGap, place: StationPlace, settings: JoinerSettings, ids: Ids
) -> CoverageMessage:
    """Return the gap of a station that has not ended a coil which others have."""
    (begin, end), ended_ms = place.edges, coil.ended_ms or coil.began_ms
    began, ended = (to_rfc3339(from_timestamp_ms(ms)) for ms in (coil.began_ms, ended_ms))
    return CoverageMessage.model_validate({
        **UNSTORED, "id": ids.of("coverage", AWAY, place.root, coil.coil_id, coil.began_ms),
        "captured_at": ended, "timestamp_ms": ended_ms, "station": settings.strip.text, "coil_id": coil.coil_id,
        "bundle": "", "config": "", "simulated": False, "side": place.side, "from": began, "to": ended, "cause": AWAY,
        "frames": 0, "epoch": 0, "source_key": None, "from_m": gap.from_m, "to_m": gap.to_m, "first_seq": None,
        "last_seq": None,
        "detail": f"{place.root}, {place.side}, {begin:g} to {end:g} mm: it has not said that the coil ended there",
    })  # fmt: skip


def _aliases(kind: Any) -> list[str]:
    return [field.alias or name for name, field in kind.model_fields.items()]
