"""The site's own labels on the disk, watched while the station runs: another one, or one that is gone, needs a reload.

Labels are part of rules, metrics and `about` from a station's first moment on. So they are not exchanged between two
frames, as a reference is: the station asks itself for what SIGHUP asks for, and inspects on without a blind moment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from inspector.teach.own_labels import label_names, label_state

_log = structlog.get_logger("teach")


class LabelWatch:
    """Looks whether the labels are those that the station was opened with.

    Args:
        folder: `labels/` in the folder of the store.
        state: What `label_state` said before they were read.
        changed: Asks for the reload.
    """

    def __init__(self, folder: Path, state: tuple[object, ...], changed: Callable[[], None]) -> None:
        self._folder, self._state, self._changed = folder, state, changed

    def look(self) -> None:
        """Ask once for each change; what is refused then is not asked for again and again."""
        if (state := label_state(self._folder)) != self._state:
            self._state = state
            _log.info("labels_changed", labels=list(label_names(self._folder)))
            self._changed()
