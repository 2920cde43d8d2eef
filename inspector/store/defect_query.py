"""Which defect messages are asked for, as a statement of SQL: every value is bound, none is text of the statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inspector.labels import Severity

_REVIEWED = "EXISTS (SELECT 1 FROM reviews WHERE reviews.defect_id = {records}.defect_id)"


@dataclass(frozen=True, slots=True)
class DefectQuery:
    """A question for defect messages; what is None is not asked for.

    Attributes:
        limit: How many at most.
        from_ms, before_ms: Captured in [from_ms, before_ms), ms since 1970.
        label, severity, coil_id: Of these only.
        position_m: First and last metre from the coil's head of where they begin.
        reviewed: Whether a person has said something about the defect.
        after: Time and number of the message after which to go on, towards the older ones.
    """

    limit: int
    before_ms: int | None = None
    from_ms: int | None = None
    label: str | None = None
    coil_id: str | None = None
    severity: Severity | str | None = None
    position_m: tuple[float, float] | None = None
    reviewed: bool | None = None
    after: tuple[int, int] | None = None

    def statement(self, records: str) -> tuple[str, list[Any]]:
        """Return the statement for seq, payload and checksum, newest first, without its limit, and its values.

        Args:
            records: Table or view that has all columns of the records.
        """
        wanted: list[tuple[str, tuple[Any, ...] | None]] = [
            ("captured_ms >= ?", _one(self.from_ms)),
            ("captured_ms < ?", _one(self.before_ms)),
            ("label = ?", _one(self.label)),
            ("coil_id = ?", _one(self.coil_id)),
            ("severity = ?", _one(self.severity)),
            ("position_mm BETWEEN ? AND ?", self.position_m and tuple(1000 * place for place in self.position_m)),
            ("(captured_ms, seq) < (?, ?)", self.after),
        ]
        chosen = [(text, values) for text, values in wanted if values is not None]
        where = ["kind = 'defect'", *(text for text, _ in chosen)]
        if self.reviewed is not None:
            where.append(("" if self.reviewed else "NOT ") + _REVIEWED.format(records=records))
        text = (
            f"SELECT seq, payload, payload_crc32 FROM {records} WHERE {' AND '.join(where)}"  # noqa: S608
            " ORDER BY captured_ms DESC, seq DESC"
        )
        return text, [value for _, values in chosen for value in values]


def _one(value: Any) -> tuple[Any] | None:
    return None if value is None else (value,)
