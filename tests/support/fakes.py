"""Small scripted stand-ins at the protocols, and makers of frames, gaps and bundles."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from inspector.box import Box
from inspector.frame import Cause, FileStamp, FinishedFile, Frame, Gap, Pixels
from inspector.ids import Ids
from inspector.inspection.decision import DecisionRules
from inspector.inspection.distance import FeatureDistance, Space
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.inspection.predictions import Predictions
from inspector.inspection.preprocess import to_input
from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.model.card import Card, write_card_text
from inspector.sources.base import EndOfSource, Policy
from inspector.store.entries import DoneMark, Entry
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import Item, track

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STAMP = FileStamp(1000, 1_700_000_000_000_000_000)
LABELS = ("crack", "hole", "rust", "clean")


class FakeClock:
    """Stands still until somebody moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.present = now
        self.mono_s = 1000.0

    def now(self) -> datetime:
        return self.present

    def monotonic(self) -> float:
        return self.mono_s

    def advance(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)
        self.mono_s += seconds


class ScriptedSource:
    """Plays a script: items are returned, exceptions raised; at its end `EndOfSource`, again and again.

    Attributes:
        finished: Items that were told to be done.
        closed: How often it was closed.
    """

    def __init__(
        self,
        script: Iterable[Frame | Gap | Exception | Callable[[], Frame | Gap | None] | None],
        policy: Policy = Policy.LOSSLESS,
    ) -> None:
        self._script = list(script)
        self._policy = policy
        self.finished: list[Frame | Gap] = []
        self.closed = 0

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def description(self) -> str:
        return "script"

    def read(self) -> Frame | Gap | None:
        if not self._script:
            raise EndOfSource
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step() if callable(step) else step

    def done(self, item: Frame | Gap) -> None:
        self.finished.append(item)

    def close(self) -> None:
        self.closed += 1


class MemoryLedger:
    """A `Ledger` that forgets with the process."""

    def __init__(self, deaths: Mapping[str, int] | None = None) -> None:
        self.finished: dict[str, FinishedFile] = {}
        self.started: list[str] = []
        self._deaths = dict(deaths or {})

    def find(self, source_key: str) -> FinishedFile | None:
        return self.finished.get(source_key)

    def confirm(self, files: Sequence[tuple[str, FileStamp, str | None]]) -> None:
        for key, stamp, digest in files:
            known = self.finished[key]
            if known.stamp.is_dated_as(stamp):
                self.finished[key] = FinishedFile(stamp, digest, known.refused)

    def suspects(self) -> dict[str, int]:
        return dict(self._deaths)

    def starting(self, source_key: str) -> None:
        self.started.append(source_key)


