"""Pictures of defects on their way to the evidence folder, and which picture later phases of a defect name."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from inspector.drafts import Draft
from inspector.faults import crash_point
from inspector.messages import DefectMessage, Evidence
from inspector.store.evidence import EvidenceFolder
from inspector.telemetry.metrics import Metrics

_log = structlog.get_logger("commit")


class PicturesKept:
    """Keeps the picture of each defect's first message, and remembers it until the defect is closed.

    Args:
        folder: Where pictures are kept; None if they are not.
        metrics: Where the time for it is measured.
    """

    def __init__(self, folder: EvidenceFolder | None, metrics: Metrics) -> None:
        self._folder = folder
        self._metrics = metrics
        self._open: dict[str, Evidence] = {}

    def keep(self, drafts: Sequence[Draft]) -> dict[str, Evidence]:
        """Write the pictures of these messages, and return for each message id the evidence that it names."""
        kept: dict[str, Evidence] = {}
        for draft in drafts:
            body = draft.body
            if not isinstance(body, DefectMessage):
                continue
            if draft.picture is not None and self._folder is not None:
                try:
                    with self._metrics.stage_seconds.labels("evidence").time():
                        evidence = self._folder.keep(body.defect_id, draft.picture)
                except OSError as exc:
                    _log.warning("evidence_not_kept", defect_id=body.defect_id, reason=str(exc))
                    evidence = None
                crash_point("evidence.written")
                if evidence is not None:
                    self._open[body.defect_id] = evidence
            if body.defect_id in self._open:
                kept[body.id] = self._open[body.defect_id]
            if body.phase == "closed":
                self._open.pop(body.defect_id, None)
        return kept
