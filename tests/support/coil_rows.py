"""Defects of a coil as they are stored, without a source: each closed, at a place along and across."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from fakes import NOON, track_rules
from fakes import still as still_of

from inspector.drafts import Draft
from inspector.messages import DefectMessage, moment_fields
from inspector.store.entries import Entry
from inspector.track.state import TrackState
from inspector.track.track import track


def placed_defect(number: int, label: str = "crack", **changes: Any) -> DefectMessage:
    """The message of defect `number`, a tenth of a second after the one before, a metre further along coil `7731`."""
    _, drafts = track(TrackState(), still_of(number, label), track_rules())
    body = next(draft.body for draft in drafts if isinstance(draft.body, DefectMessage))
    values: dict[str, Any] = {
        "coil_id": "7731", "position_m": float(number), "across_mm": 100.0, "width_mm": 10.0, "length_mm": 20.0,
        **moment_fields(NOON + timedelta(seconds=number / 10)),
    }  # fmt: skip
    return body.model_copy(update={**values, **changes})


def placed(*bodies: DefectMessage) -> Entry:
    """What stores these messages."""
    return Entry([Draft(body) for body in bodies], {})


def phase_of(body: DefectMessage, phase: str) -> DefectMessage:
    """An earlier or later message of the same defect."""
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{body.defect_id}:{phase}"))
    return body.model_copy(update={"id": key, "phase": phase})
