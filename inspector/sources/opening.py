"""Opens the source that the configuration names. Adding a source is one new module and one line here."""

from __future__ import annotations

from inspector.settings.source import AnySource, CameraOptions, DemoOptions, FolderOptions, LinesOptions
from inspector.sources.base import FrameSource, Ledger, SourceContext


def open_source(options: AnySource, context: SourceContext, ledger: Ledger) -> FrameSource:
    """Return the source that the configuration names; it opens its device on the first `read`."""
    # Imported here so that a station loads only what its own source needs (FFmpeg, watchers, the generator).
    match options:
        case FolderOptions():
            from inspector.sources.folder import FolderSource

            return FolderSource(options, context, ledger)
        case CameraOptions():
            from inspector.sources.camera import open_camera

            return open_camera(options, context)
        case LinesOptions():
            from inspector.sources.lines import LinesSource

            return LinesSource(options, context)
        case DemoOptions():
            from inspector.sources.drawn import DemoSource

            return DemoSource(options, context)
