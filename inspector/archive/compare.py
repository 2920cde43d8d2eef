"""Two runs over the same pictures, compared: what the second finds more, what it loses, what it names otherwise.

A picture is the same where its path below the archive and its SHA-256 are. DuckDB reads the Parquet files where they
lie; of tiles only those that are not clean on both sides are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspector.archive.order import EXTRA
from inspector.archive.tables import SCHEMA
from inspector.errors import ConfigError, StoreError
from inspector.years.tables import SCHEMA_KEY

NO_FINDING = ("clean", "unknown", "refused")
"""What a picture can be without a finding."""
MOST_FOLDERS = 1000
_SAID = "CASE WHEN verdict = 'not_inspected' THEN 'refused' WHEN label IS NOT NULL THEN label" \
        " WHEN verdict = 'pass' THEN 'clean' ELSE 'unknown' END"  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """Pictures or tiles on which both runs say what the other does not.

    Attributes:
        before: What A says: a label, `clean`, `unknown` or `refused`.
        after: What B says.
        count: How many.
    """

    before: str
    after: str
    count: int


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label over all pictures.

    Attributes:
        label: The label.
        before: Pictures that A gives it.
        after: Pictures that B gives it.
        gained: B finds it where A finds nothing.
        lost: A finds it where B finds nothing.
        renamed_from: A finds it where B finds another label.
        renamed_to: B finds it where A finds another label.
    """

    label: str
    before: int
    after: int
    gained: int
    lost: int
    renamed_from: int
    renamed_to: int


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A folder of the archive, a coil where pictures lie by coil.

    Attributes:
        folder: Below the archive.
        pictures: Pictures of it in both runs.
        gained: B finds a defect where A finds none.
        lost: A finds one where B finds none.
        renamed: Both find one, of different labels.
    """

    folder: str
    pictures: int
    gained: int
    lost: int
    renamed: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A picture on which the runs disagree.

    Attributes:
        kind: `gained`, `lost`, `renamed` or `other`.
        path: Where it lay when B inspected it.
        source_key: Below the archive.
        before: What A says.
        before_score: Its score, or None.
        after: What B says.
        after_score: Its score, or None.
        boxes_before: Of A's defects: x, y, width, height and label.
        boxes_after: Of B's.
    """

    kind: str
    path: str
    source_key: str
    before: str
    before_score: float | None
    after: str
    after_score: float | None
    boxes_before: list[list[Any]]
    boxes_after: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it.

    Attributes:
        first: Folder of A.
        second: Folder of B.
        bundles: Of A and of B.
        references: Likewise.
        configs: Likewise.
        pictures: In both runs.
        only_first: Pictures of A alone.
        only_second: Pictures of B alone.
        gained: Pictures on which B finds a defect and A none.
        lost: The reverse.
        renamed: Both find one, of different labels.
        changes: Pairs of what both say of a picture, where that differs.
        labels: By label.
        folders: With a change, most changes first, at most 1,000.
        tiles: In both runs, or None where one has no rows of tiles.
        tile_changes: As `changes`, of tiles.
        disagreements: The largest: the highest score that one side has and the other has not.
    """

    first: str
    second: str
    bundles: list[list[str]]
    references: list[list[str | None]]
    configs: list[list[str | None]]
    pictures: int
    only_first: int
    only_second: int
    gained: int
    lost: int
    renamed: int
    changes: list[Change]
    labels: list[LabelRow]
    folders: list[FolderRow]
    tiles: int | None
    tile_changes: list[Change]
    disagreements: list[Disagreement]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"schema": "inspector/archive-comparison/1", **asdict(self)}


def compare_archives(first: Path, second: Path, pictures: int = 24) -> Comparison:
    """Compare two outputs of `inspector archive inspect`.

    Args:
        first: Folder of A.
        second: Folder of B.
        pictures: Disagreements to list.

    Raises:
        ConfigError: The extra is missing, or a folder holds no such output.
        StoreError: Files of another version, or that cannot be read.
    """
    try:
        import duckdb
    except ImportError as exc:
        raise ConfigError(f"this needs the extra 'ray', which is not installed: {EXTRA}") from exc
    db = duckdb.connect(":memory:")
    db.execute("SET TimeZone = 'UTC'")
    try:
        for name, folder in (("a", first), ("b", second)):
            _open(db, name, folder)
        return _compared(db, first, second, pictures)
    except duckdb.Error as exc:
        raise StoreError(f"{first}, {second}: cannot be compared: {str(exc).splitlines()[0]}") from exc
    finally:
        db.close()


def _open(db: Any, name: str, folder: Path) -> None:
    """Make views of a folder's tables: NAME_frames and so on."""
    if not any((folder / "frames").glob("station=*/day=*/*.parquet")):
        raise ConfigError(f"{folder}: no output of `inspector archive inspect`: no frames in it")
    for table in ("frames", "defects", "tiles"):
        if not any((folder / table).glob("station=*/day=*/*.parquet")):
            continue
        files = str(folder / table / "station=*" / "day=*" / "*.parquet").replace("'", "''")
        of_ours = db.execute(
            f"SELECT count(*) FILTER (decode(key) = '{SCHEMA_KEY}' AND decode(value) = '{SCHEMA}'),"
            f" count(DISTINCT file_name), any_value(file_name) FILTER (decode(key) = '{SCHEMA_KEY}'"
            f" AND decode(value) <> '{SCHEMA}') FROM parquet_kv_metadata('{files}')"
        ).fetchone()
        there = len(list((folder / table).glob("station=*/day=*/*.parquet")))
        if of_ours[0] != there:
            raise StoreError(f"{of_ours[2] or folder / table}: not {SCHEMA}: inspect the archive again")
        db.execute(
            f"CREATE VIEW {name}_{table} AS SELECT * FROM read_parquet('{files}', hive_partitioning = true,"
            " union_by_name = true)"
        )


