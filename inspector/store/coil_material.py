"""What a report is made of, read from the store: on a connection of its own, and in slices, so that it is bounded."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from inspector.clock import from_timestamp_ms, to_rfc3339, to_timestamp_ms
from inspector.reports.found import Found, Material, Section
from inspector.store.coils import CoilRun
from inspector.store.read_only import StoreReader, read_message

MAX_ACTIONS = 500
LATEST_MS = 1 << 53
SLICE = 400
"""Messages read at once."""


def read_material(
    reader: StoreReader, run: CoilRun, *, station: str, program: str, made_at: str, pictures: Collection[str] = ()
) -> Material:
    """Return all that a report of one run of a coil says.

    Args:
        reader: Of the store.
        run: Of the coil.
        station: site/line/name
        program: Version that makes the report.
        made_at: When, RFC 3339.
        pictures: Ids of the defects whose picture is kept.

    Raises:
        StoreBusyError: The store cannot be read now.
    """
    record = run.record
    began_ms = to_timestamp_ms(record.began_at)
    ended_ms = LATEST_MS if record.ended_at is None else to_timestamp_ms(record.ended_at) + 1
    rows = CoilRows(reader, run)
    verdicts = rows.verdicts()
    actions = [
        {"command": one.name, "at": _moment(one.at_ms), "until": one.until_ms and _moment(one.until_ms),
         "asked": one.asked}
        for one in reader.actions(began_ms, ended_ms, MAX_ACTIONS)
    ]  # fmt: skip
    return Material(
        station=station,
        run=run.id,
        record=record,
        defects=[found_of(message, verdicts, pictures) for message in rows.last_phases()],
        periodic=_last_of_each(rows.periodic()),
        actions=actions,
        sections=[Section(code, at_m) for code, at_m in rows.sections()],
        program=program,
        made_at=made_at,
    )


class CoilRows:
    """The rows of one run of a coil.

    A row belongs to the run of its coil that had begun last when it was captured; a clock that is set back within a
    coil that ran once moves nothing.

    Args:
        reader: Of the store.
        run: Of the coil.
    """

    def __init__(self, reader: StoreReader, run: CoilRun) -> None:
        self._reader, self._coil_id, self._began = reader, run.record.coil_id, to_timestamp_ms(run.record.began_at)
        begins = "SELECT {}(began_ms) FROM coils WHERE coil_id = ? AND id {} ?"
        [(before,)] = reader.select(begins.format("max", "<"), (self._coil_id, run.id))
        [(after,)] = reader.select(begins.format("min", ">"), (self._coil_id, run.id))
        self._period = (-LATEST_MS if before is None else self._began, LATEST_MS if after is None else after)

    def count(self) -> int:
        """Return how many messages about defects the run has, counted until they are too many to matter."""
        [(count,)] = self._reader.select(
            f"SELECT count(*) FROM {self._reader.records} WHERE coil_id = ? AND kind = 'defect'"  # noqa: S608
            " AND captured_ms >= ? AND captured_ms < ?",
            (self._coil_id, *self._period),
        )
        return int(count)

    def last_phases(self) -> Iterator[dict[str, Any]]:
        """Yield the last message of each defect, in the order in which they were stored."""
        found = self._reader.select(
            f"SELECT max(seq) FROM {self._reader.records} WHERE coil_id = ? AND kind = 'defect'"  # noqa: S608
            " AND captured_ms >= ? AND captured_ms < ? GROUP BY defect_id",
            (self._coil_id, *self._period),
        )
        numbers = sorted(seq for (seq,) in found)
        for first in range(0, len(numbers), SLICE):
            some = numbers[first : first + SLICE]
            rows = self._reader.select(
                f"SELECT seq, payload, payload_crc32 FROM {self._reader.records}"  # noqa: S608
                f" WHERE seq IN ({', '.join('?' * len(some))}) ORDER BY seq",
                some,
            )
            yield from (message for row in rows if (message := read_message(*row)) is not None)

    def periodic(self) -> Iterator[dict[str, Any]]:
        """Yield the messages about periodic defects, in the order in which they were stored."""
        rows = self._reader.select(
            f"SELECT seq, payload, payload_crc32 FROM {self._reader.records} WHERE coil_id = ?"  # noqa: S608
            " AND kind = 'periodic' AND captured_ms >= ? AND captured_ms < ? ORDER BY seq",
            (self._coil_id, *self._period),
        )
        yield from (message for row in rows if (message := read_message(*row)) is not None)

    def verdicts(self) -> dict[str, str]:
        """Return what people said last, by defect."""
        rows = self._reader.select(
            "SELECT defect_id, verdict FROM reviews WHERE reviewed_ms >= ? ORDER BY id", (self._period[0],)
        )
        return {str(uuid.UUID(bytes=key)): verdict for key, verdict in rows}

    def sections(self) -> list[tuple[str, float]]:
        """Return the codes on the strip, each with its place."""
        return self._reader.select(
            "SELECT code, at_m FROM sections WHERE coil_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_m, id",
            (self._coil_id, *self._period),
        )


def found_of(message: Mapping[str, Any], verdicts: Mapping[str, str], pictures: Collection[str]) -> Found:
    """Return a defect as its last message says."""
    box = message["box_px"]
    from_operator = message.get("from_operator_mm") is not None
    defect_id = message["defect_id"]
    return Found(
        defect_id, message["label"], message["severity"], message["score"], message["timestamp_ms"],
        message["position_m"], message["length_mm"], message["width_mm"],
        message["from_operator_mm"] if from_operator else message["across_mm"], from_operator,
        (box["x"], box["y"], box["width"], box["height"]), defect_id in pictures, verdicts.get(defect_id),
        message.get("class_code"), message.get("class_name"),
        message["why"]["rule"] == "weld",
    )  # fmt: skip


def _last_of_each(rows: Iterator[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the last message of each periodic finding: one grows with its repeats."""
    last: dict[Any, Mapping[str, Any]] = {}
    for row in rows:
        key = row.get("periodic_id") or (row["label"], row.get("across_mm"), row.get("first_m"))
        last.pop(key, None)
        last[key] = row
    return list(last.values())


def _moment(ms: int) -> str:
    return to_rfc3339(from_timestamp_ms(ms))


def kept_pictures(folder: Path) -> set[str]:
    """Return the ids of the defects whose evidence picture lies in a folder; none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name[:-4] for entry in entries if entry.name.endswith(".jpg")}
    except FileNotFoundError:
        return set()
