"""What a store has of a period, as rows of the tables, day by day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from inspector.clock import from_timestamp_ms
from inspector.store.years import LONGEST_DEFECT_MS, CoilRun, PeriodReader, StoredRecord
from inspector.years.shifts import Shifts
from inspector.years.tables import coil_row, defect_row

DAY_MS = 86_400_000
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, perhaps of one coil only.

    Attributes:
        from_ms, to_ms: UTC, ms since 1970; the end is not in it.
        coil_id: Only of this coil; None: everything.
    """

    from_ms: int
    to_ms: int
    coil_id: str | None = None


def day_of(ms: int) -> date:
    """Return the day of a moment, in UTC: the partition that it lies in."""
    return from_timestamp_ms(ms).date()


def days_of(period: Period) -> Iterator[tuple[date, Period]]:
    """Yield the days of a period, in UTC, each with its part of it."""
    begin = period.from_ms
    while begin < period.to_ms:
        end = min(period.to_ms, (begin // DAY_MS + 1) * DAY_MS)
        yield day_of(begin), Period(begin, end, period.coil_id)
        begin = end


class Gatherer:
    """Makes rows of what is stored.

    Args:
        reader: The store.
        shifts: Of the plant.
        moved: Runs that are in an archive already, by coil: start and end; their rows are not given again.
    """

    def __init__(
        self, reader: PeriodReader, shifts: Shifts, moved: Mapping[str, Sequence[tuple[int, int]]] | None = None
    ) -> None:
        self._reader = reader
        self._moved = moved or {}
        self._shifts = shifts
        self._reviews = reader.reviews()
        self._products: dict[str, list[tuple[int, Any]]] = {}
        for run in reader.coils(0, 1 << 53):
            known = {**run.facts, **(run.record.get("facts") or {})}
            self._products.setdefault(run.coil_id, []).append((run.began_ms, known.get("product")))
        self._rolls: dict[str, Any] = {}
        for one in reader.records(("periodic",), 0, 1 << 53):
            message = one.message
            self._rolls |= {one.id: message.get("roll"), str(message.get("periodic_id")): message.get("roll")}

    def frames(self, period: Period) -> list[Row]:
        """Return a row for each frame that has a message."""
        records = self._reader.records(("frame",), period.from_ms, period.to_ms)
        return [self.frame(one) for one in records if self._is_ours(one.coil_id, one.captured_ms, period)]

    def frame(self, one: StoredRecord) -> Row:
        """Return the row of a frame."""
        return {
            "id": one.id, "store_id": self._reader.store_id, "seq": one.seq, "captured_at": one.captured_ms,
            "coil_id": one.coil_id, "line": one.line, "verdict": one.phase, "label": one.label, "score": one.score,
            **self._turn(one.captured_ms),
        }  # fmt: skip

    def _is_ours(self, coil_id: str | None, ms: int, period: Period) -> bool:
        moved = self._moved.get(coil_id or "", ())
        return period.coil_id in (None, coil_id) and not any(began <= ms < ended for began, ended in moved)

    def defects(self, period: Period) -> list[Row]:
        """Return a row for each defect that opened in the period, sorted by coil: what was said of it last."""
        before = self._reader.opened_before(period.from_ms)
        late = period.to_ms + LONGEST_DEFECT_MS
        found = self.last_phases(
            (one for one in self._reader.records(("defect",), period.from_ms, late)), before, period.to_ms
        )
        kept = (row for row in found if self._is_ours(row["coil_id"], row["captured_at"], period))
        return sorted(kept, key=lambda row: (row["coil_id"] or "", row["captured_at"], row["seq"]))

    def last_phases(self, records: Iterable[StoredRecord], before: Iterable[str], to_ms: int) -> list[Row]:
        """Return a row for each defect whose first record is before `to_ms`, but for those that opened `before`."""
        passed, rows = set(before), dict[str, Row]()
        for one in records:
            key = one.defect_id
            if key is None or key in passed or one.text is None or (key not in rows and one.captured_ms >= to_ms):
                continue
            opened_ms = rows[key]["captured_at"] if key in rows else one.captured_ms
            rows[key] = self.defect(one.message) | {"captured_at": opened_ms, **self._turn(opened_ms)}
        return list(rows.values())

    def defect(self, message: Mapping[str, Any]) -> Row:
        """Return the row of a defect message with what the store knows besides: review, roll, product."""
        row = defect_row(message)
        row["verdict"], row["verified_label"], row["person"] = self._reviews.get(row["defect_id"], (None, None, None))
        row["roll"] = self._rolls.get(row["periodic_id"]) if row["periodic_id"] else None
        runs = self._products.get(row["coil_id"] or "", [])
        row["product"] = next((made for began, made in reversed(runs) if began <= row["captured_at"]), None)
        return row

    def coil(self, run: CoilRun, defects: int) -> Row:
        """Return the row of a coil."""
        return coil_row(run.as_dict()) | {
            "store_id": self._reader.store_id, "defects": defects, **self._turn(run.began_ms),
        }  # fmt: skip

    def coils(self, period: Period) -> list[Row]:
        """Return a row for each coil that began in the period."""
        rows = []
        for run in self._reader.coils(period.from_ms, period.to_ms, period.coil_id):
            if not self._is_ours(run.coil_id, run.began_ms, period):
                continue
            seen = {one.defect_id for one in self._reader.coil_records(run) if one.kind == "defect"}
            rows.append(self.coil(run, len(seen)))
        return rows

    def _turn(self, ms: int) -> Row:
        shift = self._shifts.at(from_timestamp_ms(ms))
        return {"shift": shift.name if shift else None, "crew": shift.crew if shift else None}