def _compared(db: Any, first: Path, second: Path, pictures: int) -> Comparison:
    for name in ("a", "b"):
        db.execute(
            f"CREATE TABLE {name} AS SELECT source_key, coalesce(sha256, '') AS sha256, any_value(path) AS path,"
            f" any_value(folder) AS folder, any_value({_SAID}) AS said, max(score) AS score FROM {name}_frames"
            " GROUP BY ALL"
        )
    db.execute(
        "CREATE TABLE joined AS SELECT a.source_key, a.sha256, b.path, b.folder, a.said AS before, b.said AS after,"
        " a.score AS before_score, b.score AS after_score,"
        " CASE WHEN a.said = b.said THEN 'same'"
        f" WHEN a.said IN {NO_FINDING} AND b.said NOT IN {NO_FINDING} THEN 'gained'"
        f" WHEN a.said NOT IN {NO_FINDING} AND b.said IN {NO_FINDING} THEN 'lost'"
        f" WHEN a.said NOT IN {NO_FINDING} THEN 'renamed' ELSE 'other' END AS kind"
        " FROM a JOIN b USING (source_key, sha256)"
    )
    kinds = dict(db.execute("SELECT kind, count(*) FROM joined GROUP BY kind").fetchall())
    only = [
        db.execute(f"SELECT count(*) FROM {one} ANTI JOIN {other} USING (source_key, sha256)").fetchone()[0]
        for one, other in (("a", "b"), ("b", "a"))
    ]
    prints = {
        column: [
            [row[0] for row in db.execute(f"SELECT DISTINCT {column} FROM {name}_frames ORDER BY 1").fetchall()]
            for name in ("a", "b")
        ]
        for column in ("bundle", "reference", "config")
    }
    tiles, tile_changes = _tiles(db)
    return Comparison(
        str(first), str(second), prints["bundle"], prints["reference"], prints["config"], sum(kinds.values()),
        only[0], only[1],
        kinds.get("gained", 0), kinds.get("lost", 0), kinds.get("renamed", 0),
        _changes(db, "SELECT before, after, count(*) FROM joined WHERE before <> after GROUP BY ALL"),
        _labels(db), _folders(db), tiles, tile_changes, _disagreements(db, pictures),
    )  # fmt: skip


def _changes(db: Any, query: str) -> list[Change]:
    return [Change(*row) for row in db.execute(f"SELECT * FROM ({query}) ORDER BY 3 DESC, 1, 2").fetchall()]


