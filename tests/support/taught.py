"""A station that was taught: a reference of drawn clean steel in whole numbers, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inspector.drawn.spec import StripSpec
from inspector.drawn.strip import Strip
from inspector.frame import Pixels
from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier
from inspector.teach.card import ReferenceCard, Signature, SpaceEntry
from inspector.teach.files import FOLDER, KeptTiles, accept, build_reference, write_candidate

SIGNATURE = Signature(by="somebody", at="2026-01-01T00:00:00.000Z")
SIDE_PX = 200


def clean_tiles(seed: int = 5, rows: int = 10) -> list[Pixels]:
    """Tiles of a drawn strip without a defect."""
    strip = Strip(StripSpec(seed, defects_per_m=0)).lines(0, rows * SIDE_PX)
    return [
        np.ascontiguousarray(strip[y : y + SIDE_PX, x : x + SIDE_PX])
        for y in range(0, rows * SIDE_PX, SIDE_PX)
        for x in range(0, strip.shape[1] - SIDE_PX + 1, SIDE_PX)
    ]


def plain_space(role: str, values: np.ndarray[Any, Any]) -> PlaceSpace:
    """Each channel less its mean, over its spread; rounded, so that no processor's last bit counts."""
    places = values.reshape(-1, values.shape[3]).astype(np.int64)
    mean = np.round(places.sum(axis=0) / len(places), 3)
    spread = np.round(np.sqrt((places**2).sum(axis=0) / len(places) - mean**2) + 1, 2)
    whitening = np.diag(np.round(1 / spread, 5))
    farthest = PlaceSpace(role, mean, whitening, 1.0)(values).max(axis=(1, 2))
    return PlaceSpace(role, mean, whitening, float(np.round(np.sort(farthest)[len(farthest) * 19 // 20], 2)))


def spaces_of(maps: Mapping[str, np.ndarray[Any, Any]]) -> tuple[PlaceSpace, ...]:
    return tuple(plain_space(role, maps[role]) for role in sorted(maps))


def teach(state: Path, bundle: Bundle, thresholds: tuple[float, float] = (1.2, 1.4)) -> SiteReference:
    """Leave an accepted reference in a station's state folder."""
    tiles = clean_tiles()
    spaces = spaces_of(Classifier(bundle, places=True)(tiles).maps)
    reference = build_reference(spaces, *thresholds)
    entries = tuple(SpaceEntry(role=s.role, depth=s.depth, rank=s.depth, scale=s.scale) for s in spaces)
    card = ReferenceCard(
        bundle=bundle.short, bundle_sha256=bundle.fingerprint, kernels="any", tile_px=bundle.card.tile_px,
        spaces=entries, defect_threshold=thresholds[0], unclassified_threshold=thresholds[1], tiles=len(tiles), coils=1,
        aim={}, basis={}, taught=SIGNATURE, files={"reference.npz": "0" * 64},
    )  # fmt: skip
    numbers = np.arange(len(tiles), dtype=np.int32)
    write_candidate(state / FOLDER, card, reference, KeptTiles(np.stack(tiles), numbers, numbers))
    accept(state / FOLDER, bundle, SIGNATURE)
    return reference
