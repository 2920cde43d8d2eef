"""Opens the source that the configuration names. Adding a source is one new module and one line here."""

from __future__ import annotations

from inspector.settings.sections import Source as SourceSettings
from inspector.sources.base import FrameSource, Ledger, SourceContext


def open_source(settings: SourceSettings, context: SourceContext, ledger: Ledger) -> FrameSource:
    """Return the source that the configuration names; it opens its device on the first `read`."""
    # Imported here so that a station loads only what its own source needs (FFmpeg, watchers, the generator).
    match settings.kind:
        case "folder":
            from inspector.sources.folder import FolderSource

            return FolderSource(settings, context, ledger)
        case "camera":
            from inspector.sources.camera import open_camera

            return open_camera(settings, context)
        case "lines":
            from inspector.sources.lines import LinesSource

            return LinesSource(settings, context)
        case "demo":
            from inspector.sources.drawn import DemoSource

            return DemoSource(settings, context)
