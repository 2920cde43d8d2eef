"""Questions to an archive: a coil among ten thousand, the defects of a period, a count by what they have in common.

DuckDB reads the Parquet files where they lie; it is imported here and nowhere else, and `inspector run` never is here.
The rows of a coil lie in the folder of the day on which it began, sorted by coil, so a question about one reads a few
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.errors import ConfigError, StoreBusyError
from inspector.years.files import EXTRA, require_our_version
from inspector.years.gather import Period
from inspector.years.tables import TABLES

_MOMENT = {"frames": "captured_at", "defects": "captured_at", "messages": "captured_at", "coils": "began_at"}
THREADS = 2


def _import_duckdb() -> Any:
    try:
        import duckdb
    except ImportError as exc:
        raise ConfigError(f"the archive needs the extra 'archive', which is not installed: {EXTRA}") from exc
    return duckdb


class Archive:
    """A folder of `inspector archive`, or of `inspector export`.

    Args:
        folder: Holds `coils/`, `defects/` and so on.

    Raises:
        ConfigError: The extra is missing, there is no archive, or it is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self._duckdb = _import_duckdb()
        self._folder = folder
        self._db = self._duckdb.connect(":memory:", config={"threads": THREADS})
        self._db.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            if newest := max(folder.glob(f"{table}/station=*/date=*/*.parquet"), default=None):
                require_our_version(newest)

    def span(self) -> tuple[int, int]:
        """Return the first and last moment of what is here, ms since 1970; (0, -1): nothing is."""
        found: list[int] = []
        for table in ("frames", "defects", "coils"):
            if files := self._files(table):
                name = _MOMENT[table]
                ((low, high),) = self._ask(f"SELECT epoch_ms(min({name})), epoch_ms(max({name})) FROM {files}")  # noqa: S608
                found += [low, high] if low is not None else []
        return (min(found), max(found)) if found else (0, -1)

    def coil_runs(self, coil_id: str, station: str | None = None) -> list[dict[str, Any]]:
        """Return the runs of a coil, the newest first, each with its `station` and the `date` of its folder."""
        files = self._files("coils")
        if not files:
            return []
        return self._rows(
            f"SELECT * FROM {files} WHERE coil_id = ? AND coalesce(station = ?, true) ORDER BY began_at DESC",  # noqa: S608
            [coil_id, station],
        )

    def coil_defects(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the defects of a run of `coil_runs`, from head to tail."""
        return self._of_run(run, "defects", "position_m, captured_at, seq")

    def coil_messages(self, run: dict[str, Any]) -> list[tuple[str, str]]:
        """Return every stored message of a run in its order: its kind and its JSON, as it was published."""
        return [(row["kind"], row["message"]) for row in self._of_run(run, "messages", "seq") if row["message"]]

    def _of_run(self, run: dict[str, Any], table: str, order: str) -> list[dict[str, Any]]:
        files = self._files(table, run["station"], run["date"])
        if not files:
            return []
        return self._rows(
            f"SELECT * FROM {files} WHERE coil_id = ? AND captured_at >= ? AND captured_at < ?"  # noqa: S608
            f" ORDER BY {order}",
            [run["coil_id"], *self._bounds(run)],
        )

    def _bounds(self, run: dict[str, Any]) -> tuple[datetime, datetime]:
        """Return from when until when records are this run's: as in the store, until the coil comes again."""
        others = [one["began_at"] for one in self.coil_runs(run["coil_id"], run["station"])]
        earlier = any(began < run["began_at"] for began in others)
        later = min((began for began in others if began > run["began_at"]), default=_moment(1 << 53))
        return (run["began_at"] if earlier else _moment(0)), later

    def rows(self, table: str, period: Period, station: str) -> list[dict[str, Any]]:
        """Return the rows of a table in a period, moments in ms since 1970."""
        files = self._files(table)
        if not files:
            return []
        moment = _MOMENT[table]
        columns = ", ".join(
            f"epoch_ms({name}) AS {name}" if kind == "moment" else name for name, kind in TABLES[table].items()
        )
        return self._rows(
            f"SELECT {columns} FROM {files} WHERE {moment} >= ? AND {moment} < ? AND coalesce(coil_id = ?, true)"  # noqa: S608
            " AND station = ? ORDER BY coil_id, 1",
            [_moment(period.from_ms), _moment(period.to_ms), period.coil_id, station],
        )

    def count(self, by: str, period: Period) -> list[tuple[Any, ...]]:
        """Return defects of a period by a column: its value, then how many are minor, major, critical, false calls.

        Args:
            by: An expression of our own over the columns of `defects`.
            period: Which.
        """
        files = self._files("defects")
        if not files:
            return []
        real = "(verdict IS NULL OR verdict <> 'false_call')"
        counts = ", ".join(f"count(*) FILTER (severity = '{one}' AND {real})" for one in ("minor", "major", "critical"))
        return self._ask(
            f"SELECT {by}, {counts}, count(*) FILTER (NOT {real}) FROM {files}"  # noqa: S608
            " WHERE captured_at >= ? AND captured_at < ? AND coalesce(coil_id = ?, true) GROUP BY ALL",
            [_moment(period.from_ms), _moment(period.to_ms), period.coil_id],
        )

    def _files(self, table: str, station: str = "*", day: str = "*") -> str | None:
        place = f"{table}/station={_escaped(station)}/date={day}/*.parquet"
        if next(self._folder.glob(place), None) is None:
            return None
        path = f"{self._folder}/{place}".replace("'", "''")
        types = "{'station': VARCHAR, 'date': VARCHAR}"
        return f"read_parquet('{path}', hive_partitioning = true, hive_types = {types}, union_by_name = true)"

    def _ask(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = self._db.execute(question, list(values)).fetchall()
        except self._duckdb.Error as exc:
            raise StoreBusyError(f"{self._folder}: the archive cannot be read: {exc}") from exc
        return found

    def _rows(self, question: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        found = self._ask(question, values)
        names = [column[0] for column in self._db.description]
        return [dict(zip(names, row, strict=True)) for row in found]


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(min(ms, 253402300799999) / 1000, tz=UTC)


def _escaped(station: str) -> str:
    from urllib.parse import quote

    return station if station == "*" else quote(station, safe="")
