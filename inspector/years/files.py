"""Files of rows, a folder for each table, station and day: `defects/station=…/date=…/*.parquet`, or CSV.

A file is whole or not there: it is written under another name, synced, and renamed. PyArrow is imported when the first
Parquet file is written or read, and nowhere else.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from inspector.clock import from_timestamp_ms, to_rfc3339
from inspector.errors import ConfigError, StoreBusyError
from inspector.years.tables import GAP_FIELDS, SCHEMA, SCHEMA_KEY, TABLES

Format = Literal["parquet", "csv"]
ROW_GROUP = 20_000
"""Rows that a reader passes over at once by the coil that they are of."""
EXTRA = "pip install 'inspector[archive]'"


def import_arrow() -> Any:
    """Return PyArrow.

    Raises:
        ConfigError: The extra is not installed; the text says how.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise ConfigError(f"Parquet needs the extra 'archive', which is not installed: {EXTRA}") from exc
    return pyarrow


def place_of(root: Path, table: str, station: str, day: date) -> Path:
    """Return the folder of a table's rows of a station on a day."""
    return root / table / f"station={quote(station, safe='')}" / f"date={day.isoformat()}"


def arrow_schema(table: str) -> Any:
    """Return the schema of a table, with its version."""
    return schema_of(TABLES[table], SCHEMA)


def schema_of(columns: Mapping[str, str], version: str) -> Any:
    """Return the schema of columns, given as their kinds by name, with its version under `SCHEMA_KEY`."""
    pa = import_arrow()
    kinds = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(),
             "moment": pa.timestamp("ms", tz="UTC")}  # fmt: skip
    kinds["gaps"] = pa.list_(pa.struct([(name, kinds[kind]) for name, kind in GAP_FIELDS.items()]))
    return pa.schema([pa.field(name, kinds[kind]) for name, kind in columns.items()], {SCHEMA_KEY: version})


def write_rows(path: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write a file by the end of its name, `.parquet` or `.csv`, and return its size in bytes.

    Raises:
        ConfigError: The extra is not installed.
        StoreBusyError: The disk is full or refuses; what was there before is as it was.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (_write_parquet if path.suffix == ".parquet" else _write_csv)(part, table, rows)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        size = part.stat().st_size
        part.replace(path)
        _sync(path.parent)
    except OSError as exc:
        with suppress(OSError):
            part.unlink()
        raise StoreBusyError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    return size


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_parquet(path: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    write_arrow(path, import_arrow().Table.from_pylist(list(rows), schema=arrow_schema(table)))


def write_arrow(path: Path, rows: Any) -> None:
    """Write a table of Arrow, as every Parquet file here is written."""
    pa = import_arrow()
    pa.parquet.write_table(rows, path, compression="zstd", row_group_size=ROW_GROUP, write_statistics=True)


def _write_csv(path: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TABLES[table])
        for row in rows:
            writer.writerow([_cell(row.get(name), kind) for name, kind in TABLES[table].items()])


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return ""
    if kind == "moment":
        return to_rfc3339(from_timestamp_ms(value))
    if kind == "gaps":
        return json.dumps(value, sort_keys=True)
    return str(value).lower() if kind == "bool" else value


def require_our_version(path: Path) -> None:
    """Check that a Parquet file is of the version that this program writes.

    Raises:
        ConfigError: It is of another, or of no version; the text names the file.
    """
    pa = import_arrow()
    try:
        said = (pa.parquet.read_schema(path).metadata or {}).get(SCHEMA_KEY.encode(), b"").decode()
    except (pa.ArrowInvalid, OSError) as exc:
        raise ConfigError(f"{path}: not a whole Parquet file: {exc}") from exc
    if said != SCHEMA:
        raise ConfigError(f"{path}: is of {said or 'no version'}, and this program writes {SCHEMA}: use another folder")
