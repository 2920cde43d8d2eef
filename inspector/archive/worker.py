"""One interpreter's work: a block of files in, rows in Parquet files and a summary out. It knows nothing of a cluster.

A block is written under names of its own, and its summary last: a worker that dies in the middle leaves nothing that
counts, and one that gets the same block again writes the same files, or finds the summary and does nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from inspector.archive.files import ArchivedFile, Place, parquet_bytes, to_json
from inspector.archive.order import Order, Prints, open_order
from inspector.archive.tables import defect_row, frame_row, last_said, tile_rows
from inspector.clock import from_timestamp_ms
from inspector.commands.replay import items_of, track_items
from inspector.errors import PictureError, WorkerError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.inspection.one_frame import Inspection, inspect_frame
from inspector.messages import Body, FrameMessage
from inspector.pictures.child import decode_in_child
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import PICTURE_SUFFIXES
from inspector.settings.source import FolderOptions, as_kind
from inspector.sources.file_time import FileTimes
from inspector.sources.folder import identity_of_still
from inspector.track.state import TrackState
from inspector.track.track import track

DONE, WORK = "_blocks", "_work"
Rows = dict[tuple[str, date], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Read:
    """A still that was read, and decoded where that went well."""

    file: ArchivedFile
    digest: str | None
    pixels: Pixels | None
    refused: PictureError | None


def name_of_block(number: int) -> str:
    """Return the name of a block's files, without an ending."""
    return f"block-{number:06d}"


