"""References small enough to be spoilt thousands of times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.model.bundle import Bundle
from inspector.teach.card import ReferenceCard, Signature, SpaceEntry
from inspector.teach.files import KeptTiles, Stored, build_reference, write_candidate

BUNDLE_SHA256 = "b" * 64


@dataclass(frozen=True)
class FakeBundle:
    """As much of a bundle as a reference asks for."""

    fingerprint: str = BUNDLE_SHA256
    short: str = "tiny@1+bbbbbbbbbbbb"


def fake_bundle(fingerprint: str = BUNDLE_SHA256) -> Bundle:
    return cast(Bundle, FakeBundle(fingerprint, f"tiny@1+{fingerprint[:12]}"))


def small_reference(defect_threshold: float = 1.0) -> SiteReference:
    spaces = (PlaceSpace("map", np.zeros(3), np.eye(3), 1.0), PlaceSpace("map_deep", np.ones(2), np.eye(2), 2.0))
    return build_reference(spaces, defect_threshold, 2.0)


def small_card(**changes: Any) -> ReferenceCard:
    fields: dict[str, Any] = {
        "bundle": "tiny@1+bbbbbbbbbbbb",
        "bundle_sha256": BUNDLE_SHA256,
        "kernels": "ai_edge_litert x86_64",
        "tile_px": 8,
        "spaces": (SpaceEntry(role="map", depth=3, rank=3, scale=1.0),
                   SpaceEntry(role="map_deep", depth=2, rank=2, scale=2.0)),
        "defect_threshold": 1.0,
        "unclassified_threshold": 2.0,
        "tiles": 60,
        "coils": 6,
        "aim": {"per_km": 0.5},
        "basis": {},
        "taught": Signature(by="somebody", at="2026-11-30T12:00:00.000Z"),
        "files": {"reference.npz": "0" * 64},
    }  # fmt: skip
    return ReferenceCard.model_validate({**fields, **changes})


def small_tiles() -> KeptTiles:
    tiles = np.random.default_rng(1).integers(0, 255, (60, 8, 8), np.uint8)
    return KeptTiles(tiles, np.arange(60, dtype=np.int32) % 6, np.arange(60, dtype=np.int32))


def leave_candidate(folder: Path, defect_threshold: float = 1.0, bundle_sha256: str = BUNDLE_SHA256) -> Stored:
    """Leave a candidate that this threshold tells from others."""
    card = small_card(defect_threshold=defect_threshold, bundle_sha256=bundle_sha256)
    return write_candidate(folder, card, small_reference(defect_threshold), small_tiles())