def _labels(db: Any) -> list[LabelRow]:
    rows = db.execute(
        "WITH labels AS (SELECT DISTINCT unnest([before, after]) AS label FROM joined)"
        " SELECT label, count(*) FILTER (before = label), count(*) FILTER (after = label),"
        " count(*) FILTER (after = label AND kind = 'gained'), count(*) FILTER (before = label AND kind = 'lost'),"
        " count(*) FILTER (before = label AND kind = 'renamed'), count(*) FILTER (after = label AND kind = 'renamed')"
        f" FROM labels, joined WHERE label NOT IN {NO_FINDING} GROUP BY label ORDER BY label"
    ).fetchall()
    return [LabelRow(*row) for row in rows]


def _folders(db: Any) -> list[FolderRow]:
    rows = db.execute(
        "SELECT folder, count(*), count(*) FILTER (kind = 'gained'), count(*) FILTER (kind = 'lost'),"
        " count(*) FILTER (kind = 'renamed') AS renamed FROM joined GROUP BY folder"
        " HAVING count(*) FILTER (kind <> 'same') > 0 ORDER BY count(*) FILTER (kind <> 'same') DESC, folder"
        f" LIMIT {MOST_FOLDERS}"
    ).fetchall()
    return [FolderRow(*row) for row in rows]


def _tiles(db: Any) -> tuple[int | None, list[Change]]:
    """Return tiles of both runs and their changes; only tiles that are not clean on one side are joined."""
    views = {row[0] for row in db.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    if not {"a_tiles", "b_tiles"} <= views:
        return None, []
    counts = [db.execute(f"SELECT count(*) FROM {name}_tiles").fetchone()[0] for name in ("a", "b")]
    for name in ("a", "b"):
        db.execute(
            f"CREATE TABLE {name}_marked AS SELECT source_key, coalesce(sha256, '') AS sha256, tile, label"
            f" FROM {name}_tiles WHERE label <> 'clean'"
        )
    return min(counts), _changes(
        db,
        "SELECT coalesce(a.label, 'clean'), coalesce(b.label, 'clean'), count(*) FROM a_marked a"
        " FULL JOIN b_marked b USING (source_key, sha256, tile) WHERE a.label IS DISTINCT FROM b.label GROUP BY ALL",
    )


def _disagreements(db: Any, limit: int) -> list[Disagreement]:
    rows = db.execute(
        "SELECT kind, path, source_key, before, before_score, after, after_score, sha256 FROM joined"
        " WHERE kind <> 'same'"
        " ORDER BY kind = 'other', greatest(CASE WHEN kind = 'gained' THEN 0 ELSE coalesce(before_score, 0) END,"
        f" CASE WHEN kind = 'lost' THEN 0 ELSE coalesce(after_score, 0) END) DESC, source_key LIMIT {int(limit)}"
    ).fetchall()
    views = {row[0] for row in db.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}

    def boxes(name: str, key: str, sha256: str) -> list[list[Any]]:
        if f"{name}_defects" not in views:
            return []
        found: Sequence[Sequence[Any]] = db.execute(
            f"SELECT x, y, width, height, label FROM {name}_defects WHERE source_key = ? AND coalesce(sha256, '') = ?",
            [key, sha256],
        ).fetchall()
        return [list(box) for box in found]

    listed = []
    for kind, path, key, before, before_score, after, after_score, sha256 in rows:
        shown = boxes("a", key, sha256), boxes("b", key, sha256)
        listed.append(Disagreement(kind, path, key, before, before_score, after, after_score, *shown))
    return listed


def as_table(result: Comparison) -> str:
    """Return a comparison as text."""
    lines = [
        f"{result.pictures} pictures in both; {result.only_first} only in A, {result.only_second} only in B",
        f"gained {result.gained}, lost {result.lost}, renamed {result.renamed}",
        "",
        f"{'label':20}{'A':>8}{'B':>8}{'gained':>8}{'lost':>8}{'from':>8}{'to':>8}",
    ]
    lines += [
        f"{row.label:20}{row.before:>8}{row.after:>8}{row.gained:>8}{row.lost:>8}{row.renamed_from:>8}{row.renamed_to:>8}"
        for row in result.labels
    ]
    if result.tiles is not None:
        lines += ["", f"{result.tiles} tiles; {sum(change.count for change in result.tile_changes)} differ"]
    return "\n".join(lines)