class BlockInspector:
    """Inspects blocks of an order.

    Args:
        order: What is asked for.
        wanted: What the one who asks has; None: whatever is here.

    Raises:
        RefusedError: Configuration or bundle is refused.
        WorkerError: What is here differs from what is wanted.
    """

    def __init__(self, order: Order, wanted: Prints | None = None) -> None:
        self._order = order
        self._opened = open_order(order)
        if wanted is not None and (differs := wanted.differences(self._opened.prints)):
            raise WorkerError(f"this machine has {'; '.join(differs)}")
        self._output = Place(order.output)
        self._stills = as_kind(self._opened.settings.source, FolderOptions, path=".")
        self._times = FileTimes()
        self._places: dict[str, Place] = {}  # a file system is opened once, not for each picture
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read")

    def __call__(self, number: int, files: Sequence[ArchivedFile]) -> dict[str, Any]:
        """Inspect a block and write it; returns its summary.

        Raises:
            OSError: It cannot be written.
        """
        name = name_of_block(number)
        if self._output.holds(f"{DONE}/{name}.json"):
            return dict(json.loads(self._output.read(f"{DONE}/{name}.json")))
        begun = f"{WORK}/{name}.json"
        deadly = self._output.holds(begun)  # a worker has died over it, or was killed
        self._output.write(begun, b"{}\n")
        rows: Rows = defaultdict(list)
        counts = {"block": number, "frames": 0, "refused": 0, "defects": 0, "tiles": 0}
        for file, read, bodies, inspection in self._inspected(files, deadly):
            self._add(rows, counts, file, read, bodies, inspection)
        for (table, day), some in sorted(rows.items()):
            folder = f"{table}/station={quote(self._opened.station, safe='')}/day={day.isoformat()}"
            self._output.write(f"{folder}/{name}.parquet", parquet_bytes(table, some))
        self._output.write(f"{DONE}/{name}.json", to_json(counts))
        return counts

    def close(self) -> None:
        """End its threads."""
        self._reader.shutdown()
        self._opened.model.pool.close()

    def _inspected(
        self, files: Sequence[ArchivedFile], deadly: bool
    ) -> Iterator[tuple[ArchivedFile, str | None, Sequence[Body], Inspection | None]]:
        """Yield each frame; the next still is read and decoded meanwhile."""
        stills = [file for file in files if PurePosixPath(file.path).suffix.lower() in PICTURE_SUFFIXES]
        ahead = None
        for number, file in enumerate(stills):
            future = ahead or self._reader.submit(self._read, file, deadly)
            following = stills[number + 1] if number + 1 < len(stills) else None
            read = future.result()
            ahead = None if following is None else self._reader.submit(self._read, following, deadly)
            yield self._still(read)
        for file in files:
            if file not in stills:
                yield from self._strip(file)

    def _read(self, file: ArchivedFile, deadly: bool) -> _Read:
        limit, most_px, scale = self._stills.max_file_bytes, self._stills.max_frame_px, self._stills.full_scale
        digest = None
        try:
            if file.size_bytes > limit:
                raise PictureError(f"{file.key}: larger than {limit} bytes: {file.size_bytes}", Cause.TOO_LARGE)
            try:
                data = self._place_of(file).read(file.key, limit + 1)
            except OSError as exc:
                raise PictureError(f"{file.key}: cannot be read: {exc.strerror or exc}", Cause.UNREADABLE) from exc
            digest = hashlib.sha256(data).hexdigest()
            decode = decode_in_child if deadly else decode_picture
            pixels = decode(data, name=file.key, max_px=most_px, full_scale=scale)
        except PictureError as exc:
            return _Read(file, digest, None, exc)
        return _Read(file, digest, pixels, None)

    def _place_of(self, file: ArchivedFile) -> Place:
        """Return the folder below which a file was found."""
        root = file.path.removesuffix(file.key)
        if root not in self._places:
            self._places[root] = Place(root)
        return self._places[root]

    def _still(self, read: _Read) -> tuple[ArchivedFile, str | None, Sequence[Body], Inspection | None]:
        """Inspect a still as a station does that has just found it, and track it alone."""
        file = read.file
        moment = self._times.moment(file.mtime_ns, file.key)
        identity = identity_of_still(file.key, file.size_bytes, file.mtime_ns, read.digest)
        inspection: Inspection | None = None
        item: Gap | Inspection
        if read.pixels is None:
            cause = Cause(read.refused.reason) if read.refused is not None else Cause.UNREADABLE
            item = Gap(cause, moment, moment, 1, 1, 0, identity, file.key, detail=str(read.refused))
        else:
            independent = self._stills.independent is not False
            frame = Frame(read.pixels, 1, 0, moment, 0.0, identity, file.key, independent=independent)
            item = inspection = inspect_frame(frame, self._opened.model.pool, self._opened.model.rules)
        _, drafts = track(TrackState(), item, self._opened.rules)
        return file, read.digest, [draft.body for draft in drafts], inspection

    def _strip(
        self, file: ArchivedFile
    ) -> Iterator[tuple[ArchivedFile, str | None, Sequence[Body], Inspection | None]]:
        """Inspect a video or a file of lines in its order, as `inspector replay` does."""
        from pathlib import Path

        digest = hashlib.sha256()
        with Path(file.path).open("rb") as data:
            while piece := data.read(1 << 20):
                digest.update(piece)
        items = items_of(Path(file.path), self._opened.settings)
        model = self._opened.model
        for inspection, bodies in track_items(items, model.pool, model.rules, self._opened.rules):
            yield file, digest.hexdigest(), bodies, inspection

    def _add(
        self, rows: Rows, counts: dict[str, int], file: ArchivedFile, digest: str | None, bodies: Sequence[Body],
        inspection: Inspection | None,
    ) -> None:  # fmt: skip
        """Add the rows of a frame."""
        for body in bodies:
            if isinstance(body, FrameMessage):
                base = self._base(file, digest, body)
                day = base["captured_at"].date()
                rows["frames", day].append(frame_row(body, base | {"size_bytes": file.size_bytes}))
                counts["frames"] += 1
                counts["refused"] += body.verdict == "not_inspected"
                if self._order.tiles and inspection is not None:
                    tiles = tile_rows(inspection, base)
                    rows["tiles", day] += tiles
                    counts["tiles"] += len(tiles)
        for defect in last_said(bodies):
            base = self._base(file, digest, defect)
            rows["defects", base["captured_at"].date()].append(defect_row(defect, base))
            counts["defects"] += 1

    def _base(self, file: ArchivedFile, digest: str | None, body: Any) -> dict[str, Any]:
        reference, config = self._opened.prints.reference, self._opened.prints.config
        return {
            "path": file.path, "source_key": file.key, "sha256": digest,
            "captured_at": from_timestamp_ms(body.timestamp_ms), "folder": str(PurePosixPath(file.key).parent),
            "bundle": body.bundle, "reference": reference, "config": config,
        }  # fmt: skip
