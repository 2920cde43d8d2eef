"""Frames on disk through the two pure functions, to a file: the same bytes on every run, on any day.

No store, no broker, no evidence, and a clock that stands still at the recording's time. Messages are numbered from 1
under a store id of the station's root, so two replays can be compared line by line.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import structlog

from inspector.drafts import Draft, numbered
from inspector.errors import SourceError
from inspector.frame import Frame, Gap
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.items import Tick
from inspector.messages import Body, encode
from inspector.model.pool import WorkerPool
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.settings.source import AnySource, CameraOptions, FolderOptions, LinesOptions, as_kind
from inspector.sources.base import EndOfSource, FrameSource, NoLedger, SourceContext
from inspector.sources.folder import FolderSource
from inspector.sources.opening import open_source
from inspector.station.wiring import open_bundle, track_rules
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

_log = structlog.get_logger("replay")


class StillClock:
    """Always gives the time of the recording; monotonic time advances one second per call, so that nothing waits."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment
        self._looks = 0

    def now(self) -> datetime:
        """Return that moment."""
        return self._moment

    def monotonic(self) -> float:
        """Return how often it was asked."""
        self._looks += 1
        return float(self._looks)


def replay_path(path: Path, config: Path, output: Path) -> int:
    """Write the messages that the frames at `path` give, and return how many.

    Args:
        path: A folder of stills, a video file, or a file of lines when the configuration's source is `lines`.
        config: Configuration; its source path is replaced, and its kind if that does not fit.
        output: Written whole or not at all.

    Raises:
        OSError: `output` cannot be written.
        SourceError: There is nothing to read at `path`.
        RefusedError: Configuration or bundle is refused.
    """
    settings = load_settings(config).settings
    if not path.exists():
        raise SourceError(f"nothing to replay: no such file or folder: {path}")
    model = open_bundle(settings, unit_file=config)
    if model.taught.trouble is not None:
        _log.warning("reference_refused", reason=model.taught.trouble)
    rules = track_rules(settings, model.bundle, model.rules)
    store_id = rules.ids.of("replay")
    partial = output.with_name(output.name + ".partial")
    seq = 0
    try:
        with _writing(partial, output) as file:
            for draft in _drafts(_some(items_of(path, settings), path), model.pool, model.rules, rules):
                seq += 1
                file.write(encode(numbered(draft, store_id, seq)) + b"\n")
    finally:
        model.pool.close()
    return seq


@contextmanager
def _writing(partial: Path, output: Path) -> Iterator[BinaryIO]:
    """Open what becomes `output` at the end; an error names `output`, which is what was asked for."""
    if output.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, the name of a file is expected", str(output))
    try:
        file = partial.open("wb")
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(output)) from exc
    try:
        with file:
            yield file
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def items_of(path: Path, settings: Settings) -> Iterator[Frame | Gap]:
    """Yield the frames and gaps of a folder of stills, a video or a file of lines, as a station would read them."""
    moment = datetime.fromtimestamp(int(path.stat().st_mtime), tz=UTC)
    context, ledger = SourceContext(StillClock(moment), lambda: 1, "replay"), NoLedger()
    if path.is_dir():
        stills = as_kind(settings.source, FolderOptions, path=str(path), settle_s=0.0, finished="keep", refused="keep")
        folder = FolderSource(stills, context, ledger)
        yield from _until_end(folder, lambda: folder.is_caught_up)
        return
    kind: type[AnySource] = LinesOptions if isinstance(settings.source, LinesOptions) else CameraOptions
    options = as_kind(settings.source, kind, path=str(path.absolute()))
    yield from _until_end(open_source(options, context, ledger), lambda: False)


def _some(items: Iterator[Frame | Gap], path: Path) -> Iterator[Frame | Gap]:
    count = 0
    for count, item in enumerate(items, 1):  # noqa: B007 - how many came is asked after the last
        yield item
    if not count:
        raise SourceError(f"nothing to replay: no frame in {path}")


def _until_end(source: FrameSource, is_over: Callable[[], bool]) -> Iterator[Frame | Gap]:
    try:
        while True:
            if (item := source.read()) is not None:
                yield item
            elif is_over():
                return
    except EndOfSource:
        return
    finally:
        source.close()


def _drafts(
    items: Iterator[Frame | Gap], pool: WorkerPool, inspect: InspectRules, rules: TrackRules
) -> Iterator[Draft]:
    for _, drafts in _tracked(items, pool, inspect, rules):
        yield from drafts


def track_items(
    items: Iterator[Frame | Gap], pool: WorkerPool, inspect: InspectRules, rules: TrackRules
) -> Iterator[tuple[Inspection | None, list[Body]]]:
    """Yield what each item gave, in order: its inspection, or None of a gap and at the end; and the messages."""
    for outcome, drafts in _tracked(items, pool, inspect, rules):
        yield outcome if isinstance(outcome, Inspection) else None, [draft.body for draft in drafts]


def _tracked(
    items: Iterator[Frame | Gap], pool: WorkerPool, inspect: InspectRules, rules: TrackRules
) -> Iterator[tuple[Inspection | Gap | None, Sequence[Draft]]]:
    state, last = TrackState(), datetime.fromtimestamp(0, tz=UTC)
    for item in items:
        last = item.captured_at if isinstance(item, Frame) else item.until
        outcome = inspect_frame(item, pool, inspect) if isinstance(item, Frame) else item
        state, drafts = track(state, outcome, rules)
        yield outcome, drafts
    yield None, track(state, Tick(last, final=True), rules)[1]