class PaintedClassifier:
    """A `Classify` that believes the tile: the grey value of its centre is the number of its label."""

    def __init__(self, labels: Sequence[str] = LABELS, logit: float = 6.0) -> None:
        self._labels = tuple(labels)
        self._logit = logit
        self.calls = 0

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        self.calls += 1
        logits = np.zeros((len(tiles), len(self._labels)))
        for row, tile in enumerate(tiles):
            logits[row, int(tile[tile.shape[0] // 2, tile.shape[1] // 2]) % len(self._labels)] = self._logit
        return Predictions(logits)


def decision_rules(**changes: Any) -> DecisionRules:
    """Rules over `LABELS`: threshold 0.8, record floor 0.3, one label of each severity."""
    rules = DecisionRules(
        labels=LABELS,
        temperature=1.0,
        thresholds={"crack": 0.8, "hole": 0.8, "rust": 0.8},
        severity={"crack": "critical", "hole": "major", "rust": "minor"},
        record_floor=0.3,
    )
    return replace(rules, **changes)


def one_space(means: np.ndarray, whitening: np.ndarray | None = None) -> FeatureDistance:
    """The distance to the nearest of some places, over all features."""
    return FeatureDistance((Space(0, means, np.eye(means.shape[1]) if whitening is None else whitening),))


def site_reference(defect: float = 3.0, unclassified: float = 4.0, roles: Sequence[str] = ("map",)) -> SiteReference:
    """A reference in whose maps, one value deep, a place is as far as its value."""
    spaces = tuple(PlaceSpace(role, np.zeros(1), np.eye(1), 1.0) for role in roles)
    return SiteReference("0123456789abcdef" * 4, spaces, defect, unclassified)


def make_frame(number: int = 0, pixels: Pixels | None = None, **changes: Any) -> Frame:
    """A textured frame; frame `number` of epoch 1, one tenth of a second after the one before."""
    if pixels is None:
        pixels = np.random.default_rng(number).integers(60, 190, (64, 64)).astype(np.uint8)
    values: dict[str, Any] = {
        "pixels": pixels,
        "epoch": 1,
        "frame_id": number,
        "captured_at": NOON + timedelta(seconds=number / 10),
        "captured_mono_s": 1000 + number / 10,
        "identity": f"frame-{number}",
    }
    return Frame(**{**values, **changes})


def make_gap(cause: Cause = Cause.DROPPED, since_s: float = 0.0, until_s: float | None = None, **changes: Any) -> Gap:
    """A gap from `since_s` to `until_s` (the same by default), seconds after `NOON`."""
    since = NOON + timedelta(seconds=since_s)
    until = since if until_s is None else NOON + timedelta(seconds=until_s)
    return Gap(**{"cause": cause, "since": since, "until": until, "epoch": 1, **changes})


def make_defect(label: str = "crack", box: Box | None = None, score: float = 0.9, **changes: Any) -> Defect:
    """A defect of one tile."""
    values: dict[str, Any] = {
        "label": label, "box": box or Box(0, 0, 32, 32), "score": score, "runner_up": "clean",
        "runner_up_score": round(1 - score, 4), "tiles": 1,
    }  # fmt: skip
    values["tiles_box"] = values["box"]
    return Defect(**{**values, **changes})


def inspected(frame: Frame, *defects: Defect, cause: Cause | None = None) -> Inspection:
    """What `inspect_frame` would say of `frame`."""
    return Inspection(frame, cause, defects=tuple(defects))


def track_rules(**changes: Any) -> TrackRules:
    """Rules of station site/line/cam over `LABELS`."""
    rules = TrackRules(
        ids=Ids("inspector/site/line/cam"),
        station="site/line/cam",
        bundle="fake@1.0+000000000000",
        config="c0ffee",
        thresholds={"crack": 0.8, "hole": 0.8, "rust": 0.8},
        severity={"crack": "critical", "hole": "major", "rust": "minor"},
        alarms_per_hour=100_000,
    )
    return replace(rules, **changes)


def track_all(
    items: Iterable[Item], rules: TrackRules | None = None, state: TrackState | None = None
) -> tuple[TrackState, list[Any]]:
    """Track one item after the other; returns the last state and the bodies of all messages."""
    state, bodies = state or TrackState(), list[Any]()
    for item in items:
        state, drafts = track(state, item, rules or track_rules())
        bodies += [draft.body for draft in drafts]
    return state, bodies


def still(number: int, *labels: str) -> Inspection:
    """A still with one defect per label, out of the file `NUMBER.jpg`."""
    frame = make_frame(number, independent=True, source_key=f"{number}.jpg", file_stamp=STAMP)
    return inspected(frame, *[make_defect(label) for label in labels])


def entry(number: int, *labels: str, **changes: Any) -> Entry:
    """What one still leaves: a message per defect, an alarm each, one frame message, and the done-mark."""
    _, drafts = track(TrackState(), still(number, *labels), track_rules())
    return Entry(**{"drafts": drafts, "evidence": {}, "done": DoneMark(f"{number}.jpg", STAMP, "clean"), **changes})


def write_bundle(root: Path, **card_changes: Any) -> Path:
    """Write a bundle whose hashes hold and whose model is no model: enough for everything but an interpreter."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    np.savez(root / "golden.npz", **golden_arrays())
    np.savez(root / "unknown.npz", means=np.zeros((4, 8)), whitening=np.eye(8))
    write_card(root, **card_changes)
    return root


def golden_arrays() -> dict[str, Any]:
    """What `golden.npz` holds: two tiles of each of `LABELS` and of `unknown`."""
    labels = np.repeat([*LABELS, "unknown"], 2)
    count = len(labels)
    tiles = np.random.default_rng(5).integers(0, 256, (count, 40, 40)).astype(np.uint8)
    hashes = np.array([hashlib.sha256(to_input(tile, 32).tobytes()).hexdigest() for tile in tiles])
    return {
        "tiles": tiles, "input_sha256": hashes, "logits": np.zeros((count, len(LABELS)), np.int8),
        "output_features": np.zeros((count, 8), np.int8),
        "label": labels, "top": np.repeat([*LABELS, "crack"], 2), "runner_up": np.full(count, "clean"),
        "severity": np.full(count, ""), "score": np.full(count, 0.9), "distance": np.full(count, 1.0),
        "box_xywh": np.zeros((count, 4), np.int32), "card_sha256": np.array(""), "made_with": np.array("a test"),
    }  # fmt: skip


def write_card(root: Path, **changes: Any) -> None:
    """Write `card.json` with the hashes of the files that lie there; golden tiles are bound to a card that is one."""
    fields = {
        "schema": "inspector/bundle/2",
        "name": "fake",
        "version": "1.0",
        "created": "2026-03-01T12:00:00Z",
        "description": "Made by a test.",
        "models": [
            {"role": "main", "file": "model.tflite", "outputs": {"logits": "logits", "features": "features"}},
        ],
        "labels": list(LABELS),
        "tile_px": 40,
        "input_px": 32,
        "quantization": {},
        "temperature": 1.0,
        "thresholds": {"crack": 0.8, "hole": 0.8, "rust": 0.8},
        "severity": {"crack": "critical", "hole": "major", "rust": "minor"},
        "unknown": {"file": "unknown.npz", "threshold": 3.0, "false_unknown_rate": 0.01},
        "metrics": {},
        "training": {},
        "data": {},
        "files": hashes_of(root),
        "sha256": "0" * 64,
        **changes,
    }  # fmt: skip
    try:
        card = Card.model_validate(fields)
    except ValueError:
        (root / "card.json").write_text(json.dumps(fields), encoding="utf-8")
        return
    bind_golden(root / card.golden, card)
    (root / "card.json").write_bytes(write_card_text(card.model_copy(update={"files": hashes_of(root)})))


def hashes_of(root: Path) -> dict[str, str]:
    """The sha256 of each file of a bundle but its card."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.iterdir() if path.name != "card.json"
    }


def bind_golden(path: Path, card: Card) -> None:
    """Have golden tiles say that they were decided under this card, where they are golden tiles at all."""
    try:
        with path.open("rb") as file, np.load(file) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        return
    if "card_sha256" in arrays:
        np.savez(path, **{**arrays, "card_sha256": np.array(card.golden_sha256)})


def killed(*arguments: object) -> None:
    """End as a process ends that the kernel kills for memory."""
    os.kill(os.getpid(), signal.SIGKILL)
